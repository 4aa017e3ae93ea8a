"""One training run in a napari worker, with states that can be trusted."""

import time
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from napari.qt.threading import GeneratorWorker
from qtpy.QtCore import QObject, Signal

from napari_ufseg._napari.run.training_thread import Mailbox, Outcome, RunPlan, train
from napari_ufseg.engine.errors import UfsegWarning

if TYPE_CHECKING:
    from napari_ufseg.engine.training.timeline import Moments


class RunState(StrEnum):
    """Where a run stands; the last three are final."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    LABELLING = "labelling"
    FINISHED = "finished"
    FAILED = "failed"
    ABANDONED = "abandoned"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self in (RunState.FINISHED, RunState.FAILED, RunState.ABANDONED)


class TrainingRun(QObject):
    """Runs a `TrainingSession` in a napari worker thread.

    Every end of the training, good or bad, reaches the main thread as one
    state change; errors are carried as values, since workers drop some kinds.

    Signals
    -------
    state_changed(RunState)
    updated(Snapshot)
        At most one per ``plan.every`` seconds; the newest one.
    finished(Segmentation)
    failed(str)
        One sentence for the user.
    warned(str)
        One sentence for the user; the run goes on.
    """

    state_changed = Signal(object)
    updated = Signal(object)
    finished = Signal(object)
    failed = Signal(str)
    warned = Signal(str)

    def __init__(self, plan: RunPlan, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.plan = plan
        self.own: Sequence[Any] | None = None  # the user's own pixels, once the run has ended
        self.state = RunState.STARTING
        self._box = Mailbox()
        self._worker: Any = GeneratorWorker(train, plan, self._box)
        self._worker.yielded.connect(self._on_yield)
        self._worker.returned.connect(self._on_return)
        self._worker.warned.connect(self._on_warning)

    @property
    def moments(self) -> "Moments | None":
        """What was seen on the way; None before the first picture."""
        return self._box.moments

    @property
    def device(self) -> str:
        """The device really in use, in words; empty until it is known."""
        return self._box.device

    def start(self) -> None:
        """Start the worker thread."""
        self._worker.start()

    def pause(self) -> None:
        """Park the training at the end of the present step."""
        self._want_pause(True)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._want_pause(False)

    def look_at(self, number: int, item: int, centre: tuple[float, ...]) -> None:
        """Show that plane of that image from the next picture on; a paused run makes one for it."""
        self._box.views[number] = item, centre
        session = self._box.session
        if session is not None:
            session.look_at(number, item, centre)
        self._box.woken.set()

    def stop(self) -> None:
        """End the training after the present step and keep its labels."""
        if self.state.is_final:
            return
        self._box.stop.set()
        if self._box.session is not None:
            self._box.session.stop()
        self._want_pause(False)
        self._set_state(RunState.STOPPING)

    def abandon(self) -> None:
        """End the training at its next picture and drop its result; does not wait."""
        if self.state.is_final:
            return
        self._box.abandon.set()
        self._box.handed_over.set()
        self._want_pause(False)
        self._set_state(RunState.ABANDONED)

    def wait(self, seconds: float = 10.0) -> bool:
        """Wait until the thread has let go; True if it did in time."""
        deadline = time.monotonic() + seconds
        while self._worker.is_running and time.monotonic() < deadline:
            time.sleep(0.002)
        return not self._worker.is_running

    # -- main thread, called by the worker's signals --------------------------------------------

    def _on_yield(self, _: object) -> None:
        self._follow_pause()
        snapshot, self._box.snapshot = self._box.snapshot, None
        if snapshot is None or self.state.is_final:
            return  # an older picture that a newer one has overtaken
        if snapshot.labelled is not None:
            self._box.handed_over.set()
        if snapshot.labelled is not None and snapshot.labelled < 1:
            if self.state is not RunState.PAUSED:
                self._set_state(RunState.LABELLING)
        elif self.state is RunState.STARTING:
            self._set_state(RunState.RUNNING)
        self.updated.emit(snapshot)

    def _follow_pause(self) -> None:
        """Paused is what the thread is, not what was asked of it."""
        if self._box.is_parked and self._box.pause.is_set() and self.state is not RunState.STOPPING:
            self._set_state(RunState.PAUSED)
        elif self.state is RunState.PAUSED and not self._box.is_parked:
            self._set_state(RunState.RUNNING)

    def _on_return(self, outcome: Outcome) -> None:
        if self.state.is_final:
            return
        if outcome.segmentation is not None:
            self.own = outcome.own
            self._set_state(RunState.FINISHED)
            self.finished.emit(outcome.segmentation)
        else:
            self._set_state(RunState.FAILED)
            self.failed.emit(outcome.error)

    def _on_warning(self, warning: tuple[Any, ...]) -> None:
        message, category = warning[:2]
        if issubclass(category, UfsegWarning):
            self.warned.emit(str(message))

    def _want_pause(self, wanted: bool) -> None:
        if wanted:
            self._box.pause.set()
        else:
            self._box.pause.clear()
            self._box.woken.set()

    def _set_state(self, state: RunState) -> None:
        if state is not self.state and not self.state.is_final:
            self.state = state
            self.state_changed.emit(state)
