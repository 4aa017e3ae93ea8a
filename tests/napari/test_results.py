"""What can be done with a result: save, load, apply; also with napari's own File > Save."""

import numpy as np
import pytest
import tifffile
from driver import WAIT, threads_alive
from napari.layers import Labels
from steps import Chunks, choose, rest

from napari_ufseg import load_model, predict
from napari_ufseg._napari.layers.class_metadata import METADATA_KEY
from napari_ufseg._napari.layers.saving import LabelsFile
from napari_ufseg.batch.label_file import label_array, open_input
from napari_ufseg.engine.errors import UfsegError
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.io import label_dialog_filters, open_image, read_image


def test_save_labels_writes_the_corrected_labels_with_their_scale(dock, tmp_path, picture):
    dock.viewer.add_image(picture, name="micrograph", scale=(0.5, 0.25), units=("um", "um"))
    dock.segment_to_end()
    layer = dock.viewer.layers["micrograph classes"]
    layer.paint((5, 5), 99)
    dock.widget.results.save_labels(tmp_path / "labels.tif")
    with tifffile.TiffFile(tmp_path / "labels.tif") as file:
        saved = file.asarray()
        rows, columns = (file.pages[0].tags[f"{axis}Resolution"].value for axis in "YX")
        assert file.imagej_metadata["unit"] in ("um", "micron", "\\u00B5m", "micrometer")
    assert saved.dtype == np.uint16
    np.testing.assert_array_equal(saved, layer.data)
    assert rows[0] / rows[1] == pytest.approx(2)
    assert columns[0] / columns[1] == pytest.approx(4)


def test_save_labels_takes_the_selected_labels_layer_and_drops_the_plane_axes(dock, tmp_path):
    drawing = np.zeros((1, 1, 6, 7), np.int32)
    drawing[0, 0, 2:4] = 3
    dock.viewer.add_labels(drawing, name="drawing")
    dock.widget.results.save_labels(tmp_path / "drawing.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "drawing.tif"), drawing[0, 0])


def saved_by_both(axes, tmp_path):
    """What the command line and the dock make of labels with these axes: axes of the file, or the sentence."""
    shape = (*range(2, len(axes)), 6, 7)
    tifffile.imwrite(tmp_path / "image.tif", np.zeros(shape, np.uint8), photometric="minisblack")
    labels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    saved = []
    for out in (tmp_path / "command.tif", tmp_path / "dock.tif"):
        try:
            if out.stem == "command":
                with label_array(out, open_input(tmp_path / "image.tif", 2, axes=axes)) as array:
                    array[...] = labels
            else:
                LabelsFile.of(Labels(labels, metadata={METADATA_KEY: {"axes": axes}}), out).write()
            np.testing.assert_array_equal(read_image(out), labels)
            saved.append(open_image(out).axes)
        except UfsegError as error:
            saved.append(str(error).replace(str(out), "FILE"))
    return saved


@pytest.mark.parametrize(
    ("axes", "written"),
    [("QYX", "TYX"), ("TQYX", "TZYX"), ("QZYX", "TZYX"), ("QQYX", "TZYX"), ("ZYX", "ZYX"), ("TYX", "TYX")],
)
def test_the_dock_and_the_command_line_call_the_axes_of_labels_the_same(axes, written, tmp_path):
    assert saved_by_both(axes, tmp_path) == [written, written]


@pytest.mark.parametrize("axes", ["ZQYX", "ZTYX", "QTZYX"])
def test_labels_whose_axes_have_no_place_in_a_file_are_one_sentence_in_both(axes, tmp_path):
    command, dock = saved_by_both(axes, tmp_path)
    assert command == dock
    assert command.startswith(f"Cannot write FILE: labels with the axes {axes} have no place in ")
    assert command.endswith("bring the image into the order TZCYX first.")


def test_labels_of_more_axes_than_files_have_are_refused(tmp_path):
    with pytest.raises(UfsegError, match=r"labels with the axes QTZYX have no place in "):
        LabelsFile.of(Labels(np.ones((2,) * 5, np.uint8)), tmp_path / "l.tif").write()


def test_saving_asks_for_a_name_and_cancel_writes_nothing(dock, tmp_path, monkeypatch):
    from qtpy.QtWidgets import QFileDialog

    dock.segment_to_end()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args: ("", ""))
    dock.click("save_labels")
    dock.click("save_model")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args: (str(tmp_path / "chosen"), ""))
    dock.click("save_model")
    assert load_model(tmp_path / "chosen.safetensors").n_channels == 1


def test_the_name_that_is_offered_is_one_that_folders_of_images_leave_out(dock, monkeypatch):
    from qtpy.QtWidgets import QFileDialog

    offered = []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args: offered.extend(args[2:]) or ("", ""))
    dock.segment_to_end()
    dock.click("save_labels")
    assert offered == ["cells_labels.tif", label_dialog_filters()]


