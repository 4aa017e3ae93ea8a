"""Segment, watch, pause, stop: what the user sees and gets."""

import numpy as np
import pytest
from driver import QUICK, WAIT
from napari.layers import Image, Labels
from skimage.color import rgb2lab

from napari_ufseg import SegmentationConfig, segment
from napari_ufseg.engine.labels.class_table import class_colours


def classes_of(dock, name="cells classes"):
    return dock.viewer.layers[name]


def test_segment_gives_the_labels_that_a_script_gets(dock, picture):
    result = dock.segment_to_end()
    layer = classes_of(dock)
    assert isinstance(layer, Labels)
    assert layer.data.dtype == np.uint16
    assert layer.data.shape == picture.shape
    np.testing.assert_array_equal(layer.data, segment(picture, QUICK, device="cpu").labels)
    np.testing.assert_array_equal(layer.data, result.labels[0])
    assert layer.data.min() >= 1
    assert layer.contour == 0


def test_labels_lie_exactly_over_the_image(dock, picture):
    place_on = {"scale": (0.5, 0.25), "translate": (3, -4), "rotate": 30, "shear": [0.2], "units": ("um", "um"),
              "axis_labels": ("row", "column"), "affine": [[1, 0.1, 5], [0, 1, 6], [0, 0, 1]]}  # fmt: skip
    image = dock.viewer.add_image(picture, name="placed", **place_on)
    dock.segment_to_end()
    labels = classes_of(dock, "placed classes")
    for corner in [(0, 0), (39, 55), (7, 20)]:
        np.testing.assert_allclose(labels.data_to_world(corner), image.data_to_world(corner))
    assert labels.units == image.units
    assert labels.axis_labels == image.axis_labels


@pytest.mark.parametrize("index", [(0, 0), (2, 1)])
def test_a_stack_gives_the_plane_that_is_looked_at(dock, picture, index):
    stack = np.zeros((3, 2, *picture.shape), np.uint8)
    stack[index] = picture
    image = dock.viewer.add_image(
        stack, name="stack", scale=(2, 3, 0.5, 0.25), translate=(10, 20, 0, 0), rotate=np.eye(4)
    )
    dock.viewer.dims.set_point((0, 1), image.data_to_world((*index, 0, 0))[:2])
    dock.segment_to_end()
    labels = classes_of(dock, f"stack classes, plane {index[0]}, {index[1]}")
    assert labels.data.shape == (1, 1, *picture.shape)
    np.testing.assert_array_equal(labels.data[0, 0], segment(picture, QUICK, device="cpu").labels)
    np.testing.assert_allclose(labels.data_to_world((0, 0, 5, 6)), image.data_to_world((*index, 5, 6)))


def test_only_the_plane_of_a_lazy_image_is_read(dock, picture):
    da = pytest.importorskip("dask.array")
    read = []

    def plane(block_info=None):
        read.append(block_info[None]["chunk-location"][0])
        return picture[np.newaxis]

    lazy = da.map_blocks(plane, chunks=((1,) * 50, *((n,) for n in picture.shape)), dtype=picture.dtype)
    dock.viewer.add_image(lazy, name="lazy", contrast_limits=(0, 255))
    dock.viewer.dims.set_point(0, 7)
    shown = set(read)
    dock.segment_to_end()
    assert set(read) <= shown | {7}


def test_colour_images_are_trained_on_their_colours_without_opacity(dock, picture):
    rgba = np.stack([picture, picture.T.reshape(picture.shape), 255 - picture, np.full_like(picture, 77)], -1)
    dock.viewer.add_image(rgba, name="colour", rgb=True)
    result = dock.segment_to_end()
    assert result.model.n_channels == 3
    np.testing.assert_array_equal(
        classes_of(dock, "colour classes").data, segment(rgba[..., :3], QUICK, device="cpu").labels
    )


def test_live_labels_are_not_paintable_and_the_finished_layer_is(dock):
    layer = dock.start_endless()
    assert layer.name == "cells classes"
    assert layer.data.any()
    assert not layer.editable
    layer.mode = "paint"
    assert layer.mode == "pan_zoom"
    dock.stop()
    assert layer.editable
    finished = layer.data.copy()
    layer.undo()
    np.testing.assert_array_equal(layer.data, finished)  # nothing of the run is in the history
    layer.selected_label = 5
    layer.mode = "paint"
    layer.paint((10, 10), 5)
    assert (layer.data == 5).sum() > (finished == 5).sum()
    layer.undo()
    np.testing.assert_array_equal(layer.data, finished)


