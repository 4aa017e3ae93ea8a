"""Label images in every format, axes and scale, read back by this and by other programs."""

import json
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import zarr
from PIL import Image

from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.io import open_image, read_image, read_labels, write_labels
from napari_ufseg.io.writing import label_tiff as tiff_out

GREY = np.arange(12 * 10, dtype=np.uint8).reshape(12, 10)
STACK = np.arange(2 * 3 * 12 * 10).reshape(2, 3, 12, 10) + 1000
STEPS = {"T": 7.5, "Z": 2.0, "Y": 0.5, "X": 0.25}
NAMES = ("l.tif", "l.ome.tif", "l.TIFF", "l.zarr", "l.ome.zarr")
BY_AXES = {"YX": STACK[0, 0], "ZYX": STACK[0], "TYX": STACK[:, 0], "TZYX": STACK}


class Failing:
    """Labels of two planes, the second of which cannot be read."""

    shape, dtype, ndim = (2, 600, 600), np.dtype(np.uint16), 3

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getitem__(self, region: Any) -> npt.NDArray[Any]:
        first = region[0] if isinstance(region, tuple) else region
        if first in (1, slice(1, 2)):
            raise self.error
        return np.ones(self.shape, self.dtype)[region]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("axes", BY_AXES)
def test_round_trip(name: str, axes: str, tmp_path: Path) -> None:
    labels, scale = BY_AXES[axes], tuple(STEPS[axis] for axis in axes)
    write_labels(tmp_path / name, labels, axes=axes, scale=scale, unit="µm")
    image = open_image(tmp_path / name)
    assert (image.is_labels, image.is_rgb) == (True, False)
    assert (image.axes, image.unit, image.data.dtype) == (axes, "µm", np.uint16)
    assert image.scale == pytest.approx(scale)
    np.testing.assert_array_equal(image.data[...], labels)


@pytest.mark.parametrize("name", ["l.tif", "l.ome.tif", "l.zarr"])
@pytest.mark.parametrize(
    ("unit", "read"), [("micrometer", "µm"), ("um", "µm"), ("mm", "mm"), ("pixel", None), (None, None)]
)
def test_units(name: str, unit: str | None, read: str | None, tmp_path: Path) -> None:
    write_labels(tmp_path / name, GREY, scale=(0.5, 0.25), unit=unit)
    image = open_image(tmp_path / name)
    assert (image.unit, image.scale) == (read, (0.5, 0.25))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("labels", [STACK[0, 0], STACK[0], STACK], ids=["YX", "ZYX", "TZYX"])
def test_without_axes_and_scale(name: str, labels: npt.NDArray[Any], tmp_path: Path) -> None:
    write_labels(tmp_path / "new" / name, labels)
    image = open_image(tmp_path / "new" / name)
    assert (image.axes, image.scale, image.unit) == ("TZYX"[-labels.ndim :], (1,) * labels.ndim, None)
    np.testing.assert_array_equal(image.data[...], labels)


@pytest.mark.parametrize("name", NAMES)
def test_lazy_labels_and_the_scale_of_a_plane(name: str, tmp_path: Path) -> None:
    for lazy in (dask.array.from_array(STACK, chunks=(1, 2, 5, 5)), zarr.array(STACK, chunks=(1, 2, 5, 5))):
        write_labels(tmp_path / name, lazy, scale=(0.5, 0.25), unit="µm")
        assert open_image(tmp_path / name).scale == (1, 1, 0.5, 0.25)
        np.testing.assert_array_equal(read_image(tmp_path / name), STACK)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("labels", [GREY > 50, GREY, GREY.astype(np.int64) + 65000, GREY.tolist()])
def test_types_of_numbers(name: str, labels: Any, tmp_path: Path) -> None:
    write_labels(tmp_path / name, labels)
    np.testing.assert_array_equal(read_labels(tmp_path / name), labels)


def test_tiff_with_scale_is_read_by_others(tmp_path: Path) -> None:
    write_labels(tmp_path / "l.tif", STACK[0, 0], scale=(0.5, 0.25), unit="µm")
    with tifffile.TiffFile(tmp_path / "l.tif") as tiff:
        assert tiff.imagej_metadata is not None
        assert tiff.imagej_metadata["unit"] == "\\u00B5m"
        assert tiff.series[0].axes == "YX"
        assert tiff.pages.first.resolution == (4, 2)  # pixels per unit along x and y
        assert tiff.pages.first.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "l.tif")), STACK[0, 0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [None, (2, 0.5, 0.25)])
