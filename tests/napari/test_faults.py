"""What goes wrong during a run: it ends or goes on cleanly, is told once, and Segment works again."""

import numpy as np
import pytest
import torch
from driver import QUICK, WAIT, threads_alive
from napari.layers import Labels
from qtpy.QtWidgets import QComboBox, QPushButton

from napari_ufseg.engine.training.session import TrainingSession
from napari_ufseg.samples import nuclei


def no_worker_is_left():
    return not threads_alive()


def delete_image(dock):
    dock.viewer.layers.remove("cells")


def delete_labels(dock):
    dock.viewer.layers.remove("cells classes")


def delete_everything(dock):
    dock.viewer.layers.clear()


def close_dock(dock):
    dock.viewer.window.remove_dock_widget(dock.dock)


def close_dock_by_its_button(dock):
    dock.dock.destroyOnClose()


def close_window(dock):
    dock.viewer.close()


def segment_again(dock):
    dock.click("segment")
    dock.widget.segment()


def replace_image_by_another_shape(dock):
    dock.viewer.layers["cells"].data = np.zeros((9, 17), np.uint8)


def add_image_of_another_shape(dock):
    dock.viewer.add_image(np.zeros((3, 5, 9, 17), np.uint8), name="other")


def move_through_other_views(dock):
    dock.viewer.dims.ndisplay = 3
    dock.viewer.dims.ndisplay = 2


def rename_layers(dock):
    dock.viewer.layers["cells classes"].name = "mine"
    dock.viewer.layers["cells"].name = "yours"


def put_other_labels_in(dock):
    dock.viewer.layers["cells classes"].data = np.zeros((40, 56), np.uint8)


GOES_ON = [
    delete_image, segment_again, replace_image_by_another_shape, add_image_of_another_shape,
    move_through_other_views, rename_layers, put_other_labels_in,
]  # fmt: skip
ENDS = [delete_labels, delete_everything]
CLOSES = [close_dock, close_dock_by_its_button, close_window]


@pytest.mark.parametrize("event", GOES_ON)
def test_the_run_goes_on(dock, event):
    layer = dock.start_endless()
    event(dock)
    epoch = dock.part("progress").value()
    dock.qtbot.waitUntil(lambda: dock.part("progress").value() > epoch, timeout=WAIT)
    assert dock.widget.is_running
    result = dock.stop()
    np.testing.assert_array_equal(layer.data, result.labels[0])
    assert layer.editable
    assert sum(isinstance(other, Labels) for other in dock.viewer.layers) == 1


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("event", ENDS)
def test_the_run_ends_and_segment_works_again(dock, picture, event, paused):
    dock.start_endless()
    if paused:
        dock.click("pause")
        dock.qtbot.waitUntil(lambda: dock.part("pause").text() == "Resume", timeout=WAIT)
    event(dock)
    dock.qtbot.waitUntil(no_worker_is_left, timeout=WAIT)
    assert not dock.widget.is_running
    assert "was removed" in dock.part("status").text()
    if "cells" not in dock.viewer.layers:
        dock.viewer.add_image(picture, name="cells")
    dock.widget.config = QUICK
    dock.segment_to_end()
    assert "cells classes" in dock.viewer.layers


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("event", CLOSES)
def test_closing_leaves_no_thread_and_keeps_the_labels(dock, event, paused):
    layer = dock.start_endless()
    if paused:
        dock.click("pause")  # not waited for: closing may come before the run has parked
    event(dock)
    assert no_worker_is_left()
    assert layer.data.any()
    assert layer.editable or event is close_window


def test_a_dock_opened_again_works(dock, qtbot, picture):
    from driver import Dock

    dock.start_endless()
    close_dock(dock)
    again = Dock(dock.viewer, qtbot)
    assert again.widget != dock.widget
    again.segment_to_end()
    assert again.viewer.layers["cells classes"].editable


ERRORS = {
    "runtime error": (RuntimeError("the kernel is broken"), "the kernel is broken"),
    "torch out of memory": (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "ran out of memory"),
    "cpu out of memory": (
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        "ran out of memory",
    ),
    "python out of memory": (MemoryError(), "ran out of memory"),
    "any other error": (ZeroDivisionError("division by zero"), "division by zero"),
}


@pytest.mark.parametrize(("name", "late"), [*((name, False) for name in ERRORS), ("torch out of memory", True)])
def test_an_engine_error_is_one_readable_notification(dock, notices, monkeypatch, name, late):
    error, words = ERRORS[name]
    real_step = TrainingSession.step

    def broken_step(session):
        if late and session.epoch < 2:
            return real_step(session)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(TrainingSession, "step", broken_step)
        with dock.qtbot.waitSignal(dock.widget.run_failed, timeout=WAIT) as failed:
            dock.click("segment")
    assert [notice.message for notice in notices] == failed.args
    assert words in failed.args[0]
    assert "\n" not in failed.args[0]
    assert failed.args[0] in dock.part("status").text()
    dock.segment_to_end()
    assert dock.viewer.layers["cells classes"].editable


