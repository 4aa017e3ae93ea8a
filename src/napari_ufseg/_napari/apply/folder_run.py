"""One batch over a folder in a thread: every file is told, of the progress within one the newest wins."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_ufseg._napari.background import WatchedWork, processor
from napari_ufseg.engine.errors import UfsegError, engine_errors

if TYPE_CHECKING:
    from napari_ufseg.batch.folder import BatchPlan, BatchSummary, FileDone, FileProgress

_FILES_AT_A_TIME = 500  # so that the window stays fluid when thousands are skipped


@dataclass
class _Mailbox:
    """What passes between the threads."""

    done: "SimpleQueue[FileDone]" = field(default_factory=SimpleQueue)
    progress: "FileProgress | None" = None
    summary: "BatchSummary | None" = None
    error: str = ""


class FolderRun(WatchedWork):
    """Runs a batch in a thread of its own; its signals come in the main thread and in order.

    `abandon` drops the file under way and keeps those that are written.

    Signals
    -------
    file_done(FileDone)
        Once for every file.
    progressed(FileProgress)
        The newest one, some times per second.
    ended(BatchSummary or None, str)
        Once, at the end; None and a sentence if not even the first file was begun.
    """

    file_done = Signal(object)
    progressed = Signal(object)
    ended = Signal(object, str)

    def __init__(self, plan: "BatchPlan", threads: int, parent: QObject) -> None:
        self._box = _Mailbox()
        self._number = 0  # of the last file that was told
        super().__init__(partial(_label_folder, plan, threads, self._box), parent)

    def tell(self) -> bool:
        """Signal the files that are done and how far the present one is."""
        box = self._box
        for _ in range(_FILES_AT_A_TIME):
            if box.done.empty():
                break
            done = box.done.get()
            self._number = done.number
            self.file_done.emit(done)
        if not box.done.empty():
            return False
        progress, box.progress = box.progress, None
        if progress is not None and progress.number > self._number:
            self.progressed.emit(progress)
        return True

    def conclude(self) -> None:
        """Signal the end."""
        self.ended.emit(self._box.summary, self._box.error)


def _label_folder(plan: "BatchPlan", threads: int, box: _Mailbox, is_over: Callable[[], bool]) -> None:
    """The work of the thread; every error is kept as its sentence, since workers drop some kinds."""
    try:
        with engine_errors("Labelling the folder"):
            _run(plan, threads, box, is_over)
    except UfsegError as error:
        box.error = str(error)


def _run(plan: "BatchPlan", threads: int, box: _Mailbox, is_over: Callable[[], bool]) -> None:
    from napari_ufseg.batch.folder import FileDone, run_batch
    from napari_ufseg.engine.device import release_memory, resolve_device

    events = run_batch(plan, stopped=is_over)
    with processor(threads, is_over):  # when it is over before its turn the batch still says what is left
        try:
            while True:
                try:
                    event = next(events)
                except StopIteration as end:
                    box.summary = end.value
                    return
                if isinstance(event, FileDone):
                    box.done.put(event)
                else:
                    box.progress = event
        finally:
            release_memory(resolve_device(plan.device))
