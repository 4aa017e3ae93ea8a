"""What counts of an image: the form with the histogram, and what follows when the user says something."""

from typing import Any

import numpy as np
import pytest
from driver import WAIT, Dock
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLabel, QLineEdit

from napari_ufseg import segment


@pytest.fixture
def picture() -> np.ndarray:
    """(64, 96) uint16: squares on a noisy offset; nine columns of padding, and a stuck row."""
    rng = np.random.default_rng(0)
    image = (rng.normal(300, 6, (64, 96)) + 2000 * np.kron(np.eye(4, 6), np.ones((16, 16)))).astype(np.uint16)
    image[:, :9], image[40] = 0, 65535
    return image


def open_form(dock: Dock) -> None:
    if not dock.part("section.image").isExpanded():
        dock.part("section.image.title").click()
    dock.click("brightness")


def message(dock: Dock) -> str:
    return dock.part("brightness.message", QLabel).text()


def write(dock: Dock, **ends: str) -> None:
    for name, text in ends.items():
        field = dock.part(f"brightness.{name}", QLineEdit)
        field.selectAll()
        dock.qtbot.keyClicks(field, text)


def lines(dock: Dock) -> list[float]:
    """Where the ends of the range are drawn."""
    items = dock.part("brightness.histogram").getPlotItem().items
    return sorted(float(item.value()) for item in items if type(item).__name__ == "InfiniteLine")


def test_the_form_shows_what_is_used_and_what_is_left_out(dock: Dock) -> None:
    open_form(dock)
    low, high = lines(dock)
    assert 250 < low < 310
    assert 2200 < high < 2400
    assert "pixels of 0 hold no data (label 0)." in message(dock)
    assert "1 stuck row left out" in message(dock)
    assert dock.part("brightness.low", QLineEdit).placeholderText() == f"{low:.6g}"


def test_what_is_said_counts_in_the_next_run_and_is_told(dock: Dock, picture: np.ndarray, notices: list[Any]) -> None:
    open_form(dock)
    write(dock, low="200", high="5000")
    dock.part("brightness.nodata", QComboBox).setCurrentText("none")
    assert lines(dock) == [200, 5000]
    dock.click("brightness.set")
    assert not dock.part("brightness.low").isVisibleTo(dock.widget)
    words = dock.part("words", QLabel).text()
    assert words.endswith("brightness 200 to 5000, all of it holds data")
    result = dock.segment_to_end()
    expected = segment(picture, dock.widget.config, nodata="none", intensity_range=(200, 5000), device="cpu")
    np.testing.assert_array_equal(result.labels[0], expected.labels)
    assert notices == []
    open_form(dock)
    assert dock.part("brightness.low", QLineEdit).text() == "200"
    dock.click("brightness.auto")
    dock.click("brightness.set")
    assert "brightness" not in dock.part("words", QLabel).text()
    np.testing.assert_array_equal(dock.segment_to_end().labels[0] == 0, picture == 0)


def test_segment_takes_what_is_written_and_not_set_yet(dock: Dock) -> None:
    open_form(dock)
    write(dock, low="200", high="5000")
    result = dock.segment_to_end()
    assert result.model.intensity[0].channels[0].high == 5000


@pytest.mark.parametrize(
    ("ends", "nodata", "words"),
    [
        ({"low": "9", "high": "5"}, "auto", "intensity_range is 9 to 5: the second number must be larger"),
        ({"low": "9"}, "auto", "give two numbers, the dark end and the bright end."),
        ({}, "some", "nodata is 'some': give a number, 'auto' or 'none'."),
    ],
)
def test_what_can_be_none_is_told_in_the_form_and_nothing_starts(
    dock: Dock, ends: dict[str, str], nodata: str, words: str
) -> None:
    open_form(dock)
    write(dock, **ends)
    dock.part("brightness.nodata", QComboBox).setCurrentText(nodata)
    dock.click("segment")
    assert words in message(dock)
    assert len(dock.viewer.layers) == 1
    dock.qtbot.keyClick(dock.part("brightness.low"), Qt.Key.Key_Escape)
    assert not dock.part("brightness.low").isVisibleTo(dock.widget)
    assert "napari_ufseg_brightness" not in dock.viewer.layers[0].metadata


def test_one_line_a_channel_and_one_range_each(dock: Dock, picture: np.ndarray) -> None:
    clean = np.delete(picture, 40, 0)[:, 9:]
    dock.viewer.add_image(np.stack([clean, clean // 10]), name="stains", axis_labels=("c", "y", "x"))
    open_form(dock)
    assert len(lines(dock)) == 4
    assert dock.part("brightness.low", QLineEdit).placeholderText() == "each its own"
    dock.qtbot.waitUntil(lambda: not dock.widget.is_running, timeout=WAIT)
