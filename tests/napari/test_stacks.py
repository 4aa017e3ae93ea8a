"""Stacks, volumes, channels, several images and lazy data in the dock."""

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from driver import ENDLESS, QUICK, WAIT, Dock
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel

from napari_ufseg import predict, segment
from napari_ufseg._napari.layers.saving import paths_for
from napari_ufseg.io import read_labels
from napari_ufseg.samples import time_series


@pytest.fixture
def stack() -> np.ndarray:
    """(5, 40, 48) uint16: discs that drift."""
    return time_series(n_frames=5, size=48).image[:, :40]


@pytest.fixture
def bare(make_napari_viewer_proxy: Any, qtbot: Any) -> Dock:
    """The dock in an empty viewer."""
    return Dock(make_napari_viewer_proxy(), qtbot)


def choose(dock: Dock, name: str, word: str) -> None:
    dock.part(name, QComboBox).setCurrentText(word)


def classes_of(dock: Dock, name: str = "stack") -> Any:
    return dock.viewer.layers[f"{name} classes"]


def test_all_planes_of_a_time_series_get_one_set_of_classes(bare, stack):
    bare.viewer.add_image(
        stack, name="stack", axis_labels=("t", "y", "x"), scale=(10, 0.5, 0.5), units=("s", "um", "um")
    )
    choose(bare, "what", "All planes")
    assert bare.part("words", QLabel).text() == "5 time points of 40 x 48, 1 channel, pixel 0.5 µm (layer)"
    result = bare.segment_to_end()
    layer = classes_of(bare)
    assert layer.data.shape == stack.shape
    assert layer.n_edit_dimensions == 2
    np.testing.assert_array_equal(layer.scale, (10, 0.5, 0.5))
    expected = segment(stack, QUICK, axes="TYX", device="cpu")
    np.testing.assert_array_equal(layer.data, expected.labels)
    assert expected.stop_reason == result.stop_reason


def what(dock: Dock) -> str:
    """What of the image would be segmented."""
    assert dock.part("what", QComboBox).currentText() == dock.widget.what
    return dock.widget.what


def test_all_planes_of_a_small_stack_are_meant_once_its_axes_are_known(bare, stack):
    bare.viewer.add_image(stack, name="named", axis_labels=("t", "y", "x"))
    assert what(bare) == "All planes"
    stack_unknown = bare.viewer.add_image(stack, name="unknown")
    assert what(bare) == "Current plane"
    choose(bare, "axis.0", "other")
    assert what(bare) == "All planes"
    choose(bare, "axis.0", "choose...")
    assert what(bare) == "Current plane"
    bare.widget.tell_axes(stack_unknown, "ZYX")
    assert what(bare) == "All planes"
    assert bare.segment_to_end().labels[0].shape == stack.shape


def lazy(n: int) -> Any:
    return da.zeros((n, 8, 8), dtype=np.uint8, chunks=(1, 8, 8))


def large(n: int) -> Any:
    return np.broadcast_to(np.zeros(1, np.uint8), (n, 2048, 2048))


@pytest.mark.parametrize(("pixels", "default"), [
    (lazy(3), "Current plane"), (large(4), "All planes"), (large(5), "Current plane"),
    (np.broadcast_to(np.zeros(1, np.uint8), (4, 2, 2048, 2048)), "All planes"),  # channels are no more pixels
])  # fmt: skip
def test_the_plane_in_view_is_meant_of_a_lazy_or_large_stack(bare, pixels, default):
    names = ("z", "c", "y", "x") if pixels.ndim == 4 else ("z", "y", "x")
    bare.viewer.add_image(pixels, name="stack", axis_labels=names, contrast_limits=(0, 9), visible=False)
    assert what(bare) == default
    bare.viewer.add_image(pixels[0], name="plane", axis_labels=names[1:], contrast_limits=(0, 9), visible=False)
    bare.viewer.add_image(np.zeros((3, 8, 8), np.uint8), name="small", axis_labels=("z", "y", "x"))
    bare.viewer.layers.selection = {bare.viewer.layers["stack"], bare.viewer.layers["small"]}
    assert what(bare) == default  # of both together


