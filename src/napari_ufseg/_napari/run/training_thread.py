"""One training run as a job: what its thread does, how it is paused, and which part of an image it shows."""

import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_ufseg._napari.background import Job, JobState, JobThread
from napari_ufseg._napari.layers.origin import RestoredKeyframe
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import counted

if TYPE_CHECKING:
    from napari_ufseg._napari.layers.origin import TrainOn
    from napari_ufseg.engine.training.results import Segmentation
    from napari_ufseg.engine.training.session import TrainingSession
    from napari_ufseg.engine.training.timeline import Timeline

_READ_AT_ONCE = 2**22  # pixels in memory
_SECONDS = 0.1  # between two looks of a paused run at what is wanted


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
    every: float = 0.125
    train_on: "TrainOn | RestoredKeyframe | None" = None
    memory_budget: int | None = None


@dataclass(frozen=True)
class Trained:
    """What came of a run.

    Parameters
    ----------
    segmentation : Segmentation
    own : sequence of bool arrays, optional
        The user's own pixels.
    timeline : Timeline, optional
        What was seen on the way.
    epoch : int
        The epoch whose labels they are.
    """

    segmentation: "Segmentation"
    own: Sequence[Any] | None = None
    timeline: "Timeline | None" = None
    epoch: int = 0


class TrainingThread(JobThread):
    """What the thread of a run sees of it: also whether it is to be paused, and what is in view.

    Attributes
    ----------
    session : TrainingSession or None
        While there is one.
    device : str
        The device in use, in words; empty until it is known.
    is_parked : bool
        Whether the thread waits, since the run is paused.
    timeline : Timeline or None
        What was seen on the way; None before the first picture.
    """

    def __init__(self) -> None:
        super().__init__()
        self.session: TrainingSession | None = None
        self.timeline: Timeline | None = None
        self.device = ""
        self.is_parked = False
        self.wants_pause, self.handed_over = threading.Event(), threading.Event()
        self._woken = threading.Event()  # the view, or the wish to pause, has changed
        self._views: dict[int, tuple[int, tuple[float, ...]]] = {}

    def begin(self, session: "TrainingSession", timeline: "Timeline | None") -> None:
        """Let the session know what was wanted before there was one; called in the thread."""
        self.session, self.timeline = session, timeline
        for number, view in list(self._views.items()):
            session.look_at(number, *view)
        if self.is_stopped():
            session.stop()

    def park(self, *, draws: bool) -> None:
        """Wait while the run is paused; draw what is in view whenever that moves."""
        if not self.wants_pause.is_set():
            return
        assert self.session is not None
        self.is_parked = True
        while self.wants_pause.is_set() and not self.is_closed():
            if self._woken.wait(_SECONDS):
                self._woken.clear()
                if draws and self.wants_pause.is_set():
                    self.tell(self.session.snapshot())
        self.is_parked = False

    def hand_over(self) -> None:
        """Wait until the window knows that the labels themselves are written from now on."""
        while not self.handed_over.wait(_SECONDS) and not self.is_closed():
            pass

    def wake(self) -> None:
        """Let a paused thread look again."""
        self._woken.set()

    def look_at(self, number: int, item: int, centre: tuple[float, ...]) -> None:
        """Move the view of an image; called by the window."""
        self._views[number] = item, centre
        if self.session is not None:
            self.session.look_at(number, item, centre)
        self._woken.set()

    def stop(self) -> None:
        """Ask for the end; does not wait."""
        super().stop()
        if self.session is not None:
            self.session.stop()
        self.wants_pause.clear()
        self._woken.set()


def train(plan: RunPlan, hand: TrainingThread) -> Trained | None:
    """Train and label, in the thread of a job; None if nobody is interested any more."""
    import torch

    from napari_ufseg.engine.device import release_memory, resolve_device

    device = resolve_device(plan.device)
    hand.device = _describe(device, torch.get_num_threads())
    try:
        return _train(plan, hand, device)
    finally:
        hand.session = None
        if hand.timeline is not None:
            hand.timeline.close()
        release_memory(device)