def test_an_error_in_the_run_generator_itself_is_told_too(dock, notices, monkeypatch):
    def broken_run(session, every):
        raise RuntimeError("no way")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(TrainingSession, "run", broken_run)
        with dock.qtbot.waitSignal(dock.widget.run_failed, timeout=WAIT):
            dock.click("segment")
    assert len(notices) == 1
    dock.segment_to_end()


BAD_IMAGES = {
    "not a number": (np.full((8, 8), np.nan), "NaN or infinite"),
    "a single pixel": (np.ones((1, 1)), "single pixel"),
    "infinite": (np.full((8, 8), np.inf), "NaN or infinite"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_a_bad_image_is_told_once_and_changes_nothing(dock, notices, name):
    pixels, words = BAD_IMAGES[name]
    dock.viewer.add_image(pixels, name="bad", contrast_limits=(0, 1))
    before = list(dock.viewer.layers)
    with dock.qtbot.waitSignal(dock.widget.run_failed, timeout=WAIT) as failed:
        dock.click("segment")
    assert words in failed.args[0]
    assert [notice.message for notice in notices] == failed.args
    assert list(dock.viewer.layers) == before
    dock.viewer.layers.selection.active = dock.viewer.layers["cells"]
    dock.segment_to_end()


def test_a_failure_does_not_touch_the_record_of_an_earlier_result(dock, notices):
    dock.segment_to_end()
    about = dict(dock.viewer.layers["cells classes"].metadata["napari_ufseg"])
    dock.viewer.add_image(np.full((8, 8), np.nan), name="bad", contrast_limits=(0, 1))
    with dock.qtbot.waitSignal(dock.widget.run_failed, timeout=WAIT):
        dock.click("segment")
    assert dock.viewer.layers["cells classes"].metadata["napari_ufseg"] == about


def test_a_constant_image_is_one_class_and_a_warning(dock, notices):
    dock.viewer.add_image(np.full((8, 8), 3), name="blank")
    dock.segment_to_end()
    assert np.unique(dock.viewer.layers["blank classes"].data).tolist() == [1]
    assert len(notices) == 1
    assert "constant" in notices[0].message


def test_no_image_at_all(dock, notices, picture):
    words = "Open an image first: File > Open Sample has some."
    dock.viewer.layers.clear()
    assert not dock.part("segment").isEnabled()
    assert dock.part("segment").toolTip().startswith(words)
    assert dock.part("status").text() == words
    dock.click("segment")
    assert not notices
    dock.widget.segment()
    assert "no image" in notices[0].message
    assert not dock.widget.is_running
    dock.viewer.add_image(picture, name="cells")
    assert dock.part("status").text() == "Ready"
    assert "(F5)" in dock.part("segment").toolTip()
    dock.segment_to_end()
    assert dock.part("apply_model").isEnabled()
    dock.viewer.layers.clear()
    assert not dock.part("apply_model").isEnabled()
    assert dock.part("apply_model").toolTip() == words
    dock.viewer.add_image(picture, name="cells")
    assert dock.part("apply_model").isEnabled()


def test_an_image_that_goes_during_a_run_leaves_nothing_to_segment(dock):
    dock.start_endless()
    delete_image(dock)
    assert dock.part("stop").isEnabled()
    dock.stop()
    assert not dock.part("segment").isEnabled()


@pytest.mark.parametrize(("name", "words"), [("cuda", "cuda is not available"), ("abacus", "no device 'abacus'")])
def test_a_device_that_is_not_there(dock, notices, name, words):
    if name == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has the device")
    dock.widget.device = name
    with dock.qtbot.waitSignal(dock.widget.run_failed, timeout=WAIT):
        dock.click("segment")
    assert words in notices[0].message
    dock.part("device", QComboBox).setCurrentText("cpu")
    dock.segment_to_end()


def test_labels_of_another_shape_put_in_during_a_run_are_left_alone(dock):
    layer = dock.start_endless()
    layer.data = np.ones((9, 17), np.uint8)
    dock.qtbot.waitUntil(lambda: len(dock.viewer.layers) == 3, timeout=WAIT)
    result = dock.stop()
    assert layer.data.shape == (9, 17)
    np.testing.assert_array_equal(dock.viewer.layers[-1].data, result.labels[0])


def test_stop_before_the_first_step(dock):
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT) as signal:
        dock.click("segment")
        dock.part("stop", QPushButton).click()
    assert signal.args[0].stop_reason == "stopped"
    assert len(signal.args[0].history) >= 1


def test_what_is_left_out_of_an_image_is_told_and_has_no_label(dock, notices):
    pixels = nuclei()[:120, :160].astype(np.uint16) + 100
    pixels[:, 40], pixels[:8] = 65535, 0
    dock.viewer.add_image(pixels, name="flawed")
    dock.segment_to_end()
    (notice,) = notices
    assert "about 1280 pixels of 0 hold no data (label 0)." in notice.message
    assert "1 stuck column left out, far brighter than all else." in notice.message
    layer = dock.viewer.layers["flawed classes"]
    np.testing.assert_array_equal(layer.data == 0, pixels == 0)
    assert 0 not in {row["label"] for row in layer.metadata["napari_ufseg"]["classes"] if "label" in row}
