"""What computes in a thread beside the window: jobs, their turn on the processor, and what ends them.

A job has a plain thread and not a worker of superqt: those change the warnings of the whole process while they run, so
that two at a time lose them, drop every RuntimeError, which is what torch raises, and wait for each other in a pool of
as many threads as there are cores.
"""

import atexit
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, NamedTuple
from weakref import WeakSet

from qtpy.QtCore import QObject, QTimer, Signal

from napari_ufseg.engine.errors import StoppedError, UfsegError, engine_errors, hear_warnings

THREADS = "napari-ufseg"  # how the names of the threads begin
logger = logging.getLogger(__name__)
_processor = threading.Lock()  # held by whoever sets the number of torch's threads
_SECONDS = 0.1  # between two questions whether it is still worth waiting
_MILLISECONDS = 50  # between two looks at what the thread has told
_AT_A_TIME = 500  # things told, so that the window stays fluid when there are thousands
_PATIENCE = 10.0  # seconds that a job which is dropped may take to let go


class JobState(StrEnum):
    """Where a job stands; the last three are final."""

    WAITING = "waiting"
    """Not begun: it was only just started, or another one has the processor."""
    RUNNING = "running"
    """Its thread computes."""
    PAUSED = "paused"
    """Its thread is parked, until it is resumed or stopped."""
    STOPPING = "stopping"
    """The user has asked for its end; what there is then is kept."""
    LABELLING = "labelling"
    """A training is over, and every pixel gets its label."""
    ENDED = "ended"
    """All is done, or what there was when it was stopped."""
    FAILED = "failed"
    """It could not go on; one sentence has said why."""
    CLOSED = "closed"
    """It was dropped; nobody hears of it any more."""

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self in (JobState.ENDED, JobState.FAILED, JobState.CLOSED)


class Progress(NamedTuple):
    """How far a job has come.

    Parameters
    ----------
    share : float
        Of the pixels, 0 to 1, that are done; before the first one the images are read.
    seconds_left : float or None
        None if that is not known yet.
    """

    share: float = 0.0
    seconds_left: float | None = None


class JobThread:
    """What the thread of a job sees of it, and the job of its thread; it knows nothing of Qt.

    Parameters
    ----------
    keeps_all : bool
        Whether all that the thread tells is wanted, in order; else the newest wins.

    Attributes
    ----------
    has_begun, has_ended : bool
        Whether the processor is its own, and whether it has let go.
    is_queued : bool
        Whether it has to wait until another job lets go of the processor.
    outcome : object
        What came of it.
    error : str
        Why nothing did, in one sentence.
    """

    def __init__(self, *, keeps_all: bool = False) -> None:
        self.has_begun = self.has_ended = self.is_queued = False
        self.outcome: Any = None
        self.error = ""
        self._told: deque[Any] = deque(maxlen=None if keeps_all else 1)
        self._stop, self._close = threading.Event(), threading.Event()
        self._warnings: deque[str] = deque()
        self._thread: threading.Thread | None = None
        _threads.add(self)

    def tell(self, value: Any) -> None:
        """Let the window know; called in the thread, which goes on at once."""
        self._told.append(value)

    def warn(self, message: str) -> None:
        """Let the user know, in one sentence; called in the thread."""
        self._warnings.append(message)

    def is_stopped(self) -> bool:
        """Whether the thread should come to its end: the user, the dock or the program wants it."""
        return self._stop.is_set() or self.is_closed()

    def queue(self) -> bool:
        """Note that another job has the processor; whether it is no longer worth waiting."""
        self.is_queued = True
        return self.is_stopped()

    def is_closed(self) -> bool:
        """Whether nobody is interested in an outcome any more."""
        return self._close.is_set()

    # -- the side of the window -------------------------------------------------------------------

    def start(self, function: Callable[["JobThread"], Any], what: str, threads: int | None) -> None:
        """Start the thread."""
        arguments = self, function, what, threads
        self._thread = threading.Thread(target=_compute, args=arguments, name=f"{THREADS}: {what}", daemon=True)
        self._thread.start()

    def take(self) -> list[Any]:
        """What the thread has told since, oldest first; of very much only a part."""
        return [self._told.popleft() for _ in range(min(len(self._told), _AT_A_TIME))]

    def take_warnings(self) -> list[str]:
        """What the thread has warned of since."""
        return [self._warnings.popleft() for _ in range(len(self._warnings))]

    @property
    def has_more(self) -> bool:
        """Whether something told was not taken yet."""
        return bool(self._told)

    def stop(self) -> None:
        """Ask for the end; does not wait."""
        self._stop.set()

    def drop(self, *_: object) -> None:
        """Let it end without anybody hearing of it; does not wait."""
        self._close.set()

    def close(self, *_: object) -> None:
        """Drop it, and wait until it has let go."""
        self.drop()
        if self._thread is not None:
            self._thread.join(_PATIENCE)


