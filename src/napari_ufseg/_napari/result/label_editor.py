"""Edits of the arrays of Labels layers: at once if they are small, or else in a thread, with progress and a way to stop."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_ufseg._napari.background import WatchedWork
from napari_ufseg.engine.errors import UfsegError, engine_errors
from napari_ufseg.engine.labels.edits import Change, Edit, boxes_of, count_labels


class EditWork(WatchedWork):
    """Goes through an iterator of shares that are done.

    Parameters
    ----------
    work : callable
        Gives the iterator; it must touch nothing but arrays.

    Signals
    -------
    progressed(float)
        The share that is done.
    ended(str)
        Empty if all was done, or else why not, in one sentence.
    """

    progressed = Signal(float)
    ended = Signal(str)

    def __init__(self, work: Callable[[], Iterator[float]], parent: QObject) -> None:
        self._share = 0.0
        self._error = ""
        super().__init__(lambda is_over: self._go_through(work, is_over), parent)

    def tell(self) -> bool:
        """Signal how far it is."""
        self.progressed.emit(self._share)
        return True

    def conclude(self) -> None:
        """Signal the end."""
        self.ended.emit(self._error)

    def _go_through(self, work: Callable[[], Iterator[float]], is_over: Callable[[], bool]) -> None:
        self._error = run_to_end(work, self._note, is_over)

    def _note(self, share: float) -> None:
        self._share = share


def run_to_end(
    work: Callable[[], Iterator[float]],
    note: Callable[[float], None] = lambda share: None,
    is_over: Callable[[], bool] = lambda: False,
) -> str:
    """Do all of it; gives one sentence on what went wrong, or nothing."""
    try:
        with engine_errors("Changing the labels"):
            for share in work():
                note(share)
                if is_over():
                    return "Stopped; the labels are as they were."
    except UfsegError as error:
        return str(error)
    return ""


_AT_ONCE = 2**24  # pixels; more of them are worked on in a thread


class LayerWork(QObject):
    """One thing at a time is done to these layers.

    Parameters
    ----------
    layers : sequence of napari.layers.Labels
        The list is kept, not copied.
    parent : QObject

    Signals
    -------
    progressed(str, float)
        What is being done and the share that is done; at the end the words are empty.
    failed(str)
        One sentence for the user; the labels are as they were.
    ended()
        Something has been done, or given up, and is drawn.
    counted(dict)
        Pixels of every label, over all layers.
    """

    progressed = Signal(str, float)
    failed = Signal(str)
    ended = Signal()
    counted = Signal(object)

    def __init__(self, layers: Sequence[Labels], parent: QObject) -> None:
        super().__init__(parent)
        self._layers = layers
        self._work: EditWork | None = None
        self._counting: EditWork | None = None

    @property
    def is_busy(self) -> bool:
        """Whether something is being done."""
        return self._work is not None

    @property
    def is_large(self) -> bool:
        """Whether a thread is needed."""
        return sum(int(prod(layer.data.shape)) for layer in self._layers) > _AT_ONCE

    def do(
        self, words: str, work: Callable[[], Iterator[float]], done: Callable[[], None], *, is_slow: bool = True
    ) -> None:
        """Do it, at once or in a thread; then draw.

        Parameters
        ----------
        words : str
            What is being done.
        work : callable
            Gives shares that are done; touches nothing but arrays if it is slow.
        done : callable
            Called in the main thread, if all went well.
        is_slow : bool
            Whether large layers need a thread for it.
        """
        if not (is_slow and self.is_large):
            self._after(run_to_end(work), done)
            return
        for layer in self._layers:
            layer.mode = "pan_zoom"  # nobody paints in between
        running = self._work = EditWork(work, self)
        running.progressed.connect(lambda share: self.progressed.emit(words, share))
        running.ended.connect(lambda error: self._after(error, done))
        running.start()

    def edit(
        self,
        words: str,
        edit_of: Callable[[Labels], tuple[Edit, *tuple[Any, ...]]],
        done: Callable[[list[tuple[Labels, Change]]], None],
        *,
        whole_items: bool = False,
    ) -> None:
        """Edit all layers, or none.

        Parameters
        ----------
        words : str
            What is being done.
        edit_of : callable
            Gives for a layer the edit, and what else it is given of each box; touches nothing but arrays.
        done : callable
            Called with the changes, in the main thread, if all went well.
        whole_items : bool
            Whether regions may reach anywhere in a plane or volume.
        """
        changes = [(layer, Change()) for layer in self._layers]

        def work() -> Iterator[float]:
            try:
                for layer, change in changes:
                    boxes = boxes_of(layer.data, int(layer.n_edit_dimensions), whole_items=whole_items)
                    edit, *others = edit_of(layer)
                    yield from change.make(layer.data, boxes, edit, *others)
            except BaseException:  # also when it is dropped half-way
                for layer, change in changes:
                    list(change.swap(layer.data))
                raise

        self.do(f"Working: {words}", work, lambda: done(changes))

    def count(self) -> None:
        """Count the pixels of every label."""
        found: Counter[int] = Counter()

        def work() -> Iterator[float]:
            for layer in self._layers:
                for areas in count_labels(layer.data, boxes_of(layer.data, int(layer.n_edit_dimensions))):
                    found.update(areas)
                    yield 0.0

        if self._counting is not None:
            self._counting.abandon()
            self._counting = None
        if not self.is_large:
            run_to_end(work)
            self.counted.emit(dict(sorted(found.items())))
            return

        def done(error: str) -> None:
            if not error and self._counting is counting:
                self._counting = None
                self.counted.emit(dict(sorted(found.items())))

        counting = self._counting = EditWork(work, self)
        counting.ended.connect(done)
        counting.start()

    def stop(self) -> None:
        """End what is being done; the labels become what they were."""
        if self._work is not None:
            self._work.abandon()

    def close(self) -> None:
        """Wait until no thread touches the labels any more."""
        for work in (self._work, self._counting):
            if work is not None:
                work.abandon()
                work.wait()

    def _after(self, error: str, done: Callable[[], None]) -> None:
        self._work = None
        if error:
            self.failed.emit(error)
        else:
            done()
        for layer in self._layers:
            layer.refresh()
        self.progressed.emit("", 1.0)
        self.ended.emit()
