"""How long does the window stand still while an image trains?

A heart beats in the main thread every 5 ms; a stall is the time between two
beats. The first picture also makes napari build a Labels layer with its
controls, once; that is told apart. The same run is made with the thread limit of the plugin and with all
threads, side by side, in turn. Needs a display (on a bare machine: xvfb-run).

    python benchmarks/gui_stall.py --size 1024 --seconds 20 --repeats 3
"""

import argparse
import json
import os
import platform
import statistics
import time
from dataclasses import replace

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtTest import QTest
from skimage.transform import resize

import napari
from napari_ufseg import SegmentationConfig
from napari_ufseg.samples import nuclei


def measure(size: int, seconds: float, threads: int) -> dict[str, float]:
    viewer = napari.Viewer(show=True)
    image = (resize(nuclei(), (size, size)) * 65535).astype(np.uint16)
    viewer.add_image(image, name="image")
    _, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    widget._defaults = replace(widget._defaults, threads=threads)
    widget.config = SegmentationConfig.preset("fast", epochs=100_000, settle_fraction=0)
    QTest.qWait(3000)  # the window is up and torch is imported
    pictures: list[float] = []
    beats: list[float] = []
    heart = QTimer()
    heart.timeout.connect(lambda: beats.append(time.perf_counter()))
    heart.start(5)
    QTest.qWait(2000)
    idle = max(np.diff(beats))
    beats.clear()
    ended: list[object] = []
    widget.run_finished.connect(ended.append)
    start = time.perf_counter()
    widget.segment()
    widget._lifeline.run.updated.connect(lambda _: pictures.append(time.perf_counter()))
    QTest.qWait(int(1000 * seconds))
    widget.stop()
    while not ended:
        QTest.qWait(10)
    gaps = np.diff(beats)
    later = gaps[np.array(beats[1:]) > pictures[0] + 1]
    epochs = len(ended[0].history)  # type: ignore[attr-defined]
    viewer.close()
    QTest.qWait(200)
    return {
        "longest stall, ms": 1e3 * max(later),
        "making the Labels layer, ms": 1e3 * max(gaps),
        "longest stall when idle, ms": 1e3 * idle,
        "stalls over 50 ms per s": float((later > 0.05).sum() / seconds),
        "first picture after, s": pictures[0] - start,
        "pictures per s": len(pictures) / seconds,
        "epochs per s": epochs / seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("-o", "--output")
    arguments = parser.parse_args()
    cores = os.cpu_count() or 1
    rounds = [
        {threads: measure(arguments.size, arguments.seconds, threads) for threads in sorted({max(1, cores - 1), cores})}
        for _ in range(arguments.repeats)
    ]
    print(f"{platform.processor() or platform.machine()}, {cores} cores, {arguments.size} x {arguments.size}")
    for threads in rounds[0]:
        print(f"\n{threads} thread(s)   median (least to most) of {len(rounds)} runs")
        for name in rounds[0][threads]:
            values = [one[threads][name] for one in rounds]
            print(f"  {name:30} {statistics.median(values):8.2f} ({min(values):.2f} to {max(values):.2f})")
    if arguments.output:
        with open(arguments.output, "w") as file:  # noqa: PTH123
            json.dump({"cores": cores, "arguments": vars(arguments), "rounds": rounds}, file, indent=2)


if __name__ == "__main__":
    main()
