"""Work in a napari worker that the main thread looks after from time to time, so that neither waits for the other."""

import threading
import time
from collections.abc import Callable
from typing import Any

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
