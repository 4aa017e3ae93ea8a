"""``ufseg segment``: a network trained on images, and their labels."""

import sys
import time
import warnings

from napari_ufseg.batch.label_file import InputImage
from napari_ufseg.cli.arguments import SegmentArguments
from napari_ufseg.cli.inputs import load_inputs, warm_start_of
from napari_ufseg.cli.outputs import label_arrays, plan_outputs, print_shown, print_written
from napari_ufseg.cli.progress import is_visible, stops_on_ctrl_c, train
from napari_ufseg.cli.results import Outcome, with_classes, write_results
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.device import resolve_device
from napari_ufseg.engine.errors import UfsegWarning, counted
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.network.model_file import load_model
from napari_ufseg.engine.training.estimate import estimate_run
from napari_ufseg.engine.training.session import TrainingSession
from napari_ufseg.io import find_images


def run_segment(arguments: SegmentArguments) -> int:
    """``ufseg segment``: everything that can be wrong is found before the training begins."""
    model = load_model(arguments.train_on) if arguments.train_on else None
    config = config_of(arguments, model)
    resolve_device(arguments.device)
    quiet = arguments.messages.quiet
    files = find_images(arguments.inputs)
    extra = {"model": arguments.model_path, "pie": arguments.pie, "report": arguments.report}
    paths = plan_outputs(arguments.output, arguments.inputs, files, **extra)
    inputs = load_inputs(arguments, files, config.spatial_dims)
    if model is None and config.spatial_dims == 3 and "anisotropy" not in arguments.options:
        config = config.replace(anisotropy=_anisotropy_of(inputs.images[0]))
    if arguments.show:
        from napari_ufseg.cli.show import show_segment

        return show_segment(arguments, config, inputs, paths)
    if is_visible(quiet):
        for image in inputs.images:
            print(f"ufseg: {image.path}: {image.source.summary}", file=sys.stderr)
        if config.anisotropy != 1:
            print(f"ufseg: voxels are {config.anisotropy:g} times as deep as wide (anisotropy)", file=sys.stderr)
        estimate = estimate_run(inputs.sources, config, arguments.device, arguments.memory_budget)
        print(f"ufseg: {estimate.summary}", file=sys.stderr)
    with label_arrays(paths.labels, inputs.images, lambda: outcome.classes) as arrays:
        session = TrainingSession(
            inputs.sources,
            config,
            scribbles=inputs.scribbles,
            device=arguments.device,
            memory_budget=arguments.memory_budget,
            out=arrays,
            warm_start=warm_start_of(arguments, model, inputs),
        )
        with stops_on_ctrl_c(session.stop) as ctrl_c:
            start = time.perf_counter()
            segmentation = train(session, quiet=quiet)
            if model:
                segmentation = with_classes(segmentation, model.classes.settled)
            done = Outcome(segmentation, time.perf_counter() - start, ctrl_c.pressed)
            outcome = write_results(arguments, inputs, done, paths)
    if paths.labels:
        print_shown(outcome.segmentation.model.hierarchy, "auto", quiet=quiet)
    print_written(paths.all, quiet=quiet)
    if ctrl_c.pressed:
        when = f"after {counted(session.epoch, 'epoch')}" if session.epoch else "in the first epoch"
        print(f"ufseg: stopped by Ctrl-C {when}; what there was is written.", file=sys.stderr)
        return 130
    return 0


def config_of(arguments: SegmentArguments, model: SegmentationModel | None = None) -> SegmentationConfig:
    """The preset, or the config of a model, with the options that were given."""
    given = arguments.options
    return model.config.replace(**given) if model else SegmentationConfig.preset(arguments.preset, **given)


def _anisotropy_of(image: InputImage) -> float:
    """How much deeper than wide the voxels of an image are; 1 if its file does not tell, which is said if it tells their width."""
    if image.anisotropy is None and image.steps.is_known:
        warnings.warn(
            f"{image.path} does not tell how deep its voxels are in the unit of their width: they are assumed to be as "
            "deep as wide (--anisotropy says it).",
            UfsegWarning,
            stacklevel=2,
        )
    return image.anisotropy or 1.0