_threads: WeakSet[JobThread] = WeakSet()


@atexit.register
def _close_all() -> None:
    """Let no thread go on when the program ends, as that of a script that has not waited."""
    for hand in list(_threads):
        hand.close()


def _compute(hand: JobThread, function: Callable[[JobThread], Any], what: str, threads: int | None) -> None:
    """What the thread does; errors and warnings are kept as their sentences."""
    try:
        with hear_warnings(hand.warn), engine_errors(what):
            if threads is None:
                hand.has_begun = True
                hand.outcome = function(hand)
                return
            with processor(threads, hand.queue) as is_free:
                hand.has_begun = is_free
                if is_free:
                    hand.outcome = function(hand)
    except StoppedError:
        pass  # the outcome says how far it has come
    except UfsegError as error:
        logger.debug("A job failed", exc_info=True)
        hand.error = str(error)
    finally:
        hand.has_ended = True


class Job(QObject):
    """Something that computes in a thread of its own; it deletes itself at its end.

    ::

        start()             resume()
           |              +----------> RUNNING ---+
           v              |               |       |
        WAITING --------> RUNNING     pause() ----+--> PAUSED
           |                | | |
           |         stop() | | +----> LABELLING (of a training)
           v                v |            |
         STOPPING  <--------+ +------------+---------> ENDED or FAILED
           |
           +---------------------------------------> ENDED or FAILED

        close(), from every state but the final ones: CLOSED

    Parameters
    ----------
    function : callable
        What the thread does, given its `JobThread`; what it returns is the outcome. It must not touch Qt or layers.
    parent : QObject
        When it goes the job is dropped, and its thread waited for.
    what : str
        For errors that nobody has foreseen, as "Prediction".
    threads : int, optional
        Most CPU threads, for a job that needs the processor for itself; it waits for its turn.
    keeps_all : bool
        Whether every `progressed` counts; else the newest wins.
    title : str
        What is under way, as "A model is being applied"; empty if nobody needs to wait for it.
    button : str
        What ends it, as "Stop (F7)".
    about : str
        What is shown beside the bar, as "Applying the model to cells"; empty if it has a place of its own.
    gives : str
        What it gives to every pixel, for the bar.
    waits_at_end : bool
        Whether its thread is waited for when the parent goes.
    hand : JobThread, optional
        What the function is given, if it is another kind.

    Attributes
    ----------
    state : JobState
    conclusion : str
        What has come of it, for the user; whoever hears of the end first says it.

    Signals
    -------
    queued()
        It waits until another job, perhaps in another window, lets go of the processor.
    began()
        The thread computes.
    progressed(object)
        What the thread has told.
    ended(object)
        The outcome, also after `stop`.
    failed(str)
        Why there is none, in one sentence.
    warned(str)
        One sentence for the user; the job goes on.
    state_changed(JobState)
        After the other signals.
    """

    queued = Signal()
    began = Signal()
    progressed = Signal(object)
    ended = Signal(object)
    failed = Signal(str)
    warned = Signal(str)
    state_changed = Signal(object)

    def __init__(
        self,
        function: Callable[[JobThread], Any],
        parent: QObject,
        *,
        what: str,
        threads: int | None = None,
        keeps_all: bool = False,
        title: str = "",
        button: str = "Stop (F7)",
        about: str = "",
        gives: str = "labels",
        waits_at_end: bool = True,
        hand: JobThread | None = None,
    ) -> None:
        super().__init__(parent)
        self.title, self.button, self.about, self.gives = title, button, about, gives
        self.state = JobState.WAITING
        self.conclusion = ""
        self._function, self._what, self._threads = function, what, threads
        self._hand = hand or JobThread(keeps_all=keeps_all)
        self._timer = QTimer(self)
        self._timer.setInterval(_MILLISECONDS)
        self._timer.timeout.connect(self._look)
        self._waits_at_end, self._is_queued = waits_at_end, False
        # a method, and no partial: Python may have emptied that already when it collects the parent, and crash
        self._at_parents_end = self._hand.close if waits_at_end else self._hand.drop
        parent.destroyed.connect(self._at_parents_end)

    def start(self) -> None:
        """Start the thread."""
        self._hand.start(self._function, self._what, self._threads)
        self._timer.start()

    def stop(self) -> None:
        """Ask for the end, and keep what there is then; does not wait."""
        if not self.state.is_final:
            self._hand.stop()
            self._set_state(JobState.STOPPING)

    def close(self) -> None:
        """Drop it, and wait until its thread has let go."""
        if not self.state.is_final:
            self.drop()
            self._hand.close()

    def drop(self) -> None:
        """Drop it; does not wait."""
        if not self.state.is_final:
            self._timer.stop()
            self._hand.drop()
            self._set_state(JobState.CLOSED)
            if not self._waits_at_end:  # else the parent waits for the thread, which still goes on
                self._leave_parent()
            self.deleteLater()

    def _look(self) -> None:
        hand = self._hand
        has_ended = hand.has_ended  # asked first: what is told later comes with the next look
        if self.state is JobState.WAITING and hand.is_queued and not hand.has_begun and not self._is_queued:
            self._is_queued = True
            self.queued.emit()
        if self.state is JobState.WAITING and hand.has_begun:
            self._begin()
        for message in hand.take_warnings():
            self.warned.emit(message)
        for value in hand.take():
            self._hear(value)
            if self.state.is_final:  # whoever heard it has dropped the job
                return
        if has_ended and not hand.has_more:
            self._timer.stop()
            self._end(hand.outcome, hand.error)

    def _begin(self) -> None:
        self._set_state(JobState.RUNNING)
        self.began.emit()

    def _hear(self, value: Any) -> None:
        self.progressed.emit(value)

    def _end(self, outcome: Any, error: str) -> None:
        """Tell what came of it, then that it is over; nothing holds the job or its outcome after that."""
        self.state = JobState.FAILED if error else JobState.ENDED
        if error:
            self.conclusion = error
            self.failed.emit(error)
        else:
            self.ended.emit(outcome)
        self.state_changed.emit(self.state)
        self._hand.outcome = None
        self._leave_parent()
        self.deleteLater()

    def _leave_parent(self) -> None:
        parent = self.parent()
        if parent is not None:
            parent.destroyed.disconnect(self._at_parents_end)

    def _set_state(self, state: JobState) -> None:
        if state is not self.state and not self.state.is_final:
            self.state = state
            self.state_changed.emit(state)


