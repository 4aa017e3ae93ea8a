"""The line that says, before a run that lasts or takes much memory, what it will take."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_ufseg._napari.background import Job, JobThread, processor
from napari_ufseg._napari.method.preferences import Settings
from napari_ufseg._napari.parts import PlainLabel
from napari_ufseg.engine.errors import UfsegError

_QUIET_MILLISECONDS = 700


class Question(NamedTuple):
    """What the estimate is for."""

    sources: list[Any]
    config: Any
    device: str


class EstimateLine(PlainLabel):
    """Memory, time and device of the run that Segment would start, where that matters: see `Estimate.matters`.

    It is measured in the background once nothing has changed for a moment;
    an answer that has been overtaken by another question is dropped. Until it
    is there, and where it does not matter, the line is empty and takes no room.

    Parameters
    ----------
    ask : callable
        Gives the `Question`, or None if there is nothing to estimate now.
    settings : Settings
    """

    def __init__(self, ask: Callable[[], Question | None], settings: Settings, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("ufseg.estimate")
        self.setWordWrap(True)
        self.setToolTip(
            "What Segment will take. Measured on a few small training steps on this machine, and learned from the runs so far."
        )
        self.setVisible(False)
        self._ask, self._settings = ask, settings
        self._is_held = False
        self._job: Job | None = None
        self._quiet = QTimer(self)
        self._quiet.setSingleShot(True)
        self._quiet.setInterval(_QUIET_MILLISECONDS)
        self._quiet.timeout.connect(self._begin)

    @property
    def is_measuring(self) -> bool:
        """Whether an answer is still to come."""
        return self._quiet.isActive() or self._job is not None

    def refresh(self, *_: object) -> None:
        """Estimate anew, once nothing has changed for a moment."""
        if self._is_held:
            return
        self.drop()
        if self._question() is not None:
            self._quiet.start()

    def hold(self, held: bool) -> None:
        """Keep the figure, if there is one, since its run has begun; or follow the changes again."""
        self._is_held = held
        if not held:
            self.refresh()
        elif self.is_measuring:
            self.drop()

    def drop(self) -> None:
        """Show no figure, and end what measures one; does not wait."""
        self._quiet.stop()
        if self._job is not None:
            self._job.drop()
            self._job = None
        self._tell("")

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
        job = self._job = Job(
            partial(measure_run, question, self._settings.threads), self, what="The estimate", waits_at_end=False
        )
        job.ended.connect(self._show)
        job.failed.connect(self._show)
        job.start()

    def _show(self, words: str | None) -> None:
        self._job = None
        if words is None:  # a run of another window has the processor
            self._quiet.start()
        else:
            self._tell(words)

    def _tell(self, words: str) -> None:
        self.setText(words)
        self.setVisible(bool(words))


def measure_run(question: Question, threads: int, hand: JobThread) -> str | None:
    """What a run will take, in words, measured in the thread of a job.

    Returns
    -------
    str or None
        Empty if nobody needs to know; None if another job has the processor.
    """
    with processor(threads, is_over=lambda: True) as is_free:
        if not is_free or hand.is_stopped():
            return None
        from napari_ufseg.engine.training.estimate import estimate_run

        estimate = estimate_run(question.sources, question.config, question.device, stopped=hand.is_stopped)
        return estimate.summary if estimate.matters else ""
