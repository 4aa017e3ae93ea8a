"""What layers of version 0.1 say in their metadata is still understood, and parts and keys of the dock are still there."""

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driver import WAIT, Dock
from napari.layers import Labels
from qtpy.QtCore import QObject, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton

from napari_ufseg import SegmentationConfig

SAVED = Path(__file__).parents[1] / "data" / "saved_by_0_1"
ROLE = Qt.ItemDataRole
COLOUR, NAME, PIXELS, SHOWN = 0, 1, 3, 4  # columns of the table of classes
EDITED = {
    "ground": 2,
    "class 3": 3,
    "class 4": 4,
    "nuclei": 5,
    "class 6": 6,
    "nuclei (7)": 7,
    "nuclei (8)": 8,
    "nuclei (9)": 9,
}


@pytest.fixture
def picture() -> np.ndarray:
    """(40, 56) uint8: what the layers were made from."""
    return runpy.run_path(str(SAVED / "pictures.py"))["plane"]()


def saved_layer(name: str, layer_name: str = "old", **changes: Any) -> Labels:
    """A Labels layer with labels and metadata of version 0.1."""
    metadata = json.loads((SAVED / f"{name}.json").read_text(encoding="utf-8"))
    metadata["napari_ufseg"] |= changes
    with np.load(SAVED / "layers.npz") as arrays:
        return Labels(arrays[name], name=layer_name, metadata=metadata)


def open_saved(dock: Dock, name: str, **changes: Any) -> Labels:
    """The same in the viewer, selected, and counted."""
    layer = dock.viewer.add_layer(saved_layer(name, **changes))
    dock.viewer.layers.selection.active = layer
    n_labels = len(np.unique(layer.data))
    dock.qtbot.waitUntil(lambda: dock.part("classes").model().rowCount() == n_labels, timeout=WAIT)
    return layer


def rows(dock: Dock) -> dict[str, dict[str, Any]]:
    """What the table of classes shows, by name."""
    model = dock.part("classes").model()

    def cell(row: int, column: int, role: Any) -> Any:
        return model.index(row, column).data(role)

    return {
        cell(row, NAME, ROLE.DisplayRole): {
            "pixels": int(cell(row, PIXELS, ROLE.DisplayRole).replace(",", "")),
            "colour": cell(row, COLOUR, ROLE.DecorationRole).name(),
            "is_shown": Qt.CheckState(cell(row, SHOWN, ROLE.CheckStateRole)) == Qt.CheckState.Checked,
        }
        for row in range(model.rowCount())
    }


