"""``ufseg predict``: images labelled with a saved model, here or on the workers of a cluster."""

import logging
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_ufseg.batch.label_file import InputImage
from napari_ufseg.cli.arguments import PredictArguments, UsageError
from napari_ufseg.cli.inputs import load_image, load_told
from napari_ufseg.cli.outputs import label_arrays, plan_outputs, print_shown, print_written
from napari_ufseg.cli.progress import follow_labelling
from napari_ufseg.engine.device import resolve_device
from napari_ufseg.engine.errors import ImageError, UfsegWarning, counted, engine_errors
from napari_ufseg.engine.files import temporary_folder
from napari_ufseg.engine.images.intensity import IntensityRange
from napari_ufseg.engine.images.tiling import label_chunks
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.network.model_file import fingerprint
from napari_ufseg.engine.prediction.labelling import LabellingJob, Progress, iter_learn_intensity, label_images
from napari_ufseg.io import create_label_array, find_images

if TYPE_CHECKING:
    from napari_ufseg.batch.cluster import Cluster


def run_predict(arguments: PredictArguments) -> int:
    """``ufseg predict``: one image after the other, so that any number of them fits into memory."""
    place = None if arguments.scheduler else resolve_device(arguments.device)  # the workers look for their own
    whole = load_told(arguments.model)
    model = whole.at_detail(arguments.detail)
    classes = partial(whole.classes_at, arguments.detail)
    files = find_images(arguments.inputs)
    paths = plan_outputs(arguments.output, arguments.inputs, files, existing=arguments.existing)
    made_by = cache(partial(fingerprint, whole))
    with _cluster(arguments) as cluster:
        for file, path in zip(files, paths.labels, strict=True):
            if path in paths.skipped:
                print_written([path], quiet=arguments.messages.quiet, skipped=True)
                continue
            image = load_image(arguments.opening, file, model.config.spatial_dims)
            if image.source.n_channels != model.n_channels:
                raise ImageError(
                    f"{file} has {counted(image.source.n_channels, 'channel')}, but the model was trained on "
                    f"{model.n_channels}: choose an image with the same channels (--n_channels 1 or 3 converts "
                    "colour and grey)."
                )
            if cluster and image.source.data is not image.file.data:
                raise UsageError("--n_channels converts a whole image in memory, which cannot go with --scheduler.")
            with label_arrays([path], [image], classes, made_by) as arrays:
                assert arrays is not None
                if place:
                    _predict_here(model, image, arrays[0], place, path, arguments)
                else:
                    assert cluster is not None
                    with _stored(arrays[0], path, image) as array:
                        _predict_on(cluster, model, image, array, path, arguments)
            if path == paths.labels[0]:
                print_shown(whole.hierarchy, arguments.detail, quiet=arguments.messages.quiet)
            print_written([path], quiet=arguments.messages.quiet)
    return 0


def _predict_here(
    model: SegmentationModel,
    image: InputImage,
    array: Any,
    place: torch.device,
    path: Path,
    arguments: PredictArguments,
) -> None:
    """Label an image in this process."""
    brightness = _learn(iter_learn_intensity(image.source, model.config), model, image, arguments)
    job = LabellingJob(image.source, brightness, array)
    with engine_errors("Prediction"):
        follow_labelling(label_images(model, [job], place), path.name, quiet=arguments.messages.quiet)


def _predict_on(
    cluster: "Cluster", model: SegmentationModel, image: InputImage, array: Any, path: Path, arguments: PredictArguments
) -> None:
    """Label an image file into a Zarr array, on workers that open both by themselves."""
    from napari_ufseg.batch.tile_tasks import TilePlan

    file, partial = image.file, arguments.opening.axes is not None
    plan = TilePlan.of(
        model, image.source, file.path, array, arguments.device, file.level, series=file.series, partial=partial
    )
    brightness = _learn(cluster.learn_intensity(plan, image.source), model, image, arguments)
    with engine_errors("Prediction"):
        follow_labelling(cluster.label_image(plan, image.source, brightness), path.name, quiet=arguments.messages.quiet)


def _learn(
    steps: Generator[Progress, None, IntensityRange],
    model: SegmentationModel,
    image: InputImage,
    arguments: PredictArguments,
) -> IntensityRange:
    """The brightness by which an image is scaled, learnt with a bar; a warning if there is a doubt."""
    found: list[IntensityRange] = []

    def learning() -> Generator[Progress]:
        found.append((yield from steps))

    with engine_errors("Preparing the image"):
        follow_labelling(learning(), f"reading {image.path.name}", quiet=arguments.messages.quiet)
    chosen = model.range_for(found[0], arguments.intensity)
    if doubt := chosen.doubt(image.source.name):
        warnings.warn(doubt, UfsegWarning, stacklevel=2)
    return chosen


@contextmanager
def _cluster(arguments: PredictArguments) -> Iterator["Cluster | None"]:
    """The workers of --scheduler; what dask logs is shown with --debug only."""
    if not arguments.scheduler:
        yield None
        return
    from napari_ufseg.batch.cluster import Cluster

    before = logging.root.manager.disable
    logging.disable(before if arguments.messages.debug else logging.CRITICAL)
    try:
        with Cluster(arguments.scheduler) as cluster:
            yield cluster
    finally:
        logging.disable(before)


@contextmanager
def _stored(array: Any, path: Path, image: InputImage) -> Iterator[Any]:
    """An array for labels that every worker can open: itself, or a Zarr beside `path` that is copied into it."""
    if not isinstance(array, np.ndarray):
        yield array
        return
    with temporary_folder(path) as folder:
        chunks = label_chunks(image.source.item_shape, image.source.chunks, array.ndim)
        stored: Any = create_label_array(folder / "labels.zarr", array.shape, chunks)
        yield stored
        array[...] = stored[...]
