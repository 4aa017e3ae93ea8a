"""All pixels of an image, and of a label image."""

import struct
import zlib
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import zarr
from imagecodecs import png_encode
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from napari_ufseg.engine.errors import FileError, UfsegWarning
from napari_ufseg.io import open_image, read_image, read_labels

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


def indexed(numbers: Any) -> Image.Image:
    """A picture whose pixels are numbers of a palette, as GIMP and label images of VOC have them."""
    picture = Image.fromarray(np.asarray(numbers, np.uint8)).convert("P")
    picture.putdata(np.ravel(numbers).tolist())
    picture.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    return picture


@pytest.mark.parametrize("bits", [2, 8])
def test_labels_in_a_png_with_a_palette_are_its_numbers_and_an_image_its_colours(bits: int, tmp_path: Path) -> None:
    numbers = np.array([[0, 1, 3], [3, 3, 2]])
    indexed(numbers).save(tmp_path / "x.png", bits=bits)
    np.testing.assert_array_equal(read_labels(tmp_path / "x.png"), numbers)
    assert read_image(tmp_path / "x.png").shape == (2, 3, 3)
    assert open_image(tmp_path / "x.png").is_rgb


@pytest.mark.parametrize("numbers", [[[0, 1, 255]], [[0, 1, 40000]]])
def test_a_png_that_says_so_holds_labels(numbers: Any, tmp_path: Path) -> None:
    said = PngInfo()
    said.add_text("Software", "napari-ufseg labels")
    said.add_text("napari-ufseg classes", '[{"label": 1, "name": "nuclei", "colour": "#ff8000"}, {"label": "?"}, 3]')
    picture = indexed(numbers) if np.max(numbers) < 256 else Image.fromarray(np.array(numbers, np.uint16))
    picture.save(tmp_path / "x.png", pnginfo=said)
    image = open_image(tmp_path / "x.png")
    assert (image.is_labels, image.is_rgb, image.axes) == (True, False, "YX")
    assert (image.classes[1].name, image.classes[1].colour, len(image.classes)) == ("nuclei", "#ff8000", 1)
    for read in (image.data, read_image(tmp_path / "x.png"), read_labels(tmp_path / "x.png")):
        np.testing.assert_array_equal(read, numbers)


def test_what_a_png_says_of_its_classes_may_be_damaged(tmp_path: Path) -> None:
    for number, text in enumerate(("[{", '{"label": 1}', "1e999", "[" * 100_000)):
        said = PngInfo()
        said.add_text("Software", "napari-ufseg labels")
        said.add_text("napari-ufseg classes", text)
        indexed([[0, 1]]).save(tmp_path / f"{number}.png", pnginfo=said)
        image = open_image(tmp_path / f"{number}.png")
        assert (image.is_labels, dict(image.classes)) == (True, {})


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
@pytest.mark.parametrize("largest", [65535, 510, 200])
def test_a_png_of_16_bits_is_read_whole(largest: int, n_channels: int, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, largest + 1, (12, 10, n_channels)).astype(np.uint16)
    (tmp_path / "x.png").write_bytes(png_encode(values.squeeze()))
    image = open_image(tmp_path / "x.png")
    expected = values[..., : 1 if n_channels < 3 else 3].squeeze()  # without opacity
    assert (image.data.dtype, image.is_rgb) == (np.uint16, n_channels > 2)
    np.testing.assert_array_equal(np.asarray(image.data), expected)
    np.testing.assert_array_equal(read_image(tmp_path / "x.png"), expected)


def test_a_damaged_png_of_16_bits_is_one_sentence(tmp_path: Path) -> None:
    whole = png_encode(np.full((12, 10, 3), 300, np.uint16))
    (tmp_path / "x.png").write_bytes(whole[:60])
    with pytest.raises(FileError, match=r"x\.png is not an image that can be read, or it is damaged\.$"):
        read_image(tmp_path / "x.png")


