"""``--series`` and what else says which pixels of a file are the image."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from imagecodecs import png_encode
from PIL import Image

from napari_ufseg.io import read_labels

from .conftest import QUICK, Done, blobs

Ufseg = Callable[..., Done]
MAIN = np.stack([blobs(seed=seed) for seed in range(2)])
OVERVIEW = blobs((24, 32), seed=7)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """An OME-TIFF of two images."""
    with tifffile.TiffWriter(tmp_path / "two.ome.tif", ome=True) as tiff:
        tiff.write(OVERVIEW, metadata={"axes": "YX", "Name": "overview"})
        tiff.write(MAIN, photometric="minisblack", metadata={"axes": "ZYX", "Name": "main"})
    return tmp_path / "two.ome.tif"


@pytest.mark.parametrize(
    ("flag", "shape"),
    [("", (2, 48, 64)), ("0", (24, 32)), ("overview", (24, 32)), ("main", (2, 48, 64)), ("1", (2, 48, 64))],
)
def test_series_chooses_an_image_and_without_it_that_is_told(
    flag: str, shape: tuple[int, ...], ufseg: Ufseg, two: Path, tmp_path: Path
) -> None:
    out, model, report = tmp_path / "l.tif", tmp_path / "m.safetensors", tmp_path / "r.json"
    words = ["--series", flag] if flag else []
    done = ufseg("segment", two, "-o", out, "--model_path", model, "--report", report, *words, *QUICK)
    assert done.status == 0
    assert tifffile.imread(out).shape == shape
    warnings = [line for line in done.err.splitlines() if "warning" in line]
    assert len(warnings) == (0 if flag else 1)
    if not flag:
        assert (
            "holds 2 images, of which 1 'main' (2 x 48 x 64) is taken; the other is 0 'overview' (24 x 32)"
            in warnings[0]
        )
    assert json.loads(report.read_text())["series"] == [0 if shape == (24, 32) else 1]
    again = tmp_path / "again.tif"
    assert ufseg("predict", model, two, "-o", again, *words).status == 0
    np.testing.assert_array_equal(tifffile.imread(again), tifffile.imread(out))
    (tmp_path / "in").mkdir()
    two.rename(tmp_path / "in" / two.name)
    done = ufseg("batch", model, tmp_path / "in", "-o", tmp_path / "out", *words)
    assert (done.status, "holds 2 images" in done.err) == (0, not flag)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "two_labels.tif"), tifffile.imread(out))


def test_a_series_that_is_not_there(ufseg: Ufseg, two: Path, tmp_path: Path) -> None:
    done = ufseg("segment", two, "-o", tmp_path / "l.tif", "--series", "mian", *QUICK)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "two.ome.tif has no image 'mian' (series): it has 2 images: 0 'overview' (24 x 32), 1 'main'" in done.err


def test_a_thumbnail_is_not_the_image(ufseg: Ufseg, tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "x.tif") as tiff:
        tiff.write(OVERVIEW, subfiletype=1, metadata=None)
        tiff.write(MAIN[0], metadata=None)
    tifffile.imwrite(tmp_path / "alone.tif", MAIN[0])
    done = ufseg("segment", tmp_path / "x.tif", "-o", tmp_path / "l.tif", *QUICK)
    assert (done.status, done.err.count("warning")) == (0, 1)
    assert "the other is 0 (24 x 32, a reduced copy)" in done.err
    assert ufseg("segment", tmp_path / "alone.tif", "-o", tmp_path / "a.tif", *QUICK).err == ""
    np.testing.assert_array_equal(read_labels(tmp_path / "l.tif"), read_labels(tmp_path / "a.tif"))


@pytest.fixture
def colour() -> np.ndarray:
    grey = blobs()
    return np.stack([grey, np.roll(grey, 9, axis=1), 255 - grey], axis=-1)


def test_the_same_picture_has_the_same_labels_however_it_is_stored(
    colour: np.ndarray, ufseg: Ufseg, tmp_path: Path
) -> None:
    Image.fromarray(colour).save(tmp_path / "plain.png")
    indexed = Image.fromarray(colour).quantize(64)
    indexed.convert("RGB").save(tmp_path / "few.png")
    indexed.save(tmp_path / "few_palette.tif")
    opaque = np.dstack([colour, np.full(colour.shape[:2], 255, np.uint8)])
    tifffile.imwrite(tmp_path / "plain_opacity.tif", opaque, photometric="rgb", extrasamples=["unassalpha"])
    deep = colour.astype(np.uint16) * 2
    (tmp_path / "deep.png").write_bytes(png_encode(deep))
    tifffile.imwrite(tmp_path / "deep_same.tif", deep, photometric="rgb")
    labels = {}
    for file in ("plain.png", "plain_opacity.tif", "few.png", "few_palette.tif", "deep.png", "deep_same.tif"):
        done = ufseg("segment", tmp_path / file, "-o", tmp_path / "l.tif", *QUICK)
        assert (done.status, done.err) == (0, "")
        labels[file] = read_labels(tmp_path / "l.tif")
    for one, other in (
        ("plain.png", "plain_opacity.tif"),
        ("few.png", "few_palette.tif"),
        ("deep.png", "deep_same.tif"),
    ):
        np.testing.assert_array_equal(labels[one], labels[other])


@pytest.mark.parametrize("name", ["s.png", "s.tif"])
def test_scribbles_with_a_palette_are_its_numbers(name: str, ufseg: Ufseg, tmp_path: Path) -> None:
    scribbles = np.zeros((48, 64), np.uint8)
    scribbles[10:18, 12:20] = 1
    scribbles[0:4] = 3
    picture = Image.fromarray(scribbles).convert("P")
    picture.putdata(scribbles.ravel().tolist())
    picture.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    picture.save(tmp_path / name)
    tifffile.imwrite(tmp_path / "plain.tif", scribbles)
    tifffile.imwrite(tmp_path / "i.tif", MAIN[0])
    labels = []
    for file in (name, "plain.tif"):
        words = ["--scribbles", tmp_path / file, "-o", tmp_path / "l.tif"]
        assert ufseg("segment", tmp_path / "i.tif", *words, *QUICK).err == ""
        labels.append(read_labels(tmp_path / "l.tif"))
    np.testing.assert_array_equal(*labels)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((50, 60, 4), {"metadata": None}),
        ((50, 60, 3), {"metadata": None, "compression": "zlib"}),
        ((7, 30, 2), {"metadata": None, "byteorder": ">"}),
        ((50, 60, 4), {}),
        ((9, 40, 2), {"metadata": None, "bigtiff": True}),
        ((50, 60, 5), {"metadata": None}),
    ],
)
def test_pages_of_a_tiff_are_never_taken_for_rows(
    shape: tuple[int, ...], kind: dict[str, object], ufseg: Ufseg, tmp_path: Path
) -> None:
    stack = np.random.default_rng(0).integers(0, 4000, shape).astype(np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", stack, photometric="minisblack", **kind)
    done = ufseg("segment", tmp_path / "x.tif", "-o", tmp_path / "l.tif", *QUICK)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert f"it is not clear what the axis of length {shape[0]} is: name the axes" in done.err
    done = ufseg("segment", tmp_path / "x.tif", "-o", tmp_path / "l.tif", "--axes", "TYX", *QUICK)
    assert (done.status, tifffile.imread(tmp_path / "l.tif").shape) == (0, shape)


def test_the_last_axis_of_a_plain_zarr_that_is_taken_for_channels_is_told(ufseg: Ufseg, tmp_path: Path) -> None:
    import zarr

    zarr.create_array(tmp_path / "x.zarr", data=np.dstack([MAIN[0]] * 3))
    done = ufseg("segment", tmp_path / "x.zarr", "-o", tmp_path / "l.tif", *QUICK)
    assert (done.status, done.err.count("\n")) == (0, 1)
    assert "warning: The last axis of" in done.err
    assert "x.zarr (3) is taken for channels." in done.err
    assert ufseg("segment", tmp_path / "x.zarr", "-o", tmp_path / "l.tif", "--axes", "YXC", *QUICK).err == ""
    group = zarr.create_group(tmp_path / "o.zarr", zarr_format=2)  # one that says which axes are Y and X
    group.create_array("0", data=np.zeros((50, 60, 4), np.uint8))
    axes = [{"name": "angle"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    group.attrs.put({"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]})
    done = ufseg("segment", tmp_path / "o.zarr", "-o", tmp_path / "l.tif", *QUICK)
    assert (done.status, "not clear what the axis of length 50 is" in done.err) == (2, True)


def test_a_part_of_a_larger_image_is_taken_with_axes(ufseg: Ufseg, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.ome.tif", MAIN, ome=True, metadata={"axes": "ZYX"}, photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "x.ome.tif") as tiff:
        xml = (tiff.ome_metadata or "").replace('SizeZ="2"', 'SizeZ="12"')
    tifffile.imwrite(tmp_path / "x.tif", MAIN, description=xml.encode(), metadata=None, photometric="minisblack")
    words = ["segment", tmp_path / "x.tif", "-o", tmp_path / "l.tif"]
    done = ufseg(*words, *QUICK)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "tells of 12 planes but holds 2" in done.err
    assert "--axes ZYX on the command line, to take these alone." in done.err
    done = ufseg(*words, "--axes", "ZYX", *QUICK)
    assert (done.status, tifffile.imread(tmp_path / "l.tif").shape) == (0, (2, 48, 64))
    assert "warning: " in done.err
    assert "tells of 12 planes but holds 2: only what is there is taken." in done.err


CHANNEL_AXES = {  # axes of the file, --channel-axis, and the axes that the sentence gives
    "frames": ("TYX", "0", "CYX"),
    "planes": ("ZYX", "0", "CYX"),
    "frames of channels": ("TCYX", "0", "CQYX"),
    "from the end": ("TYX", "-3", "CYX"),
    "planes of frames": ("TZYX", "1", "TCYX"),
}


@pytest.mark.parametrize("kind", CHANNEL_AXES)
def test_a_channel_axis_against_the_file_is_told_with_what_overrules_it(
    kind: str, ufseg: Ufseg, tmp_path: Path
) -> None:
    axes, flag, right = CHANNEL_AXES[kind]
    shape = (*(2, 3)[: len(axes) - 2], 48, 64)
    pixels = np.broadcast_to(blobs(), shape).copy()
    tifffile.imwrite(tmp_path / "x.tif", pixels, imagej=True, metadata={"axes": axes})
    words = ["segment", tmp_path / "x.tif", "-o", tmp_path / "l.tif"]
    done = ufseg(*words, f"--channel-axis={flag}", *QUICK)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert f"says that its axes are {axes}: to overrule it, name all of them in its place, --axes {right}" in done.err
    assert ufseg(*words, "--axes", right, *QUICK).status == 0


def test_a_channel_axis_that_is_the_rows(ufseg: Ufseg, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", MAIN, imagej=True, metadata={"axes": "ZYX"})
    done = ufseg("segment", tmp_path / "x.tif", "-o", tmp_path / "l.tif", "--channel-axis", "1", *QUICK)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "where that one is Y, the rows: leave channel_axis out." in done.err


@pytest.mark.parametrize(
    "words",
    [
        "segment {address} -o {out}/l.tif",
        "segment {image} -o {address}",
        "segment --path {address} -o {out}/l.tif",
        "segment {image} -o {out}/l.tif --scribbles {address}",
        "segment {image} -o {out}/l.tif --report {address}",
        "predict {address} {image} -o {out}/l.tif",
        "batch {image} {address} -o {out}/l",
        "info {address}",
    ],
)
@pytest.mark.parametrize("address", ["https://example.org/x.zarr", "s3://bucket/x.json"])
def test_addresses_are_refused_as_they_were_given(words: str, address: str, ufseg: Ufseg, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "i.tif", MAIN[0])
    filled = [word.format(address=address, image=tmp_path / "i.tif", out=tmp_path) for word in words.split()]
    done = ufseg(*filled, *(QUICK if words.startswith("segment") else []))
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert done.err.startswith(f"ufseg: {address} is an address, but only files and folders can be used")
