"""What a header claims is compared with what is there, and no file outside of the folder is opened."""

import json
import os
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ufseg.cli import main
from napari_ufseg.engine.errors import FileError, UfsegWarning
from napari_ufseg.io import (
    believe_claims,
    find_images,
    images_in,
    label_images_of,
    open_image,
    read_image,
    readable,
    write_labels,
)
from napari_ufseg.io.paths import is_below
from napari_ufseg.io.reading.claims import check_claim

posix = pytest.mark.skipif(sys.platform == "win32", reason="pipes and links as on Unix")
PLANE = np.zeros((64, 64), np.uint8)


def ome_xml(parts: str = '<TiffData IFD="0" PlaneCount="1"/>', **sizes: int) -> str:
    told = {"SizeX": 64, "SizeY": 64, "SizeZ": 1, "SizeC": 1, "SizeT": 1, **sizes}
    return (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" '
        + " ".join(f'{name}="{value}"' for name, value in told.items())
        + f'><Channel ID="Channel:0:0" SamplesPerPixel="1"/>{parts}</Pixels></Image></OME>'
    )


def write_claiming(path: Path, tags: dict[str, int], description: str | None = None, **options: object) -> None:
    """A TIFF of 64 x 64 pixels with other numbers in its tags."""
    tifffile.imwrite(path, PLANE, description=description, metadata=None, **options)  # type: ignore[arg-type]
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name, value in tags.items():
            tiff.pages.first.tags[name].overwrite(value)


HUGE = {"ImageWidth": 10**6, "ImageLength": 10**6}
TIFFS: dict[str, Callable[[Path], None]] = {
    "one strip": lambda path: write_claiming(path, {**HUGE, "RowsPerStrip": 10**6}, compression="zlib"),
    "many strips": lambda path: write_claiming(path, {**HUGE, "RowsPerStrip": 1}, compression="zlib"),
    "not compressed": lambda path: write_claiming(path, {**HUGE, "RowsPerStrip": 10**6}),
    "tiles": lambda path: write_claiming(path, HUGE, compression="zlib", tile=(16, 16)),
    "OME planes": lambda path: write_claiming(path, {}, ome_xml(SizeX=10**6, SizeY=10**6)),
    "OME series": lambda path: write_claiming(path, {}, ome_xml(SizeT=10**6, SizeZ=10**6)),
    "OME of lines": lambda path: write_claiming(
        path, {"ImageWidth": 1, "ImageLength": 1}, ome_xml(SizeX=65000, SizeY=65000), compression="zlib"
    ),
    "shaped": lambda path: write_claiming(path, {}, json.dumps({"shape": [10**9, 64, 64]})),
}