def test_pause_holds_the_labels_and_resume_goes_on(dock, qtbot):
    layer = dock.start_endless()
    dock.click("pause")
    qtbot.waitUntil(lambda: dock.part("pause").text() == "Resume", timeout=WAIT)
    assert "Paused" in dock.part("status").text()
    epoch = dock.part("progress").value()
    held = layer.data.copy()
    qtbot.wait(300)
    assert dock.part("progress").value() == epoch
    np.testing.assert_array_equal(layer.data, held)
    dock.click("pause")
    qtbot.waitUntil(lambda: dock.part("progress").value() > epoch, timeout=WAIT)
    assert dock.part("pause").text() == "Pause"
    dock.stop()


def test_pause_and_resume_at_once_ends_up_running(dock, qtbot):
    dock.start_endless()
    dock.click("pause")
    dock.widget.pause_or_resume()
    dock.widget.pause_or_resume()
    dock.widget.pause_or_resume()
    assert dock.stop().stop_reason == "stopped"


def test_stop_while_paused_keeps_what_is_shown(dock, qtbot):
    layer = dock.start_endless()
    dock.click("pause")
    qtbot.waitUntil(lambda: dock.part("pause").text() == "Resume", timeout=WAIT)
    held = layer.data.copy()
    result = dock.stop()
    assert result.stop_reason == "stopped"
    assert (layer.data == held).mean() > 0.98  # learning_rate is 1e-5: one step later at most
    assert dock.part("segment").isEnabled()
    assert not dock.part("stop").isEnabled()


def test_numbers_of_the_run_are_shown(dock):
    result = dock.segment_to_end()
    n_classes = len(np.unique(result.labels[0]))
    assert f"{n_classes} classes" in dock.part("status").text()
    assert "cpu" in dock.part("status").toolTip()
    assert "all epochs done" in dock.part("status").toolTip()
    assert dock.part("progress").value() == dock.part("progress").maximum() == QUICK.epochs
    plot = dock.part("plot")
    assert plot.epochs[-1] == QUICK.epochs
    assert plot.losses[-1] == pytest.approx(result.history[-1].losses["total"])


def test_the_record_of_the_run_lies_in_the_metadata(dock):
    dock.segment_to_end()
    about = classes_of(dock).metadata["napari_ufseg"]
    assert about["config"] == QUICK.to_dict()
    assert about["seed"] == QUICK.seed
    assert about["stop_reason"] == "epochs"
    assert about["epochs"] == 4
    assert about["device"] == "cpu"
    assert {"napari-ufseg", "torch", "python"} <= set(about["versions"])


def test_a_second_run_takes_over_an_untouched_layer(dock):
    dock.segment_to_end()
    first = classes_of(dock)
    dock.viewer.layers.selection.active = dock.viewer.layers["cells"]
    dock.widget.config = QUICK.replace(seed=1)
    dock.segment_to_end()
    assert [layer.name for layer in dock.viewer.layers] == ["cells", "cells classes"]
    assert first.metadata["napari_ufseg"]["seed"] == 1


def paint(layer):
    layer.paint((5, 5), 99)


def fill(layer):
    layer.fill((5, 5), 99)


def assign(layer):
    layer.data = layer.data + 1


@pytest.mark.parametrize("change", [paint, fill, assign])
def test_a_second_run_never_overwrites_what_the_user_painted(dock, change):
    dock.segment_to_end()
    mine = classes_of(dock)
    change(mine)
    painted = np.array(mine.data)
    dock.widget.config = QUICK.replace(seed=1)
    dock.segment_to_end()
    np.testing.assert_array_equal(mine.data, painted)
    assert sum(isinstance(layer, Labels) for layer in dock.viewer.layers) == 2


def test_class_colours_never_jump_and_are_all_different(dock):
    layer = dock.start_endless()
    colours = {label: tuple(layer.get_color(label)) for label in range(1, 101)}
    np.testing.assert_allclose([colours[label][:3] for label in range(9, 101)], class_colours()[8:], atol=0.01)
    assert len(set(colours.values())) == 100
    assert layer.get_color(0) is None or layer.get_color(0)[3] == 0
    tree = dock.stop().hierarchy
    assert {label: tuple(layer.get_color(label)) for label in range(1, 101)} == colours
    by_brightness = sorted(set(tree.areas) - {tree.background}, key=tree.brightness.__getitem__)
    lightness = rgb2lab(np.array([colours[label][:3] for label in by_brightness]))[:, 0]
    assert (np.diff(lightness) > 0).all()


