"""What the thread of a run does: from a plan to pictures and an outcome; nothing here knows Qt."""

import logging
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import UfsegError, counted, engine_errors

if TYPE_CHECKING:
    from napari_ufseg._napari.layers.origin import Kept, TrainOn
    from napari_ufseg.engine.training.results import Segmentation
    from napari_ufseg.engine.training.session import TrainingSession
    from napari_ufseg.engine.training.timeline import Moments

logger = logging.getLogger(__name__)
devices_there: list[str] = []  # on this machine; empty until torch is loaded
_processor = threading.Lock()  # held by whoever sets the number of torch's threads
_SECONDS = 0.1  # between two questions whether it is still worth waiting


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
    train_on : TrainOn or Kept, optional
        Labels whose training goes on, or a moment of an earlier run that is only labelled.
    """

    sources: Sequence[Any]
    config: SegmentationConfig
    outs: Sequence[Any] | None = None
    scribbles: Sequence[Any] | None = None
    device: str = "auto"
    threads: int = 1
    every: float = 0.125
    train_on: "TrainOn | Kept | None" = None


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
    moments: "Moments | None" = None  # of the session, from its first picture on
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
    from napari_ufseg.engine.training.timeline import Moments

    beginning = None if plan.train_on is None else plan.train_on.beginning(device)
    corrections = None if beginning is None else beginning.corrections
    session = TrainingSession(
        list(plan.sources),
        plan.config,
        scribbles=None if plan.scribbles is None else list(plan.scribbles),
        device=plan.device,
        out=None if plan.outs is None else list(plan.outs),
        beginning=beginning,
    )
    box.session = session
    for number, view in list(box.views.items()):
        session.look_at(number, *view)
    if box.stop.is_set():  # asked for before there was a session
        session.stop()
    is_labelling = plan.train_on is not None and plan.train_on.labels_only
    pictures = session.label(plan.every) if is_labelling else session.run(plan.every)
    moments = None if is_labelling else Moments(session)
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


def _describe(device: Any, threads: int) -> str:
    """The device in use, in words."""
    if device.type == "cuda":
        import torch

        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({counted(threads, 'thread')})" if device.type == "cpu" else str(device)


def load_heavy_parts() -> None:
    """Load torch, and what napari needs for its first Labels layer, so that the first click needn't wait for them.

    It begins a moment later, in a thread of its own that ends by itself, so
    that the dock opens first. If it fails, the run will say why.
    """
    threading.Timer(0.5, _load).start()


def _load() -> None:
    with suppress(Exception):
        import pandas  # noqa: F401

        import napari_ufseg.engine.training.session  # noqa: F401
        from napari_ufseg.engine.device import available_devices

        devices_there[:] = available_devices()  # asked here, since a driver may take its time
