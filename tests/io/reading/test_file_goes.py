"""An image file that is cut short, or replaced, while its pixels are read: one sentence, and never another image."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_ufseg.engine.errors import FileError
from napari_ufseg.io import open_image, readable
from napari_ufseg.io.reading.file_pixels import FilePixels

STACK = np.random.default_rng(0).integers(0, 2**16, (6, 64, 96), np.uint16)
WRITE: dict[str, Callable[[Path], None]] = {
    "plain": lambda path: tifffile.imwrite(path, STACK, photometric="minisblack"),
    "ImageJ": lambda path: tifffile.imwrite(path, STACK, imagej=True),
    "OME": lambda path: tifffile.imwrite(path, STACK, ome=True, photometric="minisblack"),
    "BigTIFF": lambda path: tifffile.imwrite(path, STACK, bigtiff=True, photometric="minisblack"),
    "one plane": lambda path: tifffile.imwrite(path, STACK[0]),
    "strips": lambda path: tifffile.imwrite(path, STACK, rowsperstrip=7, photometric="minisblack"),
    "colour": lambda path: tifffile.imwrite(path, STACK[:3, ..., None].repeat(3, -1), photometric="rgb"),
    "tiles": lambda path: tifffile.imwrite(path, STACK, tile=(32, 32), photometric="minisblack"),
    "zlib": lambda path: tifffile.imwrite(path, STACK, compression="zlib", photometric="minisblack"),
    "zlib tiles": lambda path: tifffile.imwrite(
        path, STACK, compression="zlib", tile=(32, 32), photometric="minisblack"
    ),
    "LZW": lambda path: tifffile.imwrite(path, STACK, compression="lzw", photometric="minisblack"),
}


@pytest.mark.parametrize("kept", [0, 0.3, 0.9])
@pytest.mark.parametrize("kind", WRITE)
def test_a_tiff_that_is_cut_short_is_told(kind: str, kept: float, tmp_path: Path) -> None:
    path = tmp_path / "x.ome.tif"
    WRITE[kind](path)
    image = open_image(path)
    whole = np.asarray(image.data[...])
    with path.open("r+b") as file:
        file.truncate(int(kept * path.stat().st_size))
    with pytest.raises(FileError, match=r"has become shorter while it was read") as caught, readable(path):
        image.data[...]
    assert "\n" not in str(caught.value)
    for index in range(len(whole)):
        try:
            with readable(path):
                part = image.data[index]
        except FileError:
            continue
        np.testing.assert_array_equal(part, whole[index])


@pytest.mark.parametrize("kind", WRITE)
def test_a_tiff_that_is_removed_or_replaced_is_read_on(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.ome.tif"
    WRITE[kind](path)
    image = open_image(path)
    whole = np.asarray(image.data[...])
    (tmp_path / "new").write_bytes(bytes(2 * path.stat().st_size))
    (tmp_path / "new").replace(path)
    np.testing.assert_array_equal(image.data[...], whole)
    path.unlink()
    np.testing.assert_array_equal(image.data[...], whole)


@st.composite
def regions(draw: st.DrawFn) -> tuple[tuple[int, ...], Any]:
    """A shape, and a region of an array of it."""
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    bounds, steps = st.none() | st.integers(-10, 10), st.sampled_from([None, 1, 2, 3, -1, -2])
    parts = [draw(st.integers(-size, size - 1) | st.builds(slice, bounds, bounds, steps)) for size in shape]
    first = draw(st.integers(0, len(shape)))
    last = draw(st.integers(first, len(shape)))
    return shape, draw(st.sampled_from([tuple(parts), (*parts[:first], Ellipsis, *parts[last:]), tuple(parts[:first])]))


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of numbers after a header of 13 bytes."""
    path = tmp_path_factory.mktemp("numbers") / "numbers"
    path.write_bytes(bytes(13) + np.arange(9**4, dtype=">u2").tobytes())
    return path


@pytest.mark.parametrize("at_once", [1, 2**20])
@given(regions())
def test_regions_are_those_of_an_array(numbers: Path, at_once: int, wanted: tuple[tuple[int, ...], Any]) -> None:
    from napari_ufseg.io.reading import file_pixels

    shape, region = wanted
    before, file_pixels._AT_ONCE = file_pixels._AT_ONCE, at_once
    try:
        pixels = FilePixels(numbers, 13, shape, ">u2")
        expected = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
        found = pixels[region]
        np.testing.assert_array_equal(found, expected[region])
        assert (found.dtype, found.dtype.isnative) == (np.uint16, True)
        np.testing.assert_array_equal(np.asarray(pixels), expected)
    finally:
        file_pixels._AT_ONCE = before