@pytest.mark.parametrize("by", ["user", "script"])
@pytest.mark.parametrize("chosen", ["Current plane", "Volume (3D)"])
def test_what_was_chosen_stays_for_all_stacks_of_the_dock(bare, stack, by, chosen):
    names = ("z", "y", "x")
    if by == "script":
        bare.widget.what = chosen  # before there is anything to segment
    bare.viewer.add_image(stack, name="stack", axis_labels=names)
    if by == "user":
        choose(bare, "what", chosen)
    bare.viewer.add_image(stack[0], name="flat", axis_labels=names[1:])
    bare.viewer.add_image(stack, name="another", axis_labels=names)
    assert what(bare) == chosen


def test_an_unknown_axis_is_asked_for_and_never_guessed(bare, stack, notices):
    bare.viewer.add_image(stack, name="stack")
    words = bare.part("words", QLabel)
    assert words.text() == "One of 5 planes (axis not known yet) of 40 x 48, 1 channel, pixel size unknown"
    choose(bare, "what", "All planes")
    assert "Choose above what Axis 0 (5) is." in words.text()
    with bare.qtbot.waitSignal(bare.widget.run_failed, timeout=WAIT):
        bare.click("segment")
    assert "choose it beside Axis 0 (5)," in notices[-1].message
    choose(bare, "axis.0", "depth (Z)")
    assert words.text() == "5 planes of 40 x 48, 1 channel, pixel size unknown"
    bare.segment_to_end()
    np.testing.assert_array_equal(classes_of(bare).data, segment(stack, QUICK, axes="ZYX", device="cpu").labels)


def sliders(dock: Dock) -> tuple[str, ...]:
    return tuple(dock.viewer.dims.axis_labels)


def test_the_slider_says_what_the_user_has_said_of_the_axis(bare, stack):
    image = bare.viewer.add_image(np.stack([stack] * 2, axis=1), name="stack")
    bare.segment_to_end()
    classes = bare.viewer.layers[-1]
    bare.viewer.layers.selection.active = image
    choose(bare, "axis.0", "time (T)")
    choose(bare, "axis.1", "depth (Z)")
    assert sliders(bare) == image.axis_labels == classes.axis_labels == ("t", "z", "-2", "-1")
    choose(bare, "axis.0", "channel (C)")
    assert sliders(bare) == image.axis_labels == ("c", "z", "-2", "-1")
    for word in ("choose...", "other"):
        choose(bare, "axis.0", word)
        assert sliders(bare) == image.axis_labels == classes.axis_labels == ("-4", "z", "-2", "-1")
    choose(bare, "axis.1", "choose...")
    assert sliders(bare) == image.axis_labels == classes.axis_labels == ("-4", "-3", "-2", "-1")


def test_a_name_of_an_axis_that_says_no_role_is_kept(bare, stack):
    image = bare.viewer.add_image(np.stack([stack] * 2, axis=1), name="stack", axis_labels=("dose", "frame", "y", "x"))
    choose(bare, "axis.0", "channel (C)")
    choose(bare, "axis.1", "depth (Z)")
    assert sliders(bare) == image.axis_labels == ("dose", "z", "y", "x")
    choose(bare, "axis.1", "time (T)")
    bare.widget.tell_axes(image, "QTYX")
    assert sliders(bare) == image.axis_labels == ("dose", "t", "y", "x")


def test_a_slider_that_the_user_has_named_keeps_its_name(bare, stack):
    image = bare.viewer.add_image(stack, name="stack")
    bare.viewer.dims.set_axis_label(0, "hours")
    choose(bare, "axis.0", "time (T)")
    assert image.axis_labels == ("t", "-2", "-1")
    assert sliders(bare)[0] == "hours"


def test_what_the_user_said_of_an_axis_is_kept_for_its_image(bare, stack):
    first = bare.viewer.add_image(stack, name="first")
    choose(bare, "axis.0", "time (T)")
    bare.viewer.add_image(stack[0], name="flat")
    bare.viewer.layers.selection.active = bare.viewer.layers["flat"]
    assert bare.widget.findChild(QComboBox, "ufseg.axis.0") is None
    bare.viewer.layers.selection.active = first
    assert bare.part("axis.0", QComboBox).currentText() == "time (T)"