@pytest.mark.parametrize("kind", TIFFS)
def test_a_tiff_that_claims_more_than_it_has_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.ome.tif"
    TIFFS[kind](path)
    tracemalloc.start()
    reads = (open_image, read_image) if kind == "shaped" else (open_image, read_image, images_in)
    for read in reads:
        with pytest.raises(FileError) as caught:
            read(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
    assert find_images([path]) == [path]  # whoever opens it tells
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


@pytest.mark.parametrize("times", [1, 10, 1000, 5000])
def test_an_image_that_is_well_compressed_is_believed(times: int, tmp_path: Path) -> None:
    sizes = iter([2**36 // times, *[1] * 9])
    check_claim(tmp_path, 2**36, sizes)
    assert len(list(sizes)) == 9  # no more is asked for than is needed
    with pytest.raises(FileError):
        check_claim(tmp_path, 2**36, [2**36 // (times * 20_000)])


SHAPES = [(10**6, 10**6), (10**9, 8, 8), (3, 10**12), (10**12, 3), (2, 10**15, 2), (10**5, 10**5, 10)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_empty_zarr_that_claims_to_be_huge_is_refused(
    shape: tuple[int, ...], zarr_format: int, tmp_path: Path
) -> None:
    chunks = tuple(min(n, 64) for n in shape)
    array = zarr.create_array(tmp_path / "x.zarr", shape=shape, chunks=chunks, dtype=np.uint8, zarr_format=zarr_format)
    with pytest.raises(FileError, match="claims to hold") as caught:
        open_image(tmp_path / "x.zarr")
    assert "\n" not in str(caught.value)
    with believe_claims():
        assert open_image(tmp_path / "x.zarr").data.shape == shape
        with pytest.raises(FileError, match="does not fit into memory"):
            read_image(tmp_path / "x.zarr")
    assert array.shape == shape


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(2**20, 2**62), min_size=2, max_size=5), st.sampled_from(["u1", "<u2", "<f4", "<i8", "|b1"]))
def test_any_huge_claim_is_one_sentence(tmp_path_factory: pytest.TempPathFactory, shape: list[int], dtype: str) -> None:
    folder = tmp_path_factory.mktemp("claims") / "x.zarr"
    folder.mkdir()
    about = {"zarr_format": 2, "shape": shape, "chunks": [min(n, 16) for n in shape], "dtype": dtype, "fill_value": 0}
    (folder / ".zarray").write_text(json.dumps({**about, "order": "C", "compressor": None, "filters": None}))
    with pytest.raises(FileError) as caught:
        read_image(folder)
    assert "\n" not in str(caught.value)


def test_yes_opens_it_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zarr.create_array(tmp_path / "x.zarr", shape=(2**17, 2**17), chunks=(2**14, 2**14), dtype=np.uint8)
    words = ["segment", str(tmp_path / "x.zarr"), "-o", str(tmp_path / "l.zarr"), "--axes", "XYZ"]
    assert main(words) == 2
    assert "claims to hold 17.2 GB of pixels, but there are" in capsys.readouterr().err
    assert main([*words, "--yes"]) == 2
    assert "axes" in capsys.readouterr().err


# -- names of other files -------------------------------------------------------------------------------

OUTSIDE = [
    "../secret.ome.tif",
    "a/../../secret.ome.tif",
    "..\\secret.ome.tif",
    "//server/secret",
    "C:\\secret",
    "..",
    "",
]


@pytest.mark.parametrize("name", [*OUTSIDE, "{absolute}"])
@pytest.mark.parametrize("read", [open_image, read_image])
def test_a_tiff_opens_no_file_outside_of_its_folder(name: str, read: Callable[[Path], object], tmp_path: Path) -> None:
    secret = tmp_path / "secret.ome.tif"
    tifffile.imwrite(secret, PLANE + 42, description=ome_xml(), metadata=None)
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "x.ome.tif"

    def write(other: str) -> None:
        parts = [
            f'<TiffData IFD="0" FirstT="{i}" PlaneCount="1"><UUID FileName="{file}">urn:uuid:{i}</UUID></TiffData>'
            for i, file in enumerate(("x.ome.tif", other))
        ]
        tifffile.imwrite(path, PLANE, description=ome_xml("".join(parts), SizeT=2), metadata=None)

    write(name.format(absolute=secret))
    with pytest.raises(FileError, match="which is not in its folder"):
        read(path)
    write(secret.name)
    secret.rename(path.parent / secret.name)
    image = read(path)
    assert np.asarray(image if isinstance(image, np.ndarray) else image.data).max() == 42  # type: ignore[attr-defined]


def write_image_with_labels(folder: Path, names: list[str], zarr_format: int) -> Path:
    attributes = {"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "0"}]}]}
    group = zarr.create_group(folder, zarr_format=zarr_format, attributes=attributes)  # type: ignore[arg-type]
    group.create_array("0", data=PLANE + 1)
    group.create_group("labels").attrs["labels"] = names
    return folder


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    "name",
    ["../../secret.zarr", "{absolute}", "..", "a/../../../secret.zarr", "..\\..\\secret.zarr", "", "a//b", "{link}"],
)
def test_labels_outside_of_their_folder_are_not_opened(name: str, zarr_format: int, tmp_path: Path) -> None:
    secret = tmp_path / "secret.zarr"
    write_labels(secret, PLANE.astype(np.uint16))
    name = name.format(absolute=secret, link="link")
    image = write_image_with_labels(tmp_path / "x.zarr", ["cells", name, "more/nuclei"], zarr_format)
    if name == "link":
        (image / "labels" / "link").symlink_to(secret)
    with pytest.warns(UfsegWarning, match="which are not opened"):
        found = label_images_of(image)
    assert found == [image / "labels" / "cells", image / "labels" / "more" / "nuclei"]


@given(
    st.lists(st.sampled_from(["a", "..", ".", "b.tif", "", "C:", "~"]), min_size=1, max_size=6), st.sampled_from("/\\")
)
def test_a_name_that_counts_as_below_leads_below(parts: list[str], separator: str) -> None:
    name = separator.join(parts)
    if is_below(name):
        here = Path("folder").resolve()
        assert (here / name.replace("\\", "/")).resolve().is_relative_to(here)


# -- what is no file ---------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("place", ["chunk", "array", "attributes"])
@pytest.mark.parametrize("what", ["pipe", "device", "link to a pipe"])
def test_what_is_no_file_is_not_waited_for(place: str, zarr_format: int, what: str, tmp_path: Path) -> None:
    folder = write_image_with_labels(tmp_path / "x.zarr", [], zarr_format)
    chunk, array, attributes = (
        ("0/0/0" if (folder / "0" / "0").is_dir() else "0/0.0", "0/.zarray", ".zattrs")
        if zarr_format == 2
        else ("0/c/0/0", "0/zarr.json", "zarr.json")
    )
    file = folder / {"chunk": chunk, "array": array, "attributes": attributes}[place]
    file.unlink(missing_ok=True)
    if what == "device":
        file.symlink_to("/dev/zero")
    elif what == "pipe":
        os.mkfifo(file)
    else:
        os.mkfifo(tmp_path / "pipe")
        file.symlink_to(tmp_path / "pipe")

    def read() -> None:
        image = open_image(folder)
        with readable(folder):
            image.data[...]

    with pytest.raises(FileError):
        read()


# -- what was hidden by a writer that was killed -----------------------------------------------------------


@pytest.mark.parametrize("read", [open_image, read_image, label_images_of])
def test_a_reader_puts_back_what_a_killed_writer_has_hidden(read: Callable[[Path], object], tmp_path: Path) -> None:
    write_labels(tmp_path / "l.zarr", PLANE.astype(np.uint16) + 3)
    hiding = tmp_path / ".ufseg-elsewhere-123-0123abcd.was"
    hiding.mkdir()
    (tmp_path / "l.zarr").rename(hiding / "l.zarr")
    with pytest.raises(FileError, match="There is no image"):  # its writer, on another machine, may be at work
        read(tmp_path / "l.zarr")
    os.utime(hiding, (1, 1))
    read(tmp_path / "l.zarr")
    assert list(tmp_path.iterdir()) == [tmp_path / "l.zarr"]
