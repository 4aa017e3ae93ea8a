"""Scribbles that are painted before the first run, in a real viewer."""

import numpy as np
from driver import WAIT


def test_a_new_layer_is_painted_on_and_taught_from(dock, picture):
    image = dock.viewer.layers["cells"]
    image.scale = (0.5, 0.25)
    dock.click("new_scribbles")
    layer = dock.viewer.layers["cells scribbles"]
    assert (layer.data.shape, layer.mode, tuple(layer.scale)) == ((40, 56), "paint", (0.5, 0.25))
    assert dock.part("scribbles").currentText() == "cells scribbles"
    bright = np.argwhere(picture > np.quantile(picture, 0.97))[:40]
    layer.data_setitem(tuple(bright.T), 5)
    dark = np.argwhere(picture < np.quantile(picture, 0.3))[::9][:40]
    layer.data_setitem(tuple(dark.T), 2)
    dock.widget.config = dock.widget.config.replace(epochs=25, scribble_weight=5.0)
    labels = dock.segment_to_end().labels[0]
    assert (labels[tuple(bright.T)] == 5).mean() > 0.9
    assert (labels[tuple(dark.T)] == 2).mean() > 0.9
    assert dock.viewer.layers["cells classes"].name != layer.name
    assert (layer.data == 5).sum() == len(bright)


def test_scribbles_of_a_stack_on_its_current_plane(dock, picture):
    dock.viewer.layers.clear()
    dock.viewer.add_image(np.stack([picture, picture[::-1]]), name="stack", axis_labels=("z", "y", "x"))
    marks = np.zeros((2, 40, 56), np.uint8)
    marks[1, 3, 3:30] = 4
    dock.viewer.dims.set_current_step(0, 1)
    dock.widget.what = "Current plane"
    dock.widget.scribbles.layer = dock.viewer.add_labels(marks, name="mine")
    dock.viewer.layers.selection.active = dock.viewer.layers["stack"]
    dock.viewer.dims.set_current_step(0, 1)
    dock.widget.config = dock.widget.config.replace(epochs=25, scribble_weight=5.0)
    labels = dock.segment_to_end().labels[0]
    assert (labels[3, 3:30] == 4).mean() > 0.9


def test_what_does_not_fit_is_told_and_nothing_starts(dock, notices):
    dock.widget.scribbles.layer = dock.viewer.add_labels(np.ones((5, 7), np.uint8), name="other")
    dock.click("segment")
    dock.qtbot.waitUntil(lambda: bool(notices), timeout=WAIT)
    assert "do not fit cells" in str(notices[-1].message)
    assert not dock.widget.is_running
    dock.viewer.layers.remove("other")
    assert dock.part("scribbles").currentText() == "none"
    dock.segment_to_end()


def test_classes_of_a_run_are_no_scribbles(dock):
    dock.segment_to_end()
    box = dock.part("scribbles")
    assert [box.itemText(i) for i in range(box.count())] == ["none"]
