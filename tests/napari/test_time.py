"""The slider over the moments of a run, in a real viewer."""

import numpy as np
import pytest
from driver import WAIT
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor, QPalette
from steps import choose, every_epoch_is_shown, reopen, segment

from napari_ufseg import SegmentationConfig, predict

LIVELY = SegmentationConfig.preset(
    "generalised", n_features=6, n_classes=8, n_convolutions=1, min_classes=1, epochs=12, learning_rate=0.02
)


@pytest.fixture
def ran(dock):
    """The dock after a run that has changed its mind a few times."""
    from napari_ufseg.engine.training.session import TrainingSession

    real = TrainingSession.run
    dock.widget.config = LIVELY
    with pytest.MonkeyPatch.context() as patch:  # a picture of every epoch, however quick they are
        patch.setattr(TrainingSession, "run", lambda session, every=0.1, epochs=None: real(session, 0, epochs))
        dock.segment_to_end()
    return dock


def slider(dock):
    return dock.part("time")


def test_the_slider_shows_what_the_run_has_shown_and_brings_back_what_there_is_now(ran):
    layer = ran.viewer.layers["cells classes"]
    layer.data_setitem((np.arange(8), np.arange(8)), 40)
    now = layer.data.copy()
    assert slider(ran).value() == slider(ran).maximum() == 11  # the twelfth epoch is the result
    slider(ran).setValue(0)
    assert "epoch 1," in ran.part("moment").text()
    first = layer.data.copy()
    assert (first != now).any()
    assert len(np.unique(first)) == int(ran.part("moment").text().split(", ")[1].split()[0])
    assert not layer.editable
    assert not ran.part("merge").isEnabled()
    ran.qtbot.keyClick(slider(ran), Qt.Key.Key_Right)
    assert (layer.data != first).any()
    slider(ran).setValue(11)
    np.testing.assert_array_equal(layer.data, now)
    assert layer.editable
    ran.click("undo")  # what was painted is one step
    assert 40 not in layer.data


def test_a_moment_that_is_kept_has_its_labels_and_its_network_and_can_be_undone(ran, picture):
    layer = ran.viewer.layers["cells classes"]
    last = layer.data.copy()
    slider(ran).setValue(2)
    shown = layer.data.copy()
    with ran.qtbot.waitSignal(ran.widget.run_finished, timeout=WAIT):
        ran.click("keep_moment")
    assert (layer.data != shown).mean() < 0.02
    np.testing.assert_array_equal(layer.data, predict(ran.widget.results.model, picture))
    kept = layer.data.copy()
    assert (kept != last).any()
    assert "of an earlier epoch" in ran.part("status").text()
    assert ran.viewer.layers["cells classes"] == layer
    ran.click("undo")
    np.testing.assert_array_equal(layer.data, last)
    ran.click("redo")
    np.testing.assert_array_equal(layer.data, kept)
    with ran.qtbot.waitSignal(ran.widget.run_finished, timeout=WAIT) as signal:
        ran.click("continue")
    assert len(signal.args[0].history) == 12
    learnt = layer.data.copy()
    slider(ran).setValue(0)  # scrubbing leaves the steps that made the labels alone
    slider(ran).setValue(slider(ran).maximum())
    np.testing.assert_array_equal(layer.data, learnt)
    for expected in (kept, last):
        ran.click("undo")
        np.testing.assert_array_equal(layer.data, expected)


def test_another_run_begins_from_now_and_without_the_layer_there_is_nothing_to_show(ran):
    layer = ran.viewer.layers["cells classes"]
    now = layer.data.copy()
    slider(ran).setValue(1)
    ran.widget.config = LIVELY.replace(epochs=1)
    with ran.qtbot.waitSignal(ran.widget.run_finished, timeout=WAIT):
        ran.click("segment")
    ran.click("undo")
    np.testing.assert_array_equal(ran.viewer.layers["cells classes"].data, now)
    slider(ran).setValue(0)
    ran.viewer.layers.remove("cells classes")
    assert not slider(ran).isEnabled()
    assert not ran.part("keep_moment").isEnabled()


def test_there_is_nothing_to_show_before_and_during_a_run(dock):
    assert not slider(dock).isEnabled()
    dock.start_endless()
    assert not slider(dock).isEnabled()
    dock.stop()
    assert slider(dock).isEnabled()


# -- the loss beside the slider -----------------------------------------------------------------------


def loss(dock):
    return dock.part("loss")


def told(dock):
    """(loss, epoch, of how many epochs), as the tooltip says it."""
    words = loss(dock).toolTip().split(";")[0].split()
    return float(words[1]), int(words[4]), int(words[6])


def picture_of(part):
    """(Y, X, 3) its pixels."""
    image = part.grab().toImage().convertToFormat(part.grab().toImage().Format.Format_RGB32)
    pixels = np.frombuffer(image.constBits().asstring(image.sizeInBytes()), np.uint8)
    return pixels.reshape(image.height(), -1, 4)[:, : image.width(), 2::-1]


def marked_at(dock):
    """Where the mark stands, as a share of the width: it is all that is drawn from top to bottom."""
    pixels = picture_of(loss(dock)).astype(int)
    off = np.abs(pixels - pixels[0, 0]).sum(axis=2)
    columns = np.nonzero((off > 30).all(axis=0))[0]
    return columns.mean() / pixels.shape[1]


