"""Classes of a run that are merged by scribbles over them, in a real viewer."""

import numpy as np
import pytest
import tifffile
import zarr
from driver import WAIT, Dock
from qtpy.QtCore import Qt

from napari_ufseg import load_model, merge_by_scribbles, predict


def scribbles_over(dock: Dock, picture: np.ndarray, bright: int = 40, dark: int = 20) -> np.ndarray:
    """Paint bright and dark pixels of the image on a new layer of scribbles."""
    dock.click("new_scribbles")
    marks = np.zeros(picture.shape, np.uint8)
    marks[picture > np.quantile(picture, 0.96)] = bright
    marks[(picture < np.quantile(picture, 0.4)) & (np.arange(picture.size).reshape(picture.shape) % 7 == 0)] = dark
    layer = dock.viewer.layers[-1]
    for label in (bright, dark):
        layer.data_setitem(np.nonzero(marks == label), label)
    return marks


def test_classes_become_what_was_painted_and_continue_learns_it(dock, picture, notices):
    dock.segment_to_end()
    layer = dock.viewer.layers["cells classes"]
    first = layer.data.copy()
    marks = scribbles_over(dock, picture)
    dock.click("merge_by_scribbles")
    merged = merge_by_scribbles(first, marks)
    np.testing.assert_array_equal(layer.data, merged)
    assert len(np.unique(merged)) < len(np.unique(first))
    assert set(dock.widget.classes.view.order) == set(np.unique(merged))
    assert "Merged by scribbles into 2 classes" in str(notices[-1].message)
    dock.click("merge_by_scribbles")
    assert "as the scribbles say already" in str(notices[-1].message)
    np.testing.assert_array_equal(layer.data, merged)
    dock.click("undo")
    np.testing.assert_array_equal(layer.data, first)
    dock.click("redo")
    np.testing.assert_array_equal(layer.data, merged)

    np.testing.assert_array_equal(
        dock.widget.classes.set.origin.own[0], marks > 0
    )  # also where the class was right before
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT) as signal:
        dock.click("continue")
    np.testing.assert_array_equal(layer.data[marks > 0], marks[marks > 0])
    network = predict(signal.args[0].model, picture)
    assert set(np.unique(network)) <= set(np.unique(merged))
    dock.click("undo")
    np.testing.assert_array_equal(layer.data, merged)
    dock.click("undo")
    np.testing.assert_array_equal(layer.data, first)
    np.testing.assert_array_equal(dock.viewer.layers["cells scribbles"].data, marks)


def test_classes_that_change_places_do_so_in_the_saved_model_and_keep_their_names(dock, picture, tmp_path):
    model = dock.segment_to_end().model
    layer = dock.viewer.layers["cells classes"]
    classes = dock.widget.classes.set
    one, two = list(classes.areas)[:2]
    classes.rename(one, "first")
    first = layer.data.copy()
    dock.click("new_scribbles")
    marks = np.where(first == one, two, np.where(first == two, one, 0))
    dock.viewer.layers[-1].data_setitem(np.nonzero(marks), marks[marks > 0])
    dock.click("merge_by_scribbles")
    swapped = np.where(marks > 0, marks, first)
    np.testing.assert_array_equal(layer.data, swapped)
    assert (classes.table[two].name, classes.table[one].name) == ("first", "")
    change = {one: two, two: one}
    raw = predict(model, picture)
    dock.widget.results.save_model(tmp_path / "model.ufseg")
    expected = np.vectorize(lambda label: change.get(label, label))(raw)
    np.testing.assert_array_equal(predict(load_model(tmp_path / "model.ufseg"), picture), expected)
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        dock.click("continue")
    np.testing.assert_array_equal(layer.data[marks > 0], swapped[marks > 0])
    assert classes.model_as_shown.class_labels == classes.origin.model.class_labels  # not changed over once more


def test_what_to_do_is_said_where_nothing_was_painted(dock, picture, notices):
    assert not dock.part("merge_by_scribbles").isEnabled()
    dock.segment_to_end()
    layer = dock.viewer.layers["cells classes"]
    first = layer.data.copy()
    dock.click("merge_by_scribbles")
    dock.qtbot.waitUntil(lambda: bool(notices), timeout=WAIT)
    assert "press New beside Scribbles" in str(notices[-1].message)
    dock.click("new_scribbles")
    dock.click("merge_by_scribbles")
    dock.qtbot.waitUntil(lambda: len(notices) == 2, timeout=WAIT)
    assert "There are no scribbles to merge by" in str(notices[-1].message)
    dock.widget.scribbles.layer = dock.viewer.add_labels(np.ones((5, 7), np.uint8), name="other")
    dock.click("merge_by_scribbles")
    dock.qtbot.waitUntil(lambda: len(notices) == 3, timeout=WAIT)
    assert "do not fit cells" in str(notices[-1].message)
    np.testing.assert_array_equal(layer.data, first)


def test_scribbles_on_one_image_of_a_joint_run_sort_the_classes_of_all(dock, picture):
    dock.viewer.add_image(picture[::-1].copy(), name="more")
    for name in ("cells", "more"):
        dock.viewer.layers.selection.add(dock.viewer.layers[name])
    dock.segment_to_end()
    layers = [dock.viewer.layers[f"{name} classes"] for name in ("cells", "more")]
    first = [layer.data.copy() for layer in layers]
    dock.viewer.layers.selection = {layers[0]}
    dock.viewer.layers.selection.active = layers[0]
    marks = scribbles_over(dock, picture)
    assert dock.viewer.layers[-1].name == "cells scribbles"
    dock.qtbot.keyClick(dock.widget.classes.view, Qt.Key.Key_S)
    np.testing.assert_array_equal(layers[0].data, merge_by_scribbles(first[0], marks))
    both = merge_by_scribbles(np.stack(first), np.stack([marks, np.zeros_like(marks)]))
    np.testing.assert_array_equal(layers[1].data, both[1])
    dock.click("undo")
    for layer, before in zip(layers, first, strict=True):
        np.testing.assert_array_equal(layer.data, before)


