"""Run in a real window: the whole loop from raw classes to saved ones, with mouse and keys; prints JSON."""

import json
import sys
import time
from pathlib import Path

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel, QLineEdit, QPushButton, QSlider

import napari
from napari_ufseg import SegmentationConfig
from napari_ufseg._napari.dock.commands import reveal


def wait_until(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("waited in vain")
        QTest.qWait(10)


def main() -> None:
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1400, 1000)
    viewer.window.activate()
    viewer.open_sample("napari-ufseg", "nuclei")
    _, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    widget.config = SegmentationConfig.preset("fast", epochs=8)
    results = []
    widget.run_finished.connect(results.append)
    view = widget.classes.view
    seen = {}

    def press(name):
        button = widget.findChild(QPushButton, f"ufseg.{name}")
        reveal(button)
        widget._column.ensureWidgetVisible(button)
        wait_until(lambda: button.isEnabled() and button.isVisible())
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def click_row(row, column=1, *, more=False):
        widget._column.ensureWidgetVisible(view)
        place = view.visualRect(view.model().index(row, column)).center()
        keys = Qt.KeyboardModifier.ControlModifier if more else Qt.KeyboardModifier.NoModifier
        QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, keys, place)
        return place

    press("segment")
    wait_until(lambda: results)
    labels = viewer.layers["nuclei classes"]
    detail = widget.findChild(QSlider, "ufseg.detail")
    detail.setFocus()
    QTest.keyClick(detail, Qt.Key.Key_End)
    first = labels.data.copy()
    seen["all_classes_by_key"] = bool(np.array_equal(first, results[0].labels[0])) and len(np.unique(first)) > 4
    click_row(1)  # the first one is the background, which is transparent
    seen["alone"] = bool(labels.show_selected_label) and labels.selected_label == view.order[1]
    click_row(0, more=True)
    chosen = list(view.labels)
    QTest.keyClick(view, Qt.Key.Key_M)
    seen["merged"] = len(np.unique(labels.data)) == len(np.unique(first)) - 1
    place = click_row(view.order.index(view.labels[0]))
    QTest.mouseDClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    editor = view.findChild(QLineEdit)
    QTest.keyClicks(editor, "glass")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    wait_until(lambda: any(info.name == "glass" for info in widget.classes.set.table.values()))
    seen["named"] = view.model().index(view.order.index(view.labels[0]), 1).data() == "glass"
    QTest.keyClick(view, Qt.Key.Key_Escape)

    viewer.layers.selection.active = labels
    before_stroke = labels.data.copy()
    labels.mode, labels.selected_label, labels.brush_size = "paint", 42, 30
    canvas = viewer.window._qt_window._qt_viewer.canvas.native  # a window has no public name for it
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=canvas.rect().center())
    wait_until(lambda: (labels.data == 42).any())
    painted = labels.data == 42
    canvas.setFocus()
    QTest.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    seen["stroke_undone_by_key"] = bool(np.array_equal(labels.data, before_stroke))
    shift = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    QTest.keyClick(canvas, Qt.Key.Key_Z, shift)
    seen["stroke_redone_by_key"] = bool((labels.data == 42).any())
    corrected = labels.data.copy()

    press("continue")
    wait_until(lambda: len(results) == 2)
    seen["painted_kept"] = bool((labels.data[painted] == 42).all())
    seen["merge_kept"] = sum(label in labels.data for label in chosen) == 1
    learnt = labels.data.copy()

    slider = widget.findChild(QSlider, "ufseg.time")
    widget._column.ensureWidgetVisible(slider)
    slider.setFocus()
    QTest.keyClick(slider, Qt.Key.Key_Home)
    seen["scrubbed"] = "epoch 1," in widget.findChild(QLabel, "ufseg.moment").text()
    QTest.keyClick(slider, Qt.Key.Key_End)
    seen["back"] = bool(np.array_equal(labels.data, learnt))

    press("undo")
    seen["run_undone"] = bool(np.array_equal(labels.data, corrected))
    press("redo")
    seen["run_redone"] = bool(np.array_equal(labels.data, learnt))

    press("confidence")
    wait_until(lambda: not labels.visible)
    QTest.keyClick(canvas, Qt.Key.Key_F9)
    wait_until(lambda: "nuclei least certain" in viewer.layers)
    QTest.keyClick(canvas, Qt.Key.Key_Escape)
    seen["confidence_left_by_key"] = bool(labels.visible) and "nuclei least certain" not in viewer.layers

    file = Path("corrected.tif").absolute()
    widget.results.save_labels(file)
    viewer.layers.remove(labels)  # the image stays: napari 0.9.2's welcome screen can crash under software OpenGL
    (again,) = viewer.open(file, plugin="napari-ufseg")
    seen["reloaded"] = bool(np.array_equal(again.data, learnt))
    seen["name_reloaded"] = "glass" in [view.model().index(row, 1).data() for row in range(len(view.order))]
    picture = viewer.window.screenshot(canvas_only=False, flash=False)
    seen["colours_in_window"] = len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0))
    print(json.dumps(seen))
    viewer.close()


if __name__ == "__main__":
    main()
