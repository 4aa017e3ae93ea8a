"""``ufseg segment``: a network trained on images, and their labels."""

import time
import warnings

from napari_ufseg.batch.label_file import InputImage
from napari_ufseg.cli.arguments import SegmentArguments, UsageError
from napari_ufseg.cli.inputs import load_inputs, load_told, warm_start_of
from napari_ufseg.cli.outputs import OutputPaths, label_arrays, plan_outputs, print_shown, print_written
from napari_ufseg.cli.progress import is_visible, train
from napari_ufseg.cli.results import Outcome, at_detail_asked, with_classes, write_beside_labels
from napari_ufseg.cli.signals import asked_by, stops_on_ctrl_c
from napari_ufseg.cli.terminal import tell
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.device import resolve_device
from napari_ufseg.engine.errors import UfsegWarning, counted
from napari_ufseg.engine.files import written_together
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.training.estimate import estimate_run
from napari_ufseg.engine.training.session import TrainingSession
from napari_ufseg.io import find_images


def run_segment(arguments: SegmentArguments) -> int:
    """``ufseg segment``: everything that can be wrong is found before the training begins."""
    model = load_told(arguments.train_on) if arguments.train_on else None
    config = config_of(arguments, model)
    resolve_device(arguments.device)
    quiet = arguments.messages.quiet
    files = find_images(arguments.inputs)
    extra = {"model": arguments.model_path, "pie": arguments.pie, "report": arguments.report}
    paths = plan_outputs(arguments.output, arguments.inputs, files, **extra, existing=arguments.existing)
    if paths.skipped:
        return skip_all(paths, quiet=quiet)
    inputs = load_inputs(arguments, files, config.spatial_dims)
    if model is None and config.spatial_dims == 3 and "anisotropy" not in arguments.options:
        config = config.replace(anisotropy=_anisotropy_of(inputs.images[0]))
    if arguments.show:
        from napari_ufseg.cli.show import show_segment

        return show_segment(arguments, config, inputs, paths)
    if is_visible(quiet):
        for image in inputs.images:
            tell(f"{image.path}: {image.source.summary}")
        if config.anisotropy != 1:
            tell(f"voxels are {config.anisotropy:g} times as deep as wide (anisotropy)")
        estimate = estimate_run(inputs.sources, config, arguments.device, arguments.memory_budget)
        tell(estimate.summary)
    with written_together():
        with label_arrays(paths.labels, inputs.images, lambda: outcome.classes, lambda: outcome.made_by) as arrays:
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
                outcome = at_detail_asked(arguments, done)
        write_beside_labels(arguments, inputs, outcome, paths)
    if paths.labels:
        print_shown(outcome.segmentation.model.hierarchy, "auto", quiet=quiet)
    print_written(paths.all, quiet=quiet)
    if ctrl_c.pressed:
        when = f"after {counted(session.epoch, 'epoch')}" if session.epoch else "in the first epoch"
        tell(f"stopped by {asked_by()} {when}; what there was is written.")
        return 130
    return 0


def skip_all(paths: OutputPaths, *, quiet: bool) -> int:
    """Tell that the labels of all images are there already; UsageError if those of some are missing."""
    if missing := [path for path in paths.labels if path not in paths.skipped]:
        raise UsageError(
            f"Of {counted(len(paths.labels), 'image')} {len(paths.skipped)} have labels, but {missing[0]} is missing: new "
            "labels would have other classes than those, so choose another OUT, or --existing overwrite."
        )
    print_written(paths.labels, quiet=quiet, skipped=True)
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
