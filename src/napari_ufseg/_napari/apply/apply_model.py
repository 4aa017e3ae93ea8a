"""A model applied to images of the viewer in the background: from regions of images to Labels layers."""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_ufseg._napari.background import Applied, Lifeline, WatchedWork, processor
from napari_ufseg._napari.layers.origin import Origin
from napari_ufseg._napari.layers.region import ImageRegion
from napari_ufseg._napari.layers.result_layer import ClassesLayer, selected_together
from napari_ufseg.engine.errors import StoppedError, UfsegError, engine_errors

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_ufseg.engine.network.model import SegmentationModel


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
    from napari_ufseg.engine.prediction.labelling import LabellingJob, learn_intensity

    device, scaling = resolve_device(plan.device), plan.model.config.scaling
    try:
        box.applied = Applied()
        jobs = [
            LabellingJob(source, learn_intensity(source, scaling, is_over), out)
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


class ModelApplication(QObject):
    """Applies a model; at most once at a time. The Labels layers appear at the end.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the Labels layers live.

    Signals
    -------
    began(str)
        The names of the images.
    progressed(Applied)
        How far it has come.
    made(list of ClassesLayer, str, Origin, ClassTable)
        The layers are the user's; with how their labels came about, and the names of the classes.
    ended(str)
        What came of it, in one sentence.
    failed(str)
        Why there are no labels, in one sentence.
    """

    began = Signal(str)
    progressed = Signal(object)
    made = Signal(object, str, object, object)
    ended = Signal(str)
    failed = Signal(str)

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._lifeline = Lifeline[ApplyRun]()
        self._targets: list[ClassesLayer] = []
        self._model: SegmentationModel | None = None
        self._parts: Sequence[ImageRegion] = []
        self._title = ""
        self._about: dict[str, Any] = {}
        parent.destroyed.connect(self._lifeline.cut)

    @property
    def is_running(self) -> bool:
        """Whether a model is being applied."""
        return self._lifeline.run is not None

    @property
    def layers(self) -> "list[Labels]":
        """The Labels layers of the newest application."""
        return [target.layer for target in self._targets if target.layer is not None]

    def start(self, model: "SegmentationModel", parts: Sequence[ImageRegion], device: str, threads: int) -> None:
        """Label these parts.

        Raises
        ------
        UfsegError
            If the model is for other images, or there is no room for the labels.
        """
        for part in parts:
            model.require_channels(part.source)
        name = uuid.uuid4().hex
        self._targets = [ClassesLayer(self._viewer, part, name) for part in parts]
        self._parts = parts
        self._title = ", ".join(part.title for part in parts)
        self._model = model
        self._about = {"model": model.config.to_dict()}
        outs = [target.out for target in self._targets]
        run = ApplyRun(ApplyPlan(model, [part.source for part in parts], outs, device, threads), self)
        self._lifeline.run = run
        run.progressed.connect(self.progressed)
        run.ended.connect(self._on_ended)
        self.began.emit(self._title)
        run.start()

    def stop(self) -> None:
        """End it after the present tile and keep the labels that are there."""
        if self._lifeline.run is not None:
            self._lifeline.run.abandon()

    def close(self, why: str) -> None:
        """Drop it, if it is under way, with its labels, and wait until the thread has let go."""
        run = self._lifeline.run
        if run is not None:
            self._lifeline.cut()
            run.deleteLater()
            self.ended.emit(f"The model was not applied because {why}.")

    def _on_ended(self, share: float, error: str) -> None:
        run, self._lifeline.run = self._lifeline.run, None
        if run is None:  # closed in the meantime
            return
        run.deleteLater()
        if error:
            self.failed.emit(error)
            return
        if share == 0:
            self.ended.emit(f"Stopped before {self._title} had its first label; nothing was changed.")
            return
        with selected_together(self._viewer, self._targets):
            for target in self._targets:
                target.show()
                target.release({**self._about, "labelled": share})
        assert self._model is not None
        origin = Origin(self._parts, self._model, [target.packed for target in self._targets])
        self.made.emit(self._targets, "labels of a model", origin, self._model.classes)
        done = "Done: the model has labelled" if share == 1 else f"Stopped: {share:.0%} labelled, the rest is 0, in"
        self.ended.emit(f"{done} {self._title}.")
