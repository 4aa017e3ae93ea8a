"""Classes of lazy results, whose labels are in a Zarr on disk, and of layers so large that a thread changes them."""

import threading

import dask.array as da
import numpy as np
import pytest
from driver import WAIT, threads_alive
from qtpy.QtCore import Qt
from steps import (
    GatedLabels,
    areas,
    areas_of,
    change_labels_in_a_thread,
    choose,
    click_to_the_end,
    names,
    rename,
    rest,
    select_classes,
    wait_for_labels,
)


@pytest.fixture
def lazy(dock, picture, monkeypatch):
    """The dock after a run on a lazy stack; every change is made in a thread."""
    change_labels_in_a_thread(monkeypatch)
    stack = np.stack([picture, picture[::-1], picture])
    dock.viewer.layers.clear()
    dock.viewer.add_image(da.from_array(stack, chunks=(1, 20, 56)), name="lazy", axis_labels=("z", "y", "x"))
    dock.widget.what = "All planes"
    dock.segment_to_end()
    layer = dock.viewer.layers["lazy classes"]
    assert not isinstance(layer.data, np.ndarray)
    dock.qtbot.waitUntil(lambda: sum(dock.widget.classes.set.areas.values()) == stack.size, timeout=WAIT)
    return dock


def settled(dock, action):
    """Do it, and wait until labels and areas are those of afterwards."""
    work = dock.widget.classes.set.editor
    with dock.qtbot.waitSignal(work.ended, timeout=WAIT), dock.qtbot.waitSignal(work.counted, timeout=WAIT):
        action()


def test_merge_undo_redo_and_areas(lazy):
    panel, layer = lazy.widget.classes, lazy.viewer.layers["lazy classes"]
    first = np.array(layer.data[...])
    one, two = panel.view.order[:2]
    panel.view.select([one, two])
    settled(lazy, lambda: lazy.click("merge"))
    merged = np.array(layer.data[...])
    kept = one if (merged == one).any() else two
    np.testing.assert_array_equal(merged, np.where((first == one) | (first == two), kept, first))
    assert panel.set.areas == dict(zip(*np.unique(merged, return_counts=True), strict=True))
    for button, expected in (("undo", first), ("redo", merged), ("undo", first)):
        settled(lazy, lambda button=button: lazy.click(button))
        np.testing.assert_array_equal(layer.data[...], expected)


def test_stopped_in_the_middle_all_is_as_it_was(lazy, monkeypatch):
    panel, layer = lazy.widget.classes, lazy.viewer.layers["lazy classes"]
    first = np.array(layer.data[...])
    panel.view.select(panel.view.order[:2])
    from napari_ufseg.engine.labels import edits as label_edits

    real, begun, go_on = label_edits.relabel, threading.Event(), threading.Event()

    def waits(*arguments):
        begun.set()
        assert go_on.wait(20)
        return real(*arguments)

    monkeypatch.setattr(label_edits, "relabel", waits)
    failures = []
    panel.failed.connect(failures.append)
    lazy.click("merge")
    lazy.qtbot.waitUntil(begun.is_set, timeout=WAIT)
    assert lazy.part("status").text() == "Working: merge of 2 classes"
    assert not lazy.part("segment").isEnabled()
    with lazy.qtbot.waitSignal(panel.set.editor.ended, timeout=WAIT):
        lazy.click("stop")
        go_on.set()
    assert lazy.part("status").text() == "Stopped; the labels are as they were."
    assert failures == []
    np.testing.assert_array_equal(layer.data[...], first)
    assert not lazy.part("undo").isEnabled()
    assert lazy.part("segment").isEnabled()


