"""One training run in a napari worker, with states that can be trusted."""

import logging
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from napari.qt.threading import GeneratorWorker
from qtpy.QtCore import QObject, Signal

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import UfsegError, UfsegWarning, engine_errors

if TYPE_CHECKING:
    from napari_ufseg.engine.results import Segmentation
    from napari_ufseg.engine.session import TrainingSession


logger = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class RunPlan:
    """All that a run needs; fixed when it starts.

    Parameters
    ----------
    sources : sequence of ImageSource
        Trained together.
    config : SegmentationConfig
        The method.
    outs : sequence of arrays, optional
        Take the labels at the end, one per source.
    scribbles : sequence of arrays, optional
        One label image per source.
    device : str
        As in `napari_ufseg.segment`.
    threads : int
        Most CPU threads that torch may use, so that the window stays fluid.
    every : float
        Seconds between pictures, at least.
    """

    sources: Sequence[Any]
    config: SegmentationConfig
    outs: Sequence[Any] | None = None
    scribbles: Sequence[Any] | None = None
    device: str = "auto"
    threads: int = 1
    every: float = 0.125


@dataclass
class _Outcome:
    """What came of a run; the error is text, so that it holds no tensors alive."""

    segmentation: "Segmentation | None" = None
    error: str = ""


@dataclass
class _Mailbox:
    """What passes between the threads: the latest snapshot wins, nobody waits."""

    session: "TrainingSession | None" = None
    snapshot: Any = None
    device: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    abandon: threading.Event = field(default_factory=threading.Event)
    handed_over: threading.Event = field(default_factory=threading.Event)
    views: dict[int, tuple[int, tuple[float, ...]]] = field(default_factory=dict)


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
        self.state = RunState.STARTING
        self._box = _Mailbox()
        self._pause_wanted = False
        self._worker: Any = GeneratorWorker(_train, plan, self._box)
        self._worker.yielded.connect(self._on_yield)
        self._worker.returned.connect(self._on_return)
        self._worker.paused.connect(self._on_parked)
        self._worker.resumed.connect(self._on_parked)
        self._worker.warned.connect(self._on_warning)

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
        """Show that plane of that image from the next picture on."""
        self._box.views[number] = item, centre
        session = self._box.session
        if session is not None:
            session.look_at(number, item, centre)

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
            self._worker.resume()  # it may have parked after we asked it to go on
            time.sleep(0.002)
        return not self._worker.is_running

    # -- main thread, called by the worker's signals --------------------------------------------

    def _on_yield(self, _: object) -> None:
        snapshot, self._box.snapshot = self._box.snapshot, None
        if snapshot is None or self.state.is_final:
            return  # an older picture that a newer one has overtaken
        if snapshot.labelled is not None:
            self._box.handed_over.set()
        if snapshot.labelled is not None and snapshot.labelled < 1:
            self._set_state(RunState.LABELLING)
        elif self.state is RunState.STARTING:
            self._set_state(RunState.RUNNING)
        self.updated.emit(snapshot)

    def _on_parked(self) -> None:
        """The worker has really paused or resumed: follow, or correct it if the wish has changed since."""
        paused = self._worker.is_paused
        if paused != self._pause_wanted:
            self._want_pause(self._pause_wanted)
        elif self.state in (RunState.RUNNING, RunState.PAUSED, RunState.STARTING):
            self._set_state(RunState.PAUSED if paused else RunState.RUNNING)

    def _on_return(self, outcome: _Outcome) -> None:
        if self.state.is_final:
            return
        if outcome.segmentation is not None:
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
        self._pause_wanted = wanted
        if wanted:
            self._worker.pause()
        else:
            self._worker.resume()

    def _set_state(self, state: RunState) -> None:
        if state is not self.state and not self.state.is_final:
            self.state = state
            self.state_changed.emit(state)


class Lifeline:
    """Ends the run when the dock goes; outlives the widget, whose own methods Qt no longer calls then."""

    def __init__(self) -> None:
        self.run: TrainingRun | None = None

    def cut(self, *_: object) -> None:
        """Drop the run and wait until its thread has let go."""
        run, self.run = self.run, None
        if run is not None:
            run.abandon()
            run.wait()


def _train(plan: RunPlan, box: _Mailbox) -> Generator[None, None, _Outcome]:
    """The work of the thread; every error comes back as a value."""
    try:
        with engine_errors("Training"):
            return (yield from _train_session(plan, box))
    except UfsegError as error:
        logger.debug("The run failed", exc_info=True)
        return _Outcome(error=str(error))


def _train_session(plan: RunPlan, box: _Mailbox) -> Generator[None, None, _Outcome]:
    import torch

    from napari_ufseg.engine.device import release_memory, resolve_device
    from napari_ufseg.engine.session import TrainingSession

    threads_before = torch.get_num_threads()
    torch.set_num_threads(min(plan.threads, threads_before))
    device = resolve_device(plan.device)
    box.device = _describe(device, torch.get_num_threads())
    try:
        session = TrainingSession(
            list(plan.sources),
            plan.config,
            scribbles=None if plan.scribbles is None else list(plan.scribbles),
            device=plan.device,
            out=None if plan.outs is None else list(plan.outs),
        )
        box.session = session
        for number, view in list(box.views.items()):
            session.look_at(number, *view)
        if box.stop.is_set():  # asked for before there was a session
            session.stop()
        pictures = session.run(plan.every)
        while not box.abandon.is_set():
            try:
                box.snapshot = next(pictures)
            except StopIteration as end:
                return _Outcome(segmentation=end.value)
            labelling = box.snapshot.labelled is not None
            yield
            if labelling:  # no picture may be drawn into the labels any more
                box.handed_over.wait()
        pictures.close()
        return _Outcome()
    finally:
        box.session = None
        torch.set_num_threads(threads_before)
        release_memory(device)


def _describe(device: Any, threads: int) -> str:
    """The device in use, in words."""
    if device.type == "cuda":
        import torch

        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({threads} thread{'s' if threads > 1 else ''})" if device.type == "cpu" else str(device)


def load_heavy_parts() -> None:
    """Load torch, and what napari needs for its first Labels layer, so that the first click needn't wait for them.

    It begins a moment later, in a thread of its own that ends by itself, so
    that the dock opens first. If it fails, the run will say why.
    """
    threading.Timer(0.5, _load).start()


def _load() -> None:
    with suppress(Exception):
        import pandas  # noqa: F401

        import napari_ufseg.engine.session  # noqa: F401
