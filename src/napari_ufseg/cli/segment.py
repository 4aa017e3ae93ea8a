"""``ufseg segment``: a network trained on images, and their labels."""

import sys
import time
from argparse import Namespace

from napari_ufseg.cli.arguments import UsageError
from napari_ufseg.cli.inputs import beginning_of, input_paths, load_inputs
from napari_ufseg.cli.outputs import label_arrays, plan_outputs, print_written
from napari_ufseg.cli.progress import is_visible, stops_on_ctrl_c, train
from napari_ufseg.cli.results import Outcome, write_results
from napari_ufseg.engine.config import SegmentationConfig, options
from napari_ufseg.engine.device import resolve_device
from napari_ufseg.engine.errors import counted
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.network.model_file import load_model
from napari_ufseg.engine.training.estimate import estimate_run
from napari_ufseg.engine.training.session import TrainingSession

SMALLEST_BUDGET = 5 * 10**8


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
            print(f"ufseg: {image.path}: {image.source.summary}", file=sys.stderr)
        if config.anisotropy != 1:
            print(f"ufseg: voxels are {config.anisotropy:g} times as deep as wide (anisotropy)", file=sys.stderr)
        print(f"ufseg: {estimate_run(inputs.sources, config, arguments.device, budget).summary}", file=sys.stderr)
    with label_arrays(paths.labels, inputs.images, model.classes if model else None) as arrays:
        session = TrainingSession(
            inputs.sources,
            config,
            scribbles=inputs.scribbles,
            device=arguments.device,
            memory_budget=budget,
            out=arrays,
            warm_start=beginning_of(arguments, model, inputs),
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