@pytest.mark.parametrize(("names", "shape", "step", "plane"), [
    (("z", "y", "x"), (5,), (3,), ", z=3"),
    (("t", "depth", "y", "x"), (3, 2), (2, 1), ", t=2, z=1"),
    (None, (5,), (4,), ", plane 4"),
    (None, (3, 2), (2, 1), ", plane 2, 1"),
    (("dose", "time", "y", "x"), (3, 2), (2, 1), ", t=1, plane 2"),
    (("c", "t", "z", "y", "x"), (2, 1, 5), (0, 0, 2), ", z=2"),
    (("t", "y", "x"), (1,), (0,), ""),
])  # fmt: skip
def test_the_layer_of_a_plane_and_its_file_say_which_plane_it_is(bare, stack, tmp_path, names, shape, step, plane):
    image = np.broadcast_to(stack[0], (*shape, 40, 48)).copy()
    bare.viewer.add_image(image, name="my stack", axis_labels=names, scale=(3,) * len(shape) + (1, 1))
    choose(bare, "what", "Current plane")
    bare.viewer.dims.set_current_step(range(len(shape)), step)
    bare.segment_to_end()
    layer = bare.viewer.layers[-1]
    assert layer.name == f"my stack classes{plane}"
    bare.segment_to_end()
    assert list(bare.viewer.layers)[1:] == [layer]  # the same plane again
    layer.paint((0,) * (layer.ndim - 2) + (5, 5), 99)
    bare.segment_to_end()
    stems = sorted(path.name for path in paths_for(bare.viewer.layers[1:], tmp_path))
    assert stems == [f"my stack{plane} [1]_labels.tif", f"my stack{plane}_labels.tif"]


def test_every_plane_has_its_own_layer(bare, stack):
    bare.viewer.add_image(stack, name="stack", axis_labels=("z", "y", "x"))
    choose(bare, "what", "Current plane")
    for z in (1, 4, 1):
        bare.viewer.dims.set_current_step(0, z)
        bare.segment_to_end()
    assert [layer.name for layer in bare.viewer.layers] == ["stack", "stack classes, z=1", "stack classes, z=4"]


def test_a_volume_has_3d_kernels_and_its_own_anisotropy(bare, stack):
    bare.viewer.add_image(stack, name="stack", axis_labels=("z", "y", "x"), scale=(2, 1, 1))
    choose(bare, "what", "Volume (3D)")
    assert bare.part("words", QLabel).text() == "5 x 40 x 48, 1 channel, pixel 1, planes 2 apart, unit unknown (layer)"
    result = bare.segment_to_end()
    assert (result.config.spatial_dims, result.config.anisotropy) == (3, 2.0)
    layer = classes_of(bare)
    assert layer.n_edit_dimensions == 3
    expected = segment(stack, QUICK.replace(spatial_dims=3, anisotropy=2.0), axes="ZYX", device="cpu")
    np.testing.assert_array_equal(layer.data, expected.labels)


def test_the_anisotropy_of_a_volume_is_shown_and_another_can_be_set(bare, stack):
    box = bare.part("option.anisotropy")
    bare.viewer.add_image(stack, name="stack", axis_labels=("z", "y", "x"), scale=(3, 1, 1))
    choose(bare, "what", "Volume (3D)")
    assert box.value() == bare.widget.config.anisotropy == 3
    bare.click("reset")  # the driver has set other options
    assert box.value() == 3
    assert not bare.part("reset").isEnabled()
    box.setValue(1)
    assert bare.widget.config.anisotropy == 1
    bare.click("reset")
    assert box.value() == bare.widget.config.anisotropy == 3
    bare.viewer.add_image(stack, name="flatter", axis_labels=("z", "y", "x"), scale=(2, 1, 1))
    assert box.value() == bare.widget.config.anisotropy == 2
    bare.widget.config = QUICK.replace(spatial_dims=3)
    assert bare.widget.config.anisotropy == 2
    bare.widget.config = QUICK.replace(spatial_dims=3, anisotropy=5)
    assert box.value() == bare.widget.config.anisotropy == 5


def test_a_config_for_volumes_brings_its_anisotropy_along(bare, stack):
    bare.viewer.add_image(stack, name="stack", axis_labels=("z", "y", "x"), scale=(3, 1, 1))
    bare.widget.config = QUICK.replace(spatial_dims=3, anisotropy=2)
    assert bare.part("option.anisotropy").value() == bare.widget.config.anisotropy == 2


def test_a_flat_image_is_segmented_as_one_whatever_was_chosen_for_a_stack(bare, stack):
    image = bare.viewer.add_image(stack, name="stack", axis_labels=("z", "y", "x"))
    assert bare.part("what", QComboBox).isVisibleTo(bare.widget)
    choose(bare, "what", "Volume (3D)")
    bare.viewer.add_image(stack[0], name="flat")
    assert not bare.part("what", QComboBox).isVisibleTo(bare.widget)
    assert bare.segment_to_end().config.spatial_dims == 2
    assert classes_of(bare, "flat").data.shape == stack.shape[1:]
    bare.viewer.layers.selection.active = image
    assert bare.widget.what == "Volume (3D)"


