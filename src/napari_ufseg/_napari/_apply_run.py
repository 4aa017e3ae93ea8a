"""A model applied to images in a thread: how far it has come, and labels that are kept when it is ended early."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtCore import QObject, Signal

from napari_ufseg._napari.background import WatchedWork
from napari_ufseg._napari.run.training_thread import processor
from napari_ufseg.engine.errors import StoppedError, UfsegError, engine_errors

if TYPE_CHECKING:
    from napari_ufseg.engine.network.model import SegmentationModel


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


@dataclass(frozen=True)
class ApplyPlan:
    """What is labelled; fixed when it starts.

    Parameters
    ----------
    model : SegmentationModel
    sources : sequence of ImageSource
    outs : sequence of arrays
        Take the labels, one per source.
    device : str
        As in `napari_ufseg.predict`.
    threads : int
        Most CPU threads that torch may use.
    margins : bool
        Whether the outs take the margins of the labels, float32, instead of the labels.
    """

    model: "SegmentationModel"
    sources: Sequence[Any]
    outs: Sequence[Any]
    device: str = "auto"
    threads: int = 1
    margins: bool = False


@dataclass
class _Mailbox:
    applied: Applied | None = None
    share: float = 0.0
    error: str = ""


class ApplyRun(WatchedWork):
    """Applies a model in a thread of its own.

    `abandon` ends it after the present tile; the pixels that have no label yet get 0.

    Signals
    -------
    progressed(Applied)
        The newest one, some times per second.
    ended(float, str)
        The share of the pixels that have labels, and a sentence if something went wrong.
    """

    progressed = Signal(object)
    ended = Signal(float, str)

    def __init__(self, plan: ApplyPlan, parent: QObject) -> None:
        self._box = _Mailbox()
        super().__init__(partial(_apply, plan, self._box), parent)

    def tell(self) -> bool:
        """Signal how far it has come."""
        applied, self._box.applied = self._box.applied, None
        if applied is not None:
            self.progressed.emit(applied)
        return True

    def conclude(self) -> None:
        """Signal the end."""
        self.ended.emit(self._box.share, self._box.error)


def _apply(plan: ApplyPlan, box: _Mailbox, is_over: Callable[[], bool]) -> None:
    """The work of the thread; an error is kept as its sentence."""
    try:
        with engine_errors("Prediction"), processor(plan.threads, is_over) as is_free:
            if is_free:
                _label(plan, box, is_over)
    except StoppedError:
        pass  # while the images were read: no pixel has a label, as the share in the box says
    except UfsegError as error:
        box.error = str(error)


def _label(plan: ApplyPlan, box: _Mailbox, is_over: Callable[[], bool]) -> None:
    from napari_ufseg.engine.device import release_memory, resolve_device
    from napari_ufseg.engine.prediction.labelling import Job, scan

    device, scaling = resolve_device(plan.device), plan.model.config.scaling
    try:
        box.applied = Applied()
        jobs = [
            Job(source, scan(source, scaling, is_over), out)
            for source, out in zip(plan.sources, plan.outs, strict=True)
        ]
        begun = time.monotonic()
        for box.share in _shares(plan, jobs, device, is_over):
            left = (time.monotonic() - begun) * (1 - box.share) / box.share
            box.applied = Applied(box.share, left)
    finally:
        release_memory(device)


def _shares(plan: ApplyPlan, jobs: Sequence[Any], device: Any, is_over: Callable[[], bool]) -> Iterator[float]:
    """The share of the pixels that are done, after every tile."""
    if plan.margins:
        from napari_ufseg.engine.prediction.confidence import margin_images

        yield from margin_images(plan.model, jobs, device, stopped=is_over)
        return
    from napari_ufseg.engine.prediction.labelling import label_images

    for progress in label_images(plan.model, jobs, device, stopped=is_over):
        yield progress.pixels / progress.total
