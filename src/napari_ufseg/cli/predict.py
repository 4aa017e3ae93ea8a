"""The commands of ``ufseg``: each takes its arguments and returns the exit status."""

import json
import logging
import sys
import tempfile
import time
import warnings
from argparse import Namespace
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_ufseg.batch.label_file import InputImage
from napari_ufseg.cli.batch import run_batch_command
from napari_ufseg.cli.inputs import beginning_of, check_channel_arguments, input_paths, load_image, load_inputs
from napari_ufseg.cli.outputs import label_arrays, plan_outputs
from napari_ufseg.cli.parser import UsageError
from napari_ufseg.cli.progress import follow_labelling, is_visible, stops_on_ctrl_c, train
from napari_ufseg.cli.report import Outcome
from napari_ufseg.cli.results import write_results
from napari_ufseg.engine.config import SegmentationConfig, options
from napari_ufseg.engine.device import resolve_device
from napari_ufseg.engine.errors import ImageError, UfsegWarning, counted, engine_errors
from napari_ufseg.engine.images.intensity import Brightness
from napari_ufseg.engine.images.tiling import label_chunks
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.network.model_file import load_model
from napari_ufseg.engine.prediction.labelling import Job, Progress, label_images, scan
from napari_ufseg.engine.training.estimate import estimate_run
from napari_ufseg.engine.training.session import TrainingSession
from napari_ufseg.io import create_label_array

if TYPE_CHECKING:
    from napari_ufseg.blockwise import Cluster, Threads

SMALLEST_BUDGET = 5 * 10**8


def run(arguments: Namespace) -> int:
    """Run the command that the arguments name."""
    if arguments.command == "demo":
        from napari_ufseg.cli.demo import run_demo

        return run_demo(arguments)
    commands = {"segment": run_segment, "predict": run_predict, "batch": run_batch_command, "info": run_info}
    return commands[arguments.command](arguments)


def run_segment(arguments: Namespace) -> int:
    """``ufseg segment``: everything that can be wrong is found before the training begins."""
    model = load_model(arguments.train_on) if arguments.train_on else None
    config = config_of(arguments, model)
    resolve_device(arguments.device)
    budget = memory_budget_of(arguments)
    files = input_paths(arguments)
    paths = plan_outputs(arguments, files)
    inputs = load_inputs(arguments, files, config.spatial_dims)
    if model is None and config.spatial_dims == 3 and arguments.anisotropy is None:
        config = config.replace(anisotropy=inputs.images[0].anisotropy)
    if arguments.show:
        from napari_ufseg.cli.show import show_segment

        return show_segment(arguments, config, inputs, paths)
    if is_visible(arguments.quiet):
        for image in inputs.images:
            print(f"ufseg: {image.path}: {image.source.words}", file=sys.stderr)
        if config.anisotropy != 1:
            print(f"ufseg: voxels are {config.anisotropy:g} times as deep as wide (anisotropy)", file=sys.stderr)
        print(f"ufseg: {estimate_run(inputs.sources, config, arguments.device, budget).words}", file=sys.stderr)
    with label_arrays(paths.labels, inputs.images, model.classes if model else None) as arrays:
        session = TrainingSession(
            inputs.sources,
            config,
            scribbles=inputs.scribbles,
            device=arguments.device,
            memory_budget=budget,
            out=arrays,
            beginning=beginning_of(arguments, model, inputs),
        )
        with stops_on_ctrl_c(session) as ctrl_c:
            start = time.perf_counter()
            segmentation = train(session, quiet=arguments.quiet)
            outcome = Outcome(segmentation, time.perf_counter() - start, ctrl_c.pressed)
            write_results(arguments, inputs, outcome, paths)
    print_written(paths.all, arguments)
    if ctrl_c.pressed:
        when = f"after {counted(session.epoch, 'epoch')}" if session.epoch else "in the first epoch"
        print(f"ufseg: stopped by Ctrl-C {when}; what there was is written.", file=sys.stderr)
        return 130
    return 0


def memory_budget_of(arguments: Namespace) -> int | None:
    """--memory_budget in bytes; UsageError if it is no amount of memory."""
    text = arguments.memory_budget
    if text is None:
        return None
    from dask.utils import parse_bytes

    try:
        budget = int(parse_bytes(text))
    except (ValueError, AttributeError):
        budget = 0
    if budget < SMALLEST_BUDGET:
        raise UsageError(f"memory_budget is {text!r}, but must be an amount of at least 0.5GB, such as 2GB or 1500MiB.")
    return budget


def config_of(arguments: Namespace, model: SegmentationModel | None = None) -> SegmentationConfig:
    """The preset, or the config of a model, with the options that were given; also checks --force."""
    force = arguments.force
    if force is not None and not (isinstance(force, int) and force >= 1):
        raise UsageError(f"force is {force!r}, but must be a whole number of at least 1.")
    given = {name: getattr(arguments, name) for name in options() if getattr(arguments, name) is not None}
    return model.config.replace(**given) if model else SegmentationConfig.preset(arguments.preset, **given)


def print_written(paths: Iterable[Path], arguments: Namespace) -> None:
    """One line per file on stdout, unless --quiet."""
    if not arguments.quiet:
        for path in paths:
            print(path)