def test_a_volume_without_depth_says_so(bare, stack, notices):
    bare.viewer.add_image(stack, name="stack", axis_labels=("t", "y", "x"))
    choose(bare, "what", "Volume (3D)")
    with bare.qtbot.waitSignal(bare.widget.run_failed, timeout=WAIT):
        bare.click("segment")
    assert "no depth axis Z" in notices[-1].message


def start_endless_with_plane_1_in_view(bare, stack, batch_size):
    bare.viewer.add_image(stack, name="stack", axis_labels=("t", "y", "x"))
    choose(bare, "what", "All planes")
    bare.viewer.dims.set_current_step(0, 1)
    bare.widget.config = ENDLESS.replace(batch_size=batch_size)
    bare.click("segment")
    bare.qtbot.waitUntil(lambda: "stack classes" in bare.viewer.layers, timeout=WAIT)


@pytest.mark.parametrize("batch_size", [16, 2])
def test_the_plane_that_is_looked_at_is_shown_next(bare, stack, batch_size):
    start_endless_with_plane_1_in_view(bare, stack, batch_size)
    layer = classes_of(bare)
    assert [bool(plane.any()) for plane in layer.data] == [False, True, False, False, False]
    bare.viewer.dims.set_current_step(0, 3)
    bare.qtbot.waitUntil(lambda: bool(layer.data[3].any()), timeout=WAIT)
    assert not layer.data[4].any()
    bare.stop()
    assert all(plane.all() for plane in layer.data)
    assert layer.editable


@pytest.mark.parametrize("batch_size", [16, 2])
def test_the_plane_that_is_looked_at_is_shown_while_the_run_is_paused(bare, stack, batch_size):
    start_endless_with_plane_1_in_view(bare, stack, batch_size)
    bare.click("pause")
    bare.qtbot.waitUntil(lambda: bare.part("pause").text() == "Resume", timeout=WAIT)
    layer, epoch = classes_of(bare), bare.part("progress").value()
    for plane in (3, 4):
        assert not layer.data[plane].any()
        bare.viewer.dims.set_current_step(0, plane)
        bare.qtbot.waitUntil(lambda plane=plane: bool(layer.data[plane].all()), timeout=WAIT)
    assert bare.part("progress").value() == epoch
    assert bare.part("status").text().startswith("Paused. ")
    assert bare.part("pause").text() == "Resume"
    bare.click("pause")
    bare.qtbot.waitUntil(lambda: bare.part("progress").value() > epoch, timeout=WAIT)
    assert bare.part("pause").text() == "Pause"
    bare.stop()


@pytest.mark.parametrize("axis", [0, 1])
def test_channels_are_used_together_and_are_no_axis_of_the_labels(bare, stack, axis):
    image = np.stack([stack, stack[::-1], stack[:, ::-1]], axis=axis)
    names = ("c", "z", "y", "x") if axis == 0 else ("z", "c", "y", "x")
    bare.viewer.add_image(image, name="stack", axis_labels=names, scale=(3, 3, 2, 2), translate=(1, 1, 4, 4))
    choose(bare, "what", "All planes")
    assert bare.part("words", QLabel).text().startswith("5 planes of 40 x 48, 3 channels, pixel 2, planes 3 apart")
    bare.segment_to_end()
    layer = classes_of(bare)
    expected = segment(image, QUICK, axes="".join(names).upper(), device="cpu").labels
    np.testing.assert_array_equal(layer.data.squeeze(), expected)
    for step in ((2, 0, 0, 0), (2, 2, 0, 0)):  # the labels lie over every channel
        bare.viewer.dims.set_point(range(4), np.array(step) * (3, 3, 2, 2) + (1, 1, 4, 4))
        point = np.array(bare.viewer.dims.point)
        point[-2:] = (4 + 2 * 10, 4 + 2 * 20)
        plane = step[1] if axis == 0 else step[0]
        assert layer.get_value(point[-layer.ndim :], world=True) == expected[plane, 10, 20]


