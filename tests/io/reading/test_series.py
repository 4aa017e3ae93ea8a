"""Several images in one file: which is taken, what is told of the others, and how another one is chosen."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import zarr

from napari_ufseg.batch.label_file import open_input
from napari_ufseg.engine.errors import FileError, UfsegWarning
from napari_ufseg.io import images_in, label_images_of, open_image, read_image, read_label_numbers, read_labels

IMAGE = np.arange(64 * 80, dtype=np.uint16).reshape(64, 80)
SMALL = IMAGE[::4, ::4]
REDUCED, MASK = {"subfiletype": 1}, {"subfiletype": 4}


def write_pages(file: Path, *pages: tuple[npt.NDArray[Any], dict[str, Any]], **options: Any) -> None:
    """Pages, one behind the other, without a description."""
    with tifffile.TiffWriter(file, **options) as tiff:
        for page, about in pages:
            tiff.write(page, metadata=None, photometric="minisblack", contiguous=False, **about)


TIFFS: dict[str, tuple[list[tuple[npt.NDArray[Any], dict[str, Any]]], int, str]] = {
    "thumbnail first": (
        [(SMALL, REDUCED), (IMAGE, {})],
        1,
        r"1 \(64 x 80\) is taken; the other is 0 \(16 x 20, a reduced",
    ),
    "thumbnail as large": ([(IMAGE.T, REDUCED), (IMAGE, {})], 1, r"1 \(64 x 80\) is taken"),
    "thumbnail last": ([(IMAGE, {}), (SMALL[:, :7], REDUCED)], 0, ""),
    "thumbnail of another type": ([(SMALL.astype(np.uint8), REDUCED), (IMAGE, {})], 1, r"a reduced copy\)"),
    "two thumbnails": ([(SMALL, REDUCED), (SMALL[:, :9], REDUCED), (IMAGE, {})], 2, "holds 3 images"),
    "small one without a mark": ([(SMALL, {}), (IMAGE, {})], 1, r"the other is 0 \(16 x 20\):"),
    "mask first": ([(IMAGE > 9, MASK), (IMAGE, {})], 1, r"0 \(64 x 80, a mask\)"),
    "equally large": ([(IMAGE, {}), (IMAGE.astype(np.float32), {})], 0, r"0 \(64 x 80\) is taken; the other is 1"),
    "compressed": ([(SMALL, {**REDUCED, "compression": "zlib"}), (IMAGE, {"compression": "zlib"})], 1, "2 images"),
    "a thumbnail in the middle": ([(IMAGE, {}), (IMAGE, {}), (SMALL, REDUCED), *[(IMAGE, {})] * 6], 0, ""),
    "only thumbnails": ([(SMALL, REDUCED), (SMALL[:, :9], REDUCED)], 0, ""),
}


@pytest.mark.parametrize("kind", TIFFS)
def test_the_largest_that_is_no_reduced_copy_is_taken_and_told(kind: str, tmp_path: Path) -> None:
    pages, taken, sentence = TIFFS[kind]
    write_pages(tmp_path / "x.tif", *pages)
    image = open_image(tmp_path / "x.tif")
    assert image.series == taken
    assert image.data.shape[-2:] == (pages[taken][0].shape)
    np.testing.assert_array_equal(np.asarray(image.data).reshape(-1, *pages[taken][0].shape)[0], pages[taken][0])
    if not sentence:
        assert image.note == ""
        return
    assert "--series" in image.note
    assert image.note.count(". ") == 0
    with pytest.warns(UfsegWarning, match=sentence) as told:
        read = read_image(tmp_path / "x.tif")
    np.testing.assert_array_equal(read, pages[taken][0])
    assert len(told) == 1


@pytest.mark.parametrize("kind", TIFFS)
def test_every_image_can_be_chosen_without_a_warning(kind: str, tmp_path: Path) -> None:
    pages, *_ = TIFFS[kind]
    write_pages(tmp_path / "x.tif", *pages)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number, one in enumerate(images_in(tmp_path / "x.tif")):
            image = open_image(tmp_path / "x.tif", series=number)
            assert (image.series, image.data.shape, image.note) == (number, one.shape, "")
            np.testing.assert_array_equal(read_image(tmp_path / "x.tif", series=str(number)), np.asarray(image.data))
            np.testing.assert_array_equal(read_label_numbers(tmp_path / "x.tif", series=number), np.asarray(image.data))


def write_ome(file: Path, *images: tuple[str, npt.NDArray[Any], str, float]) -> None:
    """An OME-TIFF of images with a name, axes and the size of a pixel."""
    with tifffile.TiffWriter(file, ome=True) as tiff:
        for name, array, axes, size in images:
            about = {"axes": axes, "Name": name, "PhysicalSizeX": size, "PhysicalSizeY": size}
            tiff.write(array, photometric="minisblack", metadata=about)


STACK = np.stack([IMAGE + i for i in range(4)])
TWO = (("overview", SMALL, "YX", 2.0), ("main", STACK, "ZYX", 0.5))


def test_images_of_an_ome_tiff_by_number_and_name(tmp_path: Path) -> None:
    file = tmp_path / "x.ome.tif"
    write_ome(file, *TWO)
    image = open_image(file)
    assert (image.axes, image.scale[1:]) == ("ZYX", (0.5, 0.5))
    assert image.note == (
        f"{file} holds 2 images, of which 1 'main' (4 x 64 x 80) is taken; the other is 0 'overview' (16 x 20): to take "
        "another, give its number or name (series in Python, --series on the command line)."
    )
    for asked in (0, "0", "overview"):
        image = open_image(file, series=asked)
        assert (image.axes, image.scale, image.note) == ("YX", (2.0, 2.0), "")
        np.testing.assert_array_equal(read_image(file, series=asked), SMALL)
    np.testing.assert_array_equal(read_labels(file, series="overview"), SMALL)
    np.testing.assert_array_equal(open_image(file, series="main").data[2, 3:5], STACK[2, 3:5])


def test_each_image_has_its_own_steps_with_their_units_and_what_cannot_be_understood_is_told_of_it_alone(
    tmp_path: Path,
) -> None:
    file = tmp_path / "x.ome.tif"
    small = {"axes": "YX", "Name": "small", "PhysicalSizeX": 2, "PhysicalSizeXUnit": "mm", "PhysicalSizeY": 3}
    main = {"axes": "ZYX", "Name": "main", "PhysicalSizeX": 500, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.25}
    odd = {"axes": "YX", "Name": "odd", "PhysicalSizeX": "wide", "PhysicalSizeY": 7}
    with tifffile.TiffWriter(file, ome=True) as tiff:
        for array, about in ((SMALL, small), (STACK, {**main, "PhysicalSizeZ": 2}), (SMALL, odd)):
            tiff.write(array, photometric="minisblack", metadata=about)
    steps = open_image(file).axis_steps
    assert steps.sizes("ZYX") == pytest.approx((2000, 250, 500))
    assert (steps.units("ZYX"), steps.notes) == (("nm",) * 3, ())
    steps = open_image(file, series="small").axis_steps
    assert steps.sizes("YX") == pytest.approx((0.003, 2))
    assert (steps.units("YX"), steps.notes) == (("mm", "mm"), ())
    assert steps["Z"].size is None
    assert any("PhysicalSizeX is 'wide'" in note for note in open_image(file, series=2).axis_steps.notes)
    image = open_input(file, 2)
    assert image.steps.sizes("ZYX") == pytest.approx((2000, 250, 500))
    assert "wide" not in image.warning
    image = open_input(file, 2, series="odd")
    assert image.steps.sizes("YX") == (7, 7)
    assert (image.warning.count("PhysicalSizeX is 'wide'"), image.warning.count("pixels are assumed to be square")) == (
        1,
        1,
    )


def test_the_choice_and_the_steps_are_told_together_and_each_once(tmp_path: Path) -> None:
    file = tmp_path / "x.ome.tif"
    with tifffile.TiffWriter(file, ome=True) as tiff:
        for array in (SMALL, IMAGE):
            tiff.write(array, photometric="minisblack", metadata={"axes": "YX", "PhysicalSizeX": 0.5})
    warning = open_input(file, 2).warning
    assert (warning.count("holds 2 images"), warning.count("pixels are assumed to be square")) == (1, 1)


@pytest.mark.parametrize("asked", ["mian", "2", 2, -1, "-1", "1.0"])
def test_an_image_that_is_not_there_is_told_with_those_that_are(asked: Any, tmp_path: Path) -> None:
    write_ome(tmp_path / "x.ome.tif", *TWO)
    with pytest.raises(FileError, match=r"it has 2 images: 0 'overview' \(16 x 20\), 1 'main' \(4 x 64 x 80\)\.$"):
        open_image(tmp_path / "x.ome.tif", series=asked)


@pytest.mark.parametrize("name", ["x.tif", "x.png", "x.zarr"])
def test_of_a_single_image_only_number_0_can_be_chosen(name: str, tmp_path: Path) -> None:
    import imageio.v3 as iio

    if name == "x.zarr":
        zarr.create_array(tmp_path / name, data=SMALL)
    else:
        iio.imwrite(tmp_path / name, SMALL)
    assert open_image(tmp_path / name, series=0).note == open_image(tmp_path / name).note == ""
    with pytest.raises(FileError, match=r"has no image '1' \(series\): it has only one image, number 0\.$"):
        open_image(tmp_path / name, series="1")


def test_a_name_that_is_a_number_is_a_name(tmp_path: Path) -> None:
    write_ome(tmp_path / "x.ome.tif", ("1", SMALL, "YX", 1.0), ("0", IMAGE, "YX", 1.0))
    assert open_image(tmp_path / "x.ome.tif", series="1").data.shape == (16, 20)
    assert open_image(tmp_path / "x.ome.tif", series=1).data.shape == (64, 80)


def test_of_many_images_the_sentence_names_some(tmp_path: Path) -> None:
    write_ome(tmp_path / "x.ome.tif", *((f"p{i}", IMAGE[:, : 40 - i], "YX", 1.0) for i in range(12)))
    note = open_image(tmp_path / "x.ome.tif").note
    assert "holds 12 images, of which 0 'p0' (64 x 40) is taken" in note
    assert note.count("'p") == 5
    assert "and 7 more" in note


def write_group(folder: Path, arrays: dict[str, npt.NDArray[Any]], zarr_format: Any, named: bool) -> None:
    """A folder of OME-Zarr images as bioformats2raw makes it."""
    root = zarr.create_group(folder, zarr_format=zarr_format)
    root.attrs.put({"bioformats2raw.layout": 3})
    if named:
        root.create_group("OME").attrs.put({"series": list(arrays)})
    for name, array in arrays.items():
        axes = [{"name": axis, "type": "space"} for axis in "zyx"[-array.ndim :]]
        ome = {"multiscales": [{"name": f"/image {name}", "axes": axes, "datasets": [{"path": "0"}]}]}
        group = root.create_group(name)
        group.create_array("0", data=array)
        group.attrs.put({"ome": ome} if zarr_format == 3 else ome)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_images_of_a_zarr(zarr_format: int, named: bool, tmp_path: Path) -> None:
    folder = tmp_path / "x.zarr"
    write_group(folder, {"0": SMALL, "1": STACK, "2": IMAGE}, zarr_format, named)
    image = open_image(folder)
    assert (image.series, image.data.shape) == (1, (4, 64, 80))
    assert "holds 3 images, of which 1 '/image 1' (4 x 64 x 80) is taken; the others are 0 '/image 0'" in image.note
    np.testing.assert_array_equal(np.asarray(open_image(folder, series="/image 2").data), IMAGE)
    np.testing.assert_array_equal(read_image(folder, series=0), SMALL)
    assert len(images_in(folder)) == 3


def test_several_multiscales_in_one_group_and_their_labels(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "x.zarr", zarr_format=2)
    group.create_array("a", data=SMALL)
    group.create_array("b", data=IMAGE)
    group.create_group("labels").attrs.put({"labels": ["cells"]})
    axes = [{"name": axis, "type": "space"} for axis in "yx"]
    group.attrs.put({"multiscales": [{"name": n, "axes": axes, "datasets": [{"path": n}]} for n in "ab"]})
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "x.zarr").data), IMAGE)
    np.testing.assert_array_equal(read_image(tmp_path / "x.zarr", series="a"), SMALL)
    assert label_images_of(tmp_path / "x.zarr", series="a") == [tmp_path / "x.zarr" / "labels" / "cells"]
