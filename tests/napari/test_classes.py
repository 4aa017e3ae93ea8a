"""The class panel in a real viewer: what is shown of the classes, and what can be done to them."""

from typing import Any

import numpy as np
import pytest
from driver import WAIT, Dock
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import Qt
from steps import areas_of, choose, merge, names, rename

from napari_ufseg import predict
from napari_ufseg._napari.layers.class_metadata import colormap_of
from napari_ufseg._napari.result.class_table import Column
from napari_ufseg.engine.labels.class_table import ClassTable


class Classes:
    """The panel over a small label image, driven as a user does."""

    def __init__(self, dock: Dock) -> None:
        self.dock = dock
        self.panel = dock.widget.classes

    def open(self, label_image: Any, **what: Any) -> Labels:
        """A Labels layer of this plugin, selected."""
        layer = self.dock.viewer.add_labels(label_image, metadata={"napari_ufseg": {}}, **what)
        self.dock.viewer.layers.selection.active = layer
        assert self.panel.set is not None
        return layer

    @property
    def areas(self) -> dict[int, int]:
        """Pixels by label, as the table shows them."""
        return {label: int(self.cell(label, Column.PIXELS).replace(",", "")) for label in self.panel.view.order}

    def cell(self, label: int, column: Column, role: Any = Qt.ItemDataRole.DisplayRole) -> Any:
        """What stands in the row of a label."""
        view = self.panel.view
        return view.model().index(view.order.index(label), column).data(role)

    def write(self, label: int, column: Column, value: Any, role: Any = Qt.ItemDataRole.EditRole) -> None:
        """Write into a cell as the editor of the table does."""
        view = self.panel.view
        assert view.model().setData(view.model().index(view.order.index(label), column), value, role)

    def select(self, *labels: int) -> None:
        """Select the rows of these labels."""
        self.panel.view.select(labels)

    def press(self, key: Any) -> None:
        """Press a key in the table."""
        self.panel.view.setFocus()
        self.dock.qtbot.keyClick(self.panel.view, key)

    def click(self, name: str) -> None:
        """Click a button of the panel."""
        assert self.dock.part(name).isEnabled(), name
        self.dock.click(name)


@pytest.fixture
def classes(dock: Dock) -> Classes:
    """The panel."""
    return Classes(dock)


@pytest.fixture
def four() -> np.ndarray:
    """(6, 8) uint16: four labels of 24, 12, 8 and 4 pixels; label 4 is two regions."""
    image = np.ones((6, 8), np.uint16)
    image[:, 4:6] = 2
    image[:4, 6:] = 3
    image[4:, 6:] = 4
    image[0, 0] = 4
    image[1, 4] = 3
    return image


def test_a_row_for_every_class_sorted_by_area(classes, four):
    classes.open(four)
    assert classes.areas == {1: 23, 2: 11, 3: 9, 4: 5}
    assert classes.panel.view.order == [1, 2, 3, 4]
    assert classes.cell(1, Column.SHARE) == "47.9%"
    assert classes.panel.chart.heights == pytest.approx([100 * n / 48 for n in (23, 11, 9, 5)])
    classes.panel.view.sortByColumn(Column.NAME, Qt.SortOrder.DescendingOrder)
    assert classes.panel.view.order == [4, 3, 2, 1]
    assert classes.panel.chart.heights == pytest.approx([100 * n / 48 for n in (5, 9, 11, 23)])


def test_a_click_shows_a_class_alone_and_escape_all_again(classes, four):
    layer = classes.open(four)
    classes.select(3)
    assert (layer.selected_label, layer.show_selected_label) == (3, True)
    classes.select(3, 4)
    assert not layer.show_selected_label
    classes.select(2)
    classes.press(Qt.Key.Key_Escape)
    assert not layer.show_selected_label
    assert classes.panel.view.labels == []


