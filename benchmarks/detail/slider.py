"""What does a step of the slider Detail take in the dock, drawn in a real window, over numpy's take of the same labels?

An image of 2048 x 2048 pixels in noise is segmented by the preset `fast`; then the slider goes from two classes to all and
back, by its keys, and each step is timed until all that it asks for is done: labels, table and colours, and until the window has
drawn it. Beside each step: numpy's take of a table of all labels at the labels of the layer. Needs a display (on a bare
machine: xvfb-run).

    python benchmarks/detail/slider.py --size 2048 --rounds 2
"""

import argparse
import time
from statistics import median

import numpy as np
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QSlider
from skimage.transform import resize

import napari
from napari_ufseg import SegmentationConfig
from napari_ufseg.samples import nuclei


def measure(size: int, rounds: int) -> dict[str, list[float]]:
    """Ratios of the times of steps to those of take."""
    viewer = napari.Viewer(show=True)
    image = resize(nuclei(), (size, size)) * 255 + np.random.default_rng(0).normal(0, 3, (size, size))
    viewer.add_image(image.astype(np.float32), name="image")
    _, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    widget.config = SegmentationConfig.preset("fast", epochs=2)
    ended: list[object] = []
    widget.run_finished.connect(ended.append)
    widget.segment()
    while not ended:
        QTest.qWait(20)
    QTest.qWait(1000)
    layer, slider = viewer.layers["image classes"], widget.findChild(QSlider, "ufseg.detail")
    steps = [*range(3, slider.maximum() + 1), *range(slider.maximum() - 1, 1, -1)]
    table = np.arange(2**16, dtype=np.uint16)
    found: dict[str, list[float]] = {"step / take": [], "step and drawing / take": []}
    for detail in steps * rounds:
        start = time.perf_counter()
        table.take(layer.data)
        begun = time.perf_counter()
        slider.setValue(detail)
        done = time.perf_counter()
        QApplication.processEvents()
        drawn = time.perf_counter()
        found["step / take"].append((done - begun) / (begun - start))
        found["step and drawing / take"].append((drawn - begun) / (begun - start))
        QTest.qWait(300)
    viewer.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    for what, ratios in measure(arguments.size, arguments.rounds).items():
        print(f"{what}: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
