"""Runs in a napari window, through napari's public plugin mechanism only."""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ufseg.cli.arguments import SegmentArguments, UsageError
from napari_ufseg.cli.inputs import Inputs
from napari_ufseg.cli.outputs import OutputPaths, label_arrays
from napari_ufseg.cli.results import Outcome, write_results
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import UfsegError
from napari_ufseg.engine.images.source import ImageSource
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


@dataclass
class ShownRun:
    """What came of a run in the window."""

    finished: bool = False
    error: UfsegError | None = None
    failures: list[str] = field(default_factory=list)


def show_segment(arguments: SegmentArguments, config: SegmentationConfig, inputs: Inputs, paths: OutputPaths) -> int:
    """``ufseg segment --show``: the run in napari; at its end the files are written as without --show."""
    problem = display_problem()
    if problem:
        raise UsageError(f"--show needs a display, but {problem}: leave --show out to run in the terminal.")
    start = time.perf_counter()

    def write(segmentation: Segmentation) -> list[Path]:
        outcome = Outcome(segmentation, time.perf_counter() - start)
        if [labels.shape for labels in outcome.labels] != [source.labels_shape for source in inputs.sources]:
            return []  # a later run in the same window, on another image
        with label_arrays(paths.labels, inputs.images) as arrays:
            for array, labels in zip(arrays or [], outcome.labels, strict=bool(arrays)):
                for plane in np.ndindex(array.shape[:-2]):
                    array[plane] = labels[plane]
            kept = outcome.labels if arrays is None else arrays
            write_results(arguments, inputs, replace(outcome, segmentation=replace(segmentation, labels=kept)), paths)
        return paths.all

    run = show_run(
        inputs.sources,
        [image.path.stem for image in inputs.images],
        config,
        arguments.device,
        scribbles=inputs.scribbles,
        on_finished=lambda segmentation: [print(path) for path in write(segmentation) if not arguments.messages.quiet],
    )
    if run.error:
        raise run.error
    if run.finished or not paths.all:
        return 0
    reason = (
        f"the run failed ({run.failures[-1]})" if run.failures else "the window was closed before the end of the run"
    )
    print(f"ufseg: nothing was written: {reason.rstrip('.')}.", file=sys.stderr)
    return 2 if run.failures else 130


def show_run(
    sources: Sequence[ImageSource],
    names: Sequence[str],
    config: SegmentationConfig,
    device: str,
    *,
    scribbles: Sequence[npt.NDArray[Any] | None] | None = None,
    on_finished: Callable[[Segmentation], Any] = lambda segmentation: None,
) -> ShownRun:
    """Open napari, train in its window, and return when the window is closed."""
    from qtpy.QtCore import QTimer

    import napari

    run = ShownRun()

    def finish(segmentation: Segmentation) -> None:
        try:
            on_finished(segmentation)
            run.finished = True
        except UfsegError as error:  # an exception must not leave a Qt slot; it is raised when the window is closed
            run.error = error
            print(f"ufseg: {error}", file=sys.stderr)

    viewer = napari.Viewer(title="napari-ufseg")
    layers = [_add_layer(viewer, source, name) for source, name in zip(sources, names, strict=True)]
    _, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    viewer.window.resize(1400, 900)
    QTimer.singleShot(500, viewer.reset_view)  # once the dock has taken its room from the canvas
    widget.config = config
    widget.device = device
    widget.run_finished.connect(finish)
    widget.run_failed.connect(run.failures.append)
    widget.segment_layers(layers, sources=list(sources), scribbles=scribbles)
    napari.run()
    return run


def _add_layer(viewer: Any, source: ImageSource, name: str) -> Any:
    """An image layer with colour as colour, and other channels as a stack."""
    colour = source.axes.endswith("YXC") and source.n_channels == 3
    labels = None if colour else tuple(_AXIS_NAMES.get(letter, "other") for letter in source.axes)
    return viewer.add_image(source.data, name=name, rgb=colour, axis_labels=labels)