@pytest.mark.parametrize("by_key", [False, True])
def test_merge_and_undo_and_redo(classes, four, by_key):
    layer = classes.open(four.copy())
    classes.select(2, 4)
    if by_key:
        classes.press(Qt.Key.Key_M)
    else:
        classes.click("merge")
    merged = np.where(four == 4, 2, four)
    np.testing.assert_array_equal(layer.data, merged)
    assert classes.areas == {1: 23, 2: 16, 3: 9}
    assert classes.panel.view.labels == [2]
    classes.click("undo")
    np.testing.assert_array_equal(layer.data, four)
    assert classes.areas == {1: 23, 2: 11, 3: 9, 4: 5}
    classes.click("redo")
    np.testing.assert_array_equal(layer.data, merged)


def test_a_merge_keeps_the_name_and_the_undo_brings_both_back(classes, four):
    layer = classes.open(four.copy())
    classes.write(4, Column.NAME, "nuclei")
    classes.select(1, 4)
    classes.click("merge")
    assert classes.areas == {4: 28, 2: 11, 3: 9}
    assert classes.cell(4, Column.NAME) == "nuclei"
    classes.write(2, Column.NAME, "cytoplasm")
    classes.click("undo")
    assert classes.cell(2, Column.NAME) == "class 2"
    classes.click("undo")
    np.testing.assert_array_equal(layer.data, four)
    assert [classes.cell(label, Column.NAME) for label in (1, 4)] == ["class 1", "nuclei"]


@pytest.mark.parametrize("how", ["background", "undo", "show_all"])
def test_a_class_that_is_gone_does_not_hide_the_others(classes, four, how):
    layer = classes.open(four.copy())
    if how == "undo":
        classes.select(3)
        classes.click("split")
        classes.select(5)
        classes.click("undo")
    else:
        classes.select(3)
        assert layer.show_selected_label
        if how == "background":
            classes.click("background")
        else:
            layer.data_setitem(np.nonzero(layer.data == 3), 2)
            classes.dock.qtbot.waitUntil(lambda: 3 not in classes.areas, timeout=WAIT)
            classes.click("show_all")
    assert not layer.show_selected_label


def test_background_by_key(classes, four):
    layer = classes.open(four.copy())
    classes.select(1)
    classes.press(Qt.Key.Key_B)
    np.testing.assert_array_equal(layer.data, np.where(four == 1, 0, four))
    assert classes.cell(0, Column.NAME) == "background"
    assert "3 classes" in classes.dock.part("about_classes").text()
    classes.select(0)
    assert not classes.dock.part("background").isEnabled()


def test_specks_go_to_their_neighbours(classes, four):
    layer = classes.open(four.copy())
    classes.dock.part("speck_size").setValue(4)
    classes.click("absorb")
    expected = four.copy()
    expected[0, 0], expected[1, 4] = 1, 2
    np.testing.assert_array_equal(layer.data, expected)
    classes.click("undo")
    np.testing.assert_array_equal(layer.data, four)


def test_split_makes_a_class_of_every_region(classes, four):
    layer = classes.open(four.copy())
    classes.write(4, Column.NAME, "cells")
    classes.select(4)
    classes.click("split")
    assert layer.data[5, 7] == 4  # the largest keeps the label
    assert layer.data[0, 0] == 5
    assert classes.cell(5, Column.NAME) == "cells (5)"
    assert classes.panel.set.table.parents == {5: 4}
    classes.click("undo")
    np.testing.assert_array_equal(layer.data, four)


def test_strokes_and_panel_actions_are_undone_in_one_line(classes, four):
    layer = classes.open(four.copy())
    layer.data_setitem((np.array([2]), np.array([2])), 7)
    stroked = layer.data.copy()
    classes.dock.qtbot.waitUntil(lambda: 7 in classes.areas, timeout=WAIT)
    classes.select(7, 3)
    classes.click("merge")
    merged = layer.data.copy()
    layer.data_setitem((np.array([5]), np.array([5])), 1)
    for expected in (merged, stroked, four):
        classes.click("undo")
        np.testing.assert_array_equal(layer.data, expected)
    assert not classes.dock.part("undo").isEnabled()
    for expected in (stroked, merged):
        classes.click("redo")
        np.testing.assert_array_equal(layer.data, expected)