def test_the_loss_of_the_epoch_that_is_shown_is_told_and_marked(dock):
    dock.widget.config = LIVELY
    with every_epoch_is_shown():
        history = dock.segment_to_end().history
    assert loss(dock).isVisibleTo(dock.widget)
    assert told(dock) == (round(history[11].losses["total"], 3), 12, 12)
    loss(dock).resize(72, 18)
    assert marked_at(dock) > 0.9
    slider(dock).setValue(2)
    assert told(dock) == (round(history[2].losses["total"], 3), 3, 12)
    assert 0.1 < marked_at(dock) < 0.3
    slider(dock).setValue(11)
    assert told(dock)[1] == 12


@pytest.mark.parametrize(
    ("ground", "ink", "light"), [("#202020", "#f0f0f0", "#5060c0"), ("#f0f0f0", "#101010", "#c0c8ff")]
)
def test_the_loss_is_drawn_in_the_colours_of_the_theme(ran, ground, ink, light):
    roles = {QPalette.ColorRole.Window: ground, QPalette.ColorRole.WindowText: ink, QPalette.ColorRole.Highlight: light}
    palette = loss(ran).palette()
    for role, colour in roles.items():
        palette.setColor(role, QColor(colour))
    loss(ran).setPalette(palette)
    slider(ran).setValue(5)
    loss(ran).resize(72, 18)
    pixels = picture_of(loss(ran)).astype(int)
    for colour in roles.values():
        rgb = QColor(colour).getRgb()[:3]
        assert (np.abs(pixels - rgb).max(axis=2) < 8).any(), colour


def test_a_click_on_the_loss_shows_the_nearest_epoch(ran):
    loss(ran).resize(72, 18)
    ran.qtbot.mouseClick(loss(ran), Qt.MouseButton.LeftButton, pos=QPoint(1, 9))
    assert told(ran)[1] == 1
    assert ran.part("banner").isVisibleTo(ran.widget)
    ran.qtbot.mouseClick(loss(ran), Qt.MouseButton.LeftButton, pos=QPoint(36, 9))
    assert told(ran)[1] in (6, 7)
    ran.qtbot.mouseClick(loss(ran), Qt.MouseButton.LeftButton, pos=QPoint(71, 9))
    assert told(ran)[1] == 12
    assert slider(ran).value() == slider(ran).maximum()
    assert not ran.part("banner").isVisibleTo(ran.widget)


def test_the_loss_is_drawn_live_and_there_is_none_without_a_run(dock):
    assert not loss(dock).isVisibleTo(dock.widget)
    dock.start_endless()
    dock.qtbot.waitUntil(lambda: told(dock)[2] > 3, timeout=WAIT)
    _, shown, of = told(dock)
    assert shown == of
    dock.qtbot.mouseClick(loss(dock), Qt.MouseButton.LeftButton, pos=QPoint(1, 3))
    assert not dock.part("banner").isVisibleTo(dock.widget)
    assert told(dock)[1] >= of
    history = dock.stop().history
    assert told(dock) == (round(history[-1].losses["total"], 3), len(history), len(history))
    assert dock.part("plot").losses == [record.losses["total"] for record in history]  # the curves have the same
    dock.viewer.layers.remove("cells classes")
    assert not loss(dock).isVisibleTo(dock.widget)


def test_labels_of_a_model_that_was_applied_have_no_loss(ran, picture):
    ran.viewer.add_image(picture[::-1], name="other")
    with ran.qtbot.waitSignal(ran.widget.results.application.made, timeout=WAIT):
        ran.click("apply_model")
    assert ran.widget._results.active.layers == [ran.viewer.layers["other classes"]]
    assert not loss(ran).isVisibleTo(ran.widget)
    choose(ran, "cells classes")
    assert loss(ran).isVisibleTo(ran.widget)


def test_the_loss_is_that_of_the_result_that_is_selected(dock, picture):
    dock.viewer.add_image(picture[::-1], name="other")
    segment(dock, "cells", config=LIVELY.replace(epochs=5))
    first = told(dock)
    segment(dock, "other", config=LIVELY.replace(epochs=3))
    assert (first[2], told(dock)[2]) == (5, 3)
    choose(dock, "cells classes")
    assert told(dock) == first
    assert dock.part("plot").epochs == [1, 2, 3, 4, 5]
    reopen(dock)
    assert told(dock) == first


def test_the_mark_stays_where_the_labels_are_from(ran):
    slider(ran).setValue(2)
    with ran.qtbot.waitSignal(ran.widget.run_finished, timeout=WAIT):
        ran.click("keep_moment")
    assert told(ran)[1:] == (3, 12)
    slider(ran).setValue(5)
    assert told(ran)[1] == 6
    ran.click("back_to_now")
    assert told(ran)[1] == 3
    ran.click("undo")
    assert told(ran)[1] == 12


def test_the_loss_takes_no_focus_and_no_room_in_height(ran):
    assert loss(ran).focusPolicy() == Qt.FocusPolicy.NoFocus
    assert loss(ran).accessibleName()
    ran.widget.grab()
    assert loss(ran).height() <= max(slider(ran).sizeHint().height(), ran.widget.fontMetrics().height() + 4)
