"""The line that says, before a run, what it will take."""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QWidget

from napari_ufseg._napari.background import processor
from napari_ufseg.engine.errors import UfsegError, engine_errors

THREAD = "napari-ufseg estimate"
_QUIET_MILLISECONDS = 700
_LOOK_MILLISECONDS = 100
_UNDER_WAY = "Estimating..."


class Question(NamedTuple):
    """What the estimate is for."""

    sources: list[Any]
    config: Any
    device: str
    threads: int


class EstimateLine(QLabel):
    """Memory, time and device of the run that Segment would start.

    It is measured in the background once nothing has changed for a moment;
    until then no figure is shown. An answer that has been overtaken by another
    question is dropped.

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
        self._is_held = False
        self._probe = _Probe()
        self._quiet = self._timer(_QUIET_MILLISECONDS, self._begin, once=True)
        self._look = self._timer(_LOOK_MILLISECONDS, self._show)
        self.destroyed.connect(self._probe.stop)

    def refresh(self, *_: object) -> None:
        """Estimate anew, once nothing has changed for a moment."""
        if self._is_held:
            return
        self.drop()
        if self._question() is not None:
            self.setText(_UNDER_WAY)
            self._quiet.start()

    def hold(self, held: bool) -> None:
        """Keep the figure, if there is one, since its run has begun; or follow the changes again."""
        self._is_held = held
        if not held:
            self.refresh()
        elif self._quiet.isActive() or self._look.isActive():
            self.drop()

    def drop(self) -> None:
        """Show no figure, and end what measures one; does not wait."""
        self._quiet.stop()
        self._look.stop()
        self._probe.stop()
        self.setText("")

    def _timer(self, milliseconds: int, then: Callable[[], None], *, once: bool = False) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(once)
        timer.setInterval(milliseconds)
        timer.timeout.connect(then)
        return timer

    def _question(self) -> Question | None:
        try:
            return self._ask()
        except UfsegError:
            return None

    def _begin(self) -> None:
        question = self._question()
        if question is None:
            self.drop()
            return
        self._probe.start(question)
        self._look.start()

    def _show(self) -> None:
        words = self._probe.summary
        if words is None:
            return
        self._look.stop()
        if words:
            self.setText(words)
        else:  # a run of another window has the processor
            self._quiet.start()


class _Probe:
    """The newest estimate, in a thread that knows nothing of Qt and may outlive the dock for the length of a step."""

    def __init__(self) -> None:
        self._answer: list[str] = []
        self._over = threading.Event()

    @property
    def summary(self) -> str | None:
        """The answer; empty if a run has the processor, None if it is not there yet."""
        return self._answer[0] if self._answer else None

    def start(self, question: Question) -> None:
        """Begin to measure."""
        self.stop()
        answer, over, main = list[str](), threading.Event(), threading.main_thread()
        self._answer, self._over = answer, over

        def is_over() -> bool:
            return over.is_set() or not main.is_alive()  # as when a script has ended

        threading.Thread(target=lambda: answer.append(_estimate(question, is_over)), name=THREAD).start()

    def stop(self, *_: object) -> None:
        """Drop what is under way; does not wait."""
        self._over.set()


def _estimate(question: Question, is_over: Callable[[], bool]) -> str:
    """The work of the thread; empty if a run has the processor."""
    with processor(question.threads, is_over=lambda: True) as is_free:
        if not is_free or is_over():
            return ""
        try:
            with engine_errors("The estimate"):
                from napari_ufseg.engine.training.estimate import estimate_run

                return estimate_run(question.sources, question.config, question.device, stopped=is_over).summary
        except UfsegError as error:
            return str(error)
