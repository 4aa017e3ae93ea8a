"""A TIFF that was cut off in mid-copy is refused: none opens as an image with fewer planes, or with empty ones."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from napari_ufseg.engine.errors import FileError
from napari_ufseg.io import open_image, read_image, readable

STACK = np.random.default_rng(0).integers(0, 60000, (6, 64, 64)).astype(np.uint16)
COLOUR = np.random.default_rng(1).integers(0, 255, (5, 48, 64, 3)).astype(np.uint8)

KINDS: dict[str, dict[str, Any]] = {
    "plain": {"metadata": None},
    "shaped": {},
    "shaped BigTIFF": {"bigtiff": True},
    "shaped tiles": {"tile": (32, 32)},
    "other order of bytes": {"byteorder": ">"},
    "ImageJ": {"imagej": True, "metadata": {"axes": "ZYX"}},
    "OME": {"ome": True, "metadata": {"axes": "ZYX"}},
    "OME tiles": {"ome": True, "metadata": {"axes": "TYX"}, "tile": (32, 32)},
}


def whole_or_refused(file: Path, expected: npt.NDArray[Any]) -> bool:
    """Whether both ways to read a file refuse it; if one does not, it must give every pixel."""
    refused: list[bool] = []
    for read in (lambda: np.asarray(open_image(file).data[...]), lambda: read_image(file)):
        try:
            with readable(file):
                array = read()
        except FileError as error:
            told = str(error)
        else:
            told = ""
            np.testing.assert_array_equal(array, expected)
        assert not told or (str(file) in told and "\n" not in told)
        refused.append(bool(told))
    assert refused[0] == refused[1]
    return refused[0]


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("array", [STACK, COLOUR], ids=["grey", "colour"])
def test_wherever_a_file_is_cut_it_is_refused(
    array: npt.NDArray[Any], kind: str, compression: str | None, tmp_path: Path
) -> None:
    if array.ndim == 4 and kind.startswith("OME"):
        kinds = {**KINDS[kind], "metadata": {"axes": "ZYXS"}, "photometric": "rgb"}
    elif array.ndim == 4:
        kinds = {**KINDS[kind], "photometric": "rgb"} | ({"metadata": {"axes": "ZYXS"}} if kind == "ImageJ" else {})
    else:
        kinds = {**KINDS[kind], "photometric": "minisblack"}
    file = tmp_path / "x.tif"
    tifffile.imwrite(file, array, compression=compression, **kinds)
    size = file.stat().st_size
    assert not whole_or_refused(file, array)
    cuts = sorted({size * i // 24 for i in range(1, 24)} | {size - 1}, reverse=True)
    refused = []
    for cut in cuts:
        os.truncate(file, cut)
        refused.append(whole_or_refused(file, array))
    assert all(refused[1:])  # at the very end of a file there may be a byte that nobody needs


def test_a_series_that_imagej_wrote_behind_one_page(tmp_path: Path) -> None:
    file = tmp_path / "x.tif"
    tifffile.imwrite(file, STACK[0], description="ImageJ=1.54f\nimages=6\nslices=6\n", metadata=None)
    with tifffile.TiffFile(file) as tiff:
        offset = tiff.pages.first.dataoffsets[0]
    with file.open("r+b") as stream:
        stream.seek(offset)
        stream.write(STACK.tobytes())
    assert not whole_or_refused(file, STACK)
    os.truncate(file, offset + STACK[:3].nbytes)
    assert whole_or_refused(file, STACK)


def test_the_number_of_planes_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x.tif"
    tifffile.imwrite(file, STACK, compression="zlib", photometric="minisblack")
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(FileError, match=r"x\.tif is not complete: it tells of 6 planes but holds \d"):
        open_image(file)


def test_an_ome_tiff_whose_other_files_are_missing(tmp_path: Path) -> None:
    file = tmp_path / "x.ome.tif"
    tifffile.imwrite(file, STACK, ome=True, metadata={"axes": "ZYX"}, photometric="minisblack")
    with tifffile.TiffFile(file) as tiff:
        assert tiff.ome_metadata is not None
        xml = tiff.ome_metadata.replace('SizeZ="6"', 'SizeZ="9"')
    tifffile.imwrite(file, STACK, description=xml.encode(), metadata=None, photometric="minisblack")
    with pytest.raises(FileError, match="tells of 9 planes but holds 6"):
        open_image(file)


def test_a_cut_pyramid(tmp_path: Path) -> None:
    file = tmp_path / "x.tif"
    levels = (STACK, STACK[:, ::2, ::2])
    with tifffile.TiffWriter(file) as writer:
        options: dict[str, Any] = {"tile": (16, 16), "photometric": "minisblack", "compression": "zlib"}
        writer.write(levels[0], subifds=1, **options)
        writer.write(levels[1], subfiletype=1, **options)
    size, refused = file.stat().st_size, []
    for cut in (size, size * 9 // 10, size // 2):
        os.truncate(file, cut)
        for level, expected in enumerate(levels):
            try:
                with readable(file):
                    np.testing.assert_array_equal(open_image(file, level).data[...], expected)
            except FileError:
                refused.append((cut, level))
    assert {(size * 9 // 10, 1), (size // 2, 0), (size // 2, 1)} <= set(refused)
    assert not {(size, 0), (size, 1)} & set(refused)
