"""The dock is closed, and perhaps opened again: nothing is lost, nothing half done, and nothing stays in memory."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
from driver import ENDLESS, QUICK, WAIT, Dock
from qtpy import sip
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QApplication
from steps import (
    BRIEF,
    Chunks,
    GatedLabels,
    areas,
    areas_of,
    change_labels_in_a_thread,
    choose,
    clean_up,
    click_to_the_end,
    close,
    draw,
    merge_and_name,
    names,
    reopen,
    rest,
    rest_and_estimate,
    saved_model,
    scrub,
    segment,
    select_classes,
    wait_for_labels,
)

from napari_ufseg import predict
from napari_ufseg.engine.training.timeline import Timeline


def test_closing_while_scrubbed_goes_back_to_now_first(dock: Dock) -> None:
    layer = segment(dock, "cells")
    choose(dock, layer.name)
    label = merge_and_name(dock, "nuclei")
    draw(layer, 40)
    now = np.array(layer.data)
    scrub(dock, 0)
    assert (layer.data != now).any()
    close(dock, by_its_button=True)
    np.testing.assert_array_equal(layer.data, now)
    assert layer.editable
    dock.__init__(dock.viewer, dock.qtbot)  # type: ignore[misc]
    choose(dock, layer.name)
    np.testing.assert_array_equal(layer.data, now)
    assert areas(dock) == areas_of(layer)
    assert names(dock)[label] == "nuclei"
    assert layer.editable
    for name in ("absorb", "merge_by_scribbles"):
        assert dock.part(name).isEnabled(), name


def test_steps_can_be_undone_after_the_dock_was_closed(dock: Dock) -> None:
    layer = segment(dock, "cells")
    choose(dock, layer.name)
    first = np.array(layer.data)
    label = merge_and_name(dock, "nuclei")
    draw(layer, 40)
    edited = np.array(layer.data)
    reopen(dock)
    choose(dock, layer.name)
    assert names(dock)[label] == "nuclei"
    assert dock.part("undo").isEnabled()
    dock.click("undo")
    assert 40 not in layer.data
    click_to_the_end(dock, "undo")
    np.testing.assert_array_equal(layer.data, first)
    assert "nuclei" not in names(dock).values()
    click_to_the_end(dock, "redo")
    np.testing.assert_array_equal(layer.data, edited)
    assert names(dock)[label] == "nuclei"


def test_the_moments_of_a_run_are_there_after_the_dock_was_closed(dock: Dock) -> None:
    layer = segment(dock, "cells", config=BRIEF)
    choose(dock, layer.name)
    now = np.array(layer.data)
    reopen(dock)
    choose(dock, layer.name)
    assert dock.part("time").isEnabled()
    assert dock.part("time").maximum() == BRIEF.epochs - 1
    scrub(dock, 0)
    assert (layer.data != now).any()
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        dock.click("keep_moment")
    assert (layer.data != now).any()
    dock.click("undo")
    np.testing.assert_array_equal(layer.data, now)


def test_the_model_is_there_after_the_dock_was_closed_and_training_goes_on(
    dock: Dock, picture: np.ndarray, tmp_path: Path
) -> None:
    layer = segment(dock, "cells", config=BRIEF)
    choose(dock, layer.name)
    label = merge_and_name(dock, "nuclei")
    merged = np.array(layer.data)
    reopen(dock)
    choose(dock, layer.name)
    for name in ("save_model", "apply_model", "confidence", "continue"):
        assert dock.part(name).isEnabled(), name
    model = saved_model(dock, tmp_path)
    np.testing.assert_array_equal(predict(model, picture), merged)
    assert model.classes[label].name == "nuclei"
    draw(layer, 40)
    dock.widget.config = QUICK
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        dock.click("continue")
    assert (layer.data[5, 5:10] == 40).all()


@pytest.mark.parametrize("what", ["dock", "window"])
def test_closing_during_an_undo_leaves_all_of_it_or_nothing(
    dock: Dock, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    change_labels_in_a_thread(monkeypatch)
    first = np.tile(np.array([1, 2, 3, 4], np.uint16), (40, 64, 16))
    data = first.copy().view(GatedLabels)
    layer = dock.viewer.add_labels(data, name="large", metadata={"napari_ufseg": {}})
    choose(dock, "large")
    dock.qtbot.waitUntil(lambda: len(areas(dock)) == 4, timeout=WAIT)
    select_classes(dock, 1, 2)
    dock.click("merge")
    wait_for_labels(dock)
    merged = np.array(layer.data)
    assert (merged != first).any()
    data.gate.close(after=3)
    dock.click("undo")
    data.gate.wait_until_held(dock)
    data.gate.seconds = 0.05
    data.gate.open()
    if what == "dock":
        close(dock)
    else:
        dock.viewer.close()
    rest(dock)
    assert any(np.array_equal(layer.data, whole) for whole in (first, merged))


@pytest.fixture
def slowly_read(dock: Dock) -> Chunks:
    """An image of 24 pieces, of which the fourth is not read before its gate opens; a run on it has begun."""
    image = Chunks((512, 24 * 512), 512)
    dock.viewer.add_image(image, name="lazy", contrast_limits=(0, 8), multiscale=False)
    choose(dock, "lazy")
    dock.widget.config = ENDLESS
    image.gate.close(after=3)
    dock.click("segment")
    image.gate.wait_until_held(dock)
    return image


def test_closing_ends_the_reading_of_an_image(dock: Dock, slowly_read: Chunks) -> None:
    slowly_read.gate.open_soon()
    close(dock)
    rest(dock)
    assert slowly_read.gate.n_passed <= 3 + 2  # the piece that was being read, and one more


def test_stop_ends_the_reading_of_an_image(dock: Dock, slowly_read: Chunks) -> None:
    dock.click("stop")
    slowly_read.gate.open_soon()
    dock.qtbot.waitUntil(lambda: not dock.widget.is_running, timeout=WAIT)
    rest(dock)
    assert slowly_read.gate.n_passed <= 3 + 2
    assert dock.part("segment").isEnabled()
    choose(dock, "cells")
    dock.widget.config = QUICK
    dock.segment_to_end()


def n_of_ours() -> int:
    """Objects of this plugin that are alive."""
    return sum(str(type(thing).__module__).startswith("napari_ufseg") for thing in gc.get_objects())


def test_a_dock_that_was_closed_in_mid_run_leaves_nothing(dock: Dock) -> None:
    def run_and_close() -> tuple[int, int]:
        dock.__init__(dock.viewer, dock.qtbot)  # type: ignore[misc]
        dock.start_endless()
        widget = weakref.ref(dock.widget)
        close(dock)
        rest(dock, estimates=True)
        clean_up()
        assert widget() is None
        return len(QApplication.allWidgets()), n_of_ours()

    close(dock)
    run_and_close()  # napari and Qt keep some things from the first time on
    before = run_and_close()
    after = [run_and_close() for _ in range(2)]
    while min(ours for _, ours in after) > before[1] and len(after) < 6:  # a few are collected late now and then
        after.append(run_and_close())
    assert {widgets for widgets, _ in after} == {before[0]}
    assert min(ours for _, ours in after) <= before[1]


def n_of_qt() -> int:
    """Objects of this plugin that Qt has not deleted."""
    ours = (thing for thing in gc.get_objects() if str(type(thing).__module__).startswith("napari_ufseg._napari"))
    return sum(isinstance(thing, QObject) and not sip.isdeleted(thing) for thing in ours)


def n_of_watchers(dock: Dock) -> int:
    """Who wants to know of the end of the dock, or of one of its parts that are ours."""
    parts = [part for part in dock.widget.findChildren(QObject) if type(part).__module__.startswith("napari_ufseg")]
    return sum(part.receivers(part.destroyed) for part in (dock.widget, *parts))


def test_a_run_that_has_ended_leaves_nothing_behind(dock: Dock) -> None:
    numbers = []
    for _ in range(2):
        for _ in range(2):
            dock.segment_to_end()
        rest_and_estimate(dock)
        clean_up()
        numbers.append((n_of_qt(), n_of_watchers(dock)))
    assert numbers[1] == numbers[0]


def n_of_moments() -> int:
    """Runs whose moments are in memory."""
    return sum(isinstance(thing, Timeline) for thing in gc.get_objects())


def test_the_moments_of_a_run_go_with_its_labels(dock: Dock) -> None:
    clean_up()
    before = n_of_moments()
    for _ in range(3):
        dock.segment_to_end()  # into the layer of the run before
    rest(dock)
    clean_up()
    assert n_of_moments() == before + 1


def test_the_moments_of_a_run_whose_layer_was_removed_go_with_the_next_run(dock: Dock) -> None:
    clean_up()
    before = n_of_moments()
    for _ in range(2):
        dock.viewer.layers.remove(dock.start_endless())
        rest(dock)
    dock.widget.config = QUICK
    dock.segment_to_end()
    rest(dock)
    clean_up()
    assert n_of_moments() == before + 1


def test_a_change_of_labels_in_a_thread_leaves_nothing_behind(dock: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    change_labels_in_a_thread(monkeypatch)
    labels = np.tile(np.array([1, 2, 3, 4], np.uint16), (2, 64, 16))
    dock.viewer.add_labels(labels, name="large", metadata={"napari_ufseg": {}})
    choose(dock, "large")
    dock.qtbot.waitUntil(lambda: len(areas(dock)) == 4, timeout=WAIT)
    select_classes(dock, 1, 2)
    numbers = []
    for buttons in (("merge", "undo", "redo"), ("undo", "redo")):
        for name in buttons:
            dock.click(name)
            wait_for_labels(dock)
        rest_and_estimate(dock)  # areas are counted once more
        clean_up()
        numbers.append(n_of_qt())
    assert numbers[1] == numbers[0]
