"""How long does the window stand still while an image trains, and how right is the time left that it tells?

A heart beats in the main thread every 5 ms; a stall is the time between two
beats, while a run of the default preset goes from the click to its end. The
first picture also makes napari build a Labels layer with its controls, once;
that is told apart. The time left is what the dock tells with the first picture
that comes a second or more after the click. The same run is made with the
thread limit of the plugin and with all threads, in turn. Needs a display (on
a bare machine: xvfb-run).

    python benchmarks/gui_stall.py --size 2048 --repeats 3
"""

import argparse
import json
import os
import platform
import statistics
import time

import numpy as np
from napari.settings import get_plugin_settings
from qtpy.QtCore import QTimer
from qtpy.QtTest import QTest
from skimage.transform import resize

import napari
from napari_ufseg.samples import nuclei


def measure(size: int, threads: int) -> dict[str, float]:
    viewer = napari.Viewer(show=True)
    image = (resize(nuclei(), (size, size)) * 65535).astype(np.uint16)
    viewer.add_image(image, name="image")
    _, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    get_plugin_settings("napari-ufseg").run.threads = threads
    QTest.qWait(8000)  # the window is up, torch is imported, the estimate is made
    told: list[tuple[float, float]] = []
    beats: list[float] = []
    heart = QTimer()
    heart.timeout.connect(lambda: beats.append(time.perf_counter()))
    heart.start(5)
    QTest.qWait(2000)
    idle = max(np.diff(beats))
    beats.clear()
    ended: list[object] = []
    widget.run_finished.connect(ended.append)
    widget._run.updated.connect(lambda snapshot: told.append((time.perf_counter(), snapshot.seconds_left)))
    start = time.perf_counter()
    widget.segment()
    while not ended:
        QTest.qWait(10)
    end = time.perf_counter()
    gaps = np.diff(beats)
    times = np.array(beats[1:])
    first = told[0][0]
    making = gaps[times < first + 1]
    later = gaps[times >= first + 1]
    # napari may take a second to make the first layer; what comes later is the training itself
    at, left = next(((t, s) for t, s in told if t >= start + 1), told[-1])
    viewer.close()
    QTest.qWait(200)
    return {
        "longest stall, ms": 1e3 * max(later, default=np.nan),
        "making the Labels layer, ms": 1e3 * max(making),
        "longest stall when idle, ms": 1e3 * idle,
        "stalls over 50 ms per s": float((later > 0.05).sum() / max(1e-9, end - first - 1)),
        "first picture after, s": first - start,
        "pictures per s": len(told) / (end - start),
        "whole run, s": end - start,
        "time left told / true": left / (end - at),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("-o", "--output")
    arguments = parser.parse_args()
    cores = os.cpu_count() or 1
    rounds = [
        {threads: measure(arguments.size, threads) for threads in sorted({max(1, cores - 1), cores})}
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
