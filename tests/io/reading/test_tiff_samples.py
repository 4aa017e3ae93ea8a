"""What the samples of a TIFF pixel mean: opacity is no channel, and a palette is looked up where it says colours."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from napari_ufseg.engine.errors import FileError, UfsegWarning
from napari_ufseg.io import open_image, read_image, read_label_numbers, read_labels, write_labels

RANDOM = np.random.default_rng(0)
RGBA = RANDOM.integers(0, 250, (3, 24, 30, 4)).astype(np.uint8)
COLOURS = RANDOM.integers(0, 256, (256, 3)).astype(np.uint8)
NUMBERS = RANDOM.integers(0, 256, (24, 30)).astype(np.uint8)

PICTURES = {
    "not multiplied": (RGBA[0], {"extrasamples": ["unassalpha"]}),
    "multiplied": (RGBA[0], {"extrasamples": ["assocalpha"]}),
    "16 bit": (RGBA[0].astype(np.uint16) * 250, {"extrasamples": ["unassalpha"]}),
    "real numbers": (RGBA[0].astype(np.float32) / 250, {"extrasamples": ["unassalpha"]}),
    "compressed": (RGBA[0], {"extrasamples": ["unassalpha"], "compression": "zlib", "predictor": True}),
    "tiles": (RGBA[0], {"extrasamples": ["unassalpha"], "tile": (16, 16)}),
    "other order of bytes": (RGBA[0].astype(np.uint16), {"extrasamples": ["unassalpha"], "byteorder": ">"}),
    "a stack": (RGBA, {"extrasamples": ["unassalpha"]}),
    "a stack without description": (RGBA, {"extrasamples": ["assocalpha"], "metadata": None}),
    "OME": (RGBA, {"extrasamples": ["unassalpha"], "ome": True, "metadata": {"axes": "ZYXS"}}),
    "planes": (np.moveaxis(RGBA[0], -1, 0), {"extrasamples": ["unassalpha"], "planarconfig": "separate"}),
    "grey": (RGBA[0, :, :, :2], {"extrasamples": ["unassalpha"], "photometric": "minisblack"}),
    "opacity before another": (RGBA[0], {"extrasamples": ["unassalpha", "unspecified"], "photometric": "minisblack"}),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_opacity_is_left_out(kind: str, tmp_path: Path) -> None:
    pixels, options = PICTURES[kind]
    if kind == "opacity before another":
        pixels = pixels[:, :, :3]
    options = {"photometric": "rgb", "planarconfig": "contig", **options}
    tifffile.imwrite(tmp_path / "x.tif", pixels, **options)
    axis = 0 if kind == "planes" else -1
    kept = {"grey": [0], "opacity before another": [0, 2]}.get(kind, [0, 1, 2])
    expected = np.take(pixels, kept, axis=axis)
    image = open_image(tmp_path / "x.tif")
    assert (image.data.shape, image.data.dtype, image.note) == (expected.shape, expected.dtype.newbyteorder("="), "")
    assert image.is_rgb == (len(kept) == 3)
    assert image.axes.count("C") == 1
    np.testing.assert_array_equal(np.asarray(image.data), expected)
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), expected.squeeze())


@pytest.mark.parametrize("kind", ["not multiplied", "tiles", "planes", "a stack", "opacity before another"])
def test_any_region_is_that_of_the_pixels_without_opacity(kind: str, tmp_path: Path) -> None:
    test_opacity_is_left_out(kind, tmp_path)
    data = open_image(tmp_path / "x.tif").data
    whole = np.asarray(data[...])
    for region in ((..., 0), (0, ..., slice(1, 3)), (slice(2, 20, 3),), (slice(None), 5), (..., slice(None, None, 2))):
        np.testing.assert_array_equal(data[region], whole[region])


@pytest.mark.parametrize("has_tag", [True, False])
def test_a_fourth_value_that_the_file_does_not_explain_is_a_channel_and_told(has_tag: bool, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", RGBA[0], photometric="rgb", extrasamples=["unspecified"])
    if not has_tag:  # as some programs write it: here the tag gets the number of a private one
        with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
            offset = tiff.pages.first.tags["ExtraSamples"].offset
        with (tmp_path / "x.tif").open("r+b") as stream:
            stream.seek(offset)
            stream.write((65000).to_bytes(2, "little"))
    image = open_image(tmp_path / "x.tif")
    assert (image.data.shape, image.is_rgb) == ((24, 30, 4), False)
    assert "is taken for a channel" in image.note
    with pytest.warns(UfsegWarning, match=r"x\.tif does not say what the fourth value"):
        read_image(tmp_path / "x.tif")


def write_palette(file: Path, numbers: npt.NDArray[Any], **options: Any) -> None:
    """A TIFF whose pixels are numbers of COLOURS, or of as many colours as so many bits can count."""
    n = 2 ** (8 * numbers.dtype.itemsize) if options.get("bitspersample") is None else 2 ** options["bitspersample"]
    table = np.resize(COLOURS, (n, 3)).astype(np.uint16).T * 257
    tifffile.imwrite(file, numbers, photometric="palette", colormap=table, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"metadata": None},
        {"compression": "lzw"},
        {"tile": (16, 16), "compression": "zlib"},
        {"byteorder": ">", "rowsperstrip": 5},
        {"software": "GIMP 2.10", "metadata": None},
        {"bigtiff": True},
    ],
)
@pytest.mark.parametrize("n_pages", [1, 3])
def test_an_image_with_a_palette_is_its_colours_and_labels_are_its_numbers(
    options: dict[str, Any], n_pages: int, tmp_path: Path
) -> None:
    numbers = NUMBERS if n_pages == 1 else np.stack([NUMBERS, NUMBERS[::-1], NUMBERS // 2])
    write_palette(tmp_path / "x.tif", numbers, **options)
    image = open_image(tmp_path / "x.tif")
    assert (image.axes[-3:], image.is_rgb, image.data.dtype) == ("YXC", True, np.uint8)
    np.testing.assert_array_equal(np.asarray(image.data), COLOURS[numbers])
    np.testing.assert_array_equal(image.data[..., 3:9, 2:20, 1], COLOURS[numbers][..., 3:9, 2:20, 1])
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), COLOURS[numbers])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_label_numbers(tmp_path / "x.tif"), numbers)


@pytest.mark.parametrize("mode", ["P", "1", "L"])
def test_what_pillow_writes_is_what_pillow_shows(mode: str, tmp_path: Path) -> None:
    picture = Image.fromarray(np.asarray(COLOURS[NUMBERS])).convert(mode)
    picture.save(tmp_path / "x.tif", compression="tiff_lzw")
    shown = np.asarray(picture.convert("RGB") if mode == "P" else picture)
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), shown)


def test_a_palette_of_8_bits_and_one_of_16(tmp_path: Path) -> None:
    small = COLOURS.astype(np.uint16).T  # as old programs write it, not times 257
    tifffile.imwrite(tmp_path / "x.tif", NUMBERS, photometric="palette", colormap=small)
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), COLOURS[NUMBERS])
    deep = np.arange(3 * 65536, dtype=np.uint32).reshape(3, 65536).astype(np.uint16)
    numbers = NUMBERS.astype(np.uint16) * 200
    tifffile.imwrite(tmp_path / "y.tif", numbers, photometric="palette", colormap=deep)
    np.testing.assert_array_equal(read_image(tmp_path / "y.tif"), deep.T[numbers])


def test_labels_with_a_palette_are_numbers(tmp_path: Path) -> None:
    write_palette(tmp_path / "x.tif", NUMBERS)
    np.testing.assert_array_equal(read_labels(tmp_path / "x.tif"), NUMBERS)
    write_palette(tmp_path / "ours.tif", NUMBERS, software="napari-ufseg labels", metadata=None)
    image = open_image(tmp_path / "ours.tif")
    assert (image.is_labels, image.is_rgb, image.axes) == (True, False, "YX")
    np.testing.assert_array_equal(np.asarray(image.data), NUMBERS)
    write_labels(tmp_path / "l.tif", NUMBERS.astype(np.uint16), axes="YX")
    np.testing.assert_array_equal(read_image(tmp_path / "l.tif"), NUMBERS)


@pytest.mark.parametrize(
    "description", ["ImageJ=1.54f\n", "ImageJ=1.54f\nimages=1\nmin=0.0\nmax=255.0\n", "ImageJ=1.11a\nunit=um\n"]
)
def test_the_look_up_table_of_imagej_says_only_how_numbers_are_shown(description: str, tmp_path: Path) -> None:
    write_palette(tmp_path / "x.tif", NUMBERS, description=description, metadata=None)
    image = open_image(tmp_path / "x.tif")
    assert (image.axes, image.is_rgb) == ("YX", False)
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), NUMBERS)


@pytest.mark.parametrize(("number", "name"), [(34999, "number 34999"), (60001, "number 60001"), (32766, "NEXT")])
def test_a_compression_that_nobody_here_can_undo_is_named(number: int, name: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", NUMBERS, metadata=None)
    with tifffile.TiffFile(tmp_path / "x.tif", mode="r+b") as tiff:
        tiff.pages.first.tags["Compression"].overwrite(number)
    with pytest.raises(
        FileError, match=rf"x\.tif is compressed in a way that cannot be read here \({name}\)"
    ) as caught:
        open_image(tmp_path / "x.tif")
    assert "damaged" not in str(caught.value)