def test_a_stack_is_merged_on_all_planes(classes, four):
    stack = np.stack([four, four.T.reshape(6, 8), np.ones_like(four)])
    layer = classes.open(stack.copy())
    layer.n_edit_dimensions = 2
    classes.select(1, 2)
    classes.click("merge")
    np.testing.assert_array_equal(layer.data, np.where(stack == 2, 1, stack))


def test_colour_and_visibility_are_seen_on_the_canvas(classes, four):
    layer = classes.open(four)
    classes.panel.set.recolour(2, "#ff8000")
    np.testing.assert_allclose(layer.get_color(2), [1, 128 / 255, 0, 1], atol=1e-6)
    classes.write(3, Column.SHOWN, Qt.CheckState.Unchecked, Qt.ItemDataRole.CheckStateRole)
    assert layer.get_color(3)[3] == 0
    assert layer.get_color(1)[3] == 1
    assert layer.get_color(30)[3] == 1  # what is painted later
    classes.click("undo")
    assert layer.get_color(3)[3] == 1


def test_names_are_in_features_and_metadata(classes, four):
    layer = classes.open(four)
    classes.write(1, Column.NAME, "glass")
    assert list(layer.features["name"]) == ["glass", "class 2", "class 3", "class 4"]
    assert list(layer.features["index"]) == [1, 2, 3, 4]
    assert layer.metadata["napari_ufseg"]["classes"] == [{"label": 1, "name": "glass"}]


def test_the_classes_of_a_run_are_live_and_then_editable(dock, classes):
    layer = dock.start_endless()
    dock.qtbot.waitUntil(lambda: sum(classes.areas.values()) == 40 * 56, timeout=WAIT)
    classes.select(*list(classes.areas)[:2])
    assert not dock.part("merge").isEnabled()
    dock.stop()
    counted = dict(zip(*np.unique(layer.data, return_counts=True), strict=True))
    assert classes.areas == counted
    classes.select(*list(counted)[:2])
    classes.click("merge")
    assert len(np.unique(layer.data)) == len(counted) - 1


def test_a_run_that_replaces_labels_can_be_undone(dock, classes):
    first = dock.segment_to_end().labels[0].copy()
    layer = dock.viewer.layers["cells classes"]
    dock.widget.config = dock.widget.config.replace(seed=5, start="random")
    second = dock.segment_to_end().labels[0].copy()
    assert dock.viewer.layers["cells classes"] == layer
    assert (first != second).any()
    classes.click("undo")
    np.testing.assert_array_equal(layer.data, first)
    classes.click("redo")
    np.testing.assert_array_equal(layer.data, second)


@pytest.mark.parametrize("name", ["saved.tif", "saved.zarr"])
def test_names_and_colours_survive_saving_and_reloading(dock, classes, four, tmp_path, name):
    classes.open(four)
    classes.write(1, Column.NAME, "glass")
    classes.panel.set.recolour(3, "#ff8000")
    classes.write(2, Column.SHOWN, Qt.CheckState.Unchecked, Qt.ItemDataRole.CheckStateRole)
    dock.widget.results.save_labels(tmp_path / name)
    (again,) = dock.viewer.open(tmp_path / name, plugin="napari-ufseg")
    assert classes.panel.set.layers == [again]
    assert classes.cell(1, Column.NAME) == "glass"
    np.testing.assert_allclose(again.get_color(3), [1, 128 / 255, 0, 1], atol=1e-6)
    assert again.get_color(2)[3] == 0
    assert list(again.features["name"]) == ["glass", "class 2", "class 3", "class 4"]


