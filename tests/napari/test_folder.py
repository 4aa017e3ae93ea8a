"""The Folder tab: a folder of images labelled with the model of the dock, by clicks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from driver import WAIT, Dock, threads_alive
from qtpy.QtWidgets import QFileDialog, QLineEdit, QPushButton, QTableWidget

from napari_ufseg import SegmentationConfig, predict
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.io import open_image


@pytest.fixture(scope="module")
def model() -> SegmentationModel:
    torch.manual_seed(0)
    config = SegmentationConfig(n_features=4, n_classes=5, n_convolutions=1)
    return SegmentationModel(FeatureNet(1, 4, 5, 1).eval(), config, 1)


@pytest.fixture
def folder(tmp_path: Path, picture: np.ndarray) -> Path:
    """Three images and a file that is none."""
    place = tmp_path / "images"
    (place / "late").mkdir(parents=True)
    for name in ("a.tif", "c.tif", "late/d.tif"):
        tifffile.imwrite(place / name, picture)
    (place / "b.tif").write_text("no image")
    return place


class Panel:
    """The panel in the dock of a viewer, driven as a user does."""

    def __init__(self, dock: Dock) -> None:
        self.dock = dock
        self.widget = dock.widget.folder

    def part(self, name: str, kind: type) -> Any:
        found = self.widget.findChild(kind, f"ufseg.folder.{name}")
        assert found is not None
        return found

    def click(self, name: str) -> None:
        self.part(name, QPushButton).click()

    def run_to_end(self) -> Any:
        with self.dock.qtbot.waitSignal(self.widget.finished, timeout=WAIT) as signal:
            self.click("start")
        return signal.args[0]

    def rows(self) -> list[list[str]]:
        table = self.part("table", QTableWidget)
        return [[table.item(row, column).text() for column in range(3)] for row in range(table.rowCount())]

    @property
    def status(self) -> str:
        return self.widget._files.status.text()

    @property
    def bar(self) -> str:
        return self.widget._files.progress.format()

    def can(self, name: str) -> bool:
        return self.part(name, QPushButton).isEnabled()


@pytest.fixture
def panel(dock: Dock) -> Panel:
    return Panel(dock)


def test_it_says_what_is_missing_until_it_can_start(panel: Panel, model: SegmentationModel, folder: Path) -> None:
    assert (panel.status, panel.can("start")) == ("Segment an image or load a model first", False)
    panel.dock.widget.results.model = model
    assert (panel.status, panel.can("start")) == ("Choose the folder with the images", False)
    panel.widget.folder.setText(str(folder))
    assert (panel.status, panel.can("start"), panel.can("cancel")) == ("Ready", True, False)
    panel.dock.widget.results.model = None
    assert (panel.status, panel.can("start")) == ("Segment an image or load a model first", False)


def test_folders_are_asked_for_and_every_part_has_a_name(
    panel: Panel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: str(folder))
    panel.click("choose_path")
    output = panel.part("output", QLineEdit)
    assert output.text() == f"{folder}_labels"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: "")
    panel.click("choose_output")
    assert output.text() == f"{folder}_labels"
    output.setText("mine")
    panel.widget.folder.setText("/elsewhere")
    assert output.text() == "mine"
    for kind in (QLineEdit, QPushButton, QTableWidget):
        for part in panel.widget.findChildren(kind):
            if part.objectName().startswith("qt_"):
                continue  # parts of Qt's own widgets
            assert part.objectName().startswith("ufseg.folder.")
            assert part.accessibleName()
            assert part.toolTip()


def test_the_model_of_a_run_labels_a_folder_and_each_file_is_told(
    panel: Panel, folder: Path, picture: np.ndarray
) -> None:
    trained = panel.dock.segment_to_end().model
    panel.widget.folder.setText(str(folder))
    summary = panel.run_to_end()
    assert str(summary) == "3 written, 0 skipped, 1 failed"
    assert panel.status == "Done: 3 written, 0 skipped, 1 failed."
    late = str(Path("late") / "d.tif")
    assert [row[:2] for row in panel.rows()] == [
        *(["a.tif", "written"], ["b.tif", "failed"], ["c.tif", "written"], [late, "written"])
    ]
    messages = [row[2] for row in panel.rows()]
    assert messages[1].startswith("It is not an image that can be read")
    assert panel.part("table", QTableWidget).item(1, 2).toolTip().startswith(f"{folder / 'b.tif'} is not an image")
    assert messages[0] == messages[2] == messages[3] == ""
    header = panel.part("table", QTableWidget).horizontalHeader()
    assert header.sectionResizeMode(2) == header.ResizeMode.Stretch
    labels = tifffile.imread(folder.parent / "images_labels" / "late" / "d_labels.tif")
    np.testing.assert_array_equal(labels, predict(trained, picture, device="cpu"))
    assert panel.can("start")


def test_a_folder_is_labelled_at_the_detail_that_is_shown(
    panel: Panel, folder: Path, picture: np.ndarray, tmp_path: Path
) -> None:
    panel.dock.widget.detail = "auto"
    trained = panel.dock.segment_to_end().model
    panel.widget.folder.setText(str(folder))
    panel.widget._existing.value = "overwrite"
    for detail in (trained.hierarchy.suggested, trained.hierarchy.n_classes):
        panel.dock.part("detail").setValue(detail)
        assert panel.run_to_end().written == 3
        labels = tifffile.imread(folder.parent / "images_labels" / "a_labels.tif")
        np.testing.assert_array_equal(labels, predict(trained, picture, device="cpu", detail=detail))
        assert len(np.unique(labels)) == detail
    path = tmp_path / "m.safetensors"
    panel.dock.part("detail").setValue(2)
    panel.dock.widget.results.save_model(path)
    panel.dock.widget.results.load_model(path)
    assert panel.run_to_end().written == 3
    labels = tifffile.imread(folder.parent / "images_labels" / "a_labels.tif")
    np.testing.assert_array_equal(labels, predict(trained, picture, device="cpu", detail=2))


def test_the_message_does_not_repeat_the_path_wherever_it_stands(
    panel: Panel, model: SegmentationModel, folder: Path, picture: np.ndarray
) -> None:
    panel.dock.widget.results.model = model
    tifffile.imwrite(folder / "a.tif", np.zeros_like(picture))
    tifffile.imwrite(folder / "b.tif", np.stack([picture] * 3, -1))
    panel.widget.folder.setText(str(folder))
    panel.run_to_end()
    messages = [row[2] for row in panel.rows()]
    assert messages[0] == "It is constant: all of it is one class."
    assert messages[1].startswith("The model was trained on 1 channel, but it has 3: ")
    assert str(folder / "b.tif") in panel.part("table", QTableWidget).item(1, 2).toolTip()


def test_what_is_chosen_counts(panel: Panel, model: SegmentationModel, folder: Path, picture: np.ndarray) -> None:
    panel.dock.widget.results.model = model
    (folder / "b.tif").unlink()
    tifffile.imwrite(folder / "late" / "d.tif", np.stack([picture[:20, :20]] * 6), photometric="minisblack")
    panel.widget.folder.setText(str(folder))
    panel.widget._format.value = "ome.zarr"
    panel.widget._recursive.setChecked(False)
    assert panel.run_to_end().written == 2
    assert panel.run_to_end().skipped == 2
    panel.widget._existing.value = "overwrite"
    assert panel.run_to_end().written == 2
    panel.widget.folder.setText(str(folder / "late"))
    assert "name the axes" in (panel.run_to_end() and panel.rows()[0][2])
    panel.widget._axes.setText("ZYX")
    assert panel.run_to_end().written == 1
    assert open_image(folder / "late_labels" / "d_labels.ome.zarr").axes == "ZYX"
    panel.widget._format.value = "png"
    assert panel.run_to_end().failed == 1
    assert "PNG holds one plane" in panel.rows()[0][2]


def test_a_run_that_cannot_begin_is_told(
    panel: Panel, model: SegmentationModel, folder: Path, notices: list[Any]
) -> None:
    panel.dock.widget.results.model = model
    panel.widget.folder.setText(str(folder / "none"))
    with panel.dock.qtbot.waitSignal(panel.widget.failed, timeout=WAIT):
        panel.click("start")
    assert panel.status == f"There is no file or folder {folder / 'none'}."
    assert [notice.message for notice in notices] == [panel.status]
    assert (panel.can("start"), panel.rows()) == (True, [])


@pytest.fixture
def long_run(panel: Panel, model: SegmentationModel, tmp_path: Path) -> Panel:
    """A run in the middle of its second image, which has more tiles than can be done in a moment."""
    place = tmp_path / "long"
    place.mkdir()
    tifffile.imwrite(place / "a.tif", np.random.default_rng(0).integers(0, 255, (30, 30), np.uint8))
    tifffile.imwrite(place / "b.tif", np.random.default_rng(0).integers(0, 255, (8000, 8000), np.uint8))
    panel.dock.widget.results.model = model
    panel.widget.folder.setText(str(place))
    panel.click("start")

    def is_within_second() -> bool:
        rows = panel.rows()
        return len(rows) == 2 and rows[1][1] not in ("0%", "written")

    panel.dock.qtbot.waitUntil(is_within_second, timeout=WAIT)
    return panel


def written(tmp_path: Path) -> list[str]:
    """What the run left."""
    return sorted(path.name for path in (tmp_path / "long_labels").rglob("*"))


def test_cancel_by_a_click_and_the_rest_later(long_run: Panel, tmp_path: Path) -> None:
    panel = long_run
    assert panel.bar.startswith("1 of 2 files, about ")
    assert panel.can("cancel")
    assert not panel.can("start")
    with panel.dock.qtbot.waitSignal(panel.widget.finished, timeout=WAIT) as signal:
        panel.click("cancel")
    assert (signal.args[0].written, signal.args[0].left) == (1, 1)
    assert [row[:2] for row in panel.rows()] == [["a.tif", "written"], ["b.tif", "dropped"]]
    assert panel.status.startswith("Cancelled: 1 written, 0 skipped, 0 failed, 1 not done.")
    assert written(tmp_path) == ["a_labels.tif"]
    tifffile.imwrite(tmp_path / "long" / "b.tif", np.eye(30, dtype=np.uint8))
    assert str(panel.run_to_end()) == "1 written, 1 skipped, 0 failed"
    assert written(tmp_path) == ["a_labels.tif", "b_labels.tif"]


@pytest.mark.parametrize("how", ["window", "dock"])
def test_closing_in_mid_run_leaves_nothing_half_done(long_run: Panel, tmp_path: Path, how: str) -> None:
    dock = long_run.dock
    if how == "window":
        dock.viewer.close()
    else:
        dock.viewer.window.remove_dock_widget(dock.dock)
        assert not threads_alive()
        assert not long_run.widget.is_running
        assert "the dock was closed" in long_run.status
    dock.qtbot.waitUntil(lambda: not threads_alive(), timeout=WAIT)
    dock.qtbot.wait(200)  # what the thread had to say arrives; an exception would fail the test
    assert written(tmp_path) == ["a_labels.tif"]


def test_while_a_folder_is_labelled_neither_run_nor_apply_begins(long_run: Panel, notices: list[Any]) -> None:
    dock = long_run.dock
    n_layers = len(dock.viewer.layers)
    dock.click("segment")
    dock.click("apply_model")
    words = "A folder is being labelled: wait until it has ended, or press Cancel in the tab Folder first."
    assert [notice.message for notice in notices] == [words] * 2
    assert len(dock.viewer.layers) == n_layers
    with dock.qtbot.waitSignal(long_run.widget.finished, timeout=WAIT) as signal:
        long_run.click("cancel")
    assert signal.args[0].written == 1
    dock.segment_to_end()