class Jobs(QObject):
    """The jobs of one dock: what is under way, and the end of all of them.

    Signals
    -------
    began(Job)
        It is under way; its `about` says whether the bar shows it.
    ended(Job)
        It has come to a final state, and its `conclusion` says what came of it.
    """

    began = Signal(object)
    ended = Signal(object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._jobs: list[Job] = []

    def start(self, job: Job) -> None:
        """Start a job, and follow it to its end."""
        self.follow(job)
        job.start()

    def follow(self, job: Job) -> None:
        """Follow a job that somebody else starts, to its end."""
        self._jobs.append(job)
        job.state_changed.connect(lambda state: self._on_state(job, state))
        self.began.emit(job)

    @property
    def busy(self) -> str:
        """What is being computed and how to end it, in one sentence; empty if nothing is that others must wait for."""
        for job in self._jobs:
            if job.title and not job.state.is_final:
                return f"{job.title}: wait until it has ended, or press {job.button} first."
        return ""

    def stop(self) -> list[Job]:
        """Ask those for their end that the button Stop is for; gives them."""
        stopped = [job for job in self._jobs if job.about and not job.state.is_final]
        for job in stopped:
            job.stop()
        return stopped

    def close(self) -> None:
        """Drop all, and wait until their threads have let go."""
        for job in list(self._jobs):
            job.close()

    def _on_state(self, job: Job, state: JobState) -> None:
        if state.is_final and job in self._jobs:
            self._jobs.remove(job)
            self.ended.emit(job)


@contextmanager
def processor(threads: int, is_over: Callable[[], bool] = lambda: False) -> Iterator[bool]:
    """Within the block nobody else of this plugin computes, and torch uses no more CPU threads than that.

    Every job that trains or labels asks for its turn here, since the number of
    torch's threads is the process's.

    Parameters
    ----------
    threads : int
        Most CPU threads.
    is_over : callable
        Whether it is no longer worth waiting; asked as long as it is another's turn.

    Yields
    ------
    bool
        False if it was over before its turn came.
    """
    while not _processor.acquire(timeout=_SECONDS):
        if is_over():
            yield False
            return
    try:
        with _at_most(threads):
            yield True
    finally:
        _processor.release()


@contextmanager
def _at_most(threads: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(threads, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)
