"""Where the dialogs open, and which names they offer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from driver import Dock
from qtpy.QtWidgets import QFileDialog
from steps import choose, reopen

from napari_ufseg._napari.layers.class_metadata import METADATA_KEY


class Dialogs:
    """Answers the dialogs of files and folders, and keeps what they began with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began: list[str] = []
        self.answer = ""
        for name in ("getSaveFileName", "getOpenFileName", "getExistingDirectory"):
            monkeypatch.setattr(QFileDialog, name, self._asked(name == "getExistingDirectory"))

    def _asked(self, is_folder: bool) -> Any:
        def ask(parent: Any, title: str, start: str = "", *_: Any) -> Any:
            self.began.append(start)
            return self.answer if is_folder else (self.answer, "")

        return ask


@pytest.fixture
def dialogs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dialogs]:
    return Dialogs(monkeypatch)


def began_with(dock: Dock, dialogs: Dialogs, button: str, answer: Path | str = "") -> str:
    """What a dialog begins with, which the user answers with that; empty is Cancel."""
    dialogs.answer = str(answer)
    dock.click(button)
    return dialogs.began[-1]


def opened(dock: Dock, path: Path, data: np.ndarray) -> Any:
    """The layer of an image file with these pixels."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".zarr":
        zarr.create_array(path, data=data)
    else:
        tifffile.imwrite(path, data)
    return dock.viewer.open(path, plugin="napari-ufseg")[0]


FILES = [
    ("plate/well 7.tif", "plate/well 7_labels.tif", "plate/well 7.safetensors"),
    ("plate/well.ome.tif", "plate/well_labels.tif", "plate/well.safetensors"),
    ("well.ome.zarr", "well_labels.tif", "well.safetensors"),
]


@pytest.mark.parametrize(("image", "labels", "model"), FILES)
def test_labels_and_model_go_beside_the_image_and_are_called_after_it(
    dock: Dock, dialogs: Dialogs, tmp_path: Path, picture: np.ndarray, image: str, labels: str, model: str
) -> None:
    layer = opened(dock, tmp_path / image, picture)
    dock.segment_to_end()
    layer.name = "another name"
    assert began_with(dock, dialogs, "save_labels", tmp_path / "l.tif") == str(tmp_path / labels)
    assert began_with(dock, dialogs, "save_model") == str(tmp_path / model)


def test_an_array_inside_a_zarr_has_its_labels_beside_the_whole(
    dock: Dock, dialogs: Dialogs, tmp_path: Path, picture: np.ndarray
) -> None:
    group = zarr.create_group(tmp_path / "plate.zarr")
    group.create_array("0", data=picture)
    dock.viewer.open(tmp_path / "plate.zarr" / "0", plugin="napari-ufseg")
    dock.segment_to_end()
    assert began_with(dock, dialogs, "save_labels") == str(tmp_path / "plate_labels.tif")


def test_a_name_that_the_user_has_given_stays(
    dock: Dock, dialogs: Dialogs, tmp_path: Path, picture: np.ndarray
) -> None:
    opened(dock, tmp_path / "well.tif", picture)
    dock.segment_to_end()
    dock.viewer.layers["well classes"].name = "nuclei"
    assert began_with(dock, dialogs, "save_labels") == str(tmp_path / "nuclei_labels.tif")


def test_channels_of_one_file_keep_their_names(
    dock: Dock, dialogs: Dialogs, tmp_path: Path, picture: np.ndarray
) -> None:
    tifffile.imwrite(tmp_path / "both.tif", picture)
    for name in ("red", "green"):
        dock.viewer.open(tmp_path / "both.tif", plugin="napari-ufseg", name=name)
    dock.segment_to_end()
    assert began_with(dock, dialogs, "save_labels") == str(tmp_path / "green_labels.tif")


def test_labels_that_were_opened_go_where_they_came_from(
    dock: Dock, dialogs: Dialogs, tmp_path: Path, picture: np.ndarray
) -> None:
    dock.segment_to_end()
    dock.widget.results.save_labels(tmp_path / "mine_labels.tif")
    opened_labels = dock.viewer.open(tmp_path / "mine_labels.tif", plugin="napari-ufseg")[0]
    assert METADATA_KEY in opened_labels.metadata
    choose(dock, opened_labels.name)
    assert began_with(dock, dialogs, "save_labels") == str(tmp_path / "mine_labels.tif")


def test_without_a_file_the_folder_is_the_one_used_last_also_in_another_dock(
    dock: Dock, dialogs: Dialogs, tmp_path: Path
) -> None:
    dock.segment_to_end()
    assert began_with(dock, dialogs, "save_labels") == "cells_labels.tif"
    assert began_with(dock, dialogs, "load_model") == ""
    (tmp_path / "here").mkdir()
    began_with(dock, dialogs, "save_model", tmp_path / "here" / "m.safetensors")
    assert began_with(dock, dialogs, "save_labels") == str(tmp_path / "here" / "cells_labels.tif")
    reopen(dock)
    assert began_with(dock, dialogs, "load_model", tmp_path / "here" / "m.safetensors") == str(tmp_path / "here")
    assert began_with(dock, dialogs, "save_model") == str(tmp_path / "here" / "m.safetensors")


def test_a_folder_that_has_gone_is_not_offered(
    dock: Dock, dialogs: Dialogs, tmp_path: Path, picture: np.ndarray
) -> None:
    layer = opened(dock, tmp_path / "gone" / "well.tif", picture)
    dock.segment_to_end()
    Path(layer.source.path).unlink()
    (tmp_path / "gone").rmdir()
    assert began_with(dock, dialogs, "save_labels") == "well_labels.tif"


def test_several_results_go_into_the_folder_of_their_images(
    dock: Dock, dialogs: Dialogs, tmp_path: Path, picture: np.ndarray
) -> None:
    for name in "ab":
        opened(dock, tmp_path / f"{name}.tif", picture)
    choose(dock, "a", "b")
    dock.segment_to_end()
    assert began_with(dock, dialogs, "save_labels") == str(tmp_path)
    assert began_with(dock, dialogs, "save_model") == str(tmp_path / "a and 1 more.safetensors")


def test_the_folders_of_the_folder_tab_are_looked_for_near_the_one_that_is_chosen(
    dock: Dock, dialogs: Dialogs, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    assert began_with(dock, dialogs, "folder.choose_path", images) == ""
    assert began_with(dock, dialogs, "folder.choose_path") == str(images)
    assert began_with(dock, dialogs, "folder.choose_output") == str(tmp_path)  # images_labels is not there yet
    assert began_with(dock, dialogs, "load_model") == str(images)