@pytest.mark.parametrize(("names", "planes"), [("cyx", ()), ("ctzyx", (2, 2))])
def test_the_labels_of_channels_in_front_lie_over_the_image_in_flat_images_and_series_of_volumes(
    bare, stack, names, planes
):
    image = np.broadcast_to(stack[: 2 * len(planes) or 1].reshape(1, *planes, 40, 48), (3, *planes, 40, 48)).copy()
    image[1] //= 2
    scale = (1, 7, 3, 2, 2)[-image.ndim :]
    layer = bare.viewer.add_image(image, name="stack", axis_labels=tuple(names), scale=scale)
    choose(bare, "what", "All planes")
    bare.segment_to_end()
    labels = classes_of(bare)
    np.testing.assert_array_equal(labels.data, segment(image, QUICK, axes=names.upper(), device="cpu").labels)
    np.testing.assert_allclose(labels.extent.world, layer.extent.world[:, 1:])


def test_selected_images_of_three_sizes_are_trained_jointly(bare, picture):
    images = {"a": picture, "b": picture[:20], "c": picture[:, :30]}
    layers = [bare.viewer.add_image(image, name=name) for name, image in images.items()]
    bare.viewer.layers.selection = set(layers)
    together = bare.part("together", QCheckBox)
    assert together.text() == "All 3 selected images together"
    bare.segment_to_end()
    expected = segment(list(images.values()), QUICK, device="cpu").labels
    for name, labels in zip(images, expected, strict=True):
        np.testing.assert_array_equal(classes_of(bare, name).data, labels)
    together.setChecked(False)
    assert len(bare.segment_to_end().labels) == 1


def test_images_with_different_channels_are_refused_by_name(bare, picture, notices):
    grey = bare.viewer.add_image(picture, name="grey")
    colour = bare.viewer.add_image(np.stack([picture] * 3, -1), name="colour", rgb=True)
    bare.viewer.layers.selection = {grey, colour}
    with bare.qtbot.waitSignal(bare.widget.run_failed, timeout=WAIT):
        bare.click("segment")
    assert "'colour' has 3 channels" in notices[-1].message


def test_the_labels_of_a_lazy_stack_lie_on_disk_and_can_be_painted_on(bare, stack):
    bare.viewer.add_image(da.from_array(stack, chunks=(1, 16, 16)), name="stack", axis_labels=("t", "y", "x"))
    choose(bare, "what", "All planes")
    bare.segment_to_end()
    layer = classes_of(bare)
    assert isinstance(layer.data, zarr.Array)
    assert Path(layer.metadata["napari_ufseg"]["kept_in"]).is_dir()
    expected = segment(stack, QUICK, axes="TYX", device="cpu").labels
    np.testing.assert_array_equal(layer.data[:], expected)
    bare.viewer.dims.set_current_step(0, 2)
    layer.paint((2, 10, 10), 7)
    assert layer.data[2, 10, 10] == 7
    layer.undo()
    np.testing.assert_array_equal(layer.data[:], expected)


def test_a_model_is_applied_to_all_planes_and_the_labels_are_saved_with_their_axes(bare, stack, tmp_path):
    bare.viewer.add_image(
        stack, name="stack", axis_labels=("t", "y", "x"), scale=(1, 0.5, 0.5), units=("s", "um", "um")
    )
    choose(bare, "what", "Current plane")
    model = bare.segment_to_end().model
    assert bare.viewer.layers[-1].data.shape == (1, 40, 48)
    choose(bare, "what", "All planes")
    bare.click("apply_model")
    bare.qtbot.waitUntil(lambda: len(bare.viewer.layers) == 3, timeout=WAIT)
    layer = bare.viewer.layers[-1]
    np.testing.assert_array_equal(layer.data, predict(model, stack, axes="TYX"))
    bare.viewer.layers.selection.active = layer
    bare.widget.results.save_labels(tmp_path / "labels.tif")
    with tifffile.TiffFile(tmp_path / "labels.tif") as tiff:
        assert tiff.series[0].axes == "TYX"
        np.testing.assert_array_equal(tiff.asarray(), layer.data)


def test_a_model_for_planes_is_not_applied_to_a_volume(bare, stack, notices):
    bare.viewer.add_image(stack, name="stack", axis_labels=("z", "y", "x"))
    bare.segment_to_end()
    choose(bare, "what", "Volume (3D)")
    bare.click("apply_model")
    assert "trained with 2 dimensions" in notices[-1].message