def test_a_model_takes_merges_and_names_to_another_image(dock, classes, picture, tmp_path):
    from napari_ufseg import load_model

    dock.segment_to_end()
    first, second, *_ = classes.panel.view.order
    classes.write(first, Column.NAME, "glass")
    classes.select(first, second)
    classes.click("merge")
    dock.widget.results.save_model(tmp_path / "model.safetensors")
    model = load_model(tmp_path / "model.safetensors")
    assert second not in model.class_labels
    assert model.classes[first].name == "glass"
    dock.viewer.add_image(picture[:, ::-1].copy(), name="other")
    with dock.qtbot.waitSignal(dock.widget.results.application.ended, timeout=WAIT):
        dock.click("apply_model")
    assert second not in dock.viewer.layers["other classes"].data
    assert classes.panel.set.layers == [dock.viewer.layers["other classes"]]
    assert classes.cell(first, Column.NAME) == "glass"


def test_continue_learns_from_merges_and_strokes_and_all_of_it_can_be_undone(dock, classes):
    assert not dock.part("continue").isEnabled()
    dock.segment_to_end()
    layer = dock.viewer.layers["cells classes"]
    first = layer.data.copy()
    one, two, *_ = classes.panel.view.order
    classes.write(one, Column.NAME, "glass")
    classes.select(one, two)
    classes.click("merge")
    merged = layer.data.copy()
    layer.data_setitem(tuple(np.indices((3, 12)).reshape(2, -1) + 4), 30)
    corrected = layer.data.copy()
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        dock.click("continue")
    assert dock.viewer.layers["cells classes"] == layer
    assert (layer.data[4:7, 4:16] == 30).all()
    assert two not in layer.data
    learnt = layer.data.copy()
    assert (learnt != corrected).any()
    assert classes.cell(one, Column.NAME) == "glass"
    for expected, title in ((corrected, "run"), (merged, "brush stroke"), (first, "merge of 2 classes")):
        assert dock.part("undo").toolTip().startswith(f"Undo: {title}")
        classes.click("undo")
        np.testing.assert_array_equal(layer.data, expected)
    assert classes.cell(one, Column.NAME) == "glass"
    classes.click("undo")
    assert classes.cell(one, Column.NAME) != "glass"
    assert not dock.part("undo").isEnabled()
    for expected in (first, merged, corrected, learnt):
        classes.click("redo")
        np.testing.assert_array_equal(layer.data, expected)
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        dock.click("continue")  # and once more, with nothing new
    assert (layer.data[4:7, 4:16] == 30).all()


def test_a_new_run_never_replaces_what_was_corrected_also_after_continue(dock, classes):
    dock.segment_to_end()
    layer = dock.viewer.layers["cells classes"]
    layer.data_setitem((np.arange(8), np.arange(8)), 40)
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        dock.click("continue")
    corrected = layer.data.copy()
    assert (np.diagonal(corrected)[:8] == 40).all()
    dock.segment_to_end()
    np.testing.assert_array_equal(layer.data, corrected)
    assert "cells classes [1]" in dock.viewer.layers


def test_the_brush_stays_after_continue(dock, classes):
    dock.segment_to_end()
    layer = dock.viewer.layers["cells classes"]
    layer.mode, layer.brush_size, layer.selected_label = "paint", 7, 40
    layer.data_setitem((np.arange(8), np.arange(8)), 40)
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        dock.click("continue")
    assert (layer.mode, layer.brush_size, layer.selected_label) == ("paint", 7, 40)
    dock.part("time").setValue(0)
    assert layer.mode == "pan_zoom"
    dock.click("back_to_now")
    assert layer.mode == "paint"


def test_continue_after_the_undo_of_a_continue_goes_on_from_there(dock, classes):
    dock.segment_to_end()
    layer = dock.viewer.layers["cells classes"]
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        dock.click("continue")
    origin = classes.panel.set.origin
    classes.click("undo")
    assert classes.panel.set.origin is not origin
    np.testing.assert_array_equal(classes.panel.set.origin.made[0].array(), layer.data)


def test_continue_has_no_target_to_miss(dock, classes):
    dock.widget.config = dock.widget.config.replace(start="random", min_classes=2)
    dock.segment_to_end()
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        dock.click("continue")
    assert len(classes.panel.view.order) > 1
    assert "target" not in dock.part("status").text()


