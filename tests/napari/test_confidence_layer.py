"""Confidence in place of the labels, and the way to the regions of doubt, in a real viewer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driver import WAIT, Dock
from napari.layers import Shapes
from qtpy.QtWidgets import QProgressBar, QShortcut
from steps import (
    choose,
    click_to_the_end,
    close,
    merge,
    merge_and_name,
    reopen,
    saved_labels,
    saved_model,
    scrub,
    segment,
)

from napari_ufseg import confidence

LABELS, CONFIDENCE, MARK = "cells classes", "cells confidence", "cells least certain"


def measure(dock: Dock) -> Any:
    """Press Show confidence and wait until it is; gives the layer of the first image."""
    with dock.qtbot.waitSignal(dock.widget._results.confidence.ended, timeout=WAIT):
        dock.click("confidence")
    return next(layer for layer in dock.viewer.layers if layer.name.endswith("confidence"))


def press_escape(dock: Dock) -> None:
    """As in a window that is shown; keys reach shortcuts in tests/window."""
    escape = dock.part("leave_confidence", QShortcut)
    assert escape.isEnabled()
    escape.activated.emit()


def is_seen(dock: Dock, name: str) -> bool:
    return bool(dock.viewer.layers[name].visible)


def shows_confidence(dock: Dock, image: str = "cells") -> bool:
    """Whether it is seen in place of the labels; button and layers must agree."""
    button, is_shown = dock.part("confidence"), is_seen(dock, f"{image} confidence")
    assert button.isChecked() == is_shown
    assert button.text() == ("Hide confidence" if is_shown else "Show confidence")
    assert is_seen(dock, f"{image} classes") != is_shown
    return is_shown


@pytest.fixture
def measured(dock: Dock) -> Dock:
    """A dock that shows the confidence of a result, whose labels are active."""
    choose(dock, segment(dock, "cells").name)
    measure(dock)
    return dock


def test_the_layer_shows_the_margins_over_the_image(dock: Dock, picture: np.ndarray) -> None:
    image = dock.viewer.layers["cells"]
    image.scale, image.translate = (0.5, 0.25), (3, 4)
    dock.segment_to_end()
    layer = measure(dock)
    np.testing.assert_array_equal(layer.data, confidence(dock.widget.results.model, picture))
    assert tuple(layer.scale) == (0.5, 0.25)
    assert tuple(layer.translate) == (3, 4)
    assert tuple(layer.contrast_limits) == (0, 1)
    assert dock.part("progress", QProgressBar).format() == "confidence 100%"
    assert dock.viewer.layers.selection.active == dock.viewer.layers[LABELS]


def test_the_button_shows_the_labels_again_and_then_what_was_measured(measured: Dock) -> None:
    assert shows_confidence(measured)
    measured.click("confidence")
    assert not shows_confidence(measured)
    margins = measured.viewer.layers[CONFIDENCE].data
    measured.click("confidence")
    assert not measured.widget._results.confidence.is_running
    assert shows_confidence(measured)
    assert measured.viewer.layers[CONFIDENCE].data is margins
    press_escape(measured)
    assert not shows_confidence(measured)
    assert not measured.part("leave_confidence", QShortcut).isEnabled()


def test_the_button_follows_the_layer_list(measured: Dock) -> None:
    layer = measured.viewer.layers[CONFIDENCE]
    layer.visible = False
    assert not shows_confidence(measured)
    layer.visible = True
    assert shows_confidence(measured)
    measured.click("least_certain")
    measured.viewer.layers.remove(layer)
    assert is_seen(measured, LABELS)
    assert not measured.part("confidence").isChecked()
    assert MARK not in measured.viewer.layers
    assert not measured.part("least_certain").isEnabled()
    measure(measured)
    assert shows_confidence(measured)


def test_labels_that_the_user_has_hidden_stay_hidden(dock: Dock) -> None:
    labels = choose(dock, segment(dock, "cells").name)
    labels.visible = False
    measure(dock)
    dock.click("confidence")
    assert not is_seen(dock, CONFIDENCE)
    assert not labels.visible


def test_a_run_is_seen_and_its_confidence_is_measured_anew(measured: Dock) -> None:
    before = measured.viewer.layers[CONFIDENCE].data
    measured.click("least_certain")
    layer = measured.start_endless()
    measured.qtbot.waitUntil(lambda: not measured.viewer.layers[LABELS].editable, timeout=WAIT)
    assert layer is None  # the run draws into the labels that there are
    assert not shows_confidence(measured)
    assert not measured.part("confidence").isEnabled()
    assert "Stop" in measured.part("confidence").toolTip()
    measured.stop()
    assert not shows_confidence(measured)
    assert MARK not in measured.viewer.layers
    assert "Show confidence" in measured.part("least_certain").toolTip()
    measure(measured)
    assert shows_confidence(measured)
    assert (measured.viewer.layers[CONFIDENCE].data != before).any()


def test_merged_classes_are_seen_and_have_a_confidence_of_their_own(
    measured: Dock, picture: np.ndarray, tmp_path: Path
) -> None:
    before = measured.viewer.layers[CONFIDENCE].data
    merge_and_name(measured, "nuclei")
    assert not shows_confidence(measured)
    after = measure(measured).data
    assert (after != before).any()
    np.testing.assert_array_equal(after, confidence(saved_model(measured, tmp_path), picture))
    click_to_the_end(measured, "undo")
    assert not shows_confidence(measured)


def test_an_earlier_moment_and_what_is_saved_are_those_of_the_labels(measured: Dock, tmp_path: Path) -> None:
    now = np.array(measured.viewer.layers[LABELS].data)
    np.testing.assert_array_equal(saved_labels(measured, tmp_path), now)
    assert shows_confidence(measured)
    scrub(measured, 0)
    assert not shows_confidence(measured)
    assert "Back to now" in measured.part("confidence").toolTip()
    scrub(measured, None)
    assert measured.part("confidence").isEnabled()


def test_another_result_does_not_show_the_confidence_of_the_first(measured: Dock, picture: np.ndarray) -> None:
    measured.click("least_certain")
    measured.viewer.add_image(picture[::-1], name="others")
    choose(measured, segment(measured, "others").name)
    assert is_seen(measured, LABELS)
    assert not is_seen(measured, CONFIDENCE)
    assert MARK not in measured.viewer.layers
    assert not measured.part("confidence").isChecked()
    assert not measured.part("least_certain").isEnabled()
    choose(measured, LABELS)
    measured.click("confidence")  # measured before
    assert shows_confidence(measured)
    assert is_seen(measured, "others classes")


def test_of_images_of_one_run_each_shows_its_confidence(dock: Dock, picture: np.ndarray) -> None:
    dock.viewer.add_image(picture[::-1], name="others")
    segment(dock, "cells", "others")
    measure(dock)
    assert shows_confidence(dock)
    assert shows_confidence(dock, "others")
    before = set(dock.viewer.layers.selection)
    dock.viewer.layers[CONFIDENCE].visible = False
    assert is_seen(dock, LABELS)
    assert not is_seen(dock, "others classes")
    assert dock.part("confidence").isChecked()
    for _ in range(12):
        dock.click("least_certain")
        (mark,) = marks(dock)
        assert f" of {mark.name.removesuffix(' least certain')} " in dock.part("status").text()
    assert set(dock.viewer.layers.selection) == before
    dock.click("confidence")
    assert not shows_confidence(dock, "others")


@pytest.mark.parametrize("is_shown", [True, False])
def test_closing_the_dock_leaves_the_labels(measured: Dock, is_shown: bool) -> None:
    if not is_shown:
        measured.click("confidence")
    measured.click("least_certain")
    close(measured)
    assert is_seen(measured, LABELS)
    assert not is_seen(measured, CONFIDENCE)
    assert marks(measured) == []
    measured.viewer.layers[CONFIDENCE].visible = True  # nobody follows it any more
    assert is_seen(measured, LABELS)


def test_a_dock_that_is_opened_again_shows_confidence_in_the_same_layer(measured: Dock) -> None:
    reopen(measured)
    choose(measured, LABELS)
    assert not shows_confidence(measured)
    measure(measured)
    assert shows_confidence(measured)
    assert sum(layer.name.startswith(CONFIDENCE) for layer in measured.viewer.layers) == 1


def test_a_grey_button_says_why(dock: Dock, tmp_path: Path) -> None:
    def tips() -> tuple[str, str]:
        buttons = [dock.part(name) for name in ("confidence", "least_certain")]
        assert not any(button.isEnabled() for button in buttons)
        return buttons[0].toolTip(), buttons[1].toolTip()

    assert all("press Segment" in tip for tip in tips())
    choose(dock, segment(dock, "cells").name)
    assert dock.part("confidence").toolTip().endswith("1 sure, 0 a tie of two classes.")
    assert not dock.part("least_certain").isEnabled()
    assert dock.part("least_certain").toolTip().startswith("Press Show confidence first")
    measure(dock)
    assert "labels again (Esc)" in dock.part("confidence").toolTip()
    assert dock.part("least_certain").toolTip().endswith("(F9).")
    saved_labels(dock, tmp_path)
    (opened,) = dock.viewer.open(tmp_path / "saved.tif", plugin="napari-ufseg")
    choose(dock, opened.name)
    assert all("from a file" in tip and "press Segment" in tip for tip in tips())


# -- the way to the regions of doubt ----------------------------------------------------------------


def marks(dock: Dock) -> list[Any]:
    return [layer for layer in dock.viewer.layers if isinstance(layer, Shapes)]


def box_of(mark: Any) -> tuple[slice, ...]:
    """The pixels within the rectangle, of the last two axes."""
    (corners,) = mark.data
    low, high = corners.min(0)[-2:], corners.max(0)[-2:]
    return tuple(slice(max(0, int(np.ceil(a))), int(np.floor(b)) + 1) for a, b in zip(low, high, strict=True))


def test_the_view_goes_to_the_worst_region_and_then_to_the_next(dock: Dock) -> None:
    dock.segment_to_end()
    measure(dock)
    dock.viewer.layers[CONFIDENCE].scale = dock.viewer.layers[LABELS].scale = (2, 2)
    margin = dock.viewer.layers[CONFIDENCE].data
    seen = []
    for rank in (1, 2):
        dock.click("least_certain")
        assert dock.part("status").text().startswith(f"Region {rank} of ")
        (mark,) = marks(dock)
        assert mark.name == MARK
        assert tuple(mark.scale) == (2, 2)
        centre = np.array(dock.viewer.scene.camera.center[-2:]) / 2
        seen.append(tuple(centre))
        box = box_of(mark)
        assert margin[box].min() < np.median(margin)
        assert all(part.start <= at < part.stop for part, at in zip(box, centre, strict=True))
        assert mark.shape_type == ["rectangle"]
        assert mark.face_color[0, 3] == 0
        on_canvas = mark.edge_width[0] * 2 * dock.viewer.scene.camera.zoom
        assert on_canvas == pytest.approx(4)
        assert dock.viewer.layers.selection.active == dock.viewer.layers[LABELS]
    assert seen[0] != seen[1]


def test_the_line_is_as_wide_at_any_zoom(measured: Dock) -> None:
    measured.click("least_certain")
    (mark,) = marks(measured)
    before = mark.edge_width[0]
    measured.viewer.scene.camera.zoom /= 10
    assert mark.edge_width[0] == pytest.approx(10 * before)


@pytest.mark.parametrize("is_shown", [True, False])
def test_the_rectangle_goes_when_the_confidence_is_left(measured: Dock, is_shown: bool) -> None:
    if not is_shown:
        measured.click("confidence")  # to correct the labels where the network is in doubt
    measured.click("least_certain")
    assert shows_confidence(measured) == is_shown
    press_escape(measured)
    assert marks(measured) == []
    assert not shows_confidence(measured)
    measured.click("least_certain")
    measured.click("confidence")
    assert len(marks(measured)) == 1
    measured.click("confidence")
    assert marks(measured) == []


def test_a_rectangle_is_no_image_and_no_result(measured: Dock) -> None:
    measured.click("least_certain")
    about = measured.part("about_classes").text()
    choose(measured, MARK)
    assert measured.part("about_classes").text() == about
    merge(measured, 1, 2)
    measured.click("undo")
    measured.segment_to_end()
    assert [layer.name for layer in measured.viewer.layers] == ["cells", LABELS, CONFIDENCE]


def test_on_a_stack_the_slider_goes_along(dock: Dock, picture: np.ndarray) -> None:
    dock.viewer.layers.clear()
    noisy = np.random.default_rng(0).integers(0, 255, picture.shape).astype(np.uint8)
    dock.viewer.add_image(np.stack([picture, picture, noisy]), name="stack", axis_labels=("z", "y", "x"))
    dock.widget.what = "All planes"
    dock.segment_to_end()
    measure(dock)
    dock.viewer.dims.set_current_step(0, 0)
    planes = set()
    for _ in range(6):
        dock.click("least_certain")
        plane = int(dock.viewer.dims.current_step[0])
        (mark,) = marks(dock)
        assert set(mark.data[0][:, 0]) == {plane}
        planes.add(plane)
    assert planes - {0}


def test_one_thing_at_a_time(dock: Dock) -> None:
    dock.segment_to_end()
    dock.widget.config = dock.widget.config.replace(epochs=100_000, learning_rate=1e-5)
    dock.click("segment")
    dock.qtbot.waitUntil(lambda: dock.part("pause").isEnabled(), timeout=WAIT)
    dock.click("confidence")
    assert not dock.widget._results.confidence.is_running
    assert not dock.part("confidence").isChecked()
    dock.stop()
