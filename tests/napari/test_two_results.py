"""Several results in one viewer: the table, the slider, the buttons and the files are about the one that is selected."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from driver import WAIT, Dock
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit, QPushButton
from steps import (
    BRIEF,
    LIVELY,
    areas,
    areas_of,
    choose,
    click_and_wait,
    draw,
    merge_and_name,
    names,
    rest,
    saved_labels,
    saved_model,
    scrub,
    segment,
    select_classes,
)

from napari_ufseg import predict
from napari_ufseg.samples import nuclei

A, B = "a classes", "b classes"


@pytest.fixture
def images() -> dict[str, np.ndarray]:
    """(40, 56) and (48, 40) uint8: three corners of the sample image."""
    whole = nuclei()
    return {"a": whole[60:220:4, 40:264:4], "b": whole[10:202:4, 300:460:4], "c": whole[300:460:4, 200:360:4]}


@pytest.fixture
def two(dock: Dock, images: dict[str, np.ndarray]) -> Dock:
    """The dock after a run of five epochs on image a and then one of three on image b; there is an image c, too."""
    dock.viewer.layers.clear()
    for name in "cba":
        dock.viewer.add_image(images[name], name=name)
    segment(dock, "a", config=LIVELY)
    segment(dock, "b", config=BRIEF)
    return dock


def data(dock: Dock, name: str) -> np.ndarray:
    return np.array(dock.viewer.layers[name].data)


def test_the_slider_is_about_the_result_that_is_selected(two: Dock) -> None:
    slider = two.part("time")
    for name, n in ((A, LIVELY.epochs), (B, BRIEF.epochs), (A, LIVELY.epochs)):
        choose(two, name)
        assert slider.isEnabled()
        assert (slider.value(), slider.maximum()) == (n - 1, n - 1)


def test_keep_this_moment_gives_a_result_the_labels_of_its_own_network(
    two: Dock, images: dict[str, np.ndarray], tmp_path: Path
) -> None:
    layer, last, other = choose(two, A), data(two, A), data(two, B)
    scrub(two, 1)
    assert "epoch 2," in two.part("moment").text()
    shown = data(two, A)
    assert (shown != last).any()
    with two.qtbot.waitSignal(two.widget.run_finished, timeout=WAIT):
        two.click("keep_moment")
    assert (layer.data != shown).mean() < 0.02
    np.testing.assert_array_equal(layer.data, predict(saved_model(two, tmp_path), images["a"]))
    np.testing.assert_array_equal(data(two, B), other)
    two.click("undo")
    np.testing.assert_array_equal(layer.data, last)


def test_scrubbing_moves_and_locks_the_selected_result_and_leaves_the_other_alone(two: Dock) -> None:
    a, b = two.viewer.layers[A], two.viewer.layers[B]
    choose(two, B)
    first = data(two, B)
    draw(b, 40)
    once = data(two, B)
    draw(b, 41, row=9)
    twice = data(two, B)
    choose(two, A)
    now = data(two, A)
    scrub(two, 0)
    assert (a.data != now).any()
    assert not a.editable
    np.testing.assert_array_equal(b.data, twice)
    assert b.editable
    scrub(two, None)
    np.testing.assert_array_equal(a.data, now)
    assert a.editable
    choose(two, B)
    for expected in (once, first):
        two.click("undo")
        np.testing.assert_array_equal(b.data, expected)


def is_about(dock: Dock, layer: Any) -> bool:
    """Whether the table shows this layer, and Background changes it and no other."""
    if areas(dock) != areas_of(layer):
        return False
    others = [(other, np.array(other.data)) for other in dock.viewer.layers if other != layer]
    before = np.array(layer.data)
    select_classes(dock, max(areas(dock)))
    dock.click("background")
    same = all((np.array(other.data) == pixels).all() for other, pixels in others)
    changed = bool((layer.data != before).any())
    dock.click("undo")
    return same and changed


def test_a_run_that_takes_over_an_earlier_layer_selects_it(two: Dock) -> None:
    a = choose(two, A)
    draw(a, 1)
    two.segment_to_end()
    again = two.viewer.layers.selection.active
    assert again.name == f"{A} [1]"
    choose(two, A)
    two.segment_to_end()  # nobody has changed the second layer, so that it is taken over
    assert two.viewer.layers.selection.active == again
    assert len(two.viewer.layers) == 6
    rest(two)
    assert is_about(two, again)


def test_who_selects_another_result_during_a_run_works_on_it_when_the_run_has_ended(two: Dock) -> None:
    running = two.start_endless() or two.viewer.layers[B]
    a = choose(two, A)
    two.stop()
    rest(two)
    assert two.viewer.layers.selection.active == a
    assert is_about(two, a)
    choose(two, running.name)
    rest(two)
    assert is_about(two, two.viewer.layers[running.name])


def test_when_the_layer_of_a_run_is_removed_the_selected_result_is_shown(two: Dock) -> None:
    running = two.start_endless() or two.viewer.layers[B]
    a = choose(two, A)
    two.viewer.layers.remove(running)
    rest(two)
    assert two.viewer.layers.selection.active == a
    assert two.part("continue").isEnabled()
    assert f"model of {A}" in two.part("section.keep.title").text()
    assert is_about(two, a)


def test_selecting_another_result_while_scrubbed_goes_back_to_now(two: Dock) -> None:
    a = choose(two, A)
    now = data(two, A)
    scrub(two, 0)
    choose(two, B)
    slider = two.part("time")
    assert slider.value() == slider.maximum()
    np.testing.assert_array_equal(a.data, now)
    assert a.editable
    scrub(two, 0)
    scrub(two, None)
    choose(two, A)
    assert a.editable
    assert two.part("absorb").isEnabled()


def test_a_stroke_in_another_result_outlives_scrubbing(two: Dock) -> None:
    choose(two, A)
    scrub(two, 0)
    b = choose(two, B)
    assert b.editable
    draw(b, 40)
    stroke = b.data == 40
    assert stroke.any()
    scrub(two, None)
    np.testing.assert_array_equal(b.data == 40, stroke)


def newest(dock: Dock) -> Any:
    return next(layer for layer in reversed(dock.viewer.layers) if layer.name.startswith("cells classes"))


@pytest.fixture
def edited(dock: Dock, picture: np.ndarray) -> tuple[Dock, Any, int]:
    """The dock after a run, a merge, a name, and another run with another seed; the first result is selected again."""
    layer = segment(dock, "cells")
    label = merge_and_name(dock, "nuclei")
    again = segment(dock, "cells", config=LIVELY.replace(seed=3))
    assert again is not None
    assert (again.data != layer.data).any()
    choose(dock, layer.name)
    return dock, layer, label


def test_save_model_writes_the_model_of_the_selected_result(
    edited: tuple[Dock, Any, int], picture: np.ndarray, tmp_path: Path
) -> None:
    dock, layer, label = edited
    model = saved_model(dock, tmp_path)
    np.testing.assert_array_equal(predict(model, picture), layer.data)
    assert model.classes[label].name == "nuclei"
    assert [info.name for info in model.classes.values()].count("nuclei") == 1


def test_apply_model_applies_the_model_of_the_selected_result(edited: tuple[Dock, Any, int]) -> None:
    dock, layer, label = edited
    click_and_wait(dock, "apply_model")
    new = newest(dock)  # a layer of its own, or the untouched one of the newest run
    assert new != layer
    np.testing.assert_array_equal(new.data, layer.data)
    choose(dock, new.name)
    assert names(dock)[label] == "nuclei"


def test_a_folder_is_labelled_with_the_model_of_the_selected_result(
    edited: tuple[Dock, Any, int], picture: np.ndarray, tmp_path: Path
) -> None:
    dock, layer, _ = edited
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "one.tif", picture)
    dock.part("folder.path", QLineEdit).setText(str(tmp_path / "images"))
    dock.part("folder.output", QLineEdit).setText(str(tmp_path / "out"))
    with dock.qtbot.waitSignal(dock.widget.folder.finished, timeout=WAIT):
        dock.part("folder.start", QPushButton).click()
    (written,) = (tmp_path / "out").rglob("*.tif")
    np.testing.assert_array_equal(tifffile.imread(written), layer.data)


def test_for_an_image_without_a_result_the_model_is_that_of_the_result_selected_last(
    two: Dock, images: dict[str, np.ndarray], tmp_path: Path
) -> None:
    a = choose(two, A)
    label = merge_and_name(two, "nuclei")
    choose(two, "c")
    click_and_wait(two, "apply_model")
    applied = two.viewer.layers["c classes"]
    choose(two, A)
    np.testing.assert_array_equal(applied.data, predict(saved_model(two, tmp_path), images["c"]))
    choose(two, "c classes")
    assert names(two).get(label, "nuclei") == "nuclei"
    choose(two, A)
    np.testing.assert_array_equal(a.data, predict(saved_model(two, tmp_path), images["a"]))


def test_a_loaded_model_stays_until_another_result_is_selected(
    two: Dock, images: dict[str, np.ndarray], tmp_path: Path
) -> None:
    choose(two, B)
    saved_model(two, tmp_path)
    layer = choose(two, A)
    results = two.widget.results
    results.load_model(tmp_path / "saved.safetensors")
    loaded = results.model
    merge_and_name(two, "nuclei")
    draw(layer, 1)
    rest(two)
    assert results.model is loaded
    assert "model of saved.safetensors" in two.part("section.keep.title").text()
    choose(two, B)
    np.testing.assert_array_equal(predict(saved_model(two, tmp_path), images["b"]), data(two, B))
    results.load_model(tmp_path / "saved.safetensors")
    choose(two, "c")
    choose(two, B)
    assert f"model of {B}" in two.part("section.keep.title").text()


def test_the_model_goes_back_and_forth_with_the_labels(dock: Dock, picture: np.ndarray, tmp_path: Path) -> None:
    layer = segment(dock, "cells")
    choose(dock, layer.name)
    scrub(dock, 0)
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        dock.click("keep_moment")
    for button in ("undo", "redo"):
        dock.click(button)
        np.testing.assert_array_equal(predict(saved_model(dock, tmp_path), picture), layer.data)


def test_selecting_an_image_shows_its_newest_result(two: Dock, tmp_path: Path) -> None:
    a, b, other = two.viewer.layers[A], two.viewer.layers[B], data(two, B)
    for layer, image in ((b, "b"), (a, "a")):
        choose(two, image)
        assert layer.name in two.part("about_classes").text()
        assert areas(two) == areas_of(layer)
        np.testing.assert_array_equal(saved_labels(two, tmp_path), layer.data)
    draw(a, 40)
    two.widget.config = BRIEF
    with two.qtbot.waitSignal(two.widget.run_finished, timeout=WAIT) as signal:
        two.click("continue")
    np.testing.assert_array_equal(signal.args[0].labels[0], a.data)
    assert 40 in a.data
    np.testing.assert_array_equal(b.data, other)


def test_selecting_an_image_shows_the_newest_of_its_results(edited: tuple[Dock, Any, int]) -> None:
    dock, layer, _ = edited
    choose(dock, "cells")
    assert newest(dock) != layer
    assert newest(dock).name in dock.part("about_classes").text()
    assert areas(dock) == areas_of(newest(dock))


def test_an_image_without_a_result_has_no_classes_to_go_on_from_or_to_save(
    two: Dock, tmp_path: Path, notices: list[Any]
) -> None:
    choose(two, A)
    choose(two, "c")
    assert areas(two) == {}
    for name in ("continue", "confidence", "absorb", "time"):
        assert not two.part(name).isEnabled(), name
    assert saved_labels(two, tmp_path) is None
    assert len(notices) == 1
    choose(two, A)
    assert areas(two) == areas_of(two.viewer.layers[A])
    assert two.part("continue").isEnabled()


def test_save_labels_while_scrubbed_goes_back_to_now_first(dock: Dock, tmp_path: Path) -> None:
    layer = segment(dock, "cells")
    choose(dock, layer.name)
    draw(layer, 40)
    now, slider = np.array(layer.data), dock.part("time")
    scrub(dock, 0)
    np.testing.assert_array_equal(saved_labels(dock, tmp_path), now)
    assert slider.value() == slider.maximum()
    np.testing.assert_array_equal(layer.data, now)
    assert layer.editable


def test_save_model_while_scrubbed_goes_back_to_now_first(dock: Dock, picture: np.ndarray, tmp_path: Path) -> None:
    layer = segment(dock, "cells")
    now, slider = np.array(layer.data), dock.part("time")
    scrub(dock, 0)
    np.testing.assert_array_equal(predict(saved_model(dock, tmp_path), picture), now)
    assert slider.value() == slider.maximum()
    np.testing.assert_array_equal(layer.data, now)


def test_another_result_can_be_selected_while_confidence_is_measured(
    two: Dock, images: dict[str, np.ndarray], tmp_path: Path
) -> None:
    b = choose(two, B)
    draw(b, 40)
    two.widget.config = BRIEF
    with two.qtbot.waitSignal(two.widget.run_finished, timeout=WAIT):
        two.click("continue")  # knows pixels of the user's own from now on
    choose(two, A)
    two.click("confidence")
    choose(two, B)
    rest(two)
    assert two.part("segment").isEnabled()
    assert two.part("confidence").isEnabled()
    assert two.viewer.layers["a confidence"].data.shape == images["a"].shape
    assert "b confidence" not in two.viewer.layers


def test_a_session_with_two_results(two: Dock, images: dict[str, np.ndarray], tmp_path: Path) -> None:
    """All that window.md has found in one sentence: everything follows the one that is selected."""
    a, b, slider = two.viewer.layers[A], two.viewer.layers[B], two.part("time")
    choose(two, A)
    label = merge_and_name(two, "nuclei")
    named, other = data(two, A), data(two, B)
    np.testing.assert_array_equal(predict(saved_model(two, tmp_path), images["a"]), named)
    scrub(two, 0)
    np.testing.assert_array_equal(b.data, other)
    assert (a.data != named).any()
    choose(two, B)  # back to now
    np.testing.assert_array_equal(a.data, named)
    assert "nuclei" not in names(two).values()
    draw(b, 40)
    painted = data(two, B)
    scrub(two, 0)
    assert not b.editable
    assert a.editable
    choose(two, "a")  # the image has the result a
    np.testing.assert_array_equal(b.data, painted)
    assert names(two)[label] == "nuclei"
    np.testing.assert_array_equal(saved_labels(two, tmp_path), named)
    scrub(two, 2)
    with two.qtbot.waitSignal(two.widget.run_finished, timeout=WAIT):
        two.click("keep_moment")
    np.testing.assert_array_equal(a.data, predict(saved_model(two, tmp_path), images["a"]))
    np.testing.assert_array_equal(b.data, painted)
    two.click("undo")
    np.testing.assert_array_equal(a.data, named)
    assert names(two)[label] == "nuclei"
    choose(two, "c")
    assert names(two) == {}
    choose(two, A)
    scrub(two, 0)
    two.viewer.layers.remove(b)  # another's end is none of its business
    scrub(two, None)
    np.testing.assert_array_equal(a.data, named)
    assert a.editable
    assert slider.maximum() == LIVELY.epochs - 1
    two.qtbot.keyClick(two.part("classes"), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert "nuclei" not in names(two).values()