def test_continue_where_all_is_background(dock, classes):
    dock.segment_to_end()
    layer = dock.viewer.layers["cells classes"]
    classes.select(*classes.panel.view.order)
    classes.click("background")
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        dock.click("continue")
    assert not layer.data.any()
    assert "only one class is left" in dock.part("status").text()


def test_continue_on_one_plane_of_a_stack_and_on_all(dock, classes, picture):
    dock.viewer.layers.clear()
    dock.viewer.add_image(np.stack([picture, picture[::-1]]), name="stack", axis_labels=("z", "y", "x"))
    for what, shape in (("Current plane", (1, 40, 56)), ("All planes", (2, 40, 56))):
        dock.widget.what = what
        dock.segment_to_end()
        (layer,) = classes.panel.set.layers
        assert layer.data.shape == shape
        layer.data_setitem((np.zeros(8, int), np.full(8, 3), np.arange(8) + 10), 40)
        with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
            dock.click("continue")
        assert (layer.data[0, 3, 10:18] == 40).all()
        dock.viewer.layers.remove(layer)
        dock.viewer.layers.selection.active = dock.viewer.layers["stack"]


def test_continue_of_a_joint_run_changes_all_layers(dock, classes, picture):
    dock.viewer.add_image(picture[:30, :40].copy(), name="other")
    dock.viewer.layers.selection = set(dock.viewer.layers)
    dock.segment_to_end()
    layers = classes.panel.set.layers
    assert len(layers) == 2
    one, two, *_ = classes.panel.view.order
    classes.select(one, two)
    classes.click("merge")
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        dock.click("continue")
    gone = two if one in np.unique(layers[0].data) else one
    assert not any((layer.data == gone).any() for layer in layers)
    assert classes.panel.set.layers == layers


def test_continue_of_a_joint_run_goes_on_with_the_layers_that_are_still_there(dock, classes, picture):
    dock.viewer.add_image(picture[:30, :40].copy(), name="other")
    dock.viewer.add_image(picture[10:, :50].copy(), name="third")
    dock.viewer.layers.selection = set(dock.viewer.layers)
    dock.segment_to_end()
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        dock.click("continue")
    dock.viewer.layers.remove("other classes")
    rest = [dock.viewer.layers[name] for name in ("cells classes", "third classes")]
    labels = [layer.data.copy() for layer in rest]
    rest[1].data_setitem((np.arange(8), np.arange(8)), 40)
    for _ in range(2):  # the second time from what the first has made
        with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
            dock.click("continue")
        assert (np.diagonal(rest[1].data)[:8] == 40).all()
    for _ in range(3):
        classes.click("undo")
    for layer, expected in zip(rest, labels, strict=True):
        np.testing.assert_array_equal(layer.data, expected)
    classes.click("undo")  # the run before the layer went
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        dock.click("continue")
    assert "other classes" not in dock.viewer.layers


@pytest.mark.parametrize("is_edited", [False, True])
def test_a_rerun_keeps_numbers_names_and_colours_on_what_they_named(dock, classes, picture, is_edited):
    dock.segment_to_end()
    layer = dock.viewer.layers["cells classes"]
    brightest = max(np.unique(layer.data), key=lambda label: picture[layer.data == label].mean())
    named = layer.data == brightest
    classes.write(brightest, Column.NAME, "nuclei")
    classes.panel.set.recolour(brightest, "#ff8000")
    if is_edited:
        layer.data_setitem((np.arange(3), np.arange(3)), brightest)
    dock.widget.config = dock.widget.config.replace(seed=7, start="random", skip=False, epochs=20)
    result = dock.segment_to_end()
    (again,) = classes.panel.set.layers
    assert (again == layer) is not is_edited
    (label,) = [label for label in classes.areas if classes.cell(label, Column.NAME) == "nuclei"]
    assert label == brightest
    overlap = {other: int((named & (again.data == other)).sum()) for other in np.unique(again.data)}
    assert overlap[brightest] == max(overlap.values())
    np.testing.assert_allclose(again.get_color(brightest), [1, 128 / 255, 0, 1], atol=1e-6)
    np.testing.assert_array_equal(result.labels[0], again.data)
    np.testing.assert_array_equal(predict(result.model, picture), again.data)


