"""File > Open with napari-ufseg: TIFF and OME-Zarr become layers that need no question."""

from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import zarr
from driver import Dock
from napari.layers import Image, Labels
from qtpy.QtWidgets import QComboBox, QLabel

from napari_ufseg._napari.layers import reader as _reader
from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.images.source import open_source
from napari_ufseg.io import write_labels
from napari_ufseg.samples import time_series

PLUGIN = "napari-ufseg"


@pytest.fixture
def movie() -> np.ndarray:
    """(3, 2, 24, 32) uint16, TCYX: discs that drift, and the same turned round."""
    frames = time_series(n_frames=3, size=40).image[:, :24, :32]
    return np.stack([frames, frames[:, ::-1, ::-1]], axis=1)


@pytest.fixture
def bare(make_napari_viewer_proxy: Any, qtbot: Any) -> Dock:
    """The dock in an empty viewer."""
    return Dock(make_napari_viewer_proxy(), qtbot)


def opened(dock: Dock, path: Path) -> Any:
    """The only layer that a file gives."""
    (layer,) = dock.viewer.open(path, plugin=PLUGIN)
    return layer


def words(dock: Dock) -> str:
    """What the dock says of the image, but for the size of its pixels."""
    return dock.part("words", QLabel).text().partition(", pixel")[0]


def units(layer: Any) -> tuple[str, ...]:
    return tuple(str(unit) for unit in layer.units)


def is_asked(dock: Dock, ndim: int) -> bool:
    """Whether the dock asks what an axis is, and does not know it from the file."""
    boxes = [dock.widget.findChild(QComboBox, f"ufseg.axis.{i}") for i in range(ndim)]
    return "choose..." in [box.currentText() for box in boxes if box]


def write_ome_zarr(
    folder: Path, levels: list[np.ndarray], axes: str, scale: tuple[float, ...], zarr_format: Any = 2
) -> Any:
    """An OME-Zarr of that format with micrometres and seconds; each level has half the pixels along Y and X."""
    group = zarr.create_group(folder, zarr_format=zarr_format)
    kinds = {"T": {"type": "time", "unit": "second"}, "C": {"type": "channel"}}
    space = {"type": "space", "unit": "micrometer"}
    datasets = []
    for i, level in enumerate(levels):
        chunks = (1,) * (level.ndim - 2) + (16, 16)
        group.create_array(str(i), data=level, chunks=chunks)
        steps = [step * (2**i if axis in "YX" else 1) for axis, step in zip(axes, scale, strict=True)]
        datasets.append({"path": str(i), "coordinateTransformations": [{"type": "scale", "scale": steps}]})
    described = [{"name": axis.lower(), **kinds.get(axis, space)} for axis in axes]
    ome = {"multiscales": [{"axes": described, "datasets": datasets}]}
    group.attrs.put({"ome": {"version": "0.5", **ome}} if zarr_format == 3 else ome)
    return group


def test_imagej_hyperstack(bare: Dock, movie: np.ndarray, tmp_path: Path) -> None:
    metadata = {"axes": "TCYX", "unit": "um", "finterval": 30}
    tifffile.imwrite(tmp_path / "movie.tif", movie, imagej=True, resolution=(4, 2), metadata=metadata)
    layer = opened(bare, tmp_path / "movie.tif")
    assert (type(layer), layer.name, layer.rgb, layer.multiscale) == (Image, "movie", False, False)
    assert layer.axis_labels == ("c", "t", "y", "x")
    assert units(layer) == ("pixel", "second", "micrometer", "micrometer")
    np.testing.assert_allclose(layer.scale, (1, 30, 0.5, 0.25))
    np.testing.assert_array_equal(layer.data, np.moveaxis(movie, 1, 0))
    bare.part("what", QComboBox).setCurrentText("All planes")
    assert words(bare) == "3 time points of 24 x 32, 2 channels"
    assert not is_asked(bare, 4)


def test_an_axis_that_a_file_does_not_name_is_called_what_the_user_says(
    bare: Dock, movie: np.ndarray, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "plain.tif", movie[:, 0], metadata=None, photometric="minisblack")
    layer = opened(bare, tmp_path / "plain.tif")
    nameless = bare.viewer.add_image(movie[:, 0]).axis_labels[0]
    assert layer.axis_labels == (nameless, "y", "x")
    bare.viewer.layers.selection.active = layer
    bare.widget.tell_axes(layer, "TYX")
    assert layer.axis_labels == ("t", "y", "x")
    assert bare.viewer.dims.axis_labels[0] == "t"