@pytest.mark.parametrize("on_disk", [False, True])
def test_scribbles_over_a_stack_without_an_origin(dock, tmp_path, on_disk):
    labels = np.random.default_rng(0).integers(1, 7, (3, 20, 24)).astype(np.uint16)
    data = labels.copy()
    if on_disk:
        data = zarr.create_array(tmp_path / "labels.zarr", shape=labels.shape, chunks=(1, 16, 16), dtype=labels.dtype)
        data[...] = labels
    layer = dock.viewer.add_labels(data, metadata={"napari_ufseg": {}}, multiscale=False)
    layer.n_edit_dimensions = 2
    dock.viewer.layers.selection.active = layer
    marks = np.zeros(labels.shape, np.uint8)
    marks[1] = np.where(labels[1] < 4, 9, 0)
    marks[2, 4] = np.where(labels[2, 4] == 5, 8, 0)
    dock.widget.scribbles.layer = dock.viewer.add_labels(marks, name="mine")
    dock.click("merge_by_scribbles")
    np.testing.assert_array_equal(np.asarray(layer.data[...]), merge_by_scribbles(labels, marks))
    dock.click("undo")
    np.testing.assert_array_equal(np.asarray(layer.data[...]), labels)


def test_a_label_too_large_for_the_layer_is_told_and_nothing_changes(dock, notices):
    labels = np.ones((6, 8), np.uint8)
    layer = dock.viewer.add_labels(labels.copy(), metadata={"napari_ufseg": {}})
    dock.viewer.layers.selection.active = layer
    dock.widget.scribbles.layer = dock.viewer.add_labels(np.full((6, 8), 300, np.uint16), name="mine")
    dock.click("merge_by_scribbles")
    dock.qtbot.waitUntil(lambda: bool(notices), timeout=WAIT)
    assert "Label 300 does not fit" in str(notices[-1].message)
    np.testing.assert_array_equal(layer.data, labels)


def test_scribbles_follow_their_image(dock, picture, notices):
    dock.viewer.add_image(picture[::-1].copy(), name="second")
    box, layers = dock.part("scribbles"), dock.viewer.layers
    layers.selection.active = layers["cells"]
    marks = scribbles_over(dock, picture, bright=5, dark=2)
    layers["cells scribbles"].name = "hello"
    assert box.currentText() == "hello"
    layers.selection.active = layers["second"]
    assert box.currentText() == "none"
    dock.segment_to_end()
    first = layers["second classes"].data.copy()
    dock.click("merge_by_scribbles")
    dock.qtbot.waitUntil(lambda: bool(notices), timeout=WAIT)
    assert "There are no scribbles" in str(notices[-1].message)
    np.testing.assert_array_equal(layers["second classes"].data, first)
    layers.selection.active = layers["cells"]
    assert box.currentText() == "hello"
    box.setCurrentIndex(0)
    box.activated.emit(0)
    for name in ("second", "cells"):
        layers.selection.active = layers[name]
    assert box.currentText() == "none"  # since the user has said so
    np.testing.assert_array_equal(layers["hello"].data, marks)


def test_scribbles_of_one_image_serve_a_joint_run_whichever_of_its_layers_is_selected(dock, picture):
    dock.viewer.add_image(picture[::-1].copy(), name="more")
    layers = dock.viewer.layers
    layers.selection = {layers["cells"], layers["more"]}
    dock.segment_to_end()
    first = [layers[name].data.copy() for name in ("cells classes", "more classes")]
    dock.click("new_scribbles")
    made = layers[-1].name
    layers[-1].data_setitem(np.nonzero(picture > np.quantile(picture, 0.9)), 40)
    for name in ("cells classes", "more classes"):
        layers.selection.active = layers[name]
    layers.selection.active = layers["cells classes" if made.startswith("more") else "more classes"]
    assert dock.part("scribbles").currentText() == "none"
    dock.click("merge_by_scribbles")
    marks = [
        layers[made].data if made.startswith(name) else np.zeros_like(layers[made].data) for name in ("cells", "more")
    ]
    merged = merge_by_scribbles(np.stack(first), np.stack(marks))
    np.testing.assert_array_equal(np.stack([layers[name].data for name in ("cells classes", "more classes")]), merged)


def test_the_result_is_saved_and_not_the_scribbles_that_are_selected(dock, picture, tmp_path):
    dock.segment_to_end()
    scribbles_over(dock, picture)
    dock.click("merge_by_scribbles")
    assert dock.viewer.layers.selection.active.name == "cells scribbles"
    dock.widget.results.save_labels(tmp_path / "saved.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "saved.tif"), dock.viewer.layers["cells classes"].data)
    dock.viewer.layers.remove("cells classes")
    dock.viewer.layers.selection.active = dock.viewer.layers["cells scribbles"]
    dock.widget.results.save_labels(tmp_path / "scribbles.tif")
    np.testing.assert_array_equal(
        tifffile.imread(tmp_path / "scribbles.tif"), dock.viewer.layers["cells scribbles"].data
    )