def test_the_image_list_follows_the_active_layer_and_the_layer_list(dock, picture):
    images = dock.part("image")
    assert images.currentText() == "cells"
    dock.viewer.add_image(picture, name="second")
    assert images.currentText() == "second"
    dock.viewer.layers.selection.active = dock.viewer.layers["cells"]
    assert images.currentText() == "cells"
    dock.viewer.add_labels(np.zeros(picture.shape, int), name="drawing")
    assert images.currentText() == "cells"
    assert [images.itemText(i) for i in range(images.count())] == ["cells", "second"]
    dock.viewer.layers.remove("cells")
    assert images.currentText() == "second"


def shown(dock):
    return dock.part("status").text(), dock.part("progress").format(), dock.part("progress").value()


def test_the_words_of_a_run_stay_with_its_image_and_are_not_those_of_another(dock, picture):
    dock.viewer.add_image(picture, name="second")
    dock.viewer.layers.selection.active = dock.viewer.layers["cells"]
    dock.segment_to_end()
    done = shown(dock)
    assert done[0].startswith("Done: ")
    dock.viewer.layers.selection.active = dock.viewer.layers["cells"]
    dock.viewer.layers.selection.active = classes_of(dock)
    assert shown(dock) == done
    dock.part("image").setCurrentText("second")
    assert shown(dock) == ("Ready", "", 0)
    assert dock.part("plot").epochs  # as long as its result is shown
    dock.viewer.layers.selection.active = dock.viewer.layers["second"]
    assert dock.part("plot").epochs == []


def test_the_words_of_a_run_go_with_its_image(dock, picture):
    dock.segment_to_end()
    dock.viewer.layers.remove("cells")
    assert shown(dock) == ("Open an image first: File > Open Sample has some.", "", 0)
    dock.viewer.layers.remove("cells classes")
    assert dock.part("plot").epochs == []
    dock.viewer.add_image(picture, name="second")
    assert shown(dock) == ("Ready", "", 0)


def test_an_error_stays_with_its_image(dock, picture):
    bad = dock.viewer.add_image(np.full((8, 8), np.nan), name="bad", contrast_limits=(0, 1))
    with dock.qtbot.waitSignal(dock.widget.run_failed, timeout=WAIT) as failed:
        dock.click("segment")
    dock.viewer.layers.selection.active = bad
    assert dock.part("status").text() == failed.args[0]
    dock.viewer.layers.selection.active = dock.viewer.layers["cells"]
    assert shown(dock) == ("Ready", "", 0)


def test_another_image_that_is_chosen_during_a_run_changes_nothing_of_what_is_shown(dock, picture):
    dock.start_endless()
    dock.viewer.add_image(picture, name="second")
    assert dock.part("image").currentText() == "second"
    assert "epoch" in dock.part("progress").format()
    dock.stop()
    assert dock.part("status").text().startswith("Done: ")


def test_several_layers_are_trained_jointly(dock, picture):
    other = dock.viewer.add_image(picture[:20], name="other")
    layers = [layer for layer in dock.viewer.layers if isinstance(layer, Image)]
    assert layers[1] == other
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        dock.widget.segment_layers(layers)
    expected = segment([picture, picture[:20]], QUICK, device="cpu").labels
    np.testing.assert_array_equal(classes_of(dock).data, expected[0])
    np.testing.assert_array_equal(classes_of(dock, "other classes").data, expected[1])


def test_a_count_that_falls_past_the_target_is_told_and_the_last_picture_with_enough_is_kept(dock):
    collapsing = SegmentationConfig(
        n_features=6, n_classes=12, n_convolutions=1, nu=20.0, min_classes=6, guard=True, learning_rate=0.3, seed=1
    )
    dock.widget.config = collapsing
    result = dock.segment_to_end()
    assert result.history[-1].n_classes < 6
    words = dock.part("status").text()
    assert f"then {result.history[-1].n_classes} were left, so epoch {result.kept_epoch} is kept" in words
    assert len(np.unique(result.labels[0])) >= 6
