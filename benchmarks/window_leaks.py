"""Does anything grow while a window is used for long?

In one window the default preset is started on an image and stopped with its
first picture, again and again; with --dock the dock is closed with the first
picture instead, and opened again. At the tenth round and four times later it
counts, after a garbage collection and once nothing computes any more, the
memory of the process, threads, open files, temporary folders of ours, objects
of this plugin that Qt has not deleted, widgets and layers, and what undo
history and moments hold by design; all but the first row are differences to
the first. Needs a display (on a bare machine: xvfb-run).

    python benchmarks/window_leaks.py
    python benchmarks/window_leaks.py --dock
"""

import argparse
import gc
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QEvent, QObject
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QPushButton
from skimage.transform import resize

import napari
from napari_ufseg import SegmentationConfig
from napari_ufseg._napari.background import THREADS
from napari_ufseg._napari.result.history import History
from napari_ufseg.engine.training.timeline import Timeline
from napari_ufseg.samples import nuclei

FIRST = 10  # rounds in which caches fill
ENDLESS = SegmentationConfig.preset("fast", epochs=100_000, settle_fraction=0.0, min_classes=1)
MOST_SECONDS = 120.0


def open_dock(viewer: Any) -> tuple[Any, Any]:
    dock, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    widget.config = ENDLESS
    return dock, widget


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.perf_counter() + MOST_SECONDS
    while not is_so():
        if time.perf_counter() > end:
            raise TimeoutError
        QTest.qWait(10)


def run_to_first_picture(widget: Any) -> None:
    widget.segment()
    wait_until(widget.findChild(QPushButton, "ufseg.pause").isEnabled)


def stopped_runs(viewer: Any) -> Callable[[], None]:
    """What one round is: Segment, the first picture, Stop."""
    _, widget = open_dock(viewer)
    ended: list[bool] = []
    widget.run_finished.connect(lambda _: ended.append(True))

    def round_of() -> None:
        ended.clear()
        run_to_first_picture(widget)
        widget.stop()
        wait_until(lambda: bool(ended))

    return round_of


def closed_docks(viewer: Any) -> Callable[[], None]:
    """What one round is: the dock is opened, and closed in mid run."""

    def round_of() -> None:
        dock, widget = open_dock(viewer)
        run_to_first_picture(widget)
        viewer.window.remove_dock_widget(dock)

    return round_of


def come_to_rest() -> None:
    """Let threads end, that of the estimate too, and Qt and Python delete what they want to delete."""
    QTest.qWait(1500)
    wait_until(lambda: not any(thread.name.startswith(THREADS) for thread in threading.enumerate()))
    QTest.qWait(200)
    for _ in range(3):
        gc.collect()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QCoreApplication.processEvents()


def count(viewer: Any) -> dict[str, float]:
    come_to_rest()
    process, folder = psutil.Process(), Path(tempfile.gettempdir())
    things = gc.get_objects()
    ours = [thing for thing in things if str(type(thing).__module__).startswith("napari_ufseg")]
    return {
        "memory, MB": process.memory_info().rss / 2**20,
        "of it history": sum(thing.n_bytes for thing in ours if isinstance(thing, History)) / 2**20,
        "of it moments": sum(thing.n_bytes for thing in ours if isinstance(thing, Timeline)) / 2**20,
        "threads": process.num_threads(),
        "files": process.num_fds() if hasattr(process, "num_fds") else process.num_handles(),
        "folders": sum(len(list(folder.glob(name))) for name in ("napari-ufseg-*", ".ufseg-*")),
        "objects": len(things),
        "ours": len(ours),
        "ours of Qt": sum(isinstance(thing, QObject) and isalive(thing) for thing in ours),
        "widgets": len(QApplication.allWidgets()),
        "layers": len(viewer.layers),
    }


def measure(size: int, rounds: int, kind: Callable[[Any], Callable[[], None]]) -> dict[int, dict[str, float]]:
    viewer = napari.Viewer(show=True)
    viewer.add_image((resize(nuclei(), (size, size)) * 65535).astype(np.uint16), name="image")
    wanted = {min(FIRST, rounds), *(rounds * quarter // 4 for quarter in range(1, 5) if rounds * quarter // 4 > FIRST)}
    round_of = kind(viewer)
    counts = {}
    for number in range(1, rounds + 1):
        round_of()
        if number in wanted:
            counts[number] = count(viewer)
    viewer.close()
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, help="default 200, with --dock 50")
    parser.add_argument("--dock", action="store_true", help="close the dock in mid run, and open it again")
    arguments = parser.parse_args()
    rounds = arguments.rounds or (50 if arguments.dock else 200)
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder  # what other programs put beside it is not counted
        start = time.perf_counter()
        counts = measure(arguments.size, rounds, closed_docks if arguments.dock else stopped_runs)
    seconds = (time.perf_counter() - start) / rounds
    what = "docks closed in mid run" if arguments.dock else "runs stopped"
    print(f"{arguments.size} x {arguments.size}, {platform.machine()}, {os.cpu_count()} cores")
    print(f"{rounds} {what}, {seconds:.1f} s each\n")
    first, *later = counts.items()
    print("".join([f"{'round':>6}", *(f"{name:>15}" for name in first[1])]))
    print("".join([f"{first[0]:6}", *(f"{value:15.5g}" for value in first[1].values())]))
    for number, values in later:
        print("".join([f"{number:6}", *(f"{value - first[1][name]:+15.4g}" for name, value in values.items())]))


if __name__ == "__main__":
    main()
