"""The size of a pixel: what the dock tells of it, and what follows when the user sets it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from driver import WAIT, Dock
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLabel, QLineEdit
from steps import click_and_wait, rest, saved_labels

from napari_ufseg._napari.layers.layer_steps import layer_steps
from napari_ufseg.io import open_image
from napari_ufseg.samples import time_series


def words(dock: Dock) -> str:
    return dock.part("words", QLabel).text()


def fields(dock: Dock) -> dict[str, QLineEdit]:
    """The fields of the form that can be written into."""
    found = {letter: dock.part(f"pixel_size.{letter}", QLineEdit) for letter in "zyx"}
    return {letter: field for letter, field in found.items() if field.isVisibleTo(dock.widget)}


def write(dock: Dock, letter: str, text: str) -> None:
    """Type over what stands in a field."""
    field = fields(dock)[letter]
    field.selectAll()
    dock.qtbot.keyClicks(field, text)


def open_form(dock: Dock) -> None:
    if not dock.part("section.image").isExpanded():
        dock.part("section.image.title").click()
    dock.click("pixel_size")


def set_size(dock: Dock, unit: str | None = None, **steps: str) -> None:
    """Open the form, write steps, choose a unit, and press Set."""
    open_form(dock)
    for letter, step in steps.items():
        write(dock, letter, step)
    if unit is not None:
        dock.part("pixel_size.unit", QComboBox).setCurrentText(unit)
    dock.click("pixel_size.set")


def units(layer: Any) -> tuple[str, ...]:
    return tuple(str(unit) for unit in layer.units)


def assert_over(layer: Any, image: Any, start: tuple[float, ...] = (0, 0)) -> None:
    """A layer begins at that pixel of an image, and has its steps and units."""
    for offset in ((0, 0), (7, 20)):
        pixel = np.zeros(image.ndim)
        pixel[-len(start) :] = start
        pixel[-2:] += offset
        here = np.zeros(layer.ndim)
        here[-2:] = offset
        expected = np.asarray(image.data_to_world(pixel))[-layer.ndim :]
        np.testing.assert_allclose(layer.data_to_world(here), expected, atol=1e-9)
    assert layer.units == image.units[-layer.ndim :]


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({}, "pixel size unknown"),
        ({"scale": (0.325, 0.325), "units": ("um", "um")}, "pixel 0.325 µm (layer)"),
        ({"scale": (1, 1), "units": ("nm", "nm")}, "pixel 1 nm (layer)"),
        ({"scale": (0.5, 0.25), "units": ("mm", "um")}, "pixel 500 x 0.25 µm (layer)"),
        ({"scale": (2, -3)}, "pixel 2 x 3, unit unknown (layer)"),
    ],
)
def test_the_pixel_size_is_told_beside_the_size(
    dock: Dock, picture: np.ndarray, about: dict[str, Any], told: str
) -> None:
    dock.viewer.add_image(picture, name="other", **about)
    assert words(dock) == f"40 x 56, 1 channel, {told}"


def test_that_of_a_file_and_of_planes_is_told(dock: Dock, picture: np.ndarray, tmp_path: Path) -> None:
    about = {"axes": "ZYX", "unit": "um", "spacing": 2}
    tifffile.imwrite(tmp_path / "deep.tif", np.stack([picture] * 3), imagej=True, resolution=(4, 4), metadata=about)
    dock.viewer.open(tmp_path / "deep.tif", plugin="napari-ufseg")
    assert words(dock).endswith("3 planes of 40 x 56, 1 channel, pixel 0.25 µm, planes 2 µm apart (file)")


def test_it_follows_the_layer(dock: Dock) -> None:
    image = dock.viewer.layers["cells"]
    image.scale = (0.5, 0.5)
    image.units = ("um", "um")
    assert words(dock).endswith("pixel 0.5 µm (layer)")
    image.affine = np.diag([2, 2, 1])
    assert words(dock).endswith("pixel 1 µm (layer)")


def test_what_is_entered_reaches_the_image_and_all_that_lies_over_it(dock: Dock, tmp_path: Path) -> None:
    image = dock.viewer.layers["cells"]
    image.translate = (10, -4)
    dock.segment_to_end()
    classes = dock.viewer.layers["cells classes"]
    dock.click("new_scribbles")
    click_and_wait(dock, "confidence")
    mine = dock.viewer.add_points([[1, 1]], scale=(1, 1), units=("um", "um"))
    dock.viewer.layers.selection.active = classes
    set_size(dock, "µm", y="0.325")
    np.testing.assert_allclose(image.scale, (0.325, 0.325))  # the width follows the height
    np.testing.assert_allclose(image.translate, (3.25, -1.3))  # as many pixels as before
    assert units(image) == ("micrometer", "micrometer")
    for name in ("cells classes", "cells scribbles", "cells confidence"):
        np.testing.assert_allclose(dock.viewer.layers[name].scale, (0.325, 0.325))
        assert_over(dock.viewer.layers[name], image)
    np.testing.assert_array_equal(mine.scale, (1, 1))
    assert words(dock).endswith("pixel 0.325 µm (set here)")
    assert not dock.part("pixel_size.set").isVisibleTo(dock.widget)
    saved_labels(dock, tmp_path)
    with tifffile.TiffFile(tmp_path / "saved.tif") as tiff:
        assert tiff.pages[0].tags["XResolution"].value[0] / tiff.pages[0].tags["XResolution"].value[1] == pytest.approx(
            1 / 0.325
        )


def test_continue_and_new_layers_keep_to_the_new_pixels(dock: Dock) -> None:
    image = dock.viewer.layers["cells"]
    image.translate = (10, 10)
    dock.segment_to_end()
    classes = dock.viewer.layers["cells classes"]
    set_size(dock, "nm", y="650", x="325")
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        dock.click("continue")
    assert_over(classes, image)
    click_and_wait(dock, "confidence")
    assert_over(dock.viewer.layers["cells confidence"], image)


@pytest.mark.parametrize("turn", [np.eye(3), [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]])
def test_a_plane_of_a_stack_stays_in_its_place_and_in_view(dock: Dock, turn: Any) -> None:
    stack = time_series(n_frames=5, size=48).image[:, :40]
    image = dock.viewer.add_image(stack, name="s", axis_labels=("z", "y", "x"), translate=(7, 1, 2), rotate=turn)
    dock.viewer.dims.set_current_step(0, 3)
    dock.widget.what = "Current plane"
    dock.segment_to_end()
    classes = dock.viewer.layers[-1]
    seen = image.world_to_data((dock.viewer.dims.point[0], *dock.viewer.scene.camera.center[-2:]))
    zoom = dock.viewer.scene.camera.zoom
    set_size(dock, "µm", z="2", y="0.5", x="0.25")
    np.testing.assert_allclose(image.scale, (2, 0.5, 0.25))
    assert_over(classes, image, (3, 0, 0))
    now = (dock.viewer.dims.point[0], *dock.viewer.scene.camera.center[-2:])
    np.testing.assert_allclose(image.world_to_data(now), seen, atol=1e-6)
    assert round(seen[0]) == 3
    assert dock.viewer.scene.camera.zoom == pytest.approx(zoom / 0.25)
    dock.widget.what = "Volume (3D)"
    assert dock.widget.config.anisotropy == pytest.approx(2 / np.sqrt(0.5 * 0.25), abs=1e-3)


def test_channels_in_front_and_time_keep_their_steps(dock: Dock, picture: np.ndarray) -> None:
    image = dock.viewer.add_image(
        np.stack([np.stack([picture] * 3)] * 2), name="movie", axis_labels=("c", "t", "y", "x"),
        scale=(1, 30, 1, 1), units=("pixel", "s", "pixel", "pixel"),
    )  # fmt: skip
    dock.widget.what = "All planes"
    dock.segment_to_end()
    dock.part("section.image.title").click()
    dock.click("pixel_size")
    assert list(fields(dock)) == ["y", "x"]
    dock.click("pixel_size.cancel")
    set_size(dock, "nm", y="65")
    np.testing.assert_allclose(image.scale, (1, 30, 65, 65))
    assert units(image) == ("pixel", "second", "nanometer", "nanometer")
    assert_over(dock.viewer.layers["movie classes"], image)
    np.testing.assert_allclose(dock.viewer.layers["movie classes"].scale, (30, 65, 65))


def test_another_unit_leaves_the_image_where_it_is(dock: Dock, picture: np.ndarray) -> None:
    dock.viewer.layers.clear()
    moved = np.array([[1, 0, 2], [0, 1, 4], [0, 0, 1.0]])
    image = dock.viewer.add_image(picture, name="a", scale=(2, 2), units=("um",) * 2, translate=(7, 5), affine=moved)
    dock.segment_to_end()
    set_size(dock, "nm", y="500")
    np.testing.assert_allclose(image.data_to_world((0, 0)), (9000, 9000))
    assert_over(dock.viewer.layers["a classes"], image)


def test_one_viewer_gets_one_unit_of_length(dock: Dock, picture: np.ndarray) -> None:
    """Positions of napari are in the smallest unit, which layers take for their own."""
    dock.viewer.add_image(picture, name="other", scale=(100, 100), units=("nm", "nm"))
    image = dock.viewer.layers["cells"]
    dock.viewer.layers.selection.active = image
    set_size(dock, "µm", y="0,325")  # as is written where the point is a comma
    np.testing.assert_allclose(image.scale, (325, 325))
    assert units(image) == ("nanometer", "nanometer")
    assert words(dock).endswith("pixel 325 nm (set here)")


def test_images_that_are_chosen_together_get_it_together(dock: Dock, picture: np.ndarray) -> None:
    scaled = {"scale": (2, 2), "units": ("um", "um")}
    images = [dock.viewer.add_image(picture, name=name, **scaled) for name in "ab"]
    dock.viewer.layers.remove("cells")
    dock.viewer.layers.selection = set(images)
    zoom = dock.viewer.scene.camera.zoom
    set_size(dock, "nm", y="50")
    for image in images:
        np.testing.assert_allclose(image.scale, (50, 50))
        assert units(image) == ("nanometer", "nanometer")
    assert dock.viewer.scene.camera.zoom == pytest.approx(zoom / 25)


@pytest.mark.parametrize("bad", ["0", "-1", "nan", "inf", "1e9", "one", "0.3 um"])
def test_what_is_no_size_is_one_sentence_and_changes_nothing(dock: Dock, bad: str) -> None:
    image = dock.viewer.layers["cells"]
    set_size(dock, "µm", y="0.5", x=bad)
    message = dock.part("pixel_size.message", QLabel)
    assert message.isVisibleTo(dock.widget)
    assert message.text() == "Width (X): write a number between 0.000001 and 1000000, for example 0.325."
    np.testing.assert_array_equal(image.scale, (1, 1))
    write(dock, "x", "0.25")
    dock.qtbot.keyClick(fields(dock)["x"], Qt.Key.Key_Return)
    np.testing.assert_allclose(image.scale, (0.5, 0.25))
    dock.click("pixel_size")
    assert not message.isVisibleTo(dock.widget)


def test_segment_takes_what_is_written_and_not_set_yet(dock: Dock) -> None:
    image = dock.viewer.layers["cells"]
    open_form(dock)
    write(dock, "y", "0.5")
    write(dock, "x", "wide")
    dock.click("segment")
    assert not dock.widget.is_running
    assert "Width (X)" in dock.part("pixel_size.message", QLabel).text()
    assert dock.part("pixel_size.message", QLabel).isVisibleTo(dock.widget)
    write(dock, "x", "0.25")
    dock.segment_to_end()
    np.testing.assert_allclose(image.scale, (0.5, 0.25))
    assert_over(dock.viewer.layers["cells classes"], image)


def test_the_form_shows_what_is_known_and_closes_without_a_change(dock: Dock, picture: np.ndarray) -> None:
    image = dock.viewer.add_image(picture, name="odd", scale=(3, 2), units=("inch", "inch"))
    dock.click("pixel_size")
    assert {letter: field.text() for letter, field in fields(dock).items()} == {"y": "3", "x": "2"}
    assert dock.part("pixel_size.unit", QComboBox).currentText() == "inch"
    write(dock, "y", "9")
    assert fields(dock)["x"].text() == "2"  # it was another one already
    dock.qtbot.keyClick(fields(dock)["y"], Qt.Key.Key_Escape)
    assert not fields(dock)
    np.testing.assert_array_equal(image.scale, (3, 2))
    dock.click("pixel_size")
    assert fields(dock)["y"].text() == "3"
    dock.click("pixel_size")
    assert not fields(dock)
    dock.click("pixel_size")
    dock.viewer.layers.selection.active = dock.viewer.layers["cells"]
    assert not fields(dock)  # it was about another image


def test_the_pixel_size_is_not_changed_during_a_run(dock: Dock) -> None:
    dock.click("pixel_size")
    dock.start_endless()
    assert not dock.part("pixel_size").isEnabled()
    assert not fields(dock)
    dock.stop()
    assert dock.part("pixel_size").isEnabled()


def test_every_part_has_a_name_and_a_tooltip(dock: Dock) -> None:
    for name in ("", ".z", ".y", ".x", ".unit", ".set", ".cancel"):
        part = dock.part(f"pixel_size{name}")
        assert part.toolTip()
        assert part.accessibleName()


# -- steps in units of their own, and layers that are placed by more than a scale -------------------


UM = ("um", "um", "um")
HALF_TURN = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
TURN = np.array([[1.0, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
TILT = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]])  # of depth and rows


def affine(linear: Any, shift: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, shift
    return matrix


@pytest.mark.parametrize(
    ("about", "sizes", "unit"),
    [
        ({"scale": (300, 0.1, 0.1), "units": ("nm", "um", "um")}, (0.3, 0.1, 0.1), "µm"),
        ({"scale": (0.3, 100, 100), "units": ("um", "nm", "nm")}, (300, 100, 100), "nm"),
        ({"scale": (0.0003, 0.1, 0.2), "units": ("mm", "um", "um")}, (0.3, 0.1, 0.2), "µm"),
        ({"scale": (1, 0.1, 0.1), "units": ("dekameter", "um", "um")}, (1e7, 0.1, 0.1), "µm"),  # as only pint knows it
        ({"scale": (2, -0.5, 0.5), "units": UM}, (2, 0.5, 0.5), "µm"),
        ({"scale": (-2, -0.5, -0.5), "units": UM}, (2, 0.5, 0.5), "µm"),
        ({"scale": (2, 0.5, 0.25), "units": UM, "rotate": TURN}, (2, 0.5, 0.25), "µm"),
        ({"scale": (2, 0.5, 0.25), "units": UM, "rotate": TILT}, (2, 0.5, 0.25), "µm"),
        ({"scale": (2, 0.5, 0.25), "units": UM, "affine": affine(TURN, (1, 2, 3))}, (2, 0.5, 0.25), "µm"),
        ({"scale": (2, 0.5, 0.25), "units": UM, "affine": affine(HALF_TURN)}, (2, 0.5, 0.25), "µm"),
        ({"units": UM, "affine": affine(np.diag([2, 0.5, 0.5]))}, (2, 0.5, 0.5), "µm"),
        ({"units": UM, "affine": affine(np.diag([2, -0.5, 0.5]))}, (2, 0.5, 0.5), "µm"),
        ({"scale": (2, 0.5, 0.25), "units": ("um", "nm", "nm"), "rotate": TURN}, (2000, 0.5, 0.25), "nm"),
        ({"scale": (2, 1, 1)}, (2, 1, 1), None),  # of no unit, and all the same in that of the others
        ({}, (None, None, None), None),
        ({"scale": (1, 0.1, 0.1), "units": ("pixel", "um", "um")}, (None, 0.1, 0.1), "µm"),
        ({"scale": (5, 0.1, 0.1), "units": ("s", "um", "um")}, (None, 0.1, 0.1), "µm"),  # called depth all the same
        ({"scale": (2, 0.5, 0.5), "units": ("pixel", "um", "um"), "rotate": TILT}, (None, 0.5, 0.5), "µm"),
    ],
)
def test_each_axis_of_a_layer_has_its_own_step(about: dict[str, Any], sizes: Any, unit: str | None) -> None:
    layer = Image(np.zeros((3, 8, 10)), axis_labels=("z", "y", "x"), **about)
    steps = layer_steps(layer, "ZYX")
    assert steps.sizes("ZYX") == tuple(None if size is None else pytest.approx(size) for size in sizes)
    assert steps.unit == unit
    depth = None if None in sizes else sizes[0] / np.sqrt(sizes[1] * sizes[2])
    assert steps.anisotropy == (None if depth is None else pytest.approx(min(depth, 1000), abs=1e-3))


@pytest.mark.parametrize(
    ("about", "start"),
    [
        ({"translate": (1, 2, 3)}, (1, 2, 3)),
        ({"translate": (1, 2, 3), "affine": affine(np.eye(3), (10, 0, 0))}, (11, 2, 3)),
        ({"translate": (1000, 2, 3), "units": ("nm", "um", "um")}, (1, 2, 3)),
        ({"translate": (1, 2, 3), "rotate": TURN}, (0, 0, 0)),  # which no label file can tell
    ],
)
def test_the_place_of_a_layer_that_is_not_turned_is_kept(about: dict[str, Any], start: Any) -> None:
    layer = Image(np.zeros((3, 8, 10)), **{"scale": (2, 0.5, 0.5), "units": UM, **about})
    assert layer_steps(layer, "ZYX").starts("ZYX") == pytest.approx(start)


@pytest.mark.parametrize(
    ("about", "anisotropy", "sizes"),
    [
        ({"scale": (300, 0.1, 0.1), "units": ("nm", "um", "um")}, 3, (0.3, 0.1, 0.1)),
        ({"scale": (2, -0.5, 0.5), "units": UM}, 4, (2, 0.5, 0.5)),
        ({"scale": (1, 0.1, 0.1), "units": ("pixel", "um", "um")}, 1, (None, 0.1, 0.1)),
    ],
    ids=["depth in nm", "mirrored", "no depth"],
)
def test_a_volume_and_its_files_have_the_steps_of_its_layer(
    dock: Dock, picture: np.ndarray, about: dict[str, Any], anisotropy: float, sizes: Any, tmp_path: Path
) -> None:
    dock.viewer.layers.clear()
    dock.viewer.add_image(np.stack([picture] * 3), name="deep", axis_labels=("z", "y", "x"), **about)
    dock.widget.what = "Volume (3D)"
    dock.segment_to_end()
    assert dock.widget.config.anisotropy == anisotropy
    assert ("step between planes unknown" in words(dock)) == (sizes[0] is None)
    for name in ("l.tif", "l.ome.tif", "l.ome.zarr"):
        dock.widget.results.save_labels(tmp_path / name)
        rest(dock)
        steps = open_image(tmp_path / name).axis_steps
        assert steps.sizes("ZYX") == tuple(None if size is None else pytest.approx(size) for size in sizes)
        assert steps.unit == "µm"


def test_seconds_are_no_depth_and_that_is_told(dock: Dock, picture: np.ndarray, tmp_path: Path) -> None:
    """A stack of depths that was saved as frames."""
    dock.viewer.layers.clear()
    about = {"scale": (5, 0.1, 0.1), "units": ("second", "um", "um"), "axis_labels": ("t", "y", "x")}
    image = dock.viewer.add_image(np.stack([picture] * 3), name="frames", **about)
    dock.widget.tell_axes(image, "ZYX")
    dock.widget.what = "Volume (3D)"
    assert dock.widget.config.anisotropy == 1
    told = "pixel 0.1 µm, step between planes unknown (layer). The step along Z is told as 5 s, which is no length, and is left out"
    assert words(dock).endswith(told)
    dock.segment_to_end()
    for name in ("l.tif", "l.ome.zarr"):
        dock.widget.results.save_labels(tmp_path / name)
        rest(dock)
        assert open_image(tmp_path / name).axis_steps.sizes("ZYX") == (None, pytest.approx(0.1), pytest.approx(0.1))
    open_form(dock)
    assert fields(dock)["z"].text() == ""
    dock.click("pixel_size.set")
    assert units(image)[0] == "second"  # what is not known is not made up
    set_size(dock, z="2")
    assert dock.widget.config.anisotropy == 20
    assert words(dock).endswith("pixel 0.1 µm, planes 2 µm apart (set here)")


def test_an_axis_that_gets_another_name_gets_the_step_that_its_file_tells_of_it(
    dock: Dock, picture: np.ndarray, tmp_path: Path
) -> None:
    dock.viewer.layers.clear()
    about = {"axes": "TYX", "unit": "um", "spacing": 2, "finterval": 5}
    tifffile.imwrite(tmp_path / "f.tif", np.stack([picture] * 3), imagej=True, resolution=(10, 10), metadata=about)
    (image,) = dock.viewer.open(tmp_path / "f.tif", plugin="napari-ufseg")
    dock.widget.what = "Volume (3D)"
    for axes, step, unit, told in (
        ("ZYX", 2, "micrometer", "pixel 0.1 µm, planes 2 µm apart (file)"),
        ("TYX", 5, "second", "pixel 0.1 µm (file)"),
        ("ZYX", 2, "micrometer", "pixel 0.1 µm, planes 2 µm apart (file)"),
    ):
        dock.widget.tell_axes(image, axes)
        assert (image.scale[0], units(image)[0]) == (pytest.approx(step), unit)
        assert words(dock).endswith(told)
    assert dock.widget.config.anisotropy == 20


def test_a_size_is_set_for_a_layer_that_an_affine_stretches(dock: Dock, picture: np.ndarray) -> None:
    stretched = np.diag([0.5, -0.5, 1.0])
    image = dock.viewer.add_image(picture, name="a", units=("um", "um"), affine=stretched)
    assert words(dock).endswith("pixel 0.5 µm (layer)")
    set_size(dock, y="0.25")
    assert words(dock).endswith("pixel 0.25 µm (set here)")
    np.testing.assert_allclose(image.data_to_world((1, 1)), (0.25, -0.25))
