"""Images and labels in files."""

from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from napari_ufseg.engine.errors import FileError
from napari_ufseg.io import find_images, read_image, read_labels, write_labels

GREY = np.arange(12 * 10, dtype=np.uint8).reshape(12, 10)
COLOUR = np.stack([GREY, GREY + 50, GREY + 100], axis=-1)


@pytest.mark.parametrize("name", ["x.tif", "x.TIFF", "x.png"])
@pytest.mark.parametrize("image", [GREY, GREY.astype(np.uint16) * 300, COLOUR], ids=["grey", "16 bit", "colour"])
def test_pixels_come_back_as_they_are(name: str, image: npt.NDArray[Any], tmp_path: Path) -> None:
    iio.imwrite(tmp_path / name, image)
    read = read_image(tmp_path / name)
    assert read.dtype == image.dtype
    np.testing.assert_array_equal(read, image)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, bool])
def test_any_type_of_number_in_a_tiff(dtype: Any, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", GREY.astype(dtype))
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), GREY.astype(dtype))


@pytest.mark.parametrize(
    ("stored", "shape"),
    [((1, 1, 12, 10), (12, 10)), ((2, 12, 10), (2, 12, 10)), ((1, 10), (1, 10)), ((5, 1, 12, 10), (5, 12, 10))],
)
def test_axes_of_a_tiff(stored: tuple[int, ...], shape: tuple[int, ...], tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", np.ones(stored, np.uint16), photometric="minisblack")
    assert read_image(tmp_path / "x.tif").shape == shape


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1"])
def test_every_kind_of_png(mode: str, tmp_path: Path) -> None:
    Image.fromarray(COLOUR).convert(mode).save(tmp_path / "x.png")
    expected = {"L": (12, 10), "LA": (12, 10), "1": (12, 10)}.get(mode, (12, 10, 3))
    assert read_image(tmp_path / "x.png").shape == expected


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_kind_of_jpeg(mode: str, tmp_path: Path) -> None:
    Image.fromarray(COLOUR).convert(mode).save(tmp_path / "x.jpg")
    assert read_image(tmp_path / "x.jpg").shape == ((12, 10) if mode == "L" else (12, 10, 3))


def test_tiff_with_lzw_compression(tmp_path: Path) -> None:
    Image.fromarray(GREY.astype(np.uint16)).save(tmp_path / "x.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), GREY)


@pytest.mark.parametrize("name", ["missing.png", "broken.png", "broken.tif", "empty.jpg", "notes.txt", "folder.png"])
def test_what_is_no_image_is_one_sentence(name: str, tmp_path: Path) -> None:
    for other in ("broken.png", "broken.tif", "notes.txt"):
        (tmp_path / other).write_text("no image")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(FileError) as caught:
        read_image(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_find_images_in_order_each_once(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.tif", "c.jpeg", ".hidden.png", "notes.txt", "a_labels.tif"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [file.name for file in find_images([tmp_path])] == ["a.tif", "b.PNG", "c.jpeg"]
    both = find_images([tmp_path / "c.jpeg", tmp_path, tmp_path / "a_labels.tif"])
    assert [file.name for file in both] == ["c.jpeg", "a.tif", "b.PNG", "a_labels.tif"]


def test_find_images_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no image"):
        find_images([tmp_path])
    with pytest.raises(FileError, match="no file or folder"):
        find_images([tmp_path / "none"])


def test_labels_with_scale_are_read_by_others(tmp_path: Path) -> None:
    write_labels(tmp_path / "l.tif", GREY.astype(np.int64) + 1000, scale=(0.5, 0.25), unit="µm")
    with tifffile.TiffFile(tmp_path / "l.tif") as tiff:
        assert tiff.imagej_metadata is not None
        assert tiff.imagej_metadata["unit"] == "\\u00B5m"
        assert tiff.series[0].axes == "YX"
        assert tiff.series[0].dtype == np.uint16
        assert tiff.pages.first.resolution == (4, 2)  # pixels per unit along x and y
    np.testing.assert_array_equal(read_labels(tmp_path / "l.tif"), GREY.astype(int) + 1000)
    assert np.asarray(Image.open(tmp_path / "l.tif")).max() == 1000 + int(GREY.max())  # another reader


def test_labels_without_scale(tmp_path: Path) -> None:
    write_labels(tmp_path / "new" / "l.tif", GREY)
    read = read_labels(tmp_path / "new" / "l.tif")
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, GREY)


@pytest.mark.parametrize("labels", [GREY.astype(int) - 1, GREY.astype(int) + 65500, GREY / 2, COLOUR])
def test_labels_that_do_not_fit_are_refused(labels: npt.NDArray[Any], tmp_path: Path) -> None:
    with pytest.raises(FileError, match="Cannot write"):
        write_labels(tmp_path / "l.tif", labels)
    assert list(tmp_path.iterdir()) == []


def test_label_files_hold_whole_numbers_in_one_channel(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", GREY / 2)
    with pytest.raises(FileError, match="whole numbers"):
        read_labels(tmp_path / "x.tif")
    iio.imwrite(tmp_path / "x.png", COLOUR)
    with pytest.raises(FileError, match="one channel"):
        read_labels(tmp_path / "x.png")
