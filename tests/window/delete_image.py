"""Run in a real window: delete the image while a second run streams into the Labels layer; prints JSON."""

import json

import numpy as np
from click_through import wait_until
from qtpy.QtTest import QTest

import napari
from napari_ufseg import SegmentationConfig

FIRST = SegmentationConfig.preset("fast", n_features=8, n_classes=8, epochs=2)


def main() -> None:
    viewer = napari.Viewer(show=True)
    viewer.open_sample("napari-ufseg", "nuclei")
    _, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    results: list[object] = []
    widget.run_finished.connect(results.append)
    widget.config = FIRST
    widget.segment()
    wait_until(lambda: results)
    widget.config = FIRST.replace(epochs=100_000, min_classes=1, settle_fraction=0.0, learning_rate=1e-5)
    widget.segment()
    labels = viewer.layers["nuclei classes"]
    wait_until(lambda: not labels.editable)
    QTest.qWait(300)
    viewer.layers.remove("nuclei")
    first = labels.data.copy()
    wait_until(lambda: not np.array_equal(first, labels.data))
    blocked = not labels.editable
    QTest.qWait(500)  # pictures are drawn
    widget.stop()
    wait_until(lambda: len(results) == 2)
    QTest.qWait(300)
    print(json.dumps({"layers": [layer.name for layer in viewer.layers], "blocked": blocked, "free": labels.editable}))
    viewer.close()


if __name__ == "__main__":
    main()
