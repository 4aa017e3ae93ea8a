"""A TIFF that was cut off in mid-copy is refused: none opens as an image with fewer planes, or with empty ones.

What is whole is read, whatever else the file says: of a page that never was, or of planes in other files.
"""

import os
import struct
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


def point_to(file: Path, page: int, target: int) -> None:
    """Let a page say that the next one is at that offset."""
    with tifffile.TiffFile(file) as tiff:
        offset, form = tiff.pages[page].offset, tiff.tiff
        n_tags = len(tiff.pages[page].tags)
    with file.open("r+b") as stream:
        stream.seek(offset + form.tagnosize + n_tags * form.tagsize)
        stream.write(struct.pack(form.offsetformat, target))


NOWHERE = {
    "far beyond the end": lambda page, size: 0xFFFFFFF0,
    "just beyond the end": lambda page, size: size + 10,
    "at the end": lambda page, size: size,
    "too small for an offset": lambda page, size: 3,
    "among the pixels": lambda page, size: page.dataoffsets[0] + 100,
    "the page itself": lambda page, size: page.offset,
    "the first page": lambda page, size: page.parent.pages.first.offset,
    "not even": lambda page, size: 0xDEADBEEF,
}


@pytest.mark.parametrize("n_pages", [1, 3])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("place", NOWHERE)
def test_a_next_page_that_is_nowhere_costs_no_pixel(
    place: str, compression: str | None, n_pages: int, tmp_path: Path
) -> None:
    file = tmp_path / "x.tif"
    with tifffile.TiffWriter(file) as writer:
        for plane in STACK[:n_pages]:
            writer.write(plane, metadata=None, contiguous=False, compression=compression)
    with tifffile.TiffFile(file) as tiff:
        target = NOWHERE[place](tiff.pages[n_pages - 1], file.stat().st_size)
    point_to(file, n_pages - 1, target)
    image = open_image(file)
    np.testing.assert_array_equal(np.asarray(image.data), STACK[:n_pages].squeeze())
    assert image.note == (
        f"A further page of {file} cannot be read, since its place in the file is wrong: what is before it is taken."
    )


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "plain"])
def test_a_next_page_that_is_nowhere_in_a_file_that_tells_its_planes(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "x.tif"
    tifffile.imwrite(file, STACK, photometric="minisblack", compression="zlib", **KINDS[kind])
    point_to(file, 5, 0xFFFFFFF0)
    assert not whole_or_refused(file, STACK)
    assert "further page" in open_image(file).note


def part_of_ome(file: Path, told: int, names: str, planes: npt.NDArray[Any], **options: Any) -> None:
    """Planes of an OME-TIFF whose description tells of more."""
    data = "".join(
        f'<TiffData FirstZ="{z}" IFD="{z if not names else 0}" PlaneCount="1">'
        + (f'<UUID FileName="{names.format(z)}">urn:uuid:{z}</UUID>' if names else "")
        + "</TiffData>"
        for z in range(told)
    )
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:x"><Image ID="Image:0" Name="i">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="64" SizeY="64" SizeZ="{told}" SizeC="1" '
        f'SizeT="1" PhysicalSizeX="0.5" PhysicalSizeY="0.5"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}'
        "</Pixels></Image></OME>"
    )
    tifffile.imwrite(file, planes, description=xml, metadata=None, photometric="minisblack", **options)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("names", ["", "exp_{}.ome.tif"])
@pytest.mark.parametrize(("n_planes", "told"), [(6, 12), (4, 5), (1, 9), (2, 400)])
def test_the_planes_that_are_there_of_a_larger_image(
    n_planes: int, told: int, names: str, compression: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "part.tif"
    part_of_ome(file, told, names, STACK[:n_planes], compression=compression)
    with pytest.raises(FileError, match=f"tells of {told} planes but holds {n_planes}") as caught:
        open_image(file)
    assert f"--axes {'YX' if n_planes == 1 else 'ZYX'} on the command line" in str(caught.value)
    image = open_image(file, partial=True)
    assert image.note == f"{file} tells of {told} planes but holds {n_planes}: only what is there is taken."
    np.testing.assert_array_equal(np.squeeze(np.asarray(image.data)), STACK[:n_planes].squeeze())
    np.testing.assert_array_equal(read_image(file, partial=True), STACK[:n_planes].squeeze())


def test_a_part_that_was_cut_off_is_refused_in_any_case(tmp_path: Path) -> None:
    file = tmp_path / "part.tif"
    part_of_ome(file, 12, "", STACK)
    os.truncate(file, file.stat().st_size * 2 // 3)
    with pytest.raises(FileError, match="is not complete"):
        open_image(file, partial=True)


def test_a_description_that_nobody_understands_costs_no_pixel(tmp_path: Path) -> None:
    file = tmp_path / "x.tif"
    for text in (
        '{"shape": ["six", 64]}',
        '{"shape": 3',
        "{}",
        "ImageJ=1.5\nimages=many\nslices=-1",
        "<OME><Image",
        "<OME/>",
        "<OME><Image></OME>",
        '<OME><Image><Pixels SizeZ="six"/></Image></OME>',
    ):
        tifffile.imwrite(file, STACK, description=text, metadata=None, photometric="minisblack")
        np.testing.assert_array_equal(np.asarray(open_image(file).data), STACK)
