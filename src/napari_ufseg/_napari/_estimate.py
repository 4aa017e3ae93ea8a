"""The line that says, before a run, what it will take."""

from collections.abc import Callable
from typing import Any, NamedTuple

from napari.qt.threading import FunctionWorker
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QWidget

from napari_ufseg._napari._work import processor
from napari_ufseg.engine.errors import UfsegError, engine_errors

_QUIET_MILLISECONDS = 700


class Question(NamedTuple):
    """What the estimate is for."""

    sources: list[Any]
    config: Any
    device: str
    threads: int


class EstimateLine(QLabel):
    """Memory, time and device of the run that Segment would start.

    It is measured in the background once nothing has changed for a moment. An
    answer that has been overtaken by another question is dropped.

    Parameters
    ----------
    ask : callable
        Gives the `Question`, or None if there is nothing to estimate now.
    """

    def __init__(self, ask: Callable[[], Question | None], parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("ufseg.estimate")
        self.setWordWrap(True)
        self.setToolTip("Measured on a few small training steps on this machine.")
        self._ask = ask
        self._number = 0
        self._is_held = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MILLISECONDS)
        self._timer.timeout.connect(self._begin)
        self._worker: Any = None

    def refresh(self, *_: object) -> None:
        """Estimate anew, once nothing has changed for a moment."""
        self._number += 1
        if not self._is_held:
            self._timer.start()

    def hold(self, held: bool) -> None:
        """Keep the line as it is, since a run has begun; or follow the changes again."""
        self._is_held = held
        self._timer.stop()
        self.refresh()

    def _begin(self) -> None:
        if self._is_held:
            return
        if self._worker is not None:  # one at a time
            self._timer.start()
            return
        try:
            question = self._ask()
        except UfsegError:
            question = None
        if question is None:
            self.setText("")
            return
        number = self._number

        def show(words: str) -> None:
            self._worker = None
            if words and number == self._number:
                self.setText(words)
            elif not words and not self._is_held:
                self._timer.start()  # ask again

        self._worker = FunctionWorker(_estimate, question)
        self._worker.returned.connect(show)
        self._worker.start()


def _estimate(question: Question) -> str:
    """The work of the thread; empty if a run has the processor."""
    with processor(question.threads, is_over=lambda: True) as is_free:
        if not is_free:
            return ""
        try:
            with engine_errors("The estimate"):
                from napari_ufseg.engine.estimate import estimate_run

                return estimate_run(question.sources, question.config, question.device).words
        except UfsegError as error:
            return str(error)
