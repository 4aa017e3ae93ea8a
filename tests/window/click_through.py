"""Run in a real window: click the buttons with the mouse, correct with the brush, read the layer; prints JSON."""

import json
import sys
import time

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLabel, QProgressBar, QPushButton, QSlider

import napari
from napari_ufseg import SegmentationConfig


def wait_until(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("waited in vain")
        QTest.qWait(10)


def main() -> None:
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 720)
    viewer.window.activate()
    viewer.open_sample("napari-ufseg", "nuclei")
    _, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    widget.config = SegmentationConfig.preset("fast", n_features=8, n_classes=8, epochs=100_000, settle_fraction=0)
    results = []
    widget.run_finished.connect(results.append)

    def press(name):
        button = widget.findChild(QPushButton, f"ufseg.{name}")
        wait_until(lambda: button.isEnabled() and button.isVisible())
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        return button

    press("segment")
    wait_until(lambda: "nuclei classes" in viewer.layers)
    labels = viewer.layers["nuclei classes"]
    blocked = not labels.editable
    first = labels.data.copy()
    wait_until(lambda: not np.array_equal(first, labels.data))
    pause = press("pause")
    wait_until(lambda: pause.text() == "Resume")
    paused_at = widget.findChild(QProgressBar, "ufseg.progress").value()
    press("pause")
    wait_until(lambda: widget.findChild(QProgressBar, "ufseg.progress").value() > paused_at)
    press("stop")
    wait_until(lambda: results)
    all_classes, tree = results[0].labels[0], results[0].hierarchy
    shown_is_suggested = np.array_equal(labels.data, tree.labels_at(tree.suggested, all_classes))
    QTest.qWait(200)
    to_scroll, dock_width = widget._column.verticalScrollBar().maximum(), widget.width()
    slider = widget.findChild(QSlider, "ufseg.detail")
    slider.setFocus()
    QTest.keyClick(slider, Qt.Key.Key_Right)
    by_key = np.array_equal(labels.data, tree.labels_at(tree.suggested + 1, all_classes))
    widget.findChild(QPushButton, "ufseg.section.segment.title").setFocus()
    reached = []
    for _ in range(60):
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
        reached.append(QApplication.focusWidget())
    tab_stays_in_sight = all(part.isVisible() for part in reached) and slider in reached
    viewer.layers.selection.active = labels
    labels.mode, labels.selected_label, labels.brush_size = "paint", 42, 30
    canvas = viewer.window._qt_window._qt_viewer.canvas.native  # a window has no public name for it
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=canvas.rect().center())
    wait_until(lambda: (labels.data == 42).any())
    picture = viewer.window.screenshot(canvas_only=False, flash=False)
    print(json.dumps({
        "platform": QApplication.platformName(),
        "blocked_during_run": blocked,
        "shape": labels.data.shape,
        "shown_is_suggested": bool(shown_is_suggested),
        "to_scroll": to_scroll,
        "dock_width": dock_width,
        "detail_by_key": bool(by_key),
        "tab_stays_in_sight": tab_stays_in_sight,
        "stop_reason": str(results[0].stop_reason),
        "painted_pixels": int((labels.data == 42).sum()),
        "colours_in_window": len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)),
        "status": widget.findChild(QLabel, "ufseg.status").text(),
    }))  # fmt: skip
    viewer.close()


if __name__ == "__main__":
    main()
