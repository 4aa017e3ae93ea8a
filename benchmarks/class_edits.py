"""How long do a merge, its undo, and the other actions of the class panel take in a real window?

Every action is timed in the main thread from the click until the canvas has
been drawn, on a stack of labels as a run of the default preset gives them.
The history's memory is told as well. Needs a display (on a bare machine:
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
from skimage.transform import resize
from skimage.util import random_noise

import napari
from napari_ufseg import segment
from napari_ufseg.samples import nuclei


def measure(size: int, repeats: int) -> dict[str, list[float]]:
    image = random_noise(resize(nuclei(), (size, size)), var=1e-5, rng=0).astype(np.float32)
    labels = segment(image).labels
    viewer = napari.Viewer(show=True)
    viewer.add_image(image, name="image")
    _, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    layer = viewer.add_labels(labels, metadata={"napari_ufseg": {}})
    panel = widget.classes
    QTest.qWait(3000)
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
        assert np.array_equal(layer.data, labels)
    megabytes = panel.set.history.n_bytes / 2**20
    viewer.close()
    return {**seconds, "history, MB": [megabytes]}


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