@pytest.mark.parametrize(("names", "n_axes"), [(("c", "y", "x"), 2), (("c", "t", "z", "y", "x"), 4)])
def test_channels_in_front_of_any_number_of_axes(bare, picture, names, n_axes):
    image = np.stack([picture, 255 - picture]).reshape(2, *(1,) * (n_axes - 2), *picture.shape)
    bare.viewer.add_image(image, name="stack", axis_labels=names, scale=(1,) * (n_axes - 1) + (2, 3))
    bare.segment_to_end()
    layer = classes_of(bare)
    assert layer.data.shape == image.shape[1:]
    np.testing.assert_array_equal(layer.scale[-2:], (2, 3))


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 0, 1), (2, 1, 0)])
def test_a_plane_that_is_not_the_one_that_is_seen_is_refused(bare, stack, notices, order):
    bare.viewer.add_image(stack, axis_labels=("z", "y", "x"))
    bare.widget.what = "Current plane"
    bare.viewer.dims.order = order
    with bare.qtbot.waitSignal(bare.widget.run_failed, timeout=WAIT):
        bare.click("segment")
    assert "shows the layer 'stack' from the side" in notices[0].message
    assert len(bare.viewer.layers) == 1
    bare.viewer.dims.order = (0, 2, 1)  # the same plane, turned over
    bare.segment_to_end()
    bare.viewer.dims.order = order
    bare.widget.what = "All planes"
    bare.segment_to_end()


def test_the_dock_follows_an_image_whose_data_get_more_axes(bare, stack):
    layer = bare.viewer.add_image(stack[0])
    assert "planes" not in bare.part("words").text()
    layer.data = stack
    assert f"One of {len(stack)} planes" in bare.part("words").text()
    bare.part("axis.0", QComboBox).setCurrentText("time (T)")
    bare.widget.what = "All planes"
    assert bare.segment_to_end().labels[0].shape == stack.shape
    layer.data = stack[0]
    assert bare.widget.findChild(QComboBox, "ufseg.axis.0") is None
    assert bare.segment_to_end().labels[0].shape == stack[0].shape


def test_labels_of_channels_that_come_last_are_saved(bare, picture, tmp_path):
    bare.viewer.add_image(np.dstack([picture, picture[::-1]]), axis_labels=("y", "x", "c"))
    bare.widget.what = "All planes"
    bare.segment_to_end()
    for name in ("l.tif", "l.ome.zarr", "l.png"):
        bare.widget.results.save_labels(tmp_path / name)
        assert read_labels(tmp_path / name).shape == picture.shape


def test_labels_of_several_resolutions_are_saved_at_the_full_one(bare, picture, tmp_path):
    full = (picture > 40).astype(np.uint16)
    bare.viewer.add_labels([full, full[::2, ::2]], multiscale=True, name="pyramid")
    for name in ("l.tif", "l.ome.zarr"):
        bare.widget.results.save_labels(tmp_path / name)
        np.testing.assert_array_equal(read_labels(tmp_path / name), full)


def test_a_run_in_a_view_in_3d_over_which_the_pointer_rests_has_one_layer(bare, stack):
    bare.viewer.add_image(stack, axis_labels=("z", "y", "x"))
    bare.viewer.dims.ndisplay, bare.viewer.mouse_over_canvas = 3, True
    bare.widget.what = "All planes"
    bare.segment_to_end()
    assert [layer.name for layer in bare.viewer.layers] == ["stack", "stack classes"]
    assert bare.viewer.mouse_over_canvas


def test_a_run_that_waits_for_one_in_another_window_says_so_and_can_be_stopped(bare, picture, make_napari_viewer):
    bare.viewer.add_image(picture, name="one")
    bare.start_endless()
    bare.click("pause")
    other = Dock(make_napari_viewer(), bare.qtbot)
    other.viewer.add_image(picture, name="two")
    other.click("segment")
    bare.qtbot.waitUntil(lambda: other.part("status").text().startswith("Waiting for another run"), timeout=WAIT)
    other.click("stop")
    bare.qtbot.waitUntil(lambda: other.part("segment").isEnabled(), timeout=WAIT)
    assert other.part("status").text() == "Stopped before there were any labels; nothing was changed."
    other.click("segment")
    bare.stop()
    bare.qtbot.waitUntil(lambda: len(other.viewer.layers) == 2, timeout=WAIT)
    bare.qtbot.waitUntil(lambda: other.part("segment").isEnabled(), timeout=WAIT)
