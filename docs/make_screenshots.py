"""Make the pictures of the documentation from a real window: mid-run, paused, corrected by hand, a stack, three images.

Needs a display; on a machine without one: xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py
"""

import sys
import time
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel, QProgressBar, QPushButton

import napari
from napari_ufseg import SegmentationConfig
from napari_ufseg.samples import nuclei

IMAGES = Path(__file__).parent / "images"


def wait_until(condition, seconds=300.0):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("waited in vain")
        QTest.qWait(20)


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1400, 900)
    viewer.open_sample("napari-ufseg", "nuclei")
    _, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    QTest.qWait(200)
    viewer.reset_view()
    widget.config = SegmentationConfig.preset("fast")
    results: list[object] = []
    widget.run_finished.connect(results.append)

    def press(name):
        button = widget.findChild(QPushButton, f"ufseg.{name}")
        wait_until(button.isEnabled)
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        return button

    def picture(name):
        QTest.qWait(300)
        viewer.window.screenshot(str(IMAGES / name), canvas_only=False, flash=False)

    def epoch():
        return widget.findChild(QProgressBar, "ufseg.progress").value()

    press("segment")
    wait_until(lambda: epoch() >= 3)
    picture("mid-run.png")
    wait_until(lambda: epoch() >= 8)
    pause = press("pause")
    wait_until(lambda: pause.text() == "Resume")
    picture("paused.png")
    press("pause")
    wait_until(lambda: results)
    picture("finished.png")
    labels = viewer.layers["nuclei classes"]
    viewer.layers.selection.active = labels
    labels.mode, labels.brush_size, labels.selected_label = "paint", 40, 20
    canvas = viewer.window._qt_window._qt_viewer.canvas.native
    middle = canvas.rect().center()
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=middle)
    for step in range(1, 15):
        QTest.mouseMove(canvas, middle + type(middle)(6 * step, 2 * step))
        QTest.qWait(20)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=middle + type(middle)(90, 30))
    picture("corrected.png")
    viewer.layers.clear()
    viewer.open_sample("napari-ufseg", "time_series")
    viewer.layers.selection.active = viewer.layers["time series"]
    widget.what = "All planes"
    viewer.reset_view()
    estimate = widget.findChild(QLabel, "ufseg.estimate")
    words = widget.findChild(QLabel, "ufseg.words")
    wait_until(lambda: not estimate.is_measuring and "12 time points" in words.text())
    QTest.qWait(3000)
    picture("stack-before.png")
    results.clear()
    press("segment")
    wait_until(lambda: results)
    picture("stack.png")
    viewer.layers.clear()
    image = nuclei()
    parts = {"a": image[:200, :260], "b": image[200:500, 100:300], "c": image[300:520, 300:690]}
    places = {"a": (0, 0), "b": (0, 280), "c": (320, 0)}
    layers = [viewer.add_image(part, name=name, translate=places[name]) for name, part in parts.items()]
    viewer.layers.selection = set(layers)
    viewer.reset_view()
    wait_until(lambda: not estimate.is_measuring)
    results.clear()
    press("segment")
    wait_until(lambda: results)
    QTest.qWait(3000)
    picture("joint.png")
    viewer.close()


if __name__ == "__main__":
    main()
