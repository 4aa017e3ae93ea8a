"""``ufseg demo``: the main job on a sample image, in napari or, without a display, in the terminal."""

from pathlib import Path

from napari_ufseg.batch.label_file import check_labels_writable
from napari_ufseg.cli.arguments import DemoArguments
from napari_ufseg.cli.chart import write_picture
from napari_ufseg.cli.outputs import check_file_writable, print_shown, print_written
from napari_ufseg.cli.progress import train
from napari_ufseg.cli.show import display_problem, show_run
from napari_ufseg.cli.signals import asked_by, stops_on_ctrl_c
from napari_ufseg.cli.terminal import tell
from napari_ufseg.engine.config import DEFAULT_PRESET, SegmentationConfig
from napari_ufseg.engine.device import resolve_device
from napari_ufseg.engine.files import written_together
from napari_ufseg.engine.images.source import open_source
from napari_ufseg.engine.network.model_file import fingerprint
from napari_ufseg.engine.training.session import TrainingSession
from napari_ufseg.io import write_labels
from napari_ufseg.samples import nuclei


def run_demo(arguments: DemoArguments) -> int:
    """Segment the sample image of nuclei where the user can see it."""
    resolve_device(arguments.device)
    config = SegmentationConfig.preset()
    problem = "--headless was given" if arguments.headless else display_problem()
    if problem is None:
        run = show_run([open_source(nuclei())], ["nuclei"], config, preset=DEFAULT_PRESET, device=arguments.device)
        if run.interrupted:
            tell(f"stopped by {asked_by()}; the demo in a window writes no files.")
            return 130
        return 2 if run.failures and not run.finished else 0
    folder = arguments.output
    paths = [folder / "nuclei_labels.tif", folder / "nuclei.png"]
    check_labels_writable(paths[0])
    check_file_writable(paths[1], "chart")
    if not arguments.messages.quiet:
        tell(f"the demo runs in the terminal and writes into {folder}, since {problem}.")
    return _run_headless(arguments, config, paths)


def _run_headless(arguments: DemoArguments, config: SegmentationConfig, paths: list[Path]) -> int:
    image = nuclei()
    session = TrainingSession([image], config, device=arguments.device)
    with stops_on_ctrl_c(session.stop) as ctrl_c:
        segmentation = train(session, quiet=arguments.messages.quiet)
        tree, classes = segmentation.hierarchy, segmentation.model.classes_at("auto")
        labels = tree.labels_at(tree.number_at("auto"))[0]
        with written_together():
            write_labels(paths[0], labels, classes=classes, made_by=fingerprint(segmentation.model))
            write_picture(paths[1], image, labels, classes)
        print_shown(tree, "auto", quiet=arguments.messages.quiet)
        print_written(paths, quiet=arguments.messages.quiet)
    if ctrl_c.pressed:
        tell(f"stopped by {asked_by()}; what there was is written.")
        return 130
    return 0