@pytest.mark.parametrize("answer", ["Yes", "No"])
@pytest.mark.parametrize(("kind", "suffix"), [("TIFF (*.tif *.tiff)", ".tif"), ("OME-Zarr (*.zarr)", ".zarr")])
def test_a_suffix_comes_from_the_kind_and_what_has_that_name_is_overwritten_only_after_a_yes(
    dock, tmp_path, monkeypatch, kind, suffix, answer
):
    from qtpy.QtWidgets import QFileDialog, QMessageBox

    dock.segment_to_end()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args: (str(tmp_path / "it"), kind))
    dock.click("save_labels")  # nothing has that name yet, so nothing is asked
    there = tmp_path / f"it{suffix}"
    assert list(tmp_path.iterdir()) == [there]
    layer = dock.viewer.layers["cells classes"]
    layer.data_setitem((np.arange(8), np.arange(8)), 40)
    before, asked = read_image(there), []
    button = QMessageBox.StandardButton[answer]
    monkeypatch.setattr(QMessageBox, "question", lambda *args: asked.append(args[2]) or button)
    dock.click("save_labels")
    assert asked == [f"There is {there} already. Overwrite?"]
    np.testing.assert_array_equal(read_image(there), layer.data if answer == "Yes" else before)


def test_labels_saved_as_png_have_the_numbers_names_and_colours_of_the_layer(dock, tmp_path, monkeypatch, notices):
    from qtpy.QtWidgets import QFileDialog

    layer = Labels(np.arange(42).reshape(6, 7), name="drawing")
    said = ClassTable().changed(3, name="nuclei", colour="#ff8000")
    layer.metadata = {METADATA_KEY: {"classes": said.to_list()}}
    dock.viewer.add_layer(layer)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args: (str(tmp_path / "it"), "PNG (*.png)"))
    dock.click("save_labels")
    saved = open_image(tmp_path / "it.png")
    assert (saved.is_labels, dict(saved.classes)) == (True, dict(said))
    np.testing.assert_array_equal(saved.data, layer.data)
    layer.data = np.zeros((2, 6, 7), int)
    dock.widget.results.save_labels(tmp_path / "stack.png")
    assert "PNG holds one plane" in notices[-1].message
    assert [path.name for path in tmp_path.iterdir()] == ["it.png"]


@pytest.mark.parametrize("method", ["save_labels", "save_model"])
def test_a_place_that_cannot_be_written_is_told(dock, tmp_path, notices, method):
    dock.segment_to_end()
    (tmp_path / "taken.tif").mkdir()
    getattr(dock.widget.results, method)(tmp_path / "taken.tif")
    assert len(notices) == 1
    assert "Cannot write" in notices[0].message
    assert list(tmp_path.iterdir()) == [tmp_path / "taken.tif"]


def test_nothing_to_save_is_told(dock, notices):
    dock.widget.results.save_labels("nowhere.tif")
    dock.widget.results.save_model("nowhere.model")
    assert len(notices) == 2
    assert all("press Segment" in notice.message for notice in notices)


def grey(dock):
    """The tooltip of each button for labels and model that is grey."""
    buttons = (dock.part(name) for name in ("save_labels", "save_model", "load_model", "apply_model"))
    return {button.objectName(): button.toolTip() for button in buttons if not button.isEnabled()}


def test_a_grey_button_says_why_and_what_to_do(dock):
    no_labels = "There are no labels to save yet: press Segment, or select a Labels layer."
    no_model = "There is no network yet: press Segment, or take a saved one with Load model."
    assert grey(dock) == {"ufseg.save_labels": no_labels, "ufseg.save_model": no_model, "ufseg.apply_model": no_model}
    dock.segment_to_end()
    assert grey(dock) == {}
    assert dock.part("save_labels").toolTip().startswith("Write the selected")
    dock.click("apply_model")
    applying = "A model is being applied: wait until it has ended, or press Stop (F7)."
    assert grey(dock) == {"ufseg.apply_model": applying}
    dock.qtbot.waitUntil(lambda: not grey(dock), timeout=WAIT)
    for layer in [layer for layer in dock.viewer.layers if isinstance(layer, Labels)]:
        dock.viewer.layers.remove(layer)
    assert grey(dock) == {"ufseg.save_labels": no_labels}


def test_labels_that_are_selected_can_be_saved_before_any_run(dock):
    dock.viewer.add_labels(np.ones((4, 4), int), name="drawing")
    assert "ufseg.save_labels" not in grey(dock)
    choose(dock, "cells")
    assert "ufseg.save_labels" in grey(dock)