def test_strokes_are_undone_and_continue_learns_from_them(lazy):
    layer = lazy.viewer.layers["lazy classes"]
    first = np.array(layer.data[...])
    lazy.viewer.dims.set_current_step(0, 1)
    layer.selected_label, layer.brush_size = 30, 4
    layer.paint((1, 20, 20), 30)
    assert (layer.data[1] == 30).any()
    with lazy.qtbot.waitSignal(lazy.widget.classes.set.editor.ended, timeout=WAIT):
        lazy.click("undo")
    np.testing.assert_array_equal(layer.data[...], first)
    layer.paint((1, 20, 20), 30)
    painted = np.array(layer.data[...]) == 30
    corrected = np.array(layer.data[...])
    with lazy.qtbot.waitSignal(lazy.widget.run_finished, timeout=WAIT):
        lazy.click("continue")
    assert lazy.viewer.layers["lazy classes"] == layer
    assert (np.array(layer.data[...])[painted] == 30).all()
    with lazy.qtbot.waitSignal(lazy.widget.classes.set.editor.ended, timeout=WAIT):
        lazy.click("undo")
    np.testing.assert_array_equal(layer.data[...], corrected)
    lazy.qtbot.waitUntil(lambda: not threads_alive(), timeout=WAIT)


def test_the_dock_can_be_closed_while_labels_are_counted(lazy):
    lazy.widget.classes.set.recount()
    lazy.viewer.window.remove_dock_widget(lazy.dock)
    lazy.qtbot.waitUntil(lambda: not threads_alive(), timeout=WAIT)


@pytest.fixture
def undoing(dock, monkeypatch):
    """The dock, and labels whose merge is being undone: three of eight planes are done, the rest waits for the gate."""
    change_labels_in_a_thread(monkeypatch)
    first = np.tile(np.array([1, 2, 3, 4], np.uint16), (8, 64, 16))
    layer = dock.viewer.add_labels(first.copy().view(GatedLabels), name="large", metadata={"napari_ufseg": {}})
    layer.n_edit_dimensions = 2
    choose(dock, "large")
    dock.qtbot.waitUntil(lambda: len(areas(dock)) == 4, timeout=WAIT)
    rename(dock, 4, "glass")
    select_classes(dock, 1, 2)
    dock.click("merge")
    wait_for_labels(dock)
    rest(dock)
    layer.data.gate.close(after=3)
    dock.click("undo")
    layer.data.gate.wait_until_held(dock)
    yield dock, layer, first
    layer.data.gate.open()


def by_name(dock, layer):
    rename(dock, 3, "steel")


def by_tick(dock, layer):
    model = dock.part("classes").model()
    model.setData(model.index(0, 4), Qt.CheckState.Unchecked, Qt.ItemDataRole.CheckStateRole)


def by_brush(dock, layer):
    layer.mode = "paint"  # as its key does
    if layer.mode == "paint" and layer.editable:
        layer.selected_label = 7
        layer.paint((7, 60, 60), 7)


def by_undo_key(dock, layer):
    dock.qtbot.keyClick(dock.part("classes"), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)


CHANGES = [*(change for change in (by_name, by_tick, by_brush)), by_undo_key]


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_done_while_an_undo_runs_is_refused_or_comes_after_it(undoing, change):
    dock, layer, first = undoing
    change(dock, layer)
    layer.data.gate.open()
    wait_for_labels(dock)
    rest(dock)
    np.testing.assert_array_equal(layer.data[0], first[0])  # the merge is undone, whatever came after it
    done, said = np.array(layer.data), names(dock)
    assert areas(dock) == areas_of(layer)
    click_to_the_end(dock, "undo")
    rest(dock)
    np.testing.assert_array_equal(layer.data, first)
    assert names(dock) == {label: f"class {label}" for label in (1, 2, 3, 4)}
    click_to_the_end(dock, "redo")
    rest(dock)
    again = np.array(layer.data), names(dock)
    was_refused = any(
        same(again, ([merged_into(first, kept), {kept: f"class {kept}", 3: "class 3", 4: "glass"}])) for kept in (1, 2)
    )
    assert was_refused or same(again, (done, said))
    assert areas(dock) == areas_of(layer)
    assert layer.editable


def merged_into(first, kept):
    return np.where(first <= 2, kept, first)


def same(one, other):
    return np.array_equal(one[0], other[0]) and one[1] == other[1]