def by_label(items: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """What is said of classes in metadata, in any order."""
    return {item["label"]: item for item in items}


def select(dock: Dock, *names: str) -> None:
    """Select the rows of these classes."""
    view = dock.part("classes")
    selection, model = view.selectionModel(), view.model()
    selection.clearSelection()
    for row in range(model.rowCount()):
        index = model.index(row, NAME)
        if index.data() in names:
            selection.setCurrentIndex(index, selection.SelectionFlag.Select | selection.SelectionFlag.Rows)


def press(dock: Dock, keys: Any) -> None:
    """Press keys in the table of classes."""
    QTest.keySequence(dock.part("classes"), QKeySequence(keys))


def keys_of(layer: Labels) -> dict[str, Any]:
    """What is bound to keys of a layer; they are called as on Linux."""
    return {str(keys).replace("Meta", "Ctrl").replace("Cmd", "Ctrl"): action for keys, action in layer.keymap.items()}


def lines(name: str) -> list[str]:
    """The lines of a text that was saved."""
    return (SAVED / name).read_text(encoding="utf-8").splitlines()


# -- metadata -----------------------------------------------------------------------------------


def test_the_class_panel_shows_what_the_metadata_say_and_they_stay(dock):
    layer = open_saved(dock, "after_edits")
    shown = rows(dock)
    assert {name: row["pixels"] for name, row in shown.items()} == {
        name: np.count_nonzero(layer.data == label) for name, label in EDITED.items()
    }
    assert shown["nuclei"]["colour"] == "#ff8000"
    assert [name for name, row in shown.items() if not row["is_shown"]] == ["class 3"]
    assert layer.get_color(3)[3] == 0
    np.testing.assert_allclose(layer.get_color(5), (1, 128 / 255, 0, 1), atol=1e-6)
    assert dock.part("about_classes").text() == "8 classes in old"
    old = json.loads((SAVED / "after_edits.json").read_text(encoding="utf-8"))["napari_ufseg"]
    now = layer.metadata["napari_ufseg"]
    assert by_label(now["classes"]) == by_label(old["classes"])
    assert {key: now[key] for key in old if key != "classes"} == {key: old[key] for key in old if key != "classes"}


def test_layers_of_one_old_run_share_their_classes(dock):
    dock.viewer.window.remove_dock_widget(dock.dock)
    first = saved_layer("after_edits", "first")
    for layer in (first, saved_layer("after_edits", "second")):
        dock.viewer.add_layer(layer)
    opened = Dock(dock.viewer, dock.qtbot)
    about = opened.part("about_classes")
    dock.qtbot.waitUntil(lambda: about.text() == "8 classes in first, second", timeout=WAIT)
    assert rows(opened)["ground"]["pixels"] == 2 * np.count_nonzero(first.data == 2)


def test_classes_of_an_old_layer_are_merged_and_that_is_undone(dock):
    layer = open_saved(dock, "after_edits")
    before = layer.data.copy()
    select(dock, "nuclei (7)", "nuclei")
    dock.click("merge")
    np.testing.assert_array_equal(layer.data, np.where(before == 7, 5, before))
    assert rows(dock)["nuclei"]["pixels"] == np.count_nonzero(np.isin(before, (5, 7)))
    dock.click("undo")
    np.testing.assert_array_equal(layer.data, before)
    assert set(rows(dock)) == set(EDITED)


def test_labels_of_an_old_layer_are_saved_with_all_that_is_said_of_them(dock, tmp_path):
    layer = open_saved(dock, "after_edits")
    dock.widget.results.save_labels(tmp_path / "labels.tif")
    dock.viewer.open(tmp_path / "labels.tif", plugin="napari-ufseg")
    again = dock.viewer.layers["labels"]
    np.testing.assert_array_equal(again.data, layer.data)
    assert again.metadata["napari_ufseg"]["classes"] == layer.metadata["napari_ufseg"]["classes"]


def test_a_training_does_not_go_on_from_metadata_alone(dock, notices):
    """The network and its image are not in the metadata; version 0.1 said so too."""
    layer = open_saved(dock, "after_edits")
    before = layer.data.copy()
    assert not dock.part("continue").isEnabled()
    dock.widget.train_on()
    assert [notice.message for notice in notices] == ["There are no classes to train on from: press Segment first."]
    assert not dock.widget.is_running
    np.testing.assert_array_equal(layer.data, before)


def test_a_run_on_the_same_image_takes_over_an_old_layer_that_nobody_has_changed(dock):
    layer = open_saved(dock, "after_segment", image=str(dock.viewer.layers["cells"].unique_id))
    run = layer.metadata["napari_ufseg"]["run"]
    dock.segment_to_end()
    assert list(map(str, dock.viewer.layers)) == ["cells", "old"]
    assert layer.metadata["napari_ufseg"]["run"] != run


def test_a_run_on_the_same_image_keeps_the_names_of_an_old_layer_and_leaves_it_alone(dock, picture):
    old = open_saved(dock, "after_edits", image=str(dock.viewer.layers["cells"].unique_id))
    config = json.loads((SAVED / "after_edits.json").read_text(encoding="utf-8"))["napari_ufseg"]["config"]
    dock.widget.config = SegmentationConfig.preset(
        "fast",
        **{name: config[name] for name in ("n_features", "n_convolutions", "n_classes", "epochs", "min_classes")},
    )
    before = old.data.copy()
    dock.segment_to_end()
    np.testing.assert_array_equal(old.data, before)
    new = dock.viewer.layers["cells classes"]
    names = {info["label"]: info["name"] for info in new.metadata["napari_ufseg"]["classes"] if "name" in info}
    assert (names[2], names[5]) == ("ground", "nuclei")
    for label in (2, 5):  # where a name was, it is again
        assert np.mean(new.data[before == label] == label) > 0.5


def test_old_files_of_labels_are_opened_with_names_and_colours(dock):
    for name in ("scaled.tif", "volume_0_4.ome.zarr", "volume_0_5.ome.zarr", "dock.zarr"):
        (layer,) = dock.viewer.open(SAVED / name, plugin="napari-ufseg")
        assert isinstance(layer, Labels)
        dock.viewer.layers.selection.active = layer
        n_labels = len(np.unique(layer.data))
        dock.qtbot.waitUntil(lambda n=n_labels: dock.part("classes").model().rowCount() == n, timeout=WAIT)
        assert dock.part("about_classes").text().endswith(f" in {layer.name}")
        shown = rows(dock)
        assert {"ground", "nuclei", "class 3", "nuclei (9)"} <= set(shown)
        assert shown["nuclei"]["colour"] == "#ff8000"
        assert not shown["class 3"]["is_shown"]
        np.testing.assert_array_equal(layer.scale[-2:], (0.5, 0.25))
        assert str(layer.units[-1]) == "micrometer"


def test_an_old_model_is_loaded_and_applied_with_its_names(dock):
    dock.widget.results.load_model(SAVED / "dock.safetensors")
    with dock.qtbot.waitSignal(dock.widget.results.application.made, timeout=WAIT):
        dock.click("apply_model")
    layer = dock.viewer.layers["cells classes"]
    dock.viewer.layers.selection.active = layer
    dock.qtbot.waitUntil(lambda: "nuclei" in rows(dock), timeout=WAIT)
    assert rows(dock)["nuclei"]["colour"] == "#ff8000"
    with np.load(SAVED / "layers.npz") as arrays:
        expected = np.where(arrays["after_segment"] == 1, 2, arrays["after_segment"])
    assert np.mean(layer.data == expected) >= 0.999


MOVED = {"ufseg.model": "ufseg.section.keep.title"}  # the line of the model is the headline of its section

# -- parts and keys -----------------------------------------------------------------------------


def test_no_part_and_no_key_of_the_dock_has_gone(dock):
    there = {part.objectName() for part in dock.widget.findChildren(QObject)}
    assert {MOVED.get(name, name) for name in lines("dock_names.txt")} - there == set()
    standard = set(map(str, dock.viewer.keymap))
    keys = {f"layer {keys}" for keys in keys_of(open_saved(dock, "after_edits"))}
    keys |= {f"{part.objectName()} {part.shortcut().toString()}" for part in dock.widget.findChildren(QAbstractButton)}
    wanted = {line for line in lines("dock_keys.txt") if not line.startswith("ufseg.classes ")}
    assert wanted - keys == set()
    assert set(map(str, dock.viewer.keymap)) == standard  # the viewer's own keys are left alone


def test_no_key_of_the_table_has_gone(dock, notices):
    keys = {line.split()[1] for line in lines("dock_keys.txt") if line.startswith("ufseg.classes ")}
    assert keys == {"M", "B", "S", "Esc", "Undo", "Redo"}  # each is pressed below
    layer = open_saved(dock, "after_edits")
    before = layer.data.copy()
    merged = np.where(before == 7, 5, before)
    select(dock, "nuclei", "nuclei (7)")
    press(dock, "M")
    np.testing.assert_array_equal(layer.data, merged)
    press(dock, QKeySequence.StandardKey.Undo)
    np.testing.assert_array_equal(layer.data, before)
    press(dock, QKeySequence.StandardKey.Redo)
    np.testing.assert_array_equal(layer.data, merged)
    select(dock, "ground")
    assert layer.show_selected_label
    press(dock, "Esc")
    assert not layer.show_selected_label
    select(dock, "ground")
    press(dock, "B")
    np.testing.assert_array_equal(layer.data, np.where(merged == 2, 0, merged))
    press(dock, "S")
    assert "There are no scribbles to merge by" in notices[-1].message


def test_undo_and_redo_by_the_keys_of_the_layer(dock):
    layer = open_saved(dock, "after_edits")
    before = layer.data.copy()
    layer.paint((5, 5), 30)
    painted = layer.data.copy()
    keys_of(layer)["Ctrl+Z"](layer)
    np.testing.assert_array_equal(layer.data, before)
    keys_of(layer)["Ctrl+Shift+Z"](layer)
    np.testing.assert_array_equal(layer.data, painted)