def test_the_line_of_the_model_names_the_file_that_was_loaded_and_says_how_long_it_stays(dock, tmp_path):
    line = dock.part("section.keep.title")
    assert line.text().endswith("no model yet")
    assert line.toolTip().endswith("What Save model, Apply model and the tab Folder take.")
    dock.segment_to_end()
    assert line.text().endswith("model of cells classes")
    assert line.toolTip().endswith("It stays until another result is selected, or a model is loaded.")
    assert "1 channel, 6 features" in line.toolTip()
    file = tmp_path / "others.safetensors"
    dock.widget.results.save_model(file)
    dock.widget.results.load_model(file)
    assert line.text().endswith("model of others.safetensors")
    assert line.toolTip().endswith(
        f"Loaded from {file}; it stays until another result is selected, or a run has ended."
    )
    dock.segment_to_end()
    assert "model of cells classes" in line.text()


def apply_model(dock, name):
    dock.viewer.layers.selection.active = dock.viewer.layers[name]
    dock.click("apply_model")
    dock.qtbot.waitUntil(lambda: dock.part("apply_model").isEnabled(), timeout=WAIT)


def test_a_saved_model_labels_another_image_with_the_same_classes(dock, tmp_path, picture):
    dock.segment_to_end()
    dock.widget.results.save_model(tmp_path / "cells.safetensors")
    dock.widget.results.model = None
    assert not dock.part("apply_model").isEnabled()
    dock.widget.results.load_model(tmp_path / "cells.safetensors")
    other = np.flipud(picture)[:, :50]
    dock.viewer.add_image(other, name="other", scale=(3, 3))
    apply_model(dock, "other")
    layer = dock.viewer.layers["other classes"]
    np.testing.assert_array_equal(layer.data, predict(load_model(tmp_path / "cells.safetensors"), other, device="cpu"))
    np.testing.assert_array_equal(layer.scale, (3, 3))
    assert layer.editable


def test_apply_never_overwrites_what_the_user_painted(dock):
    dock.segment_to_end()
    mine = dock.viewer.layers["cells classes"]
    mine.paint((5, 5), 99)
    painted = mine.data.copy()
    apply_model(dock, "cells")
    np.testing.assert_array_equal(mine.data, painted)
    assert sum(isinstance(layer, Labels) for layer in dock.viewer.layers) == 2


@pytest.mark.parametrize("how", ["window", "dock"])
def test_closing_while_a_model_is_applied_is_harmless(dock, how):
    dock.segment_to_end()
    dock.click("apply_model")
    if how == "window":
        dock.viewer.close()
    else:
        dock.viewer.window.remove_dock_widget(dock.dock)
    dock.qtbot.waitUntil(lambda: not threads_alive(), timeout=WAIT)
    dock.qtbot.wait(50)  # what the worker had to say arrives; an exception would fail the test


def test_a_model_for_other_channels_is_told(dock, notices, picture):
    dock.segment_to_end()
    dock.viewer.add_image(np.stack([picture] * 3, -1), name="colour", rgb=True)
    apply_model(dock, "colour")
    assert len(notices) == 1
    assert "trained on 1 channel" in notices[0].message
    assert dock.part("status").text() == notices[-1].message


def test_a_file_that_is_no_model_is_told(dock, notices, tmp_path):
    (tmp_path / "text.safetensors").write_text("hello")
    dock.widget.results.load_model(tmp_path / "text.safetensors")
    assert len(notices) == 1
    assert "not a model" in notices[0].message


def test_napari_can_save_the_layer(dock, tmp_path):
    dock.segment_to_end()
    layer = dock.viewer.layers["cells classes"]
    dock.viewer.layers.selection = {layer}
    assert dock.viewer.layers.save(str(tmp_path / "napari.tif"), selected=True)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "napari.tif"), layer.data)


@pytest.mark.parametrize("stopped", [False, True])
def test_large_labels_are_saved_beside_the_window_with_progress_and_stop(dock, tmp_path, stopped):
    data = Chunks((17, 1024, 1024), 1024, np.uint16)  # over 2^24 labels
    dock.viewer.add_labels(data, name="large", multiscale=False)
    choose(dock, "large")
    data.gate.close(after=2)
    data.gate.open_soon()  # or a window that is blocked would be so for good
    dock.widget.results.save_labels(tmp_path / "large.tif")
    assert not data.gate.is_open
    assert dock.part("stop").isEnabled()
    assert not dock.part("segment").isEnabled()
    assert not (tmp_path / "large.tif").exists()
    if stopped:
        dock.click("stop")
    dock.qtbot.waitUntil(lambda: dock.part("segment").isEnabled(), timeout=WAIT)
    rest(dock)
    if stopped:
        assert list(tmp_path.iterdir()) == []
        assert data.gate.n_passed < 17
    else:
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "large.tif"), data[:, :, :])
        assert list(tmp_path.iterdir()) == [tmp_path / "large.tif"]
    assert not dock.part("stop").isEnabled()
