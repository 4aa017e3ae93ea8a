"""Names of layers, classes and files that look like HTML: shown letter by letter, and nothing is opened or drawn for them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from driver import Dock
from hypothesis import given
from hypothesis import strategies as st
from napari.layers import Labels
from napari.utils import notifications
from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtWidgets import QLabel, QTableView, QWidget
from steps import names, rename, segment

from napari_ufseg._napari.layers.reader import read_layers
from napari_ufseg._napari.layers.saving import file_stem, paths_for
from napari_ufseg._napari.parts import PlainLabel, plain, show_error, show_info, show_warning
from napari_ufseg.batch.folder import FileDone
from napari_ufseg.engine.errors import FileError

TAG = "<img src=/file>"
NAMES = [
    TAG,
    "<b>cells</b>",
    "a <a href='file:///etc'>b</a>",
    "x &lt; y",
    "<!-- x -->",
    "<style>*{}</style>",
    "<?xml?><i>",
]
INVISIBLE = "\u200b"


def texts_of(part: QWidget) -> list[str]:
    """Whatever Qt might take for HTML in a part: tooltips, words of labels, and tips of tables."""
    found = []
    for widget in [part, *part.findChildren(QWidget)]:
        found += [widget.toolTip(), widget.statusTip(), widget.whatsThis()]
        if isinstance(widget, QLabel) and widget.textFormat() != Qt.TextFormat.PlainText:
            found.append(widget.text())
        if isinstance(widget, QTableView):
            model, root = widget.model(), QModelIndex()
            assert model is not None
            places = np.ndindex(model.rowCount(root), model.columnCount(root))
            found += [str(model.data(model.index(*place), Qt.ItemDataRole.ToolTipRole)) for place in places]
    return found


def assert_nothing_is_drawn(dock: Dock, name: str) -> None:
    for text in texts_of(dock.widget):
        assert name not in text or not Qt.mightBeRichText(text)


@pytest.mark.parametrize("name", [NAMES[0], NAMES[3], NAMES[6]])
def test_names_of_layers_and_classes(dock: Dock, picture: np.ndarray, name: str) -> None:
    dock.viewer.layers["cells"].name = name
    segment(dock, name)
    rename(dock, next(iter(names(dock))), name)
    assert name in names(dock).values()
    assert_nothing_is_drawn(dock, name)
    told = [label for label in dock.widget.findChildren(QLabel) if name in label.text()]
    assert told
    assert all(label.textFormat() == Qt.TextFormat.PlainText for label in told)


@pytest.mark.parametrize("name", ["<img src=_file>", "<b>x<i>"])
def test_names_of_files_in_a_folder(dock: Dock, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    broken = folder / f"{name} broken.tif"
    broken.write_text("no image")
    files = dock.widget.folder._files
    files.begin(folder)
    files.show_done(FileDone(broken, folder / "l.tif", 1, 1, "failed", f"{broken} is damaged.", 0.1))
    assert files.table.item(0, 0).text() == broken.name
    assert name in files.status.text()
    assert_nothing_is_drawn(dock, name)
    with pytest.raises(FileError) as caught:
        read_layers(str(broken))
    assert not Qt.mightBeRichText(str(caught.value))
    tifffile.imwrite(folder / f"{name}.tif", np.ones((4, 4), np.uint8))
    assert read_layers(str(folder / f"{name}.tif"))[0][1]["name"] == name


@pytest.mark.parametrize("show", [show_info, show_warning, show_error])
@pytest.mark.parametrize("name", NAMES)
def test_names_in_notifications(show: Any, name: str) -> None:
    with notifications.notification_manager as manager:
        show(f"{name} cannot be read.")
        told = manager.records[-1].message
    assert not Qt.mightBeRichText(told)
    assert told.replace(INVISIBLE, "") == f"{name} cannot be read."


@given(st.text(alphabet="<>&;/!?ltamgibx =\"'\n", max_size=40) | st.text(max_size=20))
def test_any_text_is_shown_letter_by_letter(text: str) -> None:
    assert not Qt.mightBeRichText(plain(text))
    assert plain(text).replace(INVISIBLE, "") == text.replace(INVISIBLE, "")
    assert plain(plain(text)) == plain(text)


def test_a_label_is_plain(qtbot: Any) -> None:
    label = PlainLabel(TAG)
    qtbot.addWidget(label)
    assert label.textFormat() == Qt.TextFormat.PlainText


# -- names that are too long for a file ------------------------------------------------------------------


LETTERS = ["a", "é", "細", "🔬", "👩‍🔬", "ä", "한"]


@pytest.mark.parametrize("n", [1, 39, 60, 99, 100, 120, 255, 1000])
@pytest.mark.parametrize("letter", LETTERS)
def test_names_of_layers_are_cut_so_that_files_can_have_them(tmp_path: Path, letter: str, n: int) -> None:
    ends = ("", " classes", " classes, t=3")
    layers = [Labels(np.ones((4, 4), int), name=letter * n + end) for end in ends]
    paths = paths_for([*layers, *layers], tmp_path)
    assert len(set(paths)) == 6
    for path in paths:
        path.write_bytes(b"")  # the system takes the name
        path.with_name(path.stem + ".ome.zarr").write_bytes(b"")
        assert path.stem.endswith("_labels")
        assert path.name.startswith((letter * n)[:3])
    assert file_stem(layers[2]).endswith(", t=3_labels")


def test_a_name_that_fits_stays() -> None:
    assert file_stem(Labels(np.ones((4, 4), int), name="cells 細胞 🔬")) == "cells 細胞 🔬_labels"
