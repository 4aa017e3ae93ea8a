"""Six thumbnails in the dock, and what a click on one does."""

import numpy as np
import pytest
from driver import WAIT
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage
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


def pixels_of(image):
    """(Y, X, 3) of a picture of Qt."""
    image = image.convertToFormat(QImage.Format.Format_RGB32)
    pixels = np.frombuffer(image.constBits().asstring(image.sizeInBytes()), np.uint8)
    return pixels.reshape(image.height(), -1, 4)[:, : image.width(), 2::-1].astype(int)


def seen_on_canvas(image, labels):
    """(Y, X, 3): what napari draws of a grey image or one in colour, and of classes over it."""
    low, high = image.contrast_limits
    below = np.asarray(image.data, float) if image.rgb else np.stack([image.data.astype(float)] * 3, axis=-1)
    below = 255 * ((below - low) / (high - low)).clip(0, 1)
    over = labels.colormap.map(labels.data)
    opacity = labels.opacity * over[..., 3:]
    return (1 - opacity) * below + opacity * 255 * over[..., :3]


def thumbnail_of(picture):
    """The same as a thumbnail."""
    values = np.ascontiguousarray(np.rint(picture).astype(np.uint8))
    height, width = values.shape[:2]
    image = QImage(values.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    how = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    return pixels_of(image.scaled(88, 88, *how))


@pytest.mark.parametrize("detail", ["auto", "all", 3])
@pytest.mark.parametrize("in_colour", [False, True])
def test_a_thumbnail_looks_as_what_comes_of_a_click_on_it(dock, picture, detail, in_colour):
    cells = dock.viewer.layers["cells"]
    if in_colour:
        stained = np.stack([255 - picture, 255 - picture // 2, np.full_like(picture, 200)], axis=-1)
        dock.viewer.layers.remove("cells")
        cells = dock.viewer.add_image(stained, name="cells", rgb=True)
    dock.widget.detail = detail
    thumbnail = tried(dock)[2]
    drawn = pixels_of(thumbnail.icon().pixmap(88, 88).toImage())
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        thumbnail.click()
    labels = dock.viewer.layers["cells classes"]
    expected = thumbnail_of(seen_on_canvas(cells, labels))
    assert drawn.shape == expected.shape
    assert np.abs(drawn - expected).mean() < 1
    n_shown = len(np.unique(labels.data))
    assert f"{n_shown} shown" in thumbnail.toolTip()
