"""One training run in a napari worker: what its thread does, and its states, which can be trusted."""

import logging
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from napari.qt.threading import GeneratorWorker
from qtpy.QtCore import QObject, Signal

from napari_ufseg._napari.background import _SECONDS, processor
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import UfsegError, UfsegWarning, counted, engine_errors

if TYPE_CHECKING:
    from napari_ufseg._napari.layers.origin import RestoredKeyframe, TrainOn
    from napari_ufseg.engine.training.results import Segmentation
    from napari_ufseg.engine.training.session import TrainingSession
    from napari_ufseg.engine.training.timeline import Timeline

logger = logging.getLogger(__name__)


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
    train_on : TrainOn or RestoredKeyframe, optional
        Labels whose training goes on, or a moment of an earlier run that is only labelled.
    memory_budget : int, optional
        As in `napari_ufseg.segment`.
    """

    sources: Sequence[Any]
    config: SegmentationConfig
    outs: Sequence[Any] | None = None
    scribbles: Sequence[Any] | None = None
    device: str = "auto"
    threads: int = 1
    every: float = 0.125
    train_on: "TrainOn | RestoredKeyframe | None" = None
    memory_budget: int | None = None


@dataclass
class Outcome:
    """What came of a run; the error is text, so that it holds no tensors alive."""

    segmentation: "Segmentation | None" = None
    error: str = ""
    own: Sequence[Any] | None = None  # the user's own pixels


@dataclass
class Mailbox:
    """What passes between the threads: the latest snapshot wins, nobody waits."""

    session: "TrainingSession | None" = None
    snapshot: Any = None
    device: str = ""
    is_parked: bool = False
    pause: threading.Event = field(default_factory=threading.Event)
    woken: threading.Event = field(default_factory=threading.Event)  # the view, or the wish to pause, has changed
    stop: threading.Event = field(default_factory=threading.Event)
    abandon: threading.Event = field(default_factory=threading.Event)
    handed_over: threading.Event = field(default_factory=threading.Event)
    moments: "Timeline | None" = None  # of the session, from its first picture on
    views: dict[int, tuple[int, tuple[float, ...]]] = field(default_factory=dict)


def train(plan: RunPlan, box: Mailbox) -> Generator[None, None, Outcome]:
    """The work of the thread; every error comes back as a value."""
    try:
        with engine_errors("Training"):
            return (yield from _train_session(plan, box))
    except UfsegError as error:
        logger.debug("The run failed", exc_info=True)
        return Outcome(error=str(error))


def _train_session(plan: RunPlan, box: Mailbox) -> Generator[None, None, Outcome]:
    import torch

    from napari_ufseg.engine.device import release_memory, resolve_device

    device = resolve_device(plan.device)
    with processor(plan.threads, box.abandon.is_set) as is_free:
        if not is_free:
            return Outcome()
        box.device = _describe(device, torch.get_num_threads())
        try:
            return (yield from _pictures(plan, box, device))
        finally:
            box.session = None
            if box.moments is not None:
                box.moments.close()
            release_memory(device)


def _pictures(plan: RunPlan, box: Mailbox, device: Any) -> Generator[None, None, Outcome]:
    from napari_ufseg.engine.training.session import TrainingSession
    from napari_ufseg.engine.training.timeline import Timeline

    warm_start = None if plan.train_on is None else plan.train_on.warm_start(device)
    corrections = None if warm_start is None else warm_start.corrections
    session = TrainingSession(
        list(plan.sources),
        plan.config,
        scribbles=None if plan.scribbles is None else list(plan.scribbles),
        device=plan.device,
        memory_budget=plan.memory_budget,
        out=None if plan.outs is None else list(plan.outs),
        warm_start=warm_start,
    )
    box.session = session
    for number, view in list(box.views.items()):
        session.look_at(number, *view)
    if box.stop.is_set():  # asked for before there was a session
        session.stop()
    is_labelling = plan.train_on is not None and plan.train_on.labels_only
    pictures = session.label(plan.every) if is_labelling else session.run(plan.every)
    moments = None if is_labelling else Timeline(session)
    while not box.abandon.is_set():
        box.woken.clear()
        try:
            box.snapshot = next(pictures)
        except StopIteration as end:
            return Outcome(segmentation=end.value, own=None if corrections is None else corrections.own)
        labelling = box.snapshot.labelled is not None
        if moments is not None and not labelling:
            moments.add(box.snapshot)
            box.moments = moments
        yield
        if labelling:  # no picture may be drawn into the labels any more
            box.handed_over.wait()
        yield from _parked(session, box, draws=not labelling)
    pictures.close()
    return Outcome()


def _parked(session: "TrainingSession", box: Mailbox, *, draws: bool) -> Iterator[None]:
    """While the run is paused: draw what is in view whenever that moves, until the labels themselves are shown."""
    if not box.pause.is_set():
        return
    box.is_parked = True
    while box.pause.is_set() and not box.abandon.is_set():
        yield  # also lets the worker see whether napari ends
        if box.woken.wait(_SECONDS):
            box.woken.clear()
            if draws and box.pause.is_set():
                box.snapshot = session.snapshot()
    box.is_parked = False
    yield


def _describe(device: Any, threads: int) -> str:
    """The device in use, in words."""
    if device.type == "cuda":
        import torch

        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({counted(threads, 'thread')})" if device.type == "cpu" else str(device)


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
    def moments(self) -> "Timeline | None":
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