ODD_CHUNKS = {  # of a PNG, beside its pixels: kind, content, and whether its check sum is right
    "text with a wrong check sum": (b"tEXt", b"a\0b", False),
    "text that is too long": (b"zTXt", b"a\0\0" + zlib.compress(b"x" * 3_000_000), True),
    "EXIF that is none": (b"eXIf", b"junkjunk", True),
    "pixel size that is too short": (b"pHYs", b"ju", True),
    "gamma that is too short": (b"gAMA", b"j", True),
}


@pytest.mark.parametrize("image", [GREY, COLOUR, GREY.astype(np.uint16) * 300], ids=["grey", "colour", "16 bit"])
@pytest.mark.parametrize("kind", ODD_CHUNKS)
def test_odd_words_in_a_png_cost_no_pixel(kind: str, image: npt.NDArray[Any], tmp_path: Path) -> None:
    name, content, is_right = ODD_CHUNKS[kind]
    sum_ = zlib.crc32(name + content) + (not is_right)
    whole = png_encode(image)
    chunk = struct.pack(">I", len(content)) + name + content + struct.pack(">I", sum_ & 0xFFFFFFFF)
    (tmp_path / "x.png").write_bytes(whole[:33] + chunk + whole[33:])
    with pytest.warns(UfsegWarning, match=r"What .*x\.png says beside its pixels cannot be understood"):
        np.testing.assert_array_equal(read_image(tmp_path / "x.png"), image)
    (tmp_path / "x.png").write_bytes(whole[:33] + chunk + whole[33 : len(whole) * 2 // 3])
    with pytest.raises(FileError, match="or it is damaged"):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize("depth", [8, 16])
def test_a_png_that_would_fill_the_memory_is_refused(depth: int, tmp_path: Path) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, depth, 2, 0, 0, 0)
    whole = png_encode(COLOUR)
    (tmp_path / "x.png").write_bytes(whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:])
    with pytest.raises(FileError, match=r"x\.png is not an image that can be read"):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_kind_of_jpeg(mode: str, tmp_path: Path) -> None:
    Image.fromarray(COLOUR).convert(mode).save(tmp_path / "x.jpg")
    assert read_image(tmp_path / "x.jpg").shape == ((12, 10) if mode == "L" else (12, 10, 3))


def test_tiff_with_lzw_compression(tmp_path: Path) -> None:
    Image.fromarray(GREY.astype(np.uint16)).save(tmp_path / "x.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), GREY)


@pytest.mark.parametrize(
    "name", ["missing.png", "broken.png", "broken.tif", "empty.jpg", "notes.txt", "folder.png", "x.zarr"]
)
def test_what_is_no_image_is_one_sentence(name: str, tmp_path: Path) -> None:
    for other in ("broken.png", "broken.tif", "notes.txt"):
        (tmp_path / other).write_text("no image")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "x.zarr").mkdir()
    with pytest.raises(FileError) as caught:
        read_image(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_label_files_hold_whole_numbers_in_one_channel(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", GREY / 2)
    with pytest.raises(FileError, match="whole numbers"):
        read_labels(tmp_path / "x.tif")
    iio.imwrite(tmp_path / "x.png", COLOUR)
    with pytest.raises(FileError, match="one channel"):
        read_labels(tmp_path / "x.png")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_without_its_axes_of_length_one(zarr_format: Any, tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "x.zarr", data=GREY[None, :1], zarr_format=zarr_format)
    assert array.shape == (1, 1, 10)
    np.testing.assert_array_equal(read_image(tmp_path / "x.zarr"), GREY[:1])
    np.testing.assert_array_equal(read_labels(tmp_path / "x.zarr"), GREY[:1])


def test_damage_among_the_pixels_of_a_zarr(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "x.zarr", data=GREY, zarr_format=2)
    (tmp_path / "x.zarr" / "0.0").write_bytes(b"no chunk")
    with pytest.raises(FileError, match=r"x\.zarr is not an image that can be read, or it is damaged"):
        read_image(tmp_path / "x.zarr")
