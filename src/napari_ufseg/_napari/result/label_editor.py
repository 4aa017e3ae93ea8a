"""Edits of the arrays of Labels layers: at once if they are small, or else in a thread, with progress and a way to stop."""

import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from math import prod
from typing import Any

from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_ufseg._napari.background import Job, JobState, JobThread, Progress
from napari_ufseg._napari.layers.joined_classes import ClassesOf, joined
from napari_ufseg.engine.errors import UfsegError, engine_errors
from napari_ufseg.engine.labels.edits import Change, Edit, boxes_of, count_labels

_WHAT = "Changing the labels"
_STOPPED = "Stopped; the labels are as they were."
_AT_ONCE = 2**24  # pixels; more of them are worked on in a thread


class LabelEditor(QObject):
    """One thing at a time is done to these layers.

    Parameters
    ----------
    layers : sequence of napari.layers.Labels
        The list is kept, not copied.
    parent : QObject

    Signals
    -------
    began(Job)
        A thread is about to do it.
    progressed(str, float)
        What is being done and the share that is done; at the end the words are empty.
    failed(str)
        One sentence for the user; the labels are as they were.
    ended()
        Something has been done, or given up, and is drawn.
    counted(dict)
        Pixels of every label, over all layers.
    """

    began = Signal(object)
    progressed = Signal(str, float)
    failed = Signal(str)
    ended = Signal()
    counted = Signal(object)

    def __init__(self, layers: Sequence[Labels], parent: QObject) -> None:
        super().__init__(parent)
        self._layers = layers
        self._job: Job | None = None
        self._counting: Job | None = None

    @property
    def is_busy(self) -> bool:
        """Whether something is being done."""
        return self._job is not None

    @property
    def is_large(self) -> bool:
        """Whether a thread is needed."""
        return sum(int(prod(layer.data.shape)) for layer in self._layers) > _AT_ONCE

    def do(
        self, words: str, work: Callable[[], Generator[float]], done: Callable[[], None], *, is_slow: bool = True
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
            self._after(_change_at_once(work), done)
            return
        for layer in self._layers:
            layer.mode = "pan_zoom"  # nobody paints in between
        job = self._job = Job(
            partial(run_to_end, work), self, what=_WHAT, title="Labels are being changed", about=words, gives="changed"
        )
        job.progressed.connect(lambda progress: self.progressed.emit(words, progress.share))
        job.ended.connect(lambda is_done: self._on_ended(job, words, is_done, done))
        job.failed.connect(lambda error: self._after(error, done))
        self.progressed.emit(words, 0.0)
        self.began.emit(job)
        job.start()

    def edit(
        self,
        words: str,
        edit_of: Callable[[Labels], tuple[Edit, *tuple[Any, ...]]],
        done: Callable[[list[tuple[Any, Change]]], None],
        *,
        whole_items: bool = False,
        of_all_classes: Edit | None = None,
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
        of_all_classes : callable, optional
            What the edit does to all classes of layers whose data show some as one.
        """
        data: list[tuple[Any, Change]] = [(layer, Change()) for layer in self._layers]
        is_joined = [layer for layer in self._layers if of_all_classes is not None and joined(layer) is not None]
        classes: list[tuple[Any, Change]] = [(ClassesOf(layer), Change()) for layer in is_joined]
        changes = data + classes

        def work() -> Generator[float]:
            try:
                for layer, change in data:
                    boxes = boxes_of(layer.data, int(layer.n_edit_dimensions), whole_items=whole_items)
                    edit, *others = edit_of(layer)
                    yield from change.make(layer.data, boxes, edit, *others)
                for hidden, change in classes:
                    assert of_all_classes is not None
                    yield from change.make(hidden.data, boxes_of(hidden.data, 2), of_all_classes)
            except BaseException:  # also when it is dropped half-way
                for layer, change in changes:
                    change.swap_at_once(layer.data)
                raise

        self.do(f"Working: {words}", work, lambda: done(changes))

    def count(self, data_of: Callable[[Labels], Any]) -> None:
        """Count the pixels of every label.

        Parameters
        ----------
        data_of : callable
            Gives the labels of a layer that are counted.
        """
        found: Counter[int] = Counter()
        counted = [(data_of(layer), int(layer.n_edit_dimensions)) for layer in self._layers]

        def work() -> Generator[float]:
            for data, item_ndim in counted:
                for areas in count_labels(data, boxes_of(data, item_ndim)):
                    found.update(areas)
                    yield 0.0

        if self._counting is not None:
            self._counting.drop()
            self._counting = None
        if not self.is_large:
            _change_at_once(work)
            self.counted.emit(dict(sorted(found.items())))
            return

        def done(_: object) -> None:
            self._counting = None
            self.counted.emit(dict(sorted(found.items())))

        job = self._counting = Job(partial(run_to_end, work), self, what=_WHAT)
        job.ended.connect(done)
        job.state_changed.connect(self._on_counting)
        job.start()

    def close(self) -> None:
        """Give up what is being done, and wait until no thread touches the labels any more; they become what they were."""
        for job in (self._job, self._counting):
            if job is not None:
                job.close()
        self._job = self._counting = None

    def _on_ended(self, job: Job, words: str, is_done: bool, done: Callable[[], None]) -> None:
        job.conclusion = f"Done: {words[:1].lower()}{words[1:]}." if is_done else _STOPPED
        self._after("", done if is_done else lambda: None)

    def _on_counting(self, state: JobState) -> None:
        if state is JobState.FAILED:
            self._counting = None

    def _after(self, error: str, done: Callable[[], None]) -> None:
        self._job = None
        if error:
            self.failed.emit(error)
        else:
            done()
        for layer in self._layers:
            layer.refresh()
        self.progressed.emit("", 1.0)
        self.ended.emit()


def run_to_end(work: Callable[[], Generator[float]], hand: JobThread) -> bool:
    """Go through shares that are done, in the thread of a job; False after a stop, when the iterator was closed."""
    begun = time.monotonic()
    with closing(work()) as shares:
        for share in shares:
            hand.tell(Progress(share, (time.monotonic() - begun) * (1 - share) / share if share else None))
            if hand.is_stopped():
                return False
    return True


def _change_at_once(work: Callable[[], Generator[float]]) -> str:
    """Do all of it; gives one sentence on what went wrong, or nothing."""
    try:
        with engine_errors(_WHAT):
            for _ in work():
                pass
    except UfsegError as error:
        return str(error)
    return ""
