"""The dock in the order of the work: sections that fold, remember it, and open as the work goes on."""

from typing import Any

import numpy as np
from driver import WAIT, Dock
from qtpy.QtWidgets import QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox, QWidget
from steps import close, scrub, select_classes

SECTIONS = ("image", "segment", "result", "keep")


def unfolded(dock: Dock) -> tuple[str, ...]:
    return tuple(name for name in SECTIONS if dock.part(f"section.{name}").isExpanded())


def click_title(dock: Dock, name: str) -> None:
    dock.part(f"section.{name}.title").click()


def title(dock: Dock, name: str) -> str:
    return str(dock.part(f"section.{name}.title").text())


def test_the_sections_open_as_the_work_goes_on_and_tell_what_was_done(dock: Dock) -> None:
    assert unfolded(dock) == ("image", "segment")
    assert title(dock, "image").endswith("cells")
    assert title(dock, "segment").endswith("fast, 8 classes")
    assert title(dock, "result") == "Result"
    dock.segment_to_end()
    assert unfolded(dock) == ("segment", "result", "keep")
    assert title(dock, "result").endswith("cells classes")
    assert "model of cells classes" in title(dock, "keep")


def test_what_the_user_has_folded_stays_so_in_later_sessions(dock: Dock) -> None:
    click_title(dock, "image")
    click_title(dock, "image")  # the user wants it unfolded
    click_title(dock, "keep")
    click_title(dock, "keep")  # and this folded
    dock.segment_to_end()
    assert unfolded(dock) == ("image", "segment", "result")
    close(dock)
    again = Dock(dock.viewer, dock.qtbot)
    assert unfolded(again) == ("image", "segment", "result")  # there is one
    click_title(again, "segment")
    close(again)
    assert unfolded(Dock(dock.viewer, dock.qtbot)) == ("image", "result")


def test_the_tab_key_passes_over_what_is_folded(dock: Dock) -> None:
    kinds = (QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox)
    folded = [part for part in dock.part("more_segment").content().findChildren(QWidget) if isinstance(part, kinds)]

    def in_reach(part: QWidget) -> bool:
        """Qt's own rule: what is not shown is passed over."""
        return part.isVisibleTo(dock.widget)

    assert len(folded) > 20
    assert not any(map(in_reach, folded))
    assert in_reach(dock.part("segment"))
    dock.part("more_segment.title").click()
    assert in_reach(dock.part("option.nu"))
    assert not in_reach(dock.part("option.mu"))  # folded within


def test_an_older_epoch_has_a_banner_with_the_way_back(dock: Dock) -> None:
    dock.widget.config = dock.widget.config.replace(epochs=6)
    from steps import every_epoch_is_shown

    with every_epoch_is_shown():
        dock.segment_to_end()
    layer = dock.viewer.layers["cells classes"]
    now = layer.data.copy()
    assert dock.part("banner").isHidden()
    scrub(dock, 0)
    assert not dock.part("banner").isHidden()
    assert dock.part("moment").text().startswith("Shown: epoch 1,")
    assert "Back to now" in dock.part("merge").toolTip()
    assert "Back to now" in dock.part("continue").toolTip()
    dock.click("back_to_now")
    assert dock.part("banner").isHidden()
    np.testing.assert_array_equal(layer.data, now)
    scrub(dock, 0)
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        dock.click("keep_moment")
    assert dock.part("banner").isHidden()


def tip(dock: Dock, name: str) -> Any:
    part = dock.part(name)
    assert not part.isEnabled(), name
    return part.toolTip()


def test_what_is_grey_says_why(dock: Dock) -> None:
    for name in ("merge", "background", "split", "absorb", "show_all", "undo", "see_through", "turn"):
        assert "press Segment" in tip(dock, name), name
    assert "press Segment" in tip(dock, "continue")
    assert "no run" in tip(dock, "pause")
    dock.segment_to_end()
    assert "Select two classes" in tip(dock, "merge")
    assert "Select a class" in tip(dock, "split")
    assert dock.part("background").isEnabled()  # of the background that was found
    assert "Nothing to undo" in tip(dock, "undo")
    result = dock.widget._results.active
    select_classes(dock, result.background)
    assert "already" in tip(dock, "see_through")
    dock.start_endless()
    assert "Stop" in tip(dock, "segment")
    assert "Stop" in tip(dock, "continue")
    assert "press Stop" in tip(dock, "absorb")
    dock.stop()
    assert dock.part("absorb").isEnabled()
    assert dock.part("absorb").toolTip().startswith("Give smaller regions")


def test_everything_with_a_name_has_a_tooltip(dock: Dock) -> None:
    kinds = (QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox)
    parts = [part for part in dock.widget.findChildren(QWidget) if isinstance(part, kinds)]
    named = [part for part in parts if part.objectName().startswith("ufseg.")]
    assert len(named) > 60
    assert [part.objectName() for part in named if not part.toolTip()] == []


def test_use_on_other_images_opens_the_tab_for_folders(dock: Dock) -> None:
    dock.click("use_on_others")
    tabs = dock.part("tabs")
    assert tabs.tabText(tabs.currentIndex()) == "Folder"
