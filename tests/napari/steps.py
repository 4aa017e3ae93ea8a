"""What a user does with results, and sees of them: by the names of the dock's parts, by layers and by files alone."""

import gc
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driver import SMALL, WAIT, Dock, threads_alive
from qtpy.QtCore import QCoreApplication, QEvent, QItemSelectionModel, Qt

from napari_ufseg import SegmentationConfig
from napari_ufseg._napari.background import Job
from napari_ufseg.engine.training.session import TrainingSession

LIVELY = SegmentationConfig.preset("fast", **SMALL, start="random", epochs=5, learning_rate=0.02)
BRIEF = LIVELY.replace(epochs=3)
NAME, PIXELS = 1, 3  # columns of the table
SOON = 5_000  # milliseconds, for what is quick

_LARGE = "napari_ufseg._napari.result.label_editor._AT_ONCE"  # pixels; labels of more are changed in a thread


def change_labels_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, for labels however small."""
    monkeypatch.setattr(_LARGE, 100)


@contextmanager
def every_epoch_is_shown() -> Iterator[None]:
    """Within the block a run has a moment for each of its epochs, however quick they are."""
    real = TrainingSession.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingSession, "run", lambda session, every=0.1, epochs=None: real(session, 0, epochs))
        yield


# -- layers and runs --------------------------------------------------------------------------------


def choose(dock: Dock, *names: str) -> Any:
    """Select these layers; gives the last one."""
    layers = [dock.viewer.layers[name] for name in names]
    dock.viewer.layers.selection = set(layers)
    dock.viewer.layers.selection.active = layers[-1] if len(layers) == 1 else None
    return layers[-1]


def segment(dock: Dock, *names: str, config: SegmentationConfig = LIVELY) -> Any:
    """A run on these images, to its end; gives the Labels layer of the last one."""
    choose(dock, *names)
    dock.widget.config = config
    before = set(map(id, dock.viewer.layers))
    with every_epoch_is_shown():
        dock.segment_to_end()
    new = [layer for layer in dock.viewer.layers if id(layer) not in before]
    return new[-1] if new else None


def draw(layer: Any, label: int, row: int = 5) -> None:
    """A stroke of five pixels with the brush."""
    layer.data_setitem((np.full(5, row), np.arange(5, 10)), label)


def scrub(dock: Dock, value: int | None) -> None:
    """Move the time slider there; None is its right end."""
    slider = dock.part("time")
    slider.setValue(slider.maximum() if value is None else value)


def rest(dock: Dock, *, estimates: bool = False) -> None:
    """Wait until nothing computes any more, and what threads had to say has arrived."""
    while True:
        dock.qtbot.waitUntil(lambda: not threads_alive(estimates=estimates), timeout=WAIT)
        dock.qtbot.wait(150)
        if not threads_alive(estimates=estimates):
            return


def rest_and_estimate(dock: Dock) -> None:
    """Wait until nothing computes any more, the estimate of the next run included, and its job has gone."""
    rest(dock)
    line = dock.part("estimate")
    dock.qtbot.waitUntil(lambda: not line.is_measuring and not line.findChildren(Job), timeout=WAIT)


def click_and_wait(dock: Dock, name: str) -> None:
    """Click a button that starts something beside runs, and wait until Segment is allowed again."""
    dock.click(name)
    dock.qtbot.waitUntil(lambda: dock.part("segment").isEnabled(), timeout=SOON)


# -- the table of classes ---------------------------------------------------------------------------


def _rows(dock: Dock) -> dict[int, int]:
    model = dock.part("classes").model()
    rows = range(model.rowCount())
    tips = [model.index(row, NAME).data(Qt.ItemDataRole.ToolTipRole) for row in rows]
    return {int(re.findall(r"label (\d+):", tip)[0]): row for tip, row in zip(tips, rows, strict=True)}


def _column(dock: Dock, column: int) -> dict[int, str]:
    model = dock.part("classes").model()
    return {label: str(model.index(row, column).data()) for label, row in _rows(dock).items()}


def names(dock: Dock) -> dict[int, str]:
    """The names of the classes in the table, by label."""
    return _column(dock, NAME)


def areas(dock: Dock) -> dict[int, int]:
    """Their pixels."""
    return {label: int(text.replace(",", "")) for label, text in _column(dock, PIXELS).items()}


def areas_of(layer: Any) -> dict[int, int]:
    """The pixels of the labels of a layer, counted anew."""
    return {int(label): int(n) for label, n in zip(*np.unique(layer.data, return_counts=True), strict=True)}


def rename(dock: Dock, label: int, name: str) -> None:
    """Write a name into the table."""
    model = dock.part("classes").model()
    model.setData(model.index(_rows(dock)[label], NAME), name, Qt.ItemDataRole.EditRole)


def select_classes(dock: Dock, *labels: int) -> None:
    """Select their rows."""
    view = dock.part("classes")
    selection, flag = view.selectionModel(), QItemSelectionModel.SelectionFlag
    selection.clearSelection()
    for label, row in _rows(dock).items():
        if label in labels:
            selection.select(view.model().index(row, NAME), flag.Select | flag.Rows)


def selected_classes(dock: Dock) -> set[int]:
    """The labels of the rows that are selected."""
    selected = {index.row() for index in dock.part("classes").selectionModel().selectedRows()}
    return {label for label, row in _rows(dock).items() if row in selected}


def merge(dock: Dock, *labels: int) -> None:
    """Make one class of these."""
    select_classes(dock, *labels)
    dock.click("merge")
    wait_for_labels(dock)


def merge_and_name(dock: Dock, name: str) -> int:
    """Merge the two largest classes of what is selected, and name what comes of it; gives its label."""
    first, second = sorted(areas(dock), key=areas(dock).get)[-2:]
    merge(dock, first, second)
    label = first if first in areas(dock) else second
    rename(dock, label, name)
    return label


def wait_for_labels(dock: Dock) -> None:
    """Wait until labels can be changed again: undone, or done again."""
    if threads_alive():
        rest(dock)
    dock.qtbot.waitUntil(lambda: dock.part("undo").isEnabled() or dock.part("redo").isEnabled(), timeout=SOON)


def click_to_the_end(dock: Dock, name: str) -> None:
    """Click Undo, or Redo, as often as it can be."""
    for _ in range(20):
        if not dock.part(name).isEnabled():
            return
        dock.click(name)
        wait_for_labels(dock)
    raise AssertionError(f"{name} has no end")


# -- files ------------------------------------------------------------------------------------------


def saved_model(dock: Dock, folder: Path) -> Any:
    """What Save model writes."""
    from napari_ufseg import load_model

    dock.widget.results.save_model(folder / "saved.safetensors")
    return load_model(folder / "saved.safetensors")


def saved_labels(dock: Dock, folder: Path) -> Any:
    """What Save labels writes; None if it writes nothing."""
    import tifffile

    dock.widget.results.save_labels(folder / "saved.tif")
    rest(dock)
    return tifffile.imread(folder / "saved.tif") if (folder / "saved.tif").exists() else None


# -- the dock ---------------------------------------------------------------------------------------


def close(dock: Dock, *, by_its_button: bool = False) -> None:
    """Close the dock, and let go of it."""
    closed, dock.dock, dock.widget = dock.dock, None, None
    if by_its_button:
        closed.destroyOnClose()
    else:
        dock.viewer.window.remove_dock_widget(closed)
    del closed
    clean_up()


def reopen(dock: Dock, *, by_its_button: bool = False) -> None:
    """Close the dock and open it again."""
    close(dock, by_its_button=by_its_button)
    dock.__init__(dock.viewer, dock.qtbot)  # type: ignore[misc]


def clean_up() -> None:
    """Delete what Qt and Python want to delete."""
    for _ in range(2):
        gc.collect()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QCoreApplication.processEvents()


class Gate:
    """Where threads beside the window are held, once some have passed.

    Attributes
    ----------
    n_passed : int
        Since it was closed last.
    seconds : float
        What passing takes, for what is to last a while.
    """

    def __init__(self) -> None:
        self.n_passed, self.seconds = 0, 0.0
        self._most: int | None = None
        self._is_held, self._go = threading.Event(), threading.Event()
        self._go.set()

    def close(self, after: int) -> None:
        """Let so many pass, and hold the next one."""
        self.n_passed, self._most = 0, after
        self._is_held.clear()
        self._go.clear()

    def open(self) -> None:
        """Let all pass."""
        self._go.set()

    def open_soon(self) -> None:
        """Let all pass in a moment, whatever the window does until then."""
        threading.Timer(0.3, self.open).start()

    @property
    def is_open(self) -> bool:
        """Whether all pass."""
        return self._go.is_set()

    def wait_until_held(self, dock: Dock) -> None:
        """Wait until a thread has come so far."""
        dock.qtbot.waitUntil(self._is_held.is_set, timeout=WAIT)

    def pass_through(self) -> None:
        """Called by whoever reads or writes."""
        if threading.current_thread() is threading.main_thread():
            return
        if not self._go.is_set() and self.n_passed == self._most:
            self._is_held.set()
            self._go.wait(20)
        time.sleep(self.seconds)
        self.n_passed += 1


class GatedLabels(np.ndarray):
    """Labels in memory; threads that write into them pass a gate."""

    gate: Gate

    def __array_finalize__(self, other: Any) -> None:
        """A part of it has the same gate."""
        self.gate = getattr(other, "gate", None) or Gate()

    def __setitem__(self, index: Any, values: Any) -> None:
        """Write, if the gate lets it."""
        self.gate.pass_through()
        super().__setitem__(index, values)


class Chunks:
    """A lazy (Y, X) uint8 image, or (Z, Y, X) uint16 labels, that are read chunk by chunk, through a gate."""

    def __init__(self, shape: tuple[int, ...], chunk: int, dtype: Any = np.uint8) -> None:
        self.shape, self.ndim, self.dtype = shape, len(shape), np.dtype(dtype)
        self.chunks = (*(1,) * (self.ndim - 2), chunk, chunk)
        self.gate = Gate()
        self.n_pixels = 0  # that have been read

    def __getitem__(self, index: Any) -> Any:
        """Read a part; its pixels depend on where it lies."""
        index = index if isinstance(index, tuple) else (index,)
        where = [
            np.arange(n, dtype=np.uint16)[i]
            for n, i in zip(self.shape, (*index, *(slice(None),) * self.ndim), strict=False)
        ]
        self.gate.pass_through()
        axes = [axis for axis in where if axis.ndim]
        self.n_pixels += int(np.prod([len(axis) for axis in axes]))
        total = sum(np.ix_(*axes)) + sum(axis for axis in where if not axis.ndim)
        return (total // 16 % 7 + 1).astype(self.dtype)
