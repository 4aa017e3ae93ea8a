"""What computes in a thread beside the window: one kind of task, its turn on the processor, and what ends it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from napari.qt.threading import FunctionWorker
from qtpy.QtCore import QObject, QTimer

_MILLISECONDS = 100  # between two looks at what the thread has done


class WatchedWork(QObject):
    """Runs a function in a thread of its own; a kind of work says with `tell` and `conclude` what it signals.

    Parameters
    ----------
    work : callable
        Is given a function that says whether the user, or napari at its end,
        wants it to stop. It must keep its errors as values.
    parent : QObject
    """

    def __init__(self, work: Callable[[Callable[[], bool]], None], parent: QObject) -> None:
        super().__init__(parent)
        self._over, self._has_ended = over, has_ended = threading.Event(), threading.Event()

        def is_over() -> bool:
            return over.is_set() or bool(worker.abort_requested)

        def to_the_end() -> None:
            try:
                work(is_over)
            finally:
                has_ended.set()

        worker: Any = FunctionWorker(to_the_end)
        self._worker = worker
        self._timer = QTimer(self)
        self._timer.setInterval(_MILLISECONDS)
        self._timer.timeout.connect(self._look)

    def start(self) -> None:
        """Start the thread."""
        self._worker.start()
        self._timer.start()

    def abandon(self) -> None:
        """End it soon; does not wait."""
        self._over.set()

    def wait(self, seconds: float = 10.0) -> None:
        """Wait until the thread has let go."""
        deadline = time.monotonic() + seconds
        while self._worker.is_running and time.monotonic() < deadline:
            time.sleep(0.002)

    def tell(self) -> bool:
        """Signal what the thread has done since the last look; False if there is more to tell."""
        raise NotImplementedError

    def conclude(self) -> None:
        """Signal the end."""
        raise NotImplementedError

    def _look(self) -> None:
        has_ended = self._has_ended.is_set()  # asked first: what is done later comes with the next look
        if self.tell() and has_ended:
            self._timer.stop()
            self.conclude()


class Work(Protocol):
    """Something that goes on in a thread."""

    def abandon(self) -> None:
        """End it soon; does not wait."""

    def wait(self) -> object:
        """Wait until its thread has let go."""


W = TypeVar("W", bound=Work)


class Lifeline(Generic[W]):
    """Holds the work of a part of the dock, and outlives that part, whose own methods Qt no longer calls at its end.

    Attributes
    ----------
    run : Work or None
        What is, or was last, under way.
    """

    def __init__(self) -> None:
        self.run: W | None = None

    def cut(self, *_: object) -> None:
        """Drop the work and wait until its thread has let go."""
        run, self.run = self.run, None
        if run is not None:
            run.abandon()
            run.wait()


class Busy:
    """Knows everything in the dock that computes for a while; called, it says what is under way."""

    def __init__(self) -> None:
        self._jobs: list[tuple[Callable[[], bool], str, str]] = []

    def add(self, is_running: Callable[[], bool], what: str, button: str) -> None:
        """Ask this one, too.

        Parameters
        ----------
        is_running : callable
        what : str
            As "A run is under way".
        button : str
            What ends it, as "Stop (F7)".
        """
        self._jobs.append((is_running, what, button))

    def __call__(self) -> str:
        """What is being computed and how to end it, in one sentence; empty if nothing is."""
        for is_running, what, button in self._jobs:
            if is_running():
                return f"{what}: wait until it has ended, or press {button} first."
        return ""


_processor = threading.Lock()  # held by whoever sets the number of torch's threads
_SECONDS = 0.1  # between two questions whether it is still worth waiting


@contextmanager
def processor(threads: int, is_over: Callable[[], bool] = lambda: False) -> Iterator[bool]:
    """Within the block nobody else of this plugin computes, and torch uses no more CPU threads than that.

    Every run, whatever it does, asks for its turn here, since the number of
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


class Applied(NamedTuple):
    """How far it has come.

    Parameters
    ----------
    share : float
        Of the pixels, 0 to 1, that have their labels; before the first one the images are read.
    seconds_left : float or None
        None if that is not known yet.
    """

    share: float = 0.0
    seconds_left: float | None = None