def test_ome_tiff_in_nanometres(bare: Dock, movie: np.ndarray, tmp_path: Path) -> None:
    sizes = {"PhysicalSizeX": 250, "PhysicalSizeY": 500, "PhysicalSizeZ": 2}
    names = {"PhysicalSizeXUnit": "nm", "PhysicalSizeYUnit": "nm", "PhysicalSizeZUnit": "µm"}
    tifffile.imwrite(tmp_path / "deep.ome.tif", movie[:, 0], metadata={"axes": "ZYX", **sizes, **names}, bigtiff=True)
    layer = opened(bare, tmp_path / "deep.ome.tif")
    assert (layer.name, layer.axis_labels, units(layer)) == ("deep", ("z", "y", "x"), ("nanometer",) * 3)
    np.testing.assert_allclose(layer.scale, (2000, 500, 250))
    bare.part("what", QComboBox).setCurrentText("Volume (3D)")
    assert words(bare) == "3 x 24 x 32, 1 channel"
    assert not is_asked(bare, 3)


@pytest.mark.parametrize("planar", [False, True])
def test_colour_is_colour(bare: Dock, planar: bool, tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    data = np.moveaxis(colour, -1, 0) if planar else colour
    tifffile.imwrite(
        tmp_path / "c.tif", data, photometric="rgb", planarconfig="separate" if planar else "contig", compression="zlib"
    )
    layer = opened(bare, tmp_path / "c.tif")
    assert (layer.rgb, layer.axis_labels) == (True, ("y", "x"))
    np.testing.assert_array_equal(layer.data, colour)
    assert words(bare) == "24 x 32, 3 channels"


def test_what_the_file_does_not_say_is_still_asked(bare: Dock, movie: np.ndarray, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "plain.tif", movie[:, 0], photometric="minisblack")
    layer = opened(bare, tmp_path / "plain.tif")
    assert units(layer) == ("pixel",) * 3
    bare.part("what", QComboBox).setCurrentText("All planes")
    assert is_asked(bare, 3)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_ome_zarr_pyramid(bare: Dock, movie: np.ndarray, zarr_format: int, tmp_path: Path) -> None:
    levels = [movie[:, :, None], np.ascontiguousarray(movie[:, :, None, ::2, ::2])]
    write_ome_zarr(tmp_path / "movie.ome.zarr", levels, "TCZYX", (30, 1, 2, 0.5, 0.25), zarr_format)
    layer = opened(bare, tmp_path / "movie.ome.zarr")
    assert (type(layer), layer.name, layer.multiscale) == (Image, "movie", True)
    assert layer.axis_labels == ("c", "t", "y", "x")  # an axis of length 1 holds nothing
    assert units(layer) == ("pixel", "second", "micrometer", "micrometer")
    np.testing.assert_allclose(layer.scale, (1, 30, 0.5, 0.25))
    assert [level.shape for level in layer.data] == [(2, 3, 24, 32), (2, 3, 12, 16)]
    np.testing.assert_array_equal(layer.data[1], np.moveaxis(movie[..., ::2, ::2], 1, 0))
    bare.part("what", QComboBox).setCurrentText("All planes")
    assert words(bare) == "3 time points of 24 x 32, 2 channels"
    assert not is_asked(bare, 4)


def test_pyramid_of_a_tiff(bare: Dock, tmp_path: Path) -> None:
    full = np.random.default_rng(0).integers(0, 255, (96, 128), np.uint8)
    with tifffile.TiffWriter(tmp_path / "p.ome.tif") as tiff:
        tiff.write(full, subifds=1, tile=(32, 32), metadata={"axes": "YX"})
        tiff.write(full[::2, ::2], subfiletype=1, tile=(32, 32))
    layer = opened(bare, tmp_path / "p.ome.tif")
    assert (layer.multiscale, [level.shape for level in layer.data]) == (True, [(96, 128), (48, 64)])
    np.testing.assert_array_equal(layer.data[0], full)


def test_of_a_large_tiff_only_what_is_looked_at_is_read(bare: Dock, tmp_path: Path) -> None:
    shape = (3, 200, 1000, 700)
    metadata = {"axes": "TZYX"}
    pixels = tifffile.memmap(tmp_path / "large.ome.tif", shape=shape, dtype=np.uint16, metadata=metadata)
    pixels[1, 7, :5] = 400
    pixels.flush()
    layer = opened(bare, tmp_path / "large.ome.tif")
    assert (layer.axis_labels, layer.data.shape) == (("t", "z", "y", "x"), shape)
    pixels[1, 7, 5:9] = 500  # after it was opened
    pixels.flush()
    assert np.unique(np.asarray(layer.data[1, 7, 3:7])).tolist() == [400, 500]
    bare.part("what", QComboBox).setCurrentText("All planes")
    assert words(bare) == "3 time points of 200 planes of 1000 x 700, 1 channel"


def test_of_a_large_ome_zarr_only_what_is_looked_at_is_read(bare: Dock, tmp_path: Path) -> None:
    group = write_ome_zarr(tmp_path / "l.zarr", [np.zeros((1, 1, 1, 1), np.uint16)], "ZCYX", (1, 1, 1, 1))
    del group["0"]
    array = group.create_array("0", shape=(40, 2, 2000, 2000), chunks=(1, 1, 500, 500), dtype=np.uint16)
    array[5, 1, :500, :500] = 7
    array[30, 1, 1500:, 1500:] = 7
    spoilt = [path for path in (tmp_path / "l.zarr" / "0").rglob("*30*") if path.is_file()]
    assert len(spoilt) == 1
    spoilt[0].write_bytes(b"no chunk")
    layer = opened(bare, tmp_path / "l.zarr")
    assert (layer.data.shape, layer.axis_labels) == ((2, 40, 2000, 2000), ("c", "z", "y", "x"))
    assert np.asarray(layer.data[1, 5, 498:502, 0]).tolist() == [7, 7, 0, 0]
    with pytest.raises(FileError, match="or it is damaged"):  # that chunk was not needed until now
        np.asarray(layer.data[1, 30])


def test_label_images_of_an_ome_zarr_come_with_it(bare: Dock, movie: np.ndarray, notices: Any, tmp_path: Path) -> None:
    group = write_ome_zarr(tmp_path / "m.zarr", [movie], "TCYX", (30, 1, 0.5, 0.25))
    group.create_group("labels").attrs.put({"labels": ["cells", "gone"]})
    labels = np.arange(3 * 24 * 32, dtype=np.uint16).reshape(3, 24, 32) % 9
    write_labels(tmp_path / "m.zarr" / "labels" / "cells.zarr", labels, axes="TYX", scale=(30, 0.5, 0.25), unit="µm")
    (tmp_path / "m.zarr" / "labels" / "cells.zarr").rename(tmp_path / "m.zarr" / "labels" / "cells")
    image, cells = bare.viewer.open(tmp_path / "m.zarr", plugin=PLUGIN)
    assert (type(image), type(cells), cells.name) == (Image, Labels, "cells")
    assert "gone" in notices[-1].message  # and the rest is opened all the same
    np.testing.assert_array_equal(cells.data, labels)
    np.testing.assert_allclose(cells.extent.world, image.extent.world[:, 1:])
    cells.paint((0, 5, 5), 99)
    assert cells.data[0, 5, 5] == 99


@pytest.mark.parametrize("ending", ["tif", "ome.tif", "ome.zarr"])
@pytest.mark.parametrize("order", ["TCYX", "CYX", "YX"])
def test_saved_labels_open_over_their_image(
    bare: Dock, movie: np.ndarray, order: str, ending: str, tmp_path: Path
) -> None:
    image = {"TCYX": movie, "CYX": movie[0], "YX": movie[0, 0]}[order]
    metadata = {"axes": order, "unit": "um", "finterval": 30}
    tifffile.imwrite(tmp_path / "i.tif", image, imagej=True, resolution=(4, 2), metadata=metadata)
    layer = opened(bare, tmp_path / "i.tif")
    if order == "TCYX":
        bare.part("what", QComboBox).setCurrentText("All planes")
    bare.segment_to_end()
    classes = bare.viewer.layers["i classes"]
    bare.widget.results.save_labels(tmp_path / f"l.{ending}")
    again = opened(bare, tmp_path / f"l.{ending}")
    assert (type(again), again.name, again.editable) == (Labels, "l", True)
    assert again.axis_labels == classes.axis_labels
    assert units(again) == units(classes) == units(layer)[-again.ndim :]
    np.testing.assert_array_equal(again.data, classes.data)
    np.testing.assert_allclose(again.extent.world, classes.extent.world)
    np.testing.assert_allclose(again.extent.world, layer.extent.world[:, -again.ndim :])
    np.testing.assert_array_equal(again.get_color(2), classes.get_color(2))
    bare.widget.results.save_labels(tmp_path / f"twice.{ending}")
    assert opened(bare, tmp_path / f"twice.{ending}").axis_labels == again.axis_labels


def corners(layer: Any) -> np.ndarray:
    """Where the corners of the image or the labels are in the world, by the edges of their pixels."""
    shape = np.array((layer.data[0] if layer.multiscale else layer.data).shape)
    return np.array([layer.data_to_world(end) for end in (np.full(len(shape), -0.5), shape - 0.5)])


@pytest.mark.parametrize("shift", [None, (0, 7, -4)])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_saved_labels_of_every_level_open_over_their_image(
    bare: Dock, movie: np.ndarray, level: int, shift: tuple[float, ...] | None, tmp_path: Path
) -> None:
    levels = [movie[:, 0, :23], movie[:, 0, :23:2, ::2], movie[:, 0, :23:4, ::4]]  # of an odd height
    group = write_ome_zarr(tmp_path / "i.zarr", levels, "TYX", (30, 0.5, 0.25))
    if shift is not None:
        metadata = group.attrs["multiscales"]
        metadata[0]["coordinateTransformations"] = [{"type": "translation", "translation": shift}]
        group.attrs.put({"multiscales": metadata})
    image = opened(bare, tmp_path / "i.zarr")
    np.testing.assert_allclose(image.translate, shift or (0, 0, 0))
    bare.part("what", QComboBox).setCurrentText("All planes")
    bare.part("resolution", QComboBox).setCurrentIndex(level)
    bare.segment_to_end()
    bare.widget.results.save_labels(tmp_path / "l.ome.zarr")
    again = opened(bare, tmp_path / "l.ome.zarr")
    assert again.data.shape == levels[level].shape
    np.testing.assert_allclose(corners(again), corners(image))
    np.testing.assert_allclose(corners(again), corners(bare.viewer.layers["i classes"]))
    assert units(again) == units(image)


@pytest.mark.parametrize("name", ["broken.tif", "short.tif", "plate.zarr", "empty.zarr"])
def test_what_is_no_image_is_one_sentence(bare: Dock, name: str, tmp_path: Path) -> None:
    (tmp_path / "broken.tif").write_text("no image")
    tifffile.imwrite(tmp_path / "short.tif", np.zeros((40, 40)), compression="zlib")
    (tmp_path / "short.tif").write_bytes((tmp_path / "short.tif").read_bytes()[:300])
    (tmp_path / "empty.zarr").mkdir()
    zarr.create_group(tmp_path / "plate.zarr", zarr_format=2, attributes={"plate": {}})
    with pytest.raises(FileError) as caught:
        bare.viewer.open(tmp_path / name, plugin=PLUGIN)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert len(bare.viewer.layers) == 0


def test_other_files_are_left_to_napari(bare: Dock, picture: np.ndarray, tmp_path: Path) -> None:
    from napari.settings import get_settings

    (tmp_path / "folder").mkdir()
    for name in ("p.png", "folder/a.png", "folder/b.png"):
        iio.imwrite(tmp_path / name, picture)
    tifffile.imwrite(tmp_path / "t.tif", picture)
    (layer,) = bare.viewer.open(tmp_path / "p.png", plugin=None)  # nobody else reads it
    assert layer.source.reader_plugin == "napari"
    for name in ("folder", "p.png"):
        with pytest.raises(ValueError, match="napari-ufseg"):
            bare.viewer.open(tmp_path / name, plugin=PLUGIN)
    (stack,) = bare.viewer.open(tmp_path / "folder")  # scripts get napari's own reader, as before
    assert stack.data.shape == (2, *picture.shape)
    (layer,) = bare.viewer.open(tmp_path / "t.tif")
    assert layer.source.reader_plugin == "napari"
    get_settings().plugins.extension2reader = {"*.tif": PLUGIN}  # as File > Open keeps what was chosen
    (layer,) = bare.viewer.open(tmp_path / "t.tif", plugin=None)
    assert layer.source.reader_plugin == PLUGIN


def test_a_lazy_layer_whose_folder_goes_is_an_error(
    movie: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_reader, "_IN_MEMORY", 0)
    write_ome_zarr(tmp_path / "x.ome.zarr", [movie], "TCYX", (1, 1, 1, 1))
    ((data, _, _),) = _reader.read_layers(str(tmp_path / "x.ome.zarr"))
    source = open_source(data, axes="CTYX")
    assert source.read(1, source.whole).any()
    (tmp_path / "x.ome.zarr").rename(tmp_path / "elsewhere")
    with pytest.raises(FileError, match=r"x.ome.zarr has gone while it was read"):
        source.read(2, source.whole)


def test_what_was_left_out_or_assumed_of_the_pixel_size_is_told(
    bare: Dock, movie: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(_reader, "show_warning", told.append)
    about = {"axes": "ZYX", "PhysicalSizeX": 0.25, "PhysicalSizeZ": "", "PhysicalSizeZUnit": "nm"}
    tifffile.imwrite(tmp_path / "i.ome.tif", movie[:, 0], metadata=about, photometric="minisblack")
    layer = opened(bare, tmp_path / "i.ome.tif")
    assert units(layer) == ("pixel", "micrometer", "micrometer")
    np.testing.assert_array_equal(layer.scale, (1, 0.25, 0.25))
    assert told == [
        "i.ome.tif: Its PhysicalSizeZ is '', which is no size, and is left out. "
        "Only the step along X is told, not that along Y: pixels are assumed to be square."
    ]


def test_what_is_told_of_several_images_and_resolutions_of_a_file_is_told_once(
    movie: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(_reader, "show_warning", told.append)
    with tifffile.TiffWriter(tmp_path / "i.ome.tif", ome=True) as tiff:
        for plane in movie[:, 0]:
            about = {"axes": "YX", "PhysicalSizeX": 0.25}
            tiff.write(plane, subifds=1, metadata=about, photometric="minisblack")
            tiff.write(plane[::2, ::2], subfiletype=1, photometric="minisblack")
    layers = _reader.read_layers(str(tmp_path / "i.ome.tif"))
    assert [about["scale"] for _, about, _ in layers] == [(0.25, 0.25)] * len(movie)
    assert told == ["i.ome.tif: Only the step along X is told, not that along Y: pixels are assumed to be square."]


def test_missing_chunks_are_told(movie: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(_reader, "show_warning", told.append)
    write_ome_zarr(tmp_path / "x.ome.zarr", [movie], "TCYX", (1, 1, 1, 1))
    next((tmp_path / "x.ome.zarr").glob("*/[0-9]*")).unlink()
    assert len(_reader.read_layers(str(tmp_path / "x.ome.zarr"))) == 1
    assert len(told) == 1
    assert "missing" in told[0]


def test_every_image_of_a_file_is_a_layer(bare: Dock, movie: np.ndarray, notices: Any, tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "two.ome.tif", ome=True) as tiff:
        about = {"PhysicalSizeX": 2.0, "PhysicalSizeY": 2.0}
        tiff.write(movie[0, 0, ::2, ::2], metadata={"axes": "YX", "Name": "overview", **about})
        tiff.write(movie[:, 0], metadata={"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5})
    overview, main = bare.viewer.open(tmp_path / "two.ome.tif", plugin=PLUGIN)
    assert (overview.name, main.name) == ("two: overview", "two: Image1")
    assert (overview.axis_labels, main.axis_labels) == (("y", "x"), ("z", "y", "x"))
    np.testing.assert_allclose((*overview.scale, *main.scale[1:]), (2, 2, 0.5, 0.5))
    np.testing.assert_array_equal(main.data, movie[:, 0])
    assert not notices


def test_a_reduced_copy_is_no_layer_and_told(bare: Dock, movie: np.ndarray, notices: Any, tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "x.tif") as tiff:
        tiff.write(movie[0, 0, ::4, ::4], subfiletype=1, metadata=None)
        tiff.write(movie[0, 0], metadata=None)
    layer = opened(bare, tmp_path / "x.tif")
    np.testing.assert_array_equal(layer.data, movie[0, 0])
    assert "of which 1 (24 x 32) is taken; the other is 0 (6 x 8, a reduced copy)" in notices[-1].message


@pytest.mark.parametrize("kind", ["opacity", "palette"])
def test_colours_of_a_tiff_are_colours(bare: Dock, kind: str, tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 255, (24, 32, 4), np.uint8)
    if kind == "opacity":
        tifffile.imwrite(tmp_path / "c.tif", colour, photometric="rgb", extrasamples=["unassalpha"])
        shown = colour[..., :3]
    else:
        table = np.random.default_rng(1).integers(0, 256, (256, 3))
        tifffile.imwrite(
            tmp_path / "c.tif", colour[..., 0], photometric="palette", colormap=(table.T * 257).astype("u2")
        )
        shown = table[colour[..., 0]]
    layer = opened(bare, tmp_path / "c.tif")
    assert layer.rgb
    np.testing.assert_array_equal(layer.data, shown)
    assert words(bare) == "24 x 32, 3 channels"


def test_pages_that_are_narrow_are_asked_for(bare: Dock, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((50, 60, 4), np.uint16), metadata=None, photometric="minisblack")
    layer = opened(bare, tmp_path / "x.tif")
    assert (layer.rgb, layer.data.shape, layer.axis_labels[1:]) == (False, (50, 60, 4), ("y", "x"))
    bare.part("what", QComboBox).setCurrentText("All planes")
    assert is_asked(bare, 3)


def test_the_planes_that_are_there_of_a_larger_image_are_a_layer_and_told(
    bare: Dock, movie: np.ndarray, notices: Any, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "x.ome.tif", movie[:, 0], metadata={"axes": "ZYX"}, photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "x.ome.tif") as tiff:
        xml = (tiff.ome_metadata or "").replace('SizeZ="3"', 'SizeZ="12"')
    tifffile.imwrite(tmp_path / "x.tif", movie[:, 0], description=xml.encode(), metadata=None, photometric="minisblack")
    layer = opened(bare, tmp_path / "x.tif")
    np.testing.assert_array_equal(layer.data, movie[:, 0])
    assert "tells of 12 planes but holds 3: only what is there is taken." in notices[-1].message


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_missing_level_is_left_out_and_told(
    movie: np.ndarray, lost: int, zarr_format: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(_reader, "show_warning", told.append)
    levels = [movie[..., :: 2**i, :: 2**i] for i in range(3)]
    group = write_ome_zarr(tmp_path / "x.zarr", levels, "TCYX", (1, 1, 0.5, 0.25), zarr_format)
    del group[str(lost)]
    ((data, about, _),) = _reader.read_layers(str(tmp_path / "x.zarr"))
    there = [i for i in range(3) if i != lost]
    assert [level.shape[-2:] for level in data] == [levels[i].shape[-2:] for i in there]
    assert about["multiscale"]
    np.testing.assert_allclose(about["scale"][-2:], np.multiply((0.5, 0.25), 2 ** there[0]))
    assert len(told) == 1
    assert f"lacks its resolution level {lost} " in told[0]


def test_without_the_only_other_level_the_layer_has_one(
    movie: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_reader, "show_warning", lambda _: None)
    group = write_ome_zarr(tmp_path / "x.zarr", [movie, movie[..., ::2, ::2]], "TCYX", (1, 1, 1, 1))
    del group["1"]
    ((data, about, _),) = _reader.read_layers(str(tmp_path / "x.zarr"))
    assert (data.shape, about["multiscale"]) == ((2, 3, 24, 32), False)


def test_the_example_of_a_plate_opens(bare: Dock, movie: np.ndarray, tmp_path: Path) -> None:
    plate = {"plate": {"wells": [{"path": "B/3"}]}}
    zarr.create_group(tmp_path / "p.zarr", zarr_format=2, attributes=plate)
    zarr.create_group(tmp_path / "p.zarr" / "B" / "3", zarr_format=2, attributes={"well": {"images": [{"path": "0"}]}})
    write_ome_zarr(tmp_path / "p.zarr" / "B" / "3" / "0", [movie], "TCYX", (1, 1, 1, 1))
    with pytest.raises(FileError) as caught:
        bare.viewer.open(tmp_path / "p.zarr", plugin=PLUGIN)
    example = str(caught.value).partition("such as ")[2].rstrip(".")
    assert opened(bare, Path(example)).data.shape == (2, 3, 24, 32)