@pytest.mark.parametrize("shape", [(7, 30, 1), (7, 1, 30), (7, 1, 1)])
def test_pages_that_are_one_pixel_wide_or_high(shape: tuple[int, ...], scale: Any, name: str, tmp_path: Path) -> None:
    labels = np.arange(np.prod(shape)).reshape(shape).astype(np.uint16)
    write_labels(tmp_path / name, labels, axes="ZYX", scale=scale, unit="um" if scale else None)
    image = open_image(tmp_path / name)
    assert (image.axes, image.scale) == ("ZYX", pytest.approx(scale or (1, 1, 1)))
    np.testing.assert_array_equal(np.asarray(image.data[...]), labels)


def test_a_stack_is_a_hyperstack_of_imagej(tmp_path: Path) -> None:
    write_labels(tmp_path / "l.tif", STACK, scale=(7.5, 2, 0.5, 0.25), unit="µm")
    with tifffile.TiffFile(tmp_path / "l.tif") as tiff:
        assert tiff.imagej_metadata is not None
        expected = {"frames": 2, "slices": 3, "hyperstack": True, "spacing": 2, "finterval": 7.5}
        assert {key: tiff.imagej_metadata[key] for key in expected} == expected
        assert tiff.series[0].axes == "TZYX"


def test_a_scale_that_means_nothing_is_left_out(tmp_path: Path) -> None:
    for scale in ((-1, 1), (0, 1), (float("nan"), 1)):
        write_labels(tmp_path / "l.tif", GREY, scale=scale)
        assert open_image(tmp_path / "l.tif").scale == (1, 1)


@pytest.mark.parametrize("scale", [None, (2, 0.5, 0.25)])
def test_what_may_pass_4_gb_is_a_bigtiff(scale: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_out, "LARGEST_TIFF", STACK[0].size * 2)
    write_labels(tmp_path / "fits.tif", STACK[0], scale=scale)
    monkeypatch.setattr(tiff_out, "LARGEST_TIFF", STACK[0].size * 2 - 1)
    write_labels(tmp_path / "big.tif", STACK[0], scale=scale, unit="µm")
    with tifffile.TiffFile(tmp_path / "fits.tif") as fits, tifffile.TiffFile(tmp_path / "big.tif") as big:
        assert (fits.is_bigtiff, fits.is_imagej) == (False, True)
        assert (big.is_bigtiff, big.is_ome, big.is_imagej) == (True, True, False)
    image = open_image(tmp_path / "big.tif")
    assert (image.axes, image.scale) == ("ZYX", scale or (1, 1, 1))
    np.testing.assert_array_equal(image.data[...], STACK[0])


@pytest.mark.parametrize("name", ["l.tif", "l.zarr"])
@pytest.mark.parametrize(
    ("labels", "options"),
    [
        (GREY.astype(int) - 1, {}),
        (GREY.astype(int) + 65500, {}),
        (np.stack([GREY.astype(int), GREY.astype(int) + 65500]), {}),
        (GREY / 2, {}),
        (GREY[0], {}),
        (STACK[None], {}),
        (GREY, {"axes": "XY"}),
        (STACK[0], {"axes": "CYX"}),
        (STACK[0], {"axes": "YX"}),
        (GREY, {"scale": (1, 1, 1)}),
    ],
)
def test_labels_that_do_not_fit_are_refused(name: str, labels: Any, options: Any, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="Cannot write"):
        write_labels(tmp_path / name, labels, **options)
    assert list(tmp_path.iterdir()) == []


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"labels are TIFF.*, so let the name end in \.tif"):
        write_labels(tmp_path / "l.bmp", GREY)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), OSError(28, "No space left on device")])
@pytest.mark.parametrize("is_old", [True, False])
def test_a_failing_write_leaves_what_was_there(name: str, error: Exception, is_old: bool, tmp_path: Path) -> None:
    if is_old:
        write_labels(tmp_path / name, GREY)
    expected = (FileError, "No space left") if isinstance(error, OSError) else (ZeroDivisionError, "a bug")
    with pytest.raises(expected[0], match=expected[1]):
        write_labels(tmp_path / name, Failing(error))
    assert [path.name for path in tmp_path.iterdir()] == ([name] if is_old else [])
    if is_old:
        np.testing.assert_array_equal(read_labels(tmp_path / name), GREY)


