"""A result over two images, of which the layer of one is deleted: nothing of the other is lost."""

from typing import Any

import numpy as np
import pytest
from driver import WAIT, Dock
from steps import BRIEF, areas, areas_of, choose, click_to_the_end, draw, merge_and_name, names, scrub, segment


@pytest.fixture
def joint(dock: Dock, picture: np.ndarray) -> Dock:
    """The dock after a run on the images a and b together, with a stroke in each of the two layers."""
    dock.viewer.layers.clear()
    dock.viewer.add_image(picture, name="a")
    dock.viewer.add_image(picture[:24], name="b")
    segment(dock, "a", "b", config=BRIEF)
    for name in ("a classes", "b classes"):
        draw(dock.viewer.layers[name], 40)
    return dock


def remaining(joint: Dock) -> tuple[Any, np.ndarray]:
    layer = joint.viewer.layers["b classes"]
    return layer, np.array(layer.data)


def is_at_now(joint: Dock) -> bool:
    slider = joint.part("time")
    return bool(slider.value() == slider.maximum())


def test_what_was_painted_in_the_other_layer_is_there_and_editable(joint: Dock) -> None:
    b, painted = remaining(joint)
    scrub(joint, 0)
    assert (b.data != painted).any()
    joint.viewer.layers.remove("a classes")
    if joint.part("time").isEnabled():  # it serves the other alone, then
        scrub(joint, None)
    assert is_at_now(joint)
    np.testing.assert_array_equal(b.data, painted)
    assert b.editable
    choose(joint, "b classes")
    assert joint.part("absorb").isEnabled()
    assert areas(joint) == areas_of(b)


def test_what_was_painted_in_the_other_layer_can_be_undone(joint: Dock) -> None:
    b, painted = remaining(joint)
    scrub(joint, 0)
    joint.viewer.layers.remove("a classes")
    scrub(joint, None)
    choose(joint, "b classes")
    click_to_the_end(joint, "undo")
    assert 40 not in b.data
    click_to_the_end(joint, "redo")
    np.testing.assert_array_equal(b.data, painted)


def test_merges_and_names_are_there_and_training_goes_on(joint: Dock) -> None:
    b = choose(joint, "b classes")
    label = merge_and_name(joint, "nuclei")
    _, edited = remaining(joint)
    scrub(joint, 0)
    joint.viewer.layers.remove("a classes")
    scrub(joint, None)
    choose(joint, "b classes")
    np.testing.assert_array_equal(b.data, edited)
    assert names(joint)[label] == "nuclei"
    joint.widget.config = BRIEF
    with joint.qtbot.waitSignal(joint.widget.run_finished, timeout=WAIT) as signal:
        joint.click("continue")
    assert len(signal.args[0].labels) == 1
    assert (b.data[edited == 40] == 40).all()


def test_the_slider_goes_when_both_layers_have_gone(joint: Dock) -> None:
    b, painted = remaining(joint)
    scrub(joint, 0)
    joint.viewer.layers.remove("a classes")
    np.testing.assert_array_equal(b.data if is_at_now(joint) else painted, painted)
    joint.viewer.layers.remove("b classes")
    assert not joint.part("time").isEnabled()
    np.testing.assert_array_equal(b.data, painted)  # a script may still hold it
    assert b.editable


def test_regions_of_doubt_of_the_other_layer_are_still_gone_to(joint: Dock) -> None:
    choose(joint, "b classes")
    with joint.qtbot.waitSignal(joint.widget._results.confidence.ended, timeout=WAIT):
        joint.click("confidence")
    joint.viewer.layers.remove("a classes")
    joint.click("least_certain")
    assert joint.part("status").text().startswith("Region 1 of ")
    assert " of b " in joint.part("status").text()