def run_predict(arguments: Namespace) -> int:
    """``ufseg predict``: one image after the other, so that any number of them fits into memory."""
    check_channel_arguments(arguments)
    place = None if arguments.scheduler else resolve_device(arguments.device)  # the workers look for their own
    model = load_model(arguments.model)
    files = input_paths(arguments)
    paths = plan_outputs(arguments, files)
    with _cluster(arguments) as cluster:
        for file, path in zip(files, paths.labels, strict=True):
            image = load_image(arguments, file, model.config.spatial_dims)
            if image.source.n_channels != model.n_channels:
                raise ImageError(
                    f"{file} has {counted(image.source.n_channels, 'channel')}, but the model was trained on "
                    f"{model.n_channels}: choose an image with the same channels (--n_channels 1 or 3 converts "
                    "colour and grey)."
                )
            if cluster and image.source.data is not image.file.data:
                raise UsageError("--n_channels converts a whole image in memory, which cannot go with --scheduler.")
            with label_arrays([path], [image], model.classes) as arrays:
                assert arrays is not None
                if place and (isinstance(arrays[0], np.ndarray) or image.source.data is not image.file.data):
                    _predict_here(model, image, arrays[0], place, path, arguments)
                else:
                    with _stored(arrays[0], path, image) as array:
                        _predict_blockwise(model, image, array, cluster or _threads(place), path, arguments)
            print_written([path], arguments)
    return 0


def _predict_here(
    model: SegmentationModel, image: InputImage, array: Any, place: torch.device, path: Path, arguments: Namespace
) -> None:
    """Label an image that is in memory, or into an array that is."""
    with engine_errors("Preparing the image"):
        job = Job(image.source, scan(image.source, model.config.scaling), array)
    _warn_if_constant(image, job.brightness)
    with engine_errors("Prediction"):
        follow_labelling(label_images(model, [job], place), path.name, quiet=arguments.quiet)


def _predict_blockwise(
    model: SegmentationModel,
    image: InputImage,
    array: Any,
    runner: "Threads | Cluster",
    path: Path,
    arguments: Namespace,
) -> None:
    """Label an image file into a Zarr array, with tasks that open both by themselves."""
    from napari_ufseg.blockwise import Work, label_blocks, scan_blocks

    work = Work.of(model, image.source, image.path, array, arguments.device, image.file.level)
    found: list[Brightness] = []

    def scanned() -> Generator[Progress]:
        found.append((yield from scan_blocks(runner, work, image.source)))

    with engine_errors("Preparing the image"):
        follow_labelling(scanned(), f"reading {image.path.name}", quiet=arguments.quiet)
    _warn_if_constant(image, found[0])
    with engine_errors("Prediction"):
        follow_labelling(label_blocks(runner, work, image.source, found[0]), path.name, quiet=arguments.quiet)


def _warn_if_constant(image: InputImage, brightness: Brightness) -> None:
    if brightness.is_constant:
        warnings.warn(f"{image.source.name} is constant: all of it is one class.", UfsegWarning, stacklevel=2)


@contextmanager
def _cluster(arguments: Namespace) -> Iterator["Cluster | None"]:
    """The workers of --scheduler; what dask logs is shown with --debug only."""
    if not arguments.scheduler:
        yield None
        return
    from napari_ufseg.blockwise import Cluster

    before = logging.root.manager.disable
    logging.disable(before if arguments.debug else logging.CRITICAL)
    try:
        with Cluster(arguments.scheduler) as cluster:
            yield cluster
    finally:
        logging.disable(before)


def _threads(place: torch.device | None) -> "Threads":
    from napari_ufseg.blockwise import Threads

    return Threads(torch.get_num_threads() if place is None or place.type == "cpu" else 1)


@contextmanager
def _stored(array: Any, path: Path, image: InputImage) -> Iterator[Any]:
    """An array for labels that every worker can open: itself, or a Zarr beside `path` that is copied into it."""
    if not isinstance(array, np.ndarray):
        yield array
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".ufseg-", dir=path.parent) as folder:
        chunks = label_chunks(image.source.item_shape, image.source.chunks, array.ndim)
        stored: Any = create_label_array(Path(folder) / "labels.zarr", array.shape, chunks)
        yield stored
        array[...] = stored[...]


def run_info(arguments: Namespace) -> int:
    """``ufseg info``: what a model is, for people or as JSON."""
    facts = model_facts(load_model(arguments.model))
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return 0
    print(f"Model:     {arguments.model}")
    print(f"Channels:  {facts['n_channels']}")
    print(f"Weights:   {facts['n_weights']:,}")
    print(f"Labels:    {_ranges(facts['labels'])} ({len(facts['labels'])} in all)")
    print("Settings:")
    known = options()
    width = max(map(len, known))
    for name, value in facts["config"].items():
        print(f"  {name:{width}}  {value!s:>10}  {known[name].label}")
    return 0


def model_facts(model: SegmentationModel) -> dict[str, Any]:
    """What there is to say about a model, as plain values."""
    return {
        "n_channels": model.n_channels,
        "n_weights": sum(weights.numel() for weights in model.network.parameters()),
        "labels": sorted(set(model.class_labels)),
        "names": {str(info.label): info.name for info in model.classes.values() if info.name},
        "config": model.config.to_dict(),
    }


def _ranges(labels: list[int]) -> str:
    """[1, 2, 3, 7] -> '1-3, 7'."""
    groups: list[list[int]] = []
    for label in labels:
        if groups and label == groups[-1][-1] + 1:
            groups[-1].append(label)
        else:
            groups.append([label])
    return ", ".join(str(group[0]) if len(group) == 1 else f"{group[0]}-{group[-1]}" for group in groups)
