"""Runs in a napari window, through napari's public plugin mechanism only."""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ufseg.cli.arguments import SegmentArguments, UsageError
from napari_ufseg.cli.inputs import Inputs
from napari_ufseg.cli.outputs import OutputPaths, label_arrays, print_written
from napari_ufseg.cli.results import Outcome, at_detail_asked, write_beside_labels
from napari_ufseg.cli.signals import asked_by
from napari_ufseg.cli.terminal import tell
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import UfsegError
from napari_ufseg.engine.files import written_together
from napari_ufseg.engine.images.source import ImageSource, without_singles
from napari_ufseg.engine.training.results import Segmentation

_AXIS_NAMES = {"T": "t", "Z": "z", "C": "c", "Y": "y", "X": "x"}
_PROBE = "from qtpy.QtWidgets import QApplication; QApplication([])"


def display_problem() -> str | None:
    """Why no window can be opened, as a part of a sentence, or None if one can.

    Qt ends the whole process when it finds no display or lacks a system
    library, so the last question is asked in a process of its own.
    """
    if importlib.util.find_spec("napari") is None:
        return 'napari is not installed (python -m pip install "napari-ufseg[all]")'
    platform = os.environ.get("QT_QPA_PLATFORM", "").split(":")[0]
    if platform in ("offscreen", "minimal"):
        return f"QT_QPA_PLATFORM is {platform}"
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no display"
    try:
        probe = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "Qt does not answer"
    return "Qt cannot open a window here" if probe.returncode else None


_WIDTH, _HEIGHT = 1400, 900  # pixels of the window, where the screen has them


@dataclass
class ShownRun:
    """What came of a run in the window; `interrupted` if that was closed by Ctrl-C in the terminal."""

    finished: bool = False
    interrupted: bool = False
    error: UfsegError | None = None
    failures: list[str] = field(default_factory=list)


def show_segment(arguments: SegmentArguments, config: SegmentationConfig, inputs: Inputs, paths: OutputPaths) -> int:
    """``ufseg segment --show``: the run in napari; at its end the files are written as without --show."""
    problem = display_problem()
    if problem:
        raise UsageError(f"--show needs a display, but {problem}: leave --show out to run in the terminal.")
    start = time.perf_counter()
    quiet = arguments.messages.quiet

    def write(segmentation: Segmentation) -> None:
        outcome = _fitted(Outcome(segmentation, time.perf_counter() - start), inputs.sources)
        if outcome is None:
            tell("warning: this run is not written: its labels do not fit the images.")
            return
        with written_together():
            with label_arrays(paths.labels, inputs.images, lambda: written.classes, lambda: written.made_by) as arrays:
                for array, labels in zip(arrays or [], outcome.labels, strict=bool(arrays)):
                    for plane in np.ndindex(array.shape[:-2]):
                        array[plane] = labels[plane]
                kept = replace(outcome.segmentation, labels=arrays or [])  # those of the window stay as they are
                written = at_detail_asked(arguments, replace(outcome, segmentation=kept))
            write_beside_labels(arguments, inputs, written, paths)
        print_written(paths.all, quiet=quiet)

    run = show_run(
        inputs.sources,
        [image.path.stem for image in inputs.images],
        config,
        preset=arguments.preset,
        device=arguments.device,
        memory_budget=arguments.memory_budget,
        detail=arguments.force or arguments.detail,
        scribbles=inputs.scribbles,
        on_finished=write,
    )
    if run.error:
        raise run.error
    if run.finished or not paths.all:
        if run.interrupted:
            told = "what there was is written" if paths.all else "no file was asked for"
            tell(f"stopped by {asked_by()}; {told}.")
        return 130 if run.interrupted else 0
    how = f"by {asked_by()} " if run.interrupted else ""
    reason = (
        f"the run failed ({run.failures[-1]})"
        if run.failures
        else f"the window was closed {how}before the end of the run"
    )
    tell(f"nothing was written: {reason.rstrip('.')}.")
    return 2 if run.failures else 130


def _fitted(outcome: Outcome, sources: Sequence[ImageSource]) -> Outcome | None:
    """The labels in the shapes of label files; None if they are those of a later run in the window, on other pixels."""
    fitted: list[Any] = []
    for labels, source in zip(outcome.labels, sources, strict=False):
        if labels.shape == source.labels_shape:
            fitted.append(labels)
        elif isinstance(labels, np.ndarray) and without_singles(labels.shape) == without_singles(source.labels_shape):
            fitted.append(labels.reshape(source.labels_shape))
    if len(fitted) != len(sources) or len(fitted) != len(outcome.labels):
        return None
    return replace(outcome, segmentation=replace(outcome.segmentation, labels=fitted))


def show_run(
    sources: Sequence[ImageSource],
    names: Sequence[str],
    config: SegmentationConfig,
    *,
    preset: str,
    device: str,
    memory_budget: int | None = None,
    detail: int | str = "auto",
    scribbles: Sequence[npt.NDArray[Any] | None] | None = None,
    on_finished: Callable[[Segmentation], Any] = lambda segmentation: None,
) -> ShownRun:
    """Open napari, train in its window, and return when the window is closed."""
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    import napari

    run = ShownRun()

    def finish(segmentation: Segmentation) -> None:
        try:
            on_finished(segmentation)
            run.finished = True
        except UfsegError as error:  # an exception must not leave a Qt slot; it is raised when the window is closed
            run.error = error
            tell(error)

    viewer = napari.Viewer(title="napari-ufseg")
    layers = [_add_layer(viewer, source, name) for source, name in zip(sources, names, strict=True)]
    _, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    if (screen := QApplication.primaryScreen()) is not None:
        room = screen.availableGeometry()
        viewer.window.resize(min(_WIDTH, room.width()), min(_HEIGHT, room.height()))
    QTimer.singleShot(500, viewer.reset_view)  # once the dock has taken its room from the canvas
    widget.preset = preset
    widget.config = config
    widget.device = device
    widget.detail = detail
    for layer, source in zip(layers, sources, strict=True):
        widget.tell_brightness(layer, nodata=source.nodata, intensity_range=source.intensity_range)
    widget.run_finished.connect(finish)
    widget.run_failed.connect(run.failures.append)
    widget.segment_layers(
        layers, sources=list(sources), scribbles=scribbles, config=config, memory_budget=memory_budget
    )
    try:
        napari.run()
    except KeyboardInterrupt:  # napari has left its loop in peace
        run.interrupted = True
    return run


def _add_layer(viewer: Any, source: ImageSource, name: str) -> Any:
    """An image layer with colour as colour, and other channels as a stack."""
    colour = source.axes.endswith("YXC") and source.n_channels == 3
    labels = None if colour else tuple(_AXIS_NAMES.get(letter, "other") for letter in source.axes)
    return viewer.add_image(source.data, name=name, rgb=colour, axis_labels=labels)
