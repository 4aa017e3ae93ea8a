"""The slider over the moments of a run, in a real viewer."""

import numpy as np
import pytest
from driver import WAIT
from qtpy.QtCore import Qt

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
