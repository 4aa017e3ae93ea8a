"""Labels as PNG: other programs see the colours of the classes, and we find numbers, names and colours again."""

from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
from PIL import Image

from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.labels.class_table import ClassTable, class_colours
from napari_ufseg.io import find_images, label_format, open_image, read_image, read_labels, write_labels

PLANE = np.array([[0, 1, 2], [3, 3, 255]], np.uint16)
SAID = ClassTable().changed(1, name="Kern µm", colour="#ff8000").changed(3, is_visible=False)


@pytest.mark.parametrize("labels", [PLANE, PLANE > 1, PLANE.astype(np.int64) * 257, np.zeros((2, 3), np.uint8)])
@pytest.mark.parametrize("colours", [True, False])
def test_numbers_names_and_colours_come_back(labels: Any, colours: bool, tmp_path: Path) -> None:
    write_labels(tmp_path / "new" / "l.PNG", labels, classes=SAID, colours=colours, scale=(0.5, 0.25), unit="µm")
    image = open_image(tmp_path / "new" / "l.PNG")
    assert (image.is_labels, image.is_rgb, image.axes, dict(image.classes)) == (True, False, "YX", dict(SAID))
    for read in (image.data, read_labels(image.path), read_image(image.path)):
        np.testing.assert_array_equal(read, labels)
    with pytest.raises(FileError, match="holds no image"):
        find_images([tmp_path / "new"])
    assert [path.name for path in image.path.parent.iterdir()] == ["l.PNG"]


def test_other_programs_see_the_colours_of_the_classes(tmp_path: Path) -> None:
    write_labels(tmp_path / "l.png", PLANE, classes=SAID)
    with Image.open(tmp_path / "l.png") as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(picture, PLANE)
        seen = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(seen[0, :2], [[0, 0, 0], [255, 128, 0]])
    np.testing.assert_array_equal(seen[0, 2], np.rint(class_colours()[1] * 255))


@pytest.mark.parametrize(("largest", "mode"), [(255, "P"), (256, "I;16"), (65535, "I;16")])
def test_above_255_it_is_grey_with_16_bits(largest: int, mode: str, tmp_path: Path) -> None:
    lazy = dask.array.from_array(np.array([[0, 1, largest]]), chunks=(1, 2))
    write_labels(tmp_path / "l.png", lazy)
    with Image.open(tmp_path / "l.png") as picture:
        assert picture.mode == mode
    np.testing.assert_array_equal(read_labels(tmp_path / "l.png"), [[0, 1, largest]])


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.ones((2, 3, 4), np.uint8), r"holds one plane, .* write them as TIFF \(\.tif\) or OME-Zarr"),
        (PLANE.astype(np.int32) + 65500, r"do not fit into uint16; number them anew from 1"),
        (PLANE.astype(np.int32) - 1, r"do not fit into uint16; number them anew from 1"),
        (np.broadcast_to(np.uint8(1), (10_000, 10_000)), r"10000 x 10000 pixels are more than .* as TIFF"),
    ],
)
def test_what_has_no_place_is_refused_and_what_was_there_stays(labels: Any, words: str, tmp_path: Path) -> None:
    write_labels(tmp_path / "l.png", PLANE)
    with pytest.raises(FileError, match=rf"^Cannot write .*l\.png: .*{words}"):
        write_labels(tmp_path / "l.png", labels)
    np.testing.assert_array_equal(read_labels(tmp_path / "l.png"), PLANE)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_name_says_the_format() -> None:
    known = label_format(Path("l.Png"))
    assert known is not None
    assert (known.name, known.ending, known.dialog_filter) == ("png", ".png", "PNG (*.png)")