def test_merge_by_key_with_one_class_changes_nothing(classes, four):
    layer = classes.open(np.where(four == 4, 0, four).astype(np.uint16))
    classes.select(2)
    classes.press(Qt.Key.Key_M)
    assert classes.panel.view.labels == [2]
    assert (layer.selected_label, layer.show_selected_label) == (2, True)
    assert classes.areas == areas_of(layer)


def test_split_right_after_a_stroke_gives_no_number_twice(classes, four):
    layer = classes.open(four.copy())
    classes.select(4)
    layer.data_setitem((np.array([2, 2]), np.array([1, 2])), 5)
    classes.click("split")
    np.testing.assert_array_equal(
        layer.data == 5, (np.indices(four.shape)[0] == 2) & np.isin(np.indices(four.shape)[1], (1, 2))
    )
    assert len(np.unique(layer.data)) == 6
    assert layer.data[0, 0] != layer.data[5, 7]
    classes.dock.qtbot.waitUntil(lambda: classes.areas == areas_of(layer), timeout=WAIT)


@pytest.fixture
def disc() -> tuple[np.ndarray, np.ndarray]:
    """(64, 64) uint8: a disc that is brighter towards its middle, of which a run makes five classes or more; and where it is."""
    y, x = np.mgrid[:64, :64]
    distance = np.hypot(y - 32, x - 32)
    image = np.where(distance < 22, 250 - 130 * distance / 22, 20) + np.random.default_rng(0).normal(0, 2, (64, 64))
    return image.astype(np.uint8), distance < 22


def test_a_rerun_gives_the_name_of_merged_classes_to_none_of_their_pieces(dock, disc):
    image, inside = disc
    dock.viewer.layers.clear()
    dock.viewer.add_image(image, name="disc")
    dock.segment_to_end()
    first = choose(dock, "disc classes")
    within = [label for label in np.unique(first.data[inside]) if (first.data[inside] == label).sum() > 50]
    pieces = [
        int(label) for label in within if (inside & (first.data == label)).sum() > 0.9 * (first.data == label).sum()
    ]
    assert len(pieces) >= 5
    merge(dock, *pieces)
    (label,) = set(pieces) & set(areas_of(first))
    rename(dock, label, "nuclei")
    named = first.data == label
    choose(dock, "disc")
    dock.widget.config = dock.widget.config.replace(seed=3)
    dock.segment_to_end()
    (again,) = [layer for layer in dock.viewer.layers if isinstance(layer, Labels) and layer != first]
    choose(dock, again.name)
    for other in [other for other, name in names(dock).items() if name == "nuclei"]:
        common = (named & (again.data == other)).sum()
        assert common > named.sum() / 2
        assert common > (again.data == other).sum() / 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32])
@pytest.mark.parametrize("use_selection", [False, True])
def test_colours_of_a_table_are_drawn_as_by_napari(dtype: type[np.integer], use_selection: bool) -> None:
    table = ClassTable().changed(2, [2], name="nuclei", colour="#ff8800").changed(4, [4], is_visible=False)
    ours = colormap_of(table, [1, 2, 4, 200], {3: 2})
    napari_s = DirectLabelColormap(color_dict=dict(ours.color_dict))
    ours.use_selection = napari_s.use_selection = use_selection
    ours.selection = napari_s.selection = 2
    labels = np.arange(-5 if np.iinfo(dtype).min else 0, 250).astype(dtype)
    np.testing.assert_array_equal(ours.map(labels), napari_s.map(labels))
    assert len(np.unique(ours.map(labels), axis=0)) > 1
