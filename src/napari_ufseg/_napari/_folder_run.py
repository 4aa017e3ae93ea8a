"""One batch over a folder in a napari worker: every file is told, of the progress within one the newest wins."""

import threading
import time
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from napari.qt.threading import FunctionWorker
from qtpy.QtCore import QObject, QTimer, Signal

from napari_ufseg._napari._work import at_most
from napari_ufseg.engine.errors import UfsegError, engine_errors

if TYPE_CHECKING:
    from napari_ufseg.batch import BatchPlan, BatchSummary, FileDone, FileProgress

_MILLISECONDS = 100  # between two looks at what the thread has done
_FILES_AT_A_TIME = 500  # so that the window stays fluid when thousands are skipped


@dataclass
class _Mailbox:
    """What passes between the threads; nobody waits."""

    done: "SimpleQueue[FileDone]" = field(default_factory=SimpleQueue)
    progress: "FileProgress | None" = None
    summary: "BatchSummary | None" = None
    error: str = ""
    has_ended: bool = False
    cancel: threading.Event = field(default_factory=threading.Event)
    worker: Any = None

    def is_cancelled(self) -> bool:
        """Whether the user, or napari at its end, wants the batch to stop."""
        return self.cancel.is_set() or bool(self.worker.abort_requested)


class FolderRun(QObject):
    """Runs a batch in a thread of its own; its signals come in the main thread and in order.

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
        super().__init__(parent)
        self.plan = plan
        self._box = _Mailbox()
        self._box.worker = FunctionWorker(_label_folder, plan, threads, self._box)
        self._number = 0  # of the last file that was told
        self._timer = QTimer(self)
        self._timer.setInterval(_MILLISECONDS)
        self._timer.timeout.connect(self._look)

    def start(self) -> None:
        """Start the thread."""
        self._box.worker.start()
        self._timer.start()

    def cancel(self) -> None:
        """Drop the file under way; does not wait."""
        self._box.cancel.set()

    def wait(self, seconds: float = 10.0) -> None:
        """Wait until the thread has let go."""
        deadline = time.monotonic() + seconds
        while self._box.worker.is_running and time.monotonic() < deadline:
            time.sleep(0.002)

    def _look(self) -> None:
        """Tell what the thread has done since the last look."""
        box = self._box
        has_ended = box.has_ended  # asked first: what is put into the queue later comes with the next look
        for _ in range(_FILES_AT_A_TIME):
            if box.done.empty():
                break
            done = box.done.get()
            self._number = done.number
            self.file_done.emit(done)
        if not box.done.empty():
            return
        progress, box.progress = box.progress, None
        if progress is not None and progress.number > self._number:
            self.progressed.emit(progress)
        if has_ended:
            self._timer.stop()
            self.ended.emit(box.summary, box.error)


class Lifeline:
    """Ends the run when the dock goes; outlives the panel, whose own methods Qt no longer calls then."""

    def __init__(self) -> None:
        self.run: FolderRun | None = None

    def cut(self, *_: object) -> None:
        """Cancel the run and wait until its thread has let go."""
        run, self.run = self.run, None
        if run is not None:
            run.cancel()
            run.wait()


def _label_folder(plan: "BatchPlan", threads: int, box: _Mailbox) -> None:
    """The work of the thread; every error is kept as its sentence, since workers drop some kinds."""
    try:
        with engine_errors("Labelling the folder"):
            _run(plan, threads, box)
    except UfsegError as error:
        box.error = str(error)
    finally:
        box.has_ended = True


def _run(plan: "BatchPlan", threads: int, box: _Mailbox) -> None:
    from napari_ufseg.batch import FileDone, run_batch
    from napari_ufseg.engine.device import release_memory, resolve_device

    events = run_batch(plan, stopped=box.is_cancelled)
    try:
        with at_most(threads):
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
