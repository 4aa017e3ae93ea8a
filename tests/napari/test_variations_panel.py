"""Six thumbnails in the dock, and what a click on one does."""

import numpy as np
from driver import WAIT
from qtpy.QtWidgets import QToolButton
from steps import Chunks, choose, rest


def tried(dock):
    panel = dock.widget._before.variations
    with dock.qtbot.waitSignal(panel.ended, timeout=WAIT):
        dock.click("try")
    return panel.thumbnails


def test_a_click_on_one_of_six_runs_it_at_full_size(dock):
    before = list(dock.viewer.layers)
    thumbnails = tried(dock)
    assert len(thumbnails) == 6
    assert list(dock.viewer.layers) == before
    assert len({thumbnail.text() for thumbnail in thumbnails}) == 6
    assert all(not thumbnail.icon().isNull() for thumbnail in thumbnails)
    assert "6 variations to choose from" in dock.part("status").text()
    config = dock.widget.config
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT) as signal:
        dock.click("variation6")
    assert dock.widget.config == config.replace(seed=config.seed + 1, nu=4 * config.nu)
    assert signal.args[0].config == dock.widget.config
    assert dock.viewer.layers["cells classes"].data.shape == (40, 56)
    tried(dock)
    assert len(dock.widget._before.variations.thumbnails) == 6


def test_stop_keeps_those_that_are_there_and_a_run_must_wait(dock):
    panel = dock.widget._before.variations
    dock.widget.config = dock.widget.config.replace(epochs=300)
    dock.click("try")
    assert not dock.part("try").isEnabled()
    dock.click("segment")  # is greyed out
    dock.widget.segment()
    assert not dock.widget.is_running
    dock.qtbot.waitUntil(lambda: bool(panel.thumbnails), timeout=WAIT)
    with dock.qtbot.waitSignal(panel.ended, timeout=WAIT):
        dock.click("stop")
    assert 1 <= len(panel.thumbnails) < 6
    assert dock.part("try").isEnabled()


def test_without_an_image_there_is_nothing_to_try(dock):
    dock.viewer.layers.clear()
    dock.click("try")
    assert not dock.widget._before.variations.is_running


def test_a_fault_is_told(dock, notices):
    dock.viewer.layers["cells"].data = np.full((40, 56), np.nan)
    dock.click("try")
    dock.qtbot.waitUntil(lambda: bool(notices), timeout=WAIT)
    assert not dock.widget._before.variations.thumbnails


def test_thumbnails_go_with_their_image(dock, picture):
    panel = dock.widget._before.variations
    cells = dock.viewer.layers["cells"]
    other = dock.viewer.add_image(picture[::-1], name="other")
    dock.viewer.layers.selection.active = cells
    tried(dock)
    dock.viewer.layers.selection.active = dock.viewer.add_points([[1, 1]])
    assert len(panel.thumbnails) == 6
    dock.viewer.layers.selection.active = other
    assert not panel.thumbnails


def test_of_a_huge_plane_only_a_small_part_is_read(dock):
    image = Chunks((4096, 4096), 512)
    dock.viewer.add_image(image, name="huge", contrast_limits=(0, 8), multiscale=False)
    choose(dock, "huge")
    dock.widget.config = dock.widget.config.replace(epochs=1)
    image.n_pixels = 0
    dock.click("try")
    dock.qtbot.waitUntil(lambda: dock.widget.findChild(QToolButton, "ufseg.variation1") is not None, timeout=WAIT)
    dock.click("stop")
    rest(dock)
    assert 0 < image.n_pixels <= 5_000_000
