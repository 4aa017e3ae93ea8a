"""TIFF, PNG and JPEG files, opened without reading the pixels of a TIFF."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from napari_ufseg.engine.errors import FileError
from napari_ufseg.io import open_image, readable
from napari_ufseg.io.reading.known_labels import CLASSES_TAG

VOLUME = np.arange(3 * 2 * 40 * 30, dtype=np.uint16).reshape(3, 2, 40, 30)
RGB = VOLUME[0, 0, :, :, None].astype(np.uint8) + np.arange(3, dtype=np.uint8)
COMPRESSED = pytest.mark.parametrize("compression", [None, "zlib"])


def test_importing_the_room_is_cheap() -> None:
    code = "import sys, napari_ufseg.io; print({'zarr', 'dask', 'yaozarrs', 'torch', 'skimage'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


@COMPRESSED
def test_axes_and_scale_of_imagej(compression: str | None, tmp_path: Path) -> None:
    metadata = {"axes": "TZYX", "unit": "\\u00B5m", "spacing": -2.5, "finterval": 30}
    tifffile.imwrite(
        tmp_path / "x.tif", VOLUME, imagej=True, resolution=(4, 2), metadata=metadata, compression=compression
    )
    image = open_image(tmp_path / "x.tif")
    assert (image.path, image.axes, image.unit, image.n_levels) == (tmp_path / "x.tif", "TZYX", "µm", 1)
    assert image.scale == (30, 2.5, 0.5, 0.25)
    assert (image.data.shape, image.data.dtype, image.data.ndim) == (VOLUME.shape, np.uint16, 4)
    np.testing.assert_array_equal(image.data[1:, 0, 5:9], VOLUME[1:, 0, 5:9])


@pytest.mark.parametrize("unit", ["pixel", "pixels", None])
def test_pixels_are_no_unit(unit: str | None, tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "x.tif", VOLUME[0], imagej=True, metadata={"axes": "ZYX"} | ({"unit": unit} if unit else {})
    )
    image = open_image(tmp_path / "x.tif")
    assert (image.unit, image.scale) == (None, (1, 1, 1))


def test_channels_of_imagej(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", VOLUME, imagej=True, metadata={"axes": "ZCYX"})
    assert open_image(tmp_path / "x.tif").axes == "ZCYX"


@COMPRESSED
def test_axes_and_scale_of_ome(compression: str | None, tmp_path: Path) -> None:
    sizes = {"PhysicalSizeX": 250, "PhysicalSizeY": 500, "PhysicalSizeZ": 2, "TimeIncrement": 1500}
    units = {"PhysicalSizeXUnit": "nm", "PhysicalSizeYUnit": "nm", "PhysicalSizeZUnit": "µm", "TimeIncrementUnit": "ms"}
    tifffile.imwrite(
        tmp_path / "x.ome.tif", VOLUME, metadata={"axes": "TZYX", **sizes, **units}, compression=compression
    )
    image = open_image(tmp_path / "x.ome.tif")
    assert (image.axes, image.unit) == ("TZYX", "nm")
    assert image.scale == pytest.approx((1.5, 2000, 500, 250))
    np.testing.assert_array_equal(image.data[2, 1], VOLUME[2, 1])


@COMPRESSED
@pytest.mark.parametrize(
    ("array", "axes", "options"),
    [
        (VOLUME[0, 0], "YX", {}),
        (VOLUME[0], "?YX", {"photometric": "minisblack"}),
        (VOLUME[0], "?YX", {"photometric": "minisblack", "metadata": None}),
        (VOLUME[:1, :1], "??YX", {"photometric": "minisblack"}),
        (RGB, "YXC", {"photometric": "rgb"}),
        (np.moveaxis(RGB, 2, 0), "CYX", {"photometric": "rgb", "planarconfig": "separate"}),
        (VOLUME, "?ZYX", {"photometric": "minisblack", "metadata": {"axes": "QZYX"}}),
    ],
)
def test_axes_of_other_tiffs(
    array: npt.NDArray[Any], axes: str, options: dict[str, Any], compression: str | None, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "x.tif", array, compression=compression, **options)
    image = open_image(tmp_path / "x.tif")
    assert (image.axes, image.scale, image.unit) == (axes, (1,) * array.ndim, None)
    np.testing.assert_array_equal(np.asarray(image.data[...]), array)


@COMPRESSED
def test_values_come_in_the_order_of_bytes_of_this_machine(compression: str | None, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", VOLUME[0], imagej=True, byteorder=">", compression=compression)
    data = open_image(tmp_path / "x.tif").data
    for values in (data[0, 3:5], np.asarray(data)):
        assert data.dtype.isnative
        assert values.dtype == np.uint16
        assert values.dtype.isnative
    np.testing.assert_array_equal(data[0, 3:5], VOLUME[0, 0, 3:5])
    np.testing.assert_array_equal(np.asarray(data), VOLUME[0])


def test_only_the_tiles_of_a_region_are_decoded(tmp_path: Path) -> None:
    large = np.arange(512 * 512, dtype=np.uint16).reshape(512, 512)
    file = tmp_path / "x.tif"
    tifffile.imwrite(file, large, tile=(128, 128), compression="zlib")
    with tifffile.TiffFile(file) as tiff:
        places = list(zip(tiff.pages.first.dataoffsets, tiff.pages.first.databytecounts, strict=True))
    with file.open("r+b") as stream:  # every tile is spoilt but the sixth, at (1, 1)
        for offset, count in places[:5] + places[6:]:
            stream.seek(offset)
            stream.write(b"\xff" * count)
    data = open_image(file).data
    np.testing.assert_array_equal(data[130:250, 128:256], large[130:250, 128:256])
    with pytest.raises(FileError, match="damaged"), readable(file):
        data[100:250, 128:256]


def test_a_raw_tiff_is_not_loaded(tmp_path: Path) -> None:
    file = tmp_path / "x.tif"
    tifffile.imwrite(file, VOLUME[0], photometric="minisblack")
    data = open_image(file).data
    with tifffile.TiffFile(file) as tiff:
        offset = tiff.series[0].dataoffset
    with file.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\x2a\x00")
    assert data[0, 0, :2].tolist() == [42, 1]  # what the file holds now, not when it was opened


def test_levels_of_a_pyramid(tmp_path: Path) -> None:
    full = np.arange(300 * 200, dtype=np.uint16).reshape(300, 200)
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}
    with tifffile.TiffWriter(tmp_path / "x.ome.tif") as tiff:
        tiff.write(full, subifds=1, tile=(64, 64), metadata={"axes": "YX", **sizes})
        tiff.write(full[::2, ::2], subfiletype=1, tile=(64, 64))
    assert open_image(tmp_path / "x.ome.tif").scale == (0.25, 0.5)
    half = open_image(tmp_path / "x.ome.tif", level=1)
    assert (half.n_levels, half.level, half.axes, half.scale) == (2, 1, "YX", (0.5, 1))
    np.testing.assert_array_equal(half.data[...], full[::2, ::2])
    for level in (2, -1):
        with pytest.raises(FileError, match=r"it has 2 levels, 0 to 1\.$"):
            open_image(tmp_path / "x.ome.tif", level=level)


@pytest.mark.parametrize(
    ("name", "array", "axes"), [("x.png", RGB, "YXC"), ("x.png", RGB[..., 0], "YX"), ("x.jpg", RGB, "YXC")]
)
def test_pictures(name: str, array: npt.NDArray[Any], axes: str, tmp_path: Path) -> None:
    iio.imwrite(tmp_path / name, array)
    image = open_image(tmp_path / name)
    assert (image.axes, image.scale, image.unit, image.n_levels) == (axes, (1,) * array.ndim, None, 1)
    assert image.data.shape == array.shape


@pytest.mark.parametrize("name", ["missing.tif", "broken.tif", "short.tif", "notes.txt", "folder.tif"])
def test_what_is_no_image_is_one_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / "broken.tif").write_text("no image")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.tif").mkdir()
    tifffile.imwrite(tmp_path / "short.tif", VOLUME[0, 0])
    (tmp_path / "short.tif").write_bytes((tmp_path / "short.tif").read_bytes()[:2000])
    with pytest.raises(FileError) as caught:
        open_image(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "options", "is_rgb"),
    [
        (RGB, {"photometric": "rgb"}, True),
        (np.moveaxis(RGB, 2, 0), {"photometric": "rgb", "planarconfig": "separate"}, True),
        (RGB, {"photometric": "minisblack", "planarconfig": "contig"}, False),
        (np.moveaxis(RGB, 2, 0), {"imagej": True, "metadata": {"axes": "CYX"}}, False),
    ],
)
def test_colour_is_told_from_other_channels(
    array: npt.NDArray[Any], options: dict[str, Any], is_rgb: bool, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "x.tif", array, **options)
    image = open_image(tmp_path / "x.tif")
    assert ("C" in image.axes, image.is_rgb, image.is_labels) == (True, is_rgb, False)


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e999", "null", "[]"])
def test_classes_that_make_no_sense_are_left_out(number: str, tmp_path: Path) -> None:
    said = f'[{{"label": {number}}}, {{"label": 2, "name": "cells"}}, {{"detail": {{"shown": {number}, "of": 3}}}}]'
    tags = [(CLASSES_TAG, "s", 0, said, True)]
    tifffile.imwrite(tmp_path / "x.tif", VOLUME[0, 0], extratags=tags)
    image = open_image(tmp_path / "x.tif")
    assert [info.label for info in image.classes.values()] == [2]
    np.testing.assert_array_equal(image.data[...], VOLUME[0, 0])
