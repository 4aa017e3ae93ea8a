"""The confidence layer and the way to the regions of doubt, in a real viewer."""

import numpy as np
from driver import WAIT
from qtpy.QtWidgets import QProgressBar

from napari_ufseg import confidence


def measure(dock):
    with dock.qtbot.waitSignal(dock.widget._results.confidence.ended, timeout=WAIT):
        dock.click("confidence")


def test_the_layer_shows_the_margins_over_the_image(dock, picture):
    assert not dock.part("confidence").isEnabled()
    image = dock.viewer.layers["cells"]
    image.scale, image.translate = (0.5, 0.25), (3, 4)
    dock.segment_to_end()
    measure(dock)
    layer = dock.viewer.layers["cells confidence"]
    np.testing.assert_array_equal(layer.data, confidence(dock.widget.results.model, picture))
    assert tuple(layer.scale) == (0.5, 0.25)
    assert tuple(layer.translate) == (3, 4)
    assert tuple(layer.contrast_limits) == (0, 1)
    assert dock.part("progress", QProgressBar).format() == "confidence 100%"
    assert dock.viewer.layers.selection.active == dock.viewer.layers["cells classes"]
    measure(dock)  # again into the same layer
    assert sum(other.name.startswith("cells confidence") for other in dock.viewer.layers) == 1


def test_the_view_goes_to_the_worst_region_and_then_to_the_next(dock):
    dock.segment_to_end()
    assert not dock.part("least_certain").isEnabled()
    measure(dock)
    margin = dock.viewer.layers["cells confidence"].data
    seen = []
    for rank in (1, 2):
        dock.click("least_certain")
        assert dock.part("status").text().startswith(f"Region {rank} of ")
        y, x = (round(value) for value in dock.viewer.scene.camera.center[-2:])
        seen.append((y, x))
        assert margin[max(0, y - 6) : y + 7, max(0, x - 6) : x + 7].min() < np.median(margin)
    assert seen[0] != seen[1]


def test_on_a_stack_the_slider_goes_along(dock, picture):
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
        planes.add(int(dock.viewer.dims.current_step[0]))
    assert 2 in planes


def test_one_thing_at_a_time(dock):
    dock.segment_to_end()
    dock.widget.config = dock.widget.config.replace(epochs=100_000, learning_rate=1e-5)
    dock.click("segment")
    dock.qtbot.waitUntil(lambda: dock.part("pause").isEnabled(), timeout=WAIT)
    dock.click("confidence")
    assert not dock.widget._results.confidence.is_running
    dock.stop()
