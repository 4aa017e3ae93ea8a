"""Make the pictures of docs/guide from a real window: the loop from raw classes to what is meant.

Needs a display; on a machine without one: xvfb-run -a -s "-screen 0 1280x720x24" python docs/make_guide_pictures.py
"""

import sys
import time
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from qtpy.QtCore import QSettings, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QPushButton, QSlider
from scipy import ndimage

import napari
from napari_ufseg import SegmentationConfig
from napari_ufseg._napari.dock.commands import reveal

IMAGES = Path(__file__).parent / "guide" / "images"


def wait_until(condition, seconds=300.0):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("waited in vain")
        QTest.qWait(20)


def stroke(shape, y, x):
    """A mask of a short stroke around a pixel, 5 pixels wide."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (abs(rows - y) < 3) & (abs(columns - x) < 12)


def main() -> None:
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, mkdtemp())  # nobody has folded a section
    IMAGES.mkdir(parents=True, exist_ok=True)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 720)
    viewer.open_sample("napari-ufseg", "nuclei")
    _, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    QTest.qWait(300)
    viewer.reset_view()
    widget.config = SegmentationConfig.preset("fast")
    results: list[object] = []
    widget.run_finished.connect(results.append)
    panel, column = widget.classes, widget._column

    def press(name):
        button = widget.findChild(QPushButton, f"ufseg.{name}")
        reveal(button)
        wait_until(button.isEnabled)
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def picture(name, part):
        reveal(part)
        QTest.qWait(100)
        column.ensureWidgetVisible(part, 0, 300)
        QTest.qWait(400)
        viewer.window.screenshot(str(IMAGES / name), canvas_only=False, flash=False)

    press("try")
    wait_until(lambda: not widget._before.variations.is_running and len(widget._before.variations.thumbnails) == 6)
    picture("variations.png", widget._before.variations)
    widget._before.variations.clear()
    press("segment")
    wait_until(lambda: results)
    detail = widget.findChild(QSlider, "ufseg.detail")
    detail.setValue(detail.maximum())
    picture("classes.png", panel.view)

    labels = viewer.layers["nuclei classes"]
    image = viewer.layers["nuclei"].data
    press("new_scribbles")
    scribbles = viewer.layers["nuclei scribbles"]
    scribbles.brush_size = 5
    smooth = ndimage.gaussian_filter(image.astype(float), 3)
    for label, where in ((1, smooth < 25), (2, smooth > 60)):  # around the nuclei, in them
        inside = np.argwhere(ndimage.binary_erosion(where, iterations=4))
        for y, x in inside[:: max(1, len(inside) // 14)].tolist():
            scribbles.data_setitem(np.nonzero(stroke(image.shape, y, x) & where), label)
    picture("scribbles.png", panel.view)
    press("merge_by_scribbles")
    scribbles.visible = False
    picture("merged-by-scribbles.png", panel.view)
    press("undo")
    viewer.layers.remove("nuclei scribbles")
    viewer.layers.selection.active = labels

    bright = [label for label in panel.view.order if image[labels.data == label].mean() > 40]
    panel.view.select(bright)
    panel.merge()
    panel.set.rename(panel.view.labels[0], "nuclei")
    panel.set.make_background([label for label in panel.view.order if label not in (0, *panel.view.labels)])
    panel.view.clearSelection()
    picture("merged.png", panel.view)

    inside = np.argwhere(ndimage.binary_erosion(image > 200, iterations=3))
    labels.brush_size = 6
    for y, x in inside[:: max(1, len(inside) // 12)].tolist():  # strokes in the bright, dividing nucleus
        labels.paint((y, x), 7)
    QTest.qWait(400)
    panel.set.rename(7, "dividing")
    results.clear()
    press("continue")
    wait_until(lambda: results)
    picture("continued.png", panel.view)

    results.clear()
    widget.config = SegmentationConfig.preset("fast", seed=1)
    press("segment")
    wait_until(lambda: results)
    detail.setValue(detail.maximum())
    picture("rerun.png", panel.view)

    def segment_anew(**options):
        results.clear()
        for layer in list(viewer.layers)[1:]:
            viewer.layers.remove(layer)
        widget.config = SegmentationConfig.preset("generalised", epochs=40, n_features=16, n_classes=16, **options)
        press("segment")
        wait_until(lambda: results)

    detail.setValue(detail.maximum())
    segment_anew(min_classes=9)
    detail.setValue(detail.maximum())
    picture("target.png", panel.view)
    segment_anew()
    detail.setValue(detail.maximum())
    slider = widget.findChild(QSlider, "ufseg.time")
    slider.setValue(slider.maximum() // 4)
    picture("time-machine.png", slider)
    slider.setValue(slider.maximum())

    press("confidence")
    wait_until(lambda: not widget._results.confidence.is_running and "nuclei confidence" in viewer.layers)
    press("least_certain")
    press("least_certain")
    picture("confidence.png", widget._results.confidence)
    viewer.close()


if __name__ == "__main__":
    main()
