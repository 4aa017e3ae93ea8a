"""How long do a merge, its undo, a scrub of the time machine, and the other actions take in a real window?

Every action is timed in the main thread from the click until the canvas has
been drawn, on the labels of a run of the default preset. What the history and
the moments take in memory is told as well, and what keeping moments adds to the run. Needs a display (on a bare machine:
xvfb-run).

    python benchmarks/class_edits.py --size 2048 --repeats 5
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QSlider
from skimage.transform import resize
from skimage.util import random_noise

import napari
from napari_ufseg.engine.training.results import Snapshot
from napari_ufseg.engine.training.timeline import Timeline
from napari_ufseg.samples import nuclei


def measure(size: int, repeats: int) -> dict[str, list[float]]:
    image = random_noise(resize(nuclei(), (size, size)), var=1e-5, rng=0).astype(np.float32)
    viewer = napari.Viewer(show=True)
    viewer.add_image(image, name="image")
    _, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    panel, ended = widget.classes, []
    widget.run_finished.connect(ended.append)
    spent = spent_on_moments()
    QTest.qWait(3000)
    start = time.perf_counter()
    widget.segment()
    while not ended:
        QTest.qWait(10)
    share = sum(spent) / (time.perf_counter() - start)
    layer = viewer.layers["image classes"]
    labels = layer.data.copy()
    slider = widget.findChild(QSlider, "ufseg.time")
    QTest.qWait(1000)
    canvas = viewer.window._qt_window._qt_viewer.canvas
    seconds: dict[str, list[float]] = {}

    def clock(name: str, action: Callable[[], object]) -> None:
        start = time.perf_counter()
        action()
        canvas._scene_canvas.update()
        QTest.qWait(0)
        seconds.setdefault(name, []).append(time.perf_counter() - start)

    for _ in range(repeats):
        panel.view.select(panel.view.order[:2])
        clock("merge", panel.merge)
        clock("undo of the merge", panel.undo)
        clock("redo", panel.redo)
        panel.undo()
        panel.view.clearSelection()
        clock("rename", lambda: panel.set.rename(1, f"name {time.perf_counter()}"))
        clock("hide a class", lambda: panel.set.set_visible(1, visible=False))
        panel.undo()
        clock("a class alone", lambda: panel.view.select([2]))
        clock("all again", panel.view.clearSelection)
        clock("absorb specks under 20 px", panel.absorb)
        panel.undo()
        for value in (0, slider.maximum() // 2, slider.maximum() - 1):
            clock("scrub", lambda value=value: slider.setValue(value))
        clock("back to now", lambda: slider.setValue(slider.maximum()))
        assert np.array_equal(layer.data, labels)
    told = {
        "history, MB": panel.set.history.n_bytes / 2**20,
        "moments, MB": widget._results.time.timeline.n_bytes / 2**20,
        "share of the run for moments": share,
    }
    viewer.close()
    return {**seconds, **{name: [value] for name, value in told.items()}}


def spent_on_moments() -> list[float]:
    """Seconds of every call that keeps a moment, from now on."""
    real, spent = Timeline.add, []

    def timed(moments: Timeline, snapshot: Snapshot) -> None:
        start = time.perf_counter()
        real(moments, snapshot)
        spent.append(time.perf_counter() - start)

    Timeline.add = timed
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("-o", "--output")
    arguments = parser.parse_args()
    found = measure(arguments.size, arguments.repeats)
    print(f"{arguments.size} x {arguments.size}, {platform.machine()}, {os.cpu_count()} cores")
    for name, values in found.items():
        print(f"{name:28} {statistics.median(values):7.3f} ({min(values):.3f} to {max(values):.3f})")
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