@pytest.mark.parametrize("name", ["plain.tif", "scaled.tif", "other.ome.tif", "old.zarr", "new.zarr"])
def test_names_and_colours_of_classes_are_written_and_read(tmp_path, name):
    labels = np.array([[0, 1, 2], [3, 3, 200]], np.uint16)
    said = ClassTable().changed(1, name="Kern µm", colour="#ff8000").changed(3, is_visible=False)
    said = said.changed(200, name="one region", parent=3, colour="#010203")
    place = {} if name == "plain.tif" else {"scale": (0.5, 0.25), "unit": "µm"}
    version = "0.5" if name == "new.zarr" else "0.4"
    write_labels(tmp_path / name, labels, classes=said, ome_zarr_version=version, **place)
    again = open_image(tmp_path / name)
    assert dict(again.classes) == dict(said)
    np.testing.assert_array_equal(again.data[...], labels)


@pytest.mark.parametrize("name", ["plain.tif", "other.ome.tif", "old.zarr", "new.zarr", "plane.png"])
def test_which_detail_labels_show_is_written_and_read(tmp_path, name):
    shades = {1: "#0d49c3", 2: "#5b6a00", 3: "#ff7a90", 200: "#f1dc05"}
    said = ClassTable().shaded(shades).changed(3, members=(2, 3), name="nuclei").shown({1: 1, 2: 3, 3: 3, 200: 200})
    said = said.changed(1, is_visible=False)
    write_labels(tmp_path / name, [[1, 3, 200]], classes=said, ome_zarr_version="0.5" if name == "new.zarr" else "0.4")
    again = open_image(tmp_path / name).classes
    assert again == said
    assert (again.detail, again.stands_for, again[3].name) == ((3, 4), {3: (2, 3)}, "nuclei")
    assert (again[1].is_visible, again[1].shade, again[1].colour) == (False, shades[1], "")  # nobody has chosen it
    whole = ClassTable().shown({1: 1, 3: 3})  # nothing but the detail
    write_labels(tmp_path / name, [[1, 3]], classes=whole)
    assert open_image(tmp_path / name).classes == whole


def test_readers_of_before_find_names_and_colours_where_the_detail_is_said_too(tmp_path):
    """They leave out what has no label."""
    said = ClassTable().changed(3, name="nuclei").shown({1: 1, 2: 1, 3: 3})
    write_labels(tmp_path / "l.tif", [[1, 3]], classes=said)
    write_labels(tmp_path / "l.png", [[1, 3]], classes=said)
    with Image.open(tmp_path / "l.png") as picture:
        texts = [
            tifffile.TiffFile(tmp_path / "l.tif").pages.first.tags.valueof(65123),
            picture.info["napari-ufseg classes"],
        ]
    for text in texts:
        entries = json.loads(text)
        assert [entry for entry in entries if "label" in entry] == said.to_list()
        assert [entry for entry in entries if "label" not in entry] == [{"detail": {"shown": 2, "of": 3}}]


def test_colours_by_brightness_are_what_other_programs_see(tmp_path):
    labels = np.arange(1, 151).reshape(10, 15)
    shades = {label: f"#{label:02x}8040" for label in range(1, 151)}
    write_labels(tmp_path / "l.zarr", labels, classes=ClassTable().shaded(shades))
    colours = zarr.open_group(tmp_path / "l.zarr", mode="r").attrs["image-label"]["colors"]
    assert {colour["label-value"]: colour["rgba"] for colour in colours} == {
        label: [label, 128, 64, 255] for label in shades
    }  # beyond the first hundred, too


def test_names_and_colours_of_other_programs_are_read(tmp_path):
    write_labels(tmp_path / "a.zarr", np.array([[0, 1, 2]], np.uint16))
    group = zarr.open_group(tmp_path / "a.zarr", mode="r+")
    attributes = dict(group.attrs)
    assert "properties" not in attributes["image-label"]
    assert not open_image(tmp_path / "a.zarr").classes  # our own default colours are nobody's choice
    attributes["image-label"] |= {
        "colors": [{"label-value": 1, "rgba": [255, 0, 16, 128]}, {"label-value": "?"}, {"rgba": [1, 2, 3]}],
        "properties": [{"label-value": 2, "name": "membrane", "area": 12}, 7],
    }
    group.attrs.put(attributes)
    classes = open_image(tmp_path / "a.zarr").classes
    assert (classes[1].colour, classes[2].title, classes[3].title) == ("#ff0010", "membrane", "class 3")
