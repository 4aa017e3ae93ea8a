"""The detail slider over the classes of a result, in a real viewer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from driver import QUICK, WAIT, Dock
from qtpy.QtCore import Qt
from steps import draw, names, rest, scrub, select_classes

from napari_ufseg import SegmentationConfig, load_model, predict
from napari_ufseg._napari.layers.joined_classes import all_classes
from napari_ufseg.engine.labels.hierarchy import ClassHierarchy, relabel
from napari_ufseg.io import open_image
from napari_ufseg.samples import nuclei

CONFIG = SegmentationConfig.preset("fast", n_features=8, epochs=3, settle_fraction=0.0)


@pytest.fixture
def picture() -> np.ndarray:
    """(80, 112) uint8: enough nuclei for eight classes."""
    return nuclei()[60:220:2, 40:264:2]


@pytest.fixture
def ran(dock: Dock) -> Dock:
    """The dock after a run that opens at the suggested detail."""
    dock.widget.config, dock.widget.detail = CONFIG, "auto"
    dock.segmentation = dock.segment_to_end()  # type: ignore[attr-defined]
    return dock


def slide(dock: Dock, detail: int) -> None:
    dock.part("detail").setValue(detail)


def layer_of(dock: Dock) -> Any:
    return dock.viewer.layers["cells classes"]


def tree_of(dock: Dock) -> ClassHierarchy:
    return of_one(dock.segmentation)  # type: ignore[attr-defined]


def of_one(segmentation: Any) -> ClassHierarchy:
    """The tree, with the labels of the one image."""
    return replace(segmentation.hierarchy, label_image=segmentation.labels[0])


def colour_at(layer: Any, label: int) -> list[float]:
    return np.round(layer.get_color(label), 3).tolist() if layer.get_color(label) is not None else [0, 0, 0, 0]


def test_a_run_opens_at_the_suggested_detail_with_a_transparent_background(ran: Dock, picture: np.ndarray) -> None:
    layer, tree, result = layer_of(ran), tree_of(ran), ran.segmentation
    np.testing.assert_array_equal(result.labels[0], predict(result.model, picture))  # all classes
    assert len(np.unique(result.labels[0])) > 4
    np.testing.assert_array_equal(layer.data, tree.labels_at(2))
    assert ran.part("detail").value() == 2
    assert ran.part("detail").maximum() == tree.n_classes
    assert len(np.unique(layer.data)) == 2
    things = next(label for label in np.unique(layer.data) if label != tree.background)
    assert colour_at(layer, tree.background)[3] == 0
    assert colour_at(layer, things)[3] == 1
    assert layer.selected_label == things  # the brush is for them
    assert picture[layer.data == things].mean() > picture[layer.data == tree.background].mean()


@pytest.mark.parametrize("ending", ["tif", "ome.zarr", "png"])
def test_saved_labels_say_what_those_of_the_command_line_say(ran: Dock, tmp_path: Path, ending: str) -> None:
    model = ran.segmentation.model
    for detail in (2, 3, model.hierarchy.n_classes):
        slide(ran, detail)
        ran.widget.results.save_labels(tmp_path / f"l{detail}.{ending}")
        saved = open_image(tmp_path / f"l{detail}.{ending}")
        assert saved.classes == model.classes_at(detail)
        assert saved.classes.detail == (detail, model.hierarchy.n_classes)
        ran.widget.results.save_model(tmp_path / "m")
        assert load_model(tmp_path / "m").classes_at("auto") == saved.classes


@pytest.mark.parametrize("ending", ["tif", "ome.zarr"])
def test_saved_labels_open_with_their_detail_and_a_transparent_background(
    ran: Dock, tmp_path: Path, ending: str
) -> None:
    layer, tree, path = layer_of(ran), tree_of(ran), tmp_path / f"l.{ending}"
    things = next(label for label in np.unique(layer.data) if label != tree.background)
    ran.widget.results.save_labels(path)
    (again,) = ran.viewer.open(path, plugin="napari-ufseg")
    np.testing.assert_array_equal(again.data, layer.data)
    assert again.metadata["napari_ufseg"]["detail"] == {"shown": 2, "of": tree.n_classes}
    ran.viewer.layers.selection = {again}
    ran.qtbot.waitUntil(lambda: ran.part("classes").model().rowCount() == 2, timeout=WAIT)
    assert colour_at(again, tree.background)[3] == 0
    assert colour_at(again, things) == colour_at(layer, things)
    ran.widget.results.save_labels(tmp_path / f"twice.{ending}")
    assert open_image(tmp_path / f"twice.{ending}").classes == open_image(path).classes
    select_classes(ran, tree.background, things)
    ran.click("merge")
    assert "detail" not in again.metadata["napari_ufseg"]  # by hand, and no detail of a tree


def test_every_step_shows_the_tree_and_the_way_back_brings_back_all(ran: Dock) -> None:
    layer, tree = layer_of(ran), tree_of(ran)
    for detail in (*range(2, tree.n_classes + 1), *range(tree.n_classes, 1, -1)):
        slide(ran, detail)
        np.testing.assert_array_equal(layer.data, tree.labels_at(detail))
        assert ran.part("classes").model().rowCount() == detail
    rest(ran)


def test_moves_of_the_slider_are_one_step_by_keys_too(ran: Dock) -> None:
    layer, tree, slider = layer_of(ran), tree_of(ran), ran.part("detail")
    for _ in range(3):
        ran.qtbot.keyClick(slider, Qt.Key.Key_Right)
    np.testing.assert_array_equal(layer.data, tree.labels_at(5))
    ran.click("undo")
    assert slider.value() == 2
    np.testing.assert_array_equal(layer.data, tree.labels_at(2))
    ran.click("redo")
    assert slider.value() == 5
    np.testing.assert_array_equal(layer.data, tree.labels_at(5))
    slide(ran, 2)
    assert not ran.part("undo").isEnabled()  # there and back comes to nothing


def test_strokes_keep_the_shown_class_and_become_its_largest_one(ran: Dock) -> None:
    layer, tree = layer_of(ran), tree_of(ran)
    things = next(label for label in np.unique(layer.data) if label != tree.background)
    row, stroke = 5, (np.full(5, 5), np.arange(5, 10))
    before = layer.data[stroke].copy()
    draw(layer, things, row)
    draw(layer, 40, row + 2)
    for detail in (3, tree.n_classes, 4, 2):
        slide(ran, detail)
        assert (layer.data[stroke] == tree.shown_class(detail)[things]).all()
        assert (layer.data[7, 5:10] == 40).all()
        assert (layer.data == 40).sum() == 5
    members = [label for label, name in tree.shown_class(2).items() if name == things]
    assert things == max(members, key=tree.areas.__getitem__)
    slide(ran, 3)
    ran.click("undo")
    assert (layer.data[stroke] == things).all()
    ran.click("undo")
    ran.click("undo")
    np.testing.assert_array_equal(layer.data[stroke], before)
    slide(ran, tree.n_classes)
    np.testing.assert_array_equal(layer.data, tree.labels_at(tree.n_classes))  # as if nothing had been painted


def test_strokes_between_moves_are_undone_one_by_one(ran: Dock) -> None:
    layer, tree = layer_of(ran), tree_of(ran)
    states = [layer.data.copy()]
    for detail in (4, 3, tree.n_classes):
        draw(layer, 30 + detail, detail)
        states.append(layer.data.copy())
        slide(ran, detail)
        states.append(layer.data.copy())
    for wanted in states[-2::-1]:
        ran.click("undo")
        np.testing.assert_array_equal(layer.data, wanted)
    for wanted in states[1:]:
        ran.click("redo")
        np.testing.assert_array_equal(layer.data, wanted)


def test_names_and_colours_stay_with_what_they_named(ran: Dock) -> None:
    tree, result = tree_of(ran), ran.widget._results.active
    things = next(label for label in result.areas if label != tree.background)
    result.rename(things, "nuclei")
    result.recolour(things, "#ff0000")
    slide(ran, tree.n_classes)
    assert "nuclei" not in [info.title for info in result.table.values()]
    result.rename(things, "rim")
    slide(ran, 2)
    assert result.table[things].name == "nuclei"
    assert result.table[things].colour == "#ff0000"
    slide(ran, tree.n_classes)
    assert result.table[things].name == "rim"
    assert not result.table[things].colour
    ran.click("undo")
    assert result.table[things].name == ""
    ran.click("undo")
    assert ran.part("detail").value() == 2
    assert result.table[things].name == "nuclei"


def test_a_merge_joins_what_is_shown_at_every_detail(ran: Dock) -> None:
    layer, tree = layer_of(ran), tree_of(ran)
    slide(ran, 4)
    shown = tree.labels_at(4)
    pair = sorted(set(np.unique(shown).tolist()) - {tree.background})[:2]
    select_classes(ran, *pair)
    ran.click("merge")
    both = np.isin(shown, pair)
    merged = layer.data[both]
    assert len(np.unique(merged)) == 1
    assert ran.part("detail").value() == 3
    largest = ran.part("detail").maximum()
    for detail in range(2, largest + 1):
        slide(ran, detail)
        assert len(np.unique(layer.data[both])) == 1
    slide(ran, 3)
    np.testing.assert_array_equal(layer.data, np.where(both, merged[0], shown))
    ran.click("undo")
    np.testing.assert_array_equal(layer.data, shown)
    slide(ran, tree.n_classes)
    np.testing.assert_array_equal(layer.data, tree.labels_at(tree.n_classes))


def test_background_by_the_button_is_0_at_every_detail_and_joins_nothing(ran: Dock) -> None:
    layer, tree = layer_of(ran), tree_of(ran)
    slide(ran, 4)
    shown = tree.labels_at(4)
    select_classes(ran, tree.background)
    ran.click("background")
    zero = layer.data == 0
    np.testing.assert_array_equal(zero, shown == tree.background)
    for detail in range(ran.part("detail").minimum(), ran.part("detail").maximum() + 1):
        slide(ran, detail)
        np.testing.assert_array_equal(layer.data == 0, zero)


def test_another_background_is_one_click_and_so_is_dark_for_bright(ran: Dock) -> None:
    layer, tree = layer_of(ran), tree_of(ran)
    things = next(label for label in np.unique(layer.data) if label != tree.background)
    data = layer.data.copy()
    assert ran.part("turn").text() == "Dark things instead"
    ran.click("turn")
    assert ran.part("turn").text() == "Bright things instead"
    assert colour_at(layer, things)[3] == 0
    assert colour_at(layer, tree.background)[3] == 1
    ran.click("undo")
    assert colour_at(layer, tree.background)[3] == 0
    select_classes(ran, int(things))
    ran.click("see_through")
    assert colour_at(layer, things)[3] == 0
    np.testing.assert_array_equal(layer.data, data)  # only Background writes 0
    ran.widget._results.active.set_visible(things, True)
    assert colour_at(layer, things)[3] == 1


def test_the_brush_passes_over_numbers_of_hidden_classes(ran: Dock) -> None:
    layer, tree = layer_of(ran), tree_of(ran)
    hidden = {label for label, name in tree.shown_class(2).items() if label != name}
    assert hidden
    layer.selected_label = int(layer.data.max()) + 1  # napari's "new"
    assert layer.selected_label not in tree.areas
    for label in range(1, tree.n_classes + 1):
        layer.selected_label = label
        assert layer.selected_label not in hidden


def test_a_run_can_be_watched_at_any_detail(dock: Dock) -> None:
    dock.widget.detail = "auto"
    layer = dock.start_endless()
    result = dock.widget._results.active
    assert dock.part("detail").value() == 2
    slide(dock, 5)
    dock.click("pause")
    dock.qtbot.waitUntil(lambda: dock.part("pause").text() == "Resume", timeout=WAIT)
    n_colours = {tuple(colour_at(layer, int(label))) for label in np.unique(layer.data)}
    assert len(n_colours) == min(5, len(np.unique(layer.data)))
    slide(dock, 3)
    assert len({tuple(colour_at(layer, int(label))) for label in np.unique(layer.data)}) == 3
    assert len(result.areas) == 3
    segmentation = dock.stop()
    assert dock.part("detail").value() == 3
    np.testing.assert_array_equal(layer.data, of_one(segmentation).labels_at(3))
    assert not dock.part("undo").isEnabled()


def test_continue_learns_what_is_shown_and_can_be_undone(ran: Dock) -> None:
    layer, tree = layer_of(ran), tree_of(ran)
    things = next(label for label in np.unique(layer.data) if label != tree.background)
    ran.widget._results.active.rename(int(things), "nuclei")
    draw(layer, int(things))
    shown = layer.data.copy()
    with ran.qtbot.waitSignal(ran.widget.run_finished, timeout=WAIT) as signal:
        ran.click("continue")
    assert set(np.unique(signal.args[0].labels[0])) == {things, tree.background}
    assert ran.part("detail").maximum() == 2
    assert ran.widget._results.active.table[things].name == "nuclei"
    assert (layer.data[5, 5:10] == things).all()
    ran.click("undo")
    np.testing.assert_array_equal(layer.data, shown)
    assert ran.part("detail").maximum() == tree.n_classes
    ran.click("undo")  # the stroke and the name, in one step
    np.testing.assert_array_equal(layer.data, tree.labels_at(2))
    slide(ran, tree.n_classes)
    np.testing.assert_array_equal(layer.data, tree.labels_at(tree.n_classes))


def test_save_and_apply_take_what_is_shown(ran: Dock, picture: np.ndarray, tmp_path: Any) -> None:
    import tifffile

    slide(ran, 3)
    layer, tree = layer_of(ran), tree_of(ran)
    ran.widget.results.save_labels(tmp_path / "l.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "l.tif"), tree.labels_at(3))
    ran.widget.results.save_model(tmp_path / "m.safetensors")
    model = load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(predict(model, picture, detail="auto"), layer.data)
    np.testing.assert_array_equal(predict(model, picture), tree.labels_at(tree.n_classes))
    other = ran.viewer.add_image(picture[::-1].copy(), name="other")
    ran.viewer.layers.selection.active = other
    with ran.qtbot.waitSignal(ran.widget.results.application.ended, timeout=WAIT):
        ran.click("apply_model")
    applied = ran.viewer.layers["other classes"]
    np.testing.assert_array_equal(applied.data, predict(model, picture[::-1].copy(), detail=3))
    assert ran.part("detail").value() == 3


def test_a_second_run_takes_over_a_layer_at_any_detail_and_keeps_the_name(ran: Dock) -> None:
    layer, tree = layer_of(ran), tree_of(ran)
    result = ran.widget._results.active
    things = next(label for label in result.areas if label != tree.background)
    result.rename(int(things), "nuclei")
    slide(ran, 4)
    ran.segment_to_end()
    assert len([item for item in ran.viewer.layers if item.name.endswith("classes")]) == 1
    assert ran.part("detail").value() == 2
    assert [info.name for info in ran.widget._results.active.table.values() if info.name] == ["nuclei"]
    ran.click("undo")
    np.testing.assert_array_equal(layer.data, tree.labels_at(4))


def test_an_earlier_moment_is_shown_at_the_detail_too(ran: Dock) -> None:
    layer, tree = layer_of(ran), tree_of(ran)
    draw(layer, 40)
    now = layer.data.copy()
    scrub(ran, 0)
    n_shown = len({tuple(colour_at(layer, int(label))) for label in np.unique(layer.data)})
    assert n_shown == 2
    slide(ran, 3)
    assert len({tuple(colour_at(layer, int(label))) for label in np.unique(layer.data)}) == 3
    scrub(ran, None)
    at_3 = tree.labels_at(3)
    at_3[5, 5:10] = 40
    np.testing.assert_array_equal(layer.data, at_3)
    ran.click("undo")
    np.testing.assert_array_equal(layer.data, now)


def test_an_earlier_moment_that_is_kept_is_what_was_shown(ran: Dock) -> None:
    scrub(ran, 0)
    layer, result = layer_of(ran), ran.widget._results.active
    shown = relabel(layer.data, result.shown_class)  # colours join the classes of an earlier moment
    background, said = result.background, names(ran)
    with ran.qtbot.waitSignal(ran.widget.run_finished, timeout=WAIT):
        ran.click("keep_moment")
    assert ran.part("detail").isEnabled()
    assert (result.detail, result.background) == (2, background)
    assert names(ran) == said
    assert (layer.data != shown).mean() < 0.02
    assert colour_at(layer, background)[3] == 0
    ran.click("undo")
    assert ran.part("detail").isEnabled()


def test_a_background_that_is_selected_hides_nothing(ran: Dock) -> None:
    background = ran.widget._results.active.background
    select_classes(ran, background)
    assert not layer_of(ran).show_selected_label
    (thing,) = set(names(ran)) - {background}
    select_classes(ran, thing)
    assert layer_of(ran).show_selected_label


@pytest.mark.parametrize("what", ["All planes", "Current plane"])
def test_stacks_have_the_slider_too(dock: Dock, picture: np.ndarray, what: str) -> None:
    stack = dock.viewer.add_image(np.stack([picture, picture[::-1]]), name="stack")
    dock.viewer.layers.selection.active = stack
    dock.widget.tell_axes(stack, "ZYX")
    dock.widget.what = what
    dock.widget.config, dock.widget.detail = CONFIG, "auto"
    segmentation = dock.segment_to_end()
    layer = dock.viewer.layers[-1]
    for detail in (2, 4):
        slide(dock, detail)
        np.testing.assert_array_equal(np.squeeze(layer.data), of_one(segmentation).labels_at(detail))


def segment_on_disk(dock: Dock, picture: np.ndarray) -> tuple[Any, ClassHierarchy]:
    """A run on a lazy stack, whose labels are kept on disk; the layer, and the tree."""
    lazy = da.from_array(np.stack([picture, picture[::-1]]), chunks=(1, 40, 40))
    stack = dock.viewer.add_image(lazy, name="stack")
    dock.viewer.layers.selection.active = stack
    dock.widget.tell_axes(stack, "ZYX")
    dock.widget.what = "All planes"
    dock.widget.config, dock.widget.detail = CONFIG, "auto"
    tree = dock.segment_to_end().hierarchy
    return dock.viewer.layers["stack classes"], tree


def test_results_on_disk_change_their_colours_alone(dock: Dock, picture: np.ndarray, tmp_path: Any) -> None:
    import tifffile

    layer, tree = segment_on_disk(dock, picture)
    stored = np.asarray(layer.data[...])
    assert len(np.unique(stored)) == tree.n_classes
    for detail in (2, 4):
        slide(dock, detail)
        np.testing.assert_array_equal(np.asarray(layer.data[...]), stored)
        shown = tree.shown_class(detail)
        for label in np.unique(stored):
            assert colour_at(layer, int(label)) == colour_at(layer, shown[int(label)])
        assert dock.part("classes").model().rowCount() == detail
    dock.widget.results.save_labels(tmp_path / "l.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "l.tif"), tree.labels_at(4, stored))
    pair = sorted(set(tree.shown_class(4).values()) - {tree.background})[:2]
    select_classes(dock, *pair)
    dock.click("merge")
    rest(dock)
    assert dock.part("detail").value() == 3
    both = np.isin(tree.labels_at(4, stored), pair)
    assert len(np.unique(np.asarray(layer.data[...])[both])) == 1
    dock.click("undo")
    rest(dock)
    np.testing.assert_array_equal(np.asarray(layer.data[...]), stored)


def test_specks_and_regions_of_a_result_on_disk_are_those_that_are_shown(dock: Dock, picture: np.ndarray) -> None:
    layer, tree = segment_on_disk(dock, picture)
    shown = tree.labels_at(2, np.asarray(layer.data[...]))
    things = next(label for label in np.unique(shown) if label != tree.background)
    select_classes(dock, int(things))
    dock.click("split")
    rest(dock)
    from skimage.measure import label as regions_of

    n_regions = sum(int(regions_of(plane == things, connectivity=1).max()) for plane in shown)
    new = [label for label in np.unique(np.asarray(layer.data[...])) if label not in tree.areas]
    assert len(new) == n_regions - 1


def test_joint_results_move_together(dock: Dock, picture: np.ndarray) -> None:
    dock.viewer.add_image(picture[::-1].copy(), name="other")
    dock.viewer.layers.selection = {dock.viewer.layers["cells"], dock.viewer.layers["other"]}
    dock.widget.config, dock.widget.detail = CONFIG, "auto"
    segmentation = dock.segment_to_end()
    for detail in (2, 5):
        slide(dock, detail)
        for labels, name in zip(segmentation.hierarchy.labels_at(detail), ("cells", "other"), strict=True):
            shown = dock.viewer.layers[f"{name} classes"].data
            assert any(np.array_equal(shown, other) for other in segmentation.hierarchy.labels_at(detail)), labels.shape


def test_scribbles_with_the_number_of_a_hidden_class_make_a_class_of_their_own(ran: Dock) -> None:
    layer, tree = layer_of(ran), tree_of(ran)
    things = next(label for label in np.unique(layer.data) if label != tree.background)
    hidden = next(label for label, name in tree.shown_class(2).items() if label != name and name == tree.background)
    marks = np.zeros(layer.data.shape, np.uint8)
    marks[layer.data == things] = hidden
    shown = layer.data.copy()
    ran.widget._results.active.merge_by_scribbles([marks])
    np.testing.assert_array_equal(layer.data == hidden, shown == things)
    for detail in range(2, ran.part("detail").maximum() + 1):
        slide(ran, detail)
        np.testing.assert_array_equal(layer.data == hidden, shown == things)


def test_a_reopened_dock_has_the_slider_where_it_was(ran: Dock) -> None:
    slide(ran, 4)
    layer, tree = layer_of(ran), tree_of(ran)
    draw(layer, 40)
    ran.viewer.window.remove_dock_widget(ran.dock)
    again = Dock(ran.viewer, ran.qtbot)
    assert again.part("detail").value() == 4
    slide(again, 2)
    assert (layer.data[5, 5:10] == 40).all()
    assert (all_classes(layer) != 0).all()
    np.testing.assert_array_equal(layer.data[8:], tree.labels_at(2)[8:])


def test_labels_from_a_file_have_no_finer_classes_and_the_slider_says_so(dock: Dock) -> None:
    from napari_ufseg._napari.layers.class_metadata import METADATA_KEY

    layer = dock.viewer.add_labels(np.ones((8, 8), np.uint16), metadata={METADATA_KEY: {}})
    dock.viewer.layers.selection.active = layer
    assert not dock.part("detail").isEnabled()
    assert "Segment" in dock.part("detail").toolTip()
    assert QUICK.n_classes == 8


def test_commands_of_the_palette_move_the_detail(ran: Dock) -> None:
    from napari._app_model import get_app_model

    for name, detail in (("more_detail", 3), ("more_detail", 4), ("less_detail", 3)):
        get_app_model().commands.execute_command(f"napari-ufseg.{name}").result()
        assert ran.part("detail").value() == detail


def test_a_background_that_is_not_0_in_a_file_is_told(ran: Dock, tmp_path: Any, notices: list[Any]) -> None:
    import tifffile

    layer, tree = layer_of(ran), tree_of(ran)
    assert names(ran)[tree.background] == f"background ({tree.background})"
    ran.widget.results.save_labels(tmp_path / "a.tif")
    assert notices[-1].message.startswith(f"The background has the label {tree.background}, not 0")
    layer.selected_label = tree.background
    assert not ran.part("classes").labels  # nothing is selected: the background that was found becomes 0
    ran.click("background")
    assert layer.selected_label in np.unique(layer.data)  # the brush has no label that is gone
    ran.widget.results.save_labels(tmp_path / "b.tif")
    assert "The background has" not in notices[-1].message
    assert tifffile.imread(tmp_path / "b.tif").min() == 0
    assert (ran.part("turn").text(), ran.part("turn").isEnabled()) == ("Other side", False)


def test_a_brush_paints_what_is_shown_at_every_detail(ran: Dock) -> None:
    layer, tree = layer_of(ran), tree_of(ran)
    slide(ran, ran.part("detail").maximum())
    hidden = next(label for label, shown in tree.shown_class(2).items() if label != shown)
    layer.selected_label = hidden
    slide(ran, 2)
    assert layer.selected_label == tree.shown_class(2)[hidden]
    layer.paint((5, 5), layer.selected_label)
    assert set(np.unique(layer.data)) == set(tree.shown_class(2).values())


def test_what_was_undone_can_be_done_again_after_a_look_at_an_older_epoch(ran: Dock) -> None:
    ran.click("turn")
    ran.click("undo")
    assert ran.part("turn").text() == "Dark things instead"
    time = ran.part("time")
    time.setValue(0)
    time.setValue(time.maximum())
    assert ran.part("redo").isEnabled()
    ran.click("redo")
    assert ran.part("turn").text() == "Bright things instead"


def test_the_status_line_calls_the_background_as_the_table_does(ran: Dock) -> None:
    layer, tree = layer_of(ran), tree_of(ran)
    features = dict(zip(layer.features["index"], layer.features["name"], strict=True))
    assert features[tree.background] == names(ran)[tree.background] == f"background ({tree.background})"
