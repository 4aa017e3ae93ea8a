"""Several images trained together: what is chosen, and that pressing Segment again does the same again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from driver import QUICK, WAIT, Dock
from napari.layers import Labels
from qtpy.QtWidgets import QCheckBox, QComboBox, QFileDialog, QLabel, QMessageBox

from napari_ufseg import predict, segment


@pytest.fixture
def three(dock: Dock, picture: np.ndarray) -> Dock:
    """Images a, b and c are selected; another, cells, is not."""
    images = {"a": picture, "b": picture[:20], "c": picture[:, :30]}
    dock.viewer.layers.selection = {dock.viewer.add_image(image, name=name) for name, image in images.items()}
    return dock


def select(dock: Dock, *names: str) -> None:
    dock.viewer.layers.selection = {dock.viewer.layers[name] for name in names}


def n_labels_layers(dock: Dock) -> int:
    return sum(isinstance(layer, Labels) for layer in dock.viewer.layers)


def pixels(dock: Dock, *names: str) -> list[Any]:
    return [dock.viewer.layers[name].data for name in names]


def test_segment_again_after_a_joint_run_is_joint_again(three: Dock) -> None:
    assert len(three.segment_to_end().labels) == 3
    assert three.part("together", QCheckBox).text() == "All 3 selected images together"
    assert len(three.part("words", QLabel).text().splitlines()) == 3
    three.widget.config = QUICK.replace(seed=1)
    three.segment_to_end()
    expected = segment(pixels(three, "a", "b", "c"), QUICK.replace(seed=1), device="cpu").labels
    for name, labels in zip("abc", expected, strict=True):
        np.testing.assert_array_equal(three.viewer.layers[f"{name} classes"].data, labels)
    assert n_labels_layers(three) == 3  # the untouched layers were taken over


def test_an_image_counts_once_whether_it_or_its_classes_or_both_are_selected(three: Dock) -> None:
    three.segment_to_end()
    three.viewer.layers["b classes"].name = "mine"
    three.viewer.layers["b"].name = "yours"
    select(three, "mine", "c", "c classes")
    assert three.part("together", QCheckBox).text() == "All 2 selected images together"
    assert len(three.segment_to_end().labels) == 2


def test_classes_of_one_image_choose_that_image(three: Dock) -> None:
    three.segment_to_end()
    select(three, "a classes")
    assert three.part("image", QComboBox).currentText() == "a"
    assert three.part("together", QCheckBox).isHidden()
    assert len(three.segment_to_end().labels) == 1


def test_a_selection_that_the_user_made_during_the_run_stays(three: Dock) -> None:
    three.start_endless()
    select(three, "cells")
    epoch = three.part("progress").value()
    three.qtbot.waitUntil(lambda: three.part("progress").value() > epoch)
    three.stop()
    assert [layer.name for layer in three.viewer.layers.selection] == ["cells"]


def test_a_model_is_applied_to_all_chosen_images_and_then_again(three: Dock) -> None:
    model = three.segment_to_end().model
    together = three.part("together", QCheckBox)
    three.viewer.layers["a classes"].paint((5, 5), 99)  # what is painted is kept, and others are made
    for _ in range(2):
        three.click("apply_model")
        three.qtbot.waitUntil(lambda: three.part("apply_model").isEnabled(), timeout=WAIT)
        assert together.text() == "All 3 selected images together"
    for name, data in zip("abc", pixels(three, "a", "b", "c"), strict=True):
        labels = [layer.data for layer in three.viewer.layers if layer.name.startswith(f"{name} classes")][-1]
        np.testing.assert_array_equal(labels, predict(model, data, device="cpu"))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def save_into(folder: Path, three: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: str(folder))
    three.click("save_labels")


@pytest.mark.parametrize("selected", [["a classes", "b classes", "c classes"], ["b"]])
def test_save_labels_after_a_joint_run_saves_all_of_them_and_says_so(
    three: Dock, tmp_path: Path, notices: list[Any], monkeypatch: pytest.MonkeyPatch, selected: list[str]
) -> None:
    three.segment_to_end()
    select(three, *selected)
    save_into(tmp_path, three, monkeypatch)
    for name in ("a classes", "b classes", "c classes"):
        np.testing.assert_array_equal(
            tifffile.imread(tmp_path / f"{name.split()[0]}_labels.tif"), three.viewer.layers[name].data
        )
    assert len(names_in(tmp_path)) == 3
    assert len(notices) == 1
    assert notices[0].message.startswith("The background has the label ")
    assert notices[0].message.endswith(f"Saved 3 Labels layers in {tmp_path}")


NO_LABELS = "There are no labels to save yet: press Segment, or select a Labels layer."


def test_for_an_image_without_a_result_there_is_nothing_to_save(
    three: Dock, tmp_path: Path, notices: list[Any]
) -> None:
    three.segment_to_end()
    select(three, "cells")
    assert not three.part("save_labels").isEnabled()
    three.widget.results.save_labels(tmp_path / "l.tif")
    assert names_in(tmp_path) == []
    assert [notice.message for notice in notices] == [NO_LABELS]
    assert three.part("save_labels").toolTip() == NO_LABELS


def test_only_the_selected_labels_are_saved_and_cancel_saves_none(
    three: Dock, tmp_path: Path, notices: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    three.segment_to_end()
    select(three, "b classes", "c", "c classes")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: "")
    three.click("save_labels")
    assert (names_in(tmp_path), notices) == ([], [])
    save_into(tmp_path, three, monkeypatch)
    assert names_in(tmp_path) == ["b_labels.tif", "c_labels.tif"]
    select(three, "a", "a classes")
    three.widget.results.save_labels(tmp_path / "a.tif")
    assert notices[-1].message.endswith(f"Saved a classes as {tmp_path / 'a.tif'}")


def test_names_of_layers_become_safe_names_of_files_of_which_no_two_are_the_same(three: Dock, tmp_path: Path) -> None:
    names = ["x/y: z?", "x_y_ z_", "X/Y: Z?", "..", "it"]
    layers = [three.viewer.add_labels(np.full((4, 4), i + 1), name=f"old {i}") for i in range(5)]
    for layer, name in zip(layers, names, strict=True):
        layer.name = name
    three.viewer.layers.selection = set(layers)
    three.widget.results.save_labels(tmp_path)
    assert {path.name: int(tifffile.imread(path).max()) for path in tmp_path.iterdir()} == {
        "x_y_ z__labels.tif": 1, "x_y_ z_ (2)_labels.tif": 2, "X_Y_ Z_ (3)_labels.tif": 3, "unnamed_labels.tif": 4,
        "it_labels.tif": 5,
    }  # fmt: skip


def test_a_layer_that_cannot_be_saved_is_named_and_the_others_are_saved(
    three: Dock, tmp_path: Path, notices: list[Any]
) -> None:
    three.segment_to_end()
    (tmp_path / "b_labels.tif").mkdir()
    three.widget.results.save_labels(tmp_path)
    assert names_in(tmp_path) == ["a_labels.tif", "b_labels.tif", "c_labels.tif"]
    assert len(notices) == 1
    assert notices[0].message.startswith(f"Saved 2 of 3 Labels layers in {tmp_path}. Cannot write {tmp_path}")
    assert "b_labels.tif" in notices[0].message


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_files_in_the_folder_are_overwritten_only_after_a_yes(
    three: Dock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    three.segment_to_end()
    (tmp_path / "b_labels.tif").write_text("mine")
    asked = []
    button = QMessageBox.StandardButton[answer]
    monkeypatch.setattr(QMessageBox, "question", lambda *args: asked.append(args[2]) or button)
    save_into(tmp_path, three, monkeypatch)
    assert len(asked) == 1
    assert "b_labels.tif" in asked[0]
    assert len(names_in(tmp_path)) == (3 if answer == "Yes" else 1)
