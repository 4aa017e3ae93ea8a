"""The line that says what a run will take."""

import dask.array as da
import numpy as np
from driver import QUICK, WAIT
from qtpy.QtWidgets import QLabel


def words_of(dock):
    return dock.part("estimate", QLabel).text()


def test_memory_time_and_device_are_told_before_the_run(dock):
    dock.qtbot.waitUntil(lambda: words_of(dock).startswith("About "), timeout=WAIT)
    assert "GB and at most 1 s on cpu" in words_of(dock)
    dock.widget.config = QUICK.replace(epochs=100_000)
    dock.qtbot.waitUntil(lambda: "at most 1 s" not in words_of(dock), timeout=WAIT)


def test_without_an_image_there_is_nothing_to_tell(dock):
    dock.qtbot.waitUntil(lambda: words_of(dock).startswith("About "), timeout=WAIT)
    dock.viewer.layers.clear()
    dock.qtbot.waitUntil(lambda: not words_of(dock), timeout=WAIT)


def test_what_does_not_fit_is_told_with_what_helps(dock):
    huge = da.zeros((60_000, 60_000), dtype=np.uint8, chunks=(1000, 1000))
    dock.viewer.add_image(huge, name="huge", contrast_limits=(0, 3), visible=False)
    dock.qtbot.waitUntil(lambda: "random tiles" in words_of(dock), timeout=WAIT)
    assert "The whole would take" in words_of(dock)