def _train(plan: RunPlan, hand: TrainingThread, device: Any) -> Trained | None:
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
        stopped=hand.is_stopped if _takes_long_to_read(plan.sources) else hand.is_closed,
    )
    is_labelling = plan.train_on is not None and plan.train_on.labels_only
    hand.begin(session, None if is_labelling else Timeline(session))
    with closing(session.label(plan.every) if is_labelling else session.run(plan.every)) as pictures:
        while not hand.is_closed():
            try:
                snapshot = next(pictures)
            except StopIteration as end:
                own = None if corrections is None else corrections.own
                return Trained(end.value, own, hand.timeline, _epoch_of(end.value, plan))
            labelling = snapshot.labelled is not None
            if hand.timeline is not None and not labelling:
                hand.timeline.add(snapshot)
            hand.tell(snapshot)
            if labelling:  # no picture may be drawn into the labels any more
                hand.hand_over()
            hand.park(draws=not labelling)
    return None


def _epoch_of(segmentation: "Segmentation", plan: RunPlan) -> int:
    """The epoch whose labels a run has come to: the last one, that which the guard has kept, or that which was asked for."""
    if isinstance(plan.train_on, RestoredKeyframe):
        return plan.train_on.keyframe.epoch
    return segmentation.kept_epoch or len(segmentation.history)


def _takes_long_to_read(sources: Sequence[Any]) -> bool:
    """Whether a stop should end the reading too; else there are always labels to keep."""
    in_memory = all(isinstance(source.data, np.ndarray) for source in sources)
    return not in_memory or sum(source.n_pixels for source in sources) > _READ_AT_ONCE


def _describe(device: Any, threads: int) -> str:
    """The device in use, in words."""
    if device.type == "cuda":
        import torch

        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({counted(threads, 'thread')})" if device.type == "cpu" else str(device)


class TrainingRun(Job):
    """A training as a job, which can be paused and shows what is in view; `progressed` has its snapshots, the newest one.

    Parameters
    ----------
    plan : RunPlan
    threads : int
        Most CPU threads that torch may use, so that the window stays fluid.
    parent : QObject

    Signals
    -------
    updated(Snapshot)
        At most one per ``plan.every`` seconds, after the state that it brings.
    """

    updated = Signal(object)

    def __init__(self, plan: RunPlan, threads: int, parent: QObject) -> None:
        self._thread = TrainingThread()
        super().__init__(
            partial(train, plan),
            parent,
            what="Training",
            threads=threads,
            title="A run is under way",
            hand=self._thread,
        )
        self.plan = plan

    @property
    def device(self) -> str:
        """The device really in use, in words; empty until it is known."""
        return self._thread.device

    @property
    def timeline(self) -> "Timeline | None":
        """What was seen on the way; None before the first picture, and where nothing is trained."""
        return self._thread.timeline

    def pause(self) -> None:
        """Park the training at the end of the present step."""
        self._thread.wants_pause.set()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._thread.wants_pause.clear()
        self._thread.wake()

    def look_at(self, number: int, item: int, centre: tuple[float, ...]) -> None:
        """Show that plane of that image from the next picture on; a paused run makes one for it."""
        self._thread.look_at(number, item, centre)

    def _begin(self) -> None:
        """It is running once there is a picture."""

    def _look(self) -> None:
        self._follow_pause()
        super()._look()

    def _hear(self, snapshot: Any) -> None:
        if snapshot.labelled is not None:
            self._thread.handed_over.set()
        if snapshot.labelled is not None and snapshot.labelled < 1:
            if self.state is not JobState.PAUSED:
                self._set_state(JobState.LABELLING)
        elif self.state is JobState.WAITING:
            self._set_state(JobState.RUNNING)
        self.updated.emit(snapshot)

    def _follow_pause(self) -> None:
        """Paused is what the thread is, not what was asked of it."""
        if self._thread.is_parked and self._thread.wants_pause.is_set() and self.state is not JobState.STOPPING:
            self._set_state(JobState.PAUSED)
        elif self.state is JobState.PAUSED and not self._thread.is_parked:
            self._set_state(JobState.RUNNING)
