"""The line that says what a run will take."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import dask.array as da
import numpy as np
import pytest
from driver import QUICK, WAIT, Dock, threads_alive
from qtpy.QtWidgets import QLabel

from napari_ufseg.engine.training import estimate, session
from napari_ufseg.engine.training.estimate import Estimate
from napari_ufseg.engine.training.pace import Paces

LONG = QUICK.replace(epochs=100_000)


def words_of(dock):
    """What the line says; it takes room only if it says something."""
    line = dock.part("estimate", QLabel)
    assert line.isVisibleTo(dock.widget) is bool(line.text())
    return line.text()


def wait_for_answer(dock):
    dock.qtbot.waitUntil(lambda: not dock.part("estimate").is_measuring, timeout=WAIT)
    return words_of(dock)


def wait_for_figure(dock):
    assert wait_for_answer(dock).startswith("About ")


@pytest.fixture
def slow(dock):
    """The dock with a run that lasts."""
    dock.widget.config = LONG
    return dock


class Held:
    """An estimate that lasts until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.stopped, self._go = threading.Event(), False, threading.Event()

        def slow(*_: object, stopped: Any) -> Estimate:
            self.begun.set()
            assert self._go.wait(20)
            self.stopped = stopped()
            return Estimate(10**9, 700.0, "cpu", True)

        monkeypatch.setattr(estimate, "estimate_run", slow)

    def let_go(self) -> None:
        self._go.set()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """Every estimate of the test."""
    estimates = Held(monkeypatch)
    yield estimates
    estimates.let_go()


def test_memory_time_and_device_are_told_before_a_run_that_lasts(dock):
    assert wait_for_answer(dock) == ""  # four epochs of a few pixels
    dock.widget.config = LONG
    assert words_of(dock) == ""
    wait_for_figure(dock)
    assert "on cpu" in words_of(dock)
    assert "GB and 1 s" not in words_of(dock)
    dock.widget.config = QUICK
    assert words_of(dock) == ""
    assert wait_for_answer(dock) == ""


@pytest.mark.parametrize(("share", "told"), [(0.4, ""), (0.6, "About 1.0 GB and 1 s on cpu.")])
def test_a_run_that_takes_over_half_of_the_free_memory_is_told(dock, monkeypatch, share, told):
    monkeypatch.setattr(estimate, "estimate_run", lambda *_, **__: Estimate(10**9, 1.0, "cpu", True, free_share=share))
    dock.widget.config = QUICK.replace(epochs=5)
    assert wait_for_answer(dock) == told


@pytest.mark.parametrize("stopped", [False, True])
def test_a_wrong_figure_is_put_right_by_the_run(dock, monkeypatch, stopped):
    wait_for_answer(dock)
    paces = Paces()
    monkeypatch.setattr(estimate, "paces", paces)
    monkeypatch.setattr(session, "paces", paces)
    monkeypatch.setattr(estimate, "_known", {})
    monkeypatch.setattr(estimate, "_step", lambda *arguments: (10.0 * arguments[3], 0))  # ten seconds for every pixel
    dock.widget.config = QUICK.replace(epochs=200 if stopped else 5)
    wait_for_figure(dock)
    assert " h on cpu" in words_of(dock)
    if stopped:
        dock.click("segment")
        dock.qtbot.waitUntil(lambda: dock.part("progress").value() >= 2, timeout=WAIT)
        dock.stop()
    else:
        dock.segment_to_end()
    assert " h on cpu" not in wait_for_answer(dock)


def test_another_image_has_no_figure_until_its_own_is_there(slow, picture):
    wait_for_figure(slow)
    slow.viewer.add_image(picture, name="other")
    assert words_of(slow) == ""
    wait_for_figure(slow)


def test_the_figure_stays_during_its_run(slow):
    wait_for_figure(slow)
    figure = words_of(slow)
    slow.widget.segment()
    slow.qtbot.waitUntil(lambda: slow.part("pause").isEnabled(), timeout=WAIT)
    assert words_of(slow) == figure
    slow.stop()
    assert words_of(slow) == ""
    wait_for_figure(slow)


def test_a_run_that_begins_before_its_figure_is_there_shows_none(dock, held):
    dock.qtbot.waitUntil(held.begun.is_set, timeout=WAIT)
    dock.widget.segment()
    assert words_of(dock) == ""
    held.let_go()
    dock.qtbot.waitUntil(lambda: dock.part("status").text().startswith("Done"), timeout=WAIT)
    assert held.stopped


def test_a_run_on_other_layers_shows_no_figure(slow, picture):
    other = slow.viewer.add_image(picture[:20], name="other")
    slow.viewer.layers.selection.active = slow.viewer.layers["cells"]
    wait_for_figure(slow)
    with slow.qtbot.waitSignal(slow.widget.run_finished, timeout=WAIT):
        slow.widget.segment_layers([other], config=QUICK)
        assert words_of(slow) == ""


def test_while_a_model_is_applied_no_figure_of_a_run_is_shown(dock):
    dock.segment_to_end()
    dock.widget.config = LONG
    wait_for_figure(dock)
    dock.click("apply_model")
    assert words_of(dock) == ""
    dock.qtbot.waitUntil(lambda: dock.part("segment").isEnabled(), timeout=WAIT)
    wait_for_figure(dock)


def test_without_an_image_there_is_nothing_to_tell(slow):
    wait_for_figure(slow)
    slow.viewer.layers.clear()
    assert wait_for_answer(slow) == ""


def test_what_does_not_fit_is_told_with_what_helps(dock):
    huge = da.zeros((60_000, 60_000), dtype=np.uint8, chunks=(1000, 1000))
    dock.viewer.add_image(huge, name="huge", contrast_limits=(0, 3), visible=False)
    dock.qtbot.waitUntil(lambda: "random tiles" in words_of(dock), timeout=WAIT)
    assert "The whole would take" in words_of(dock)


@pytest.mark.parametrize("how", ["window", "dock"])
def test_closing_during_an_estimate_neither_waits_for_it_nor_complains(dock: Dock, held: Held, how: str) -> None:
    dock.qtbot.waitUntil(held.begun.is_set, timeout=WAIT)
    if how == "window":
        dock.viewer.close()
    else:
        dock.viewer.window.remove_dock_widget(dock.dock)
    assert len(threads_alive(estimates=True)) == 1
    held.let_go()
    dock.qtbot.waitUntil(lambda: not threads_alive(estimates=True), timeout=WAIT)
    assert held.stopped
    dock.qtbot.wait(200)  # what the thread might have had to say arrives; an exception would fail the test


SCRIPT = """
import threading
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QWidget
from napari_ufseg import SegmentationConfig
from napari_ufseg._napari.method.estimate_line import EstimateLine, Question
from napari_ufseg._napari.method.preferences import Settings
from napari_ufseg.engine.training import estimate
from napari_ufseg.engine.images.source import open_source

app, window = QApplication([]), QWidget()
source = open_source(np.zeros((900, 900)), axes="YX", spatial_dims=2, name="it")
real = estimate.estimate_run

begun = threading.Event()

def beginning(*arguments, **options):
    begun.set()
    return real(*arguments, **options)

estimate.estimate_run = beginning
timer = QTimer()
timer.timeout.connect(lambda: begun.is_set() and app.quit())
timer.start(1)
line = EstimateLine(lambda: Question([source], SegmentationConfig.preset("paper"), "cpu"), Settings(lambda: "cpu"), window)
line.refresh()
app.exec()
print(line.text())
"""


def test_a_script_that_ends_during_an_estimate_prints_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=WAIT / 1000)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
