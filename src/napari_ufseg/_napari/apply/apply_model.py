"""A model applied to images of the viewer in the background: from regions of images to Labels layers."""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_ufseg._napari.background import Job, Jobs, JobState, JobThread, Progress
from napari_ufseg._napari.layers.origin import Origin
from napari_ufseg._napari.layers.region import ImageRegion
from napari_ufseg._napari.layers.result_layer import ResultLayer, selected_together
from napari_ufseg._napari.method.preferences import Settings
from napari_ufseg._napari.parts import show_error
from napari_ufseg.engine.errors import StoppedError

if TYPE_CHECKING:
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
    margins : bool
        Whether the outs take the margins of the labels, float32, instead of the labels.
    """

    model: "SegmentationModel"
    sources: Sequence[Any]
    outs: Sequence[Any]
    device: str = "auto"
    margins: bool = False


def label_regions(plan: ApplyPlan, hand: JobThread) -> float:
    """Label what a plan says, in the thread of a job; after a stop the pixels that have no label yet get 0.

    Returns
    -------
    float
        The share of the pixels that have labels.
    """
    from napari_ufseg.engine.device import release_memory, resolve_device
    from napari_ufseg.engine.prediction.labelling import LabellingJob, learn_intensity

    device = resolve_device(plan.device)
    share = 0.0
    try:
        hand.tell(Progress())
        with suppress(StoppedError):  # while the images were read: no pixel has a label
            jobs = [
                LabellingJob(
                    source, plan.model.range_for(learn_intensity(source, plan.model.config, hand.is_stopped)), out
                )
                for source, out in zip(plan.sources, plan.outs, strict=True)
            ]
            begun = time.monotonic()
            for share in _shares(plan, jobs, device, hand.is_stopped):
                hand.tell(Progress(share, (time.monotonic() - begun) * (1 - share) / share))
    finally:
        release_memory(device)
    return share


def _shares(plan: ApplyPlan, jobs: Sequence[Any], device: Any, is_over: Callable[[], bool]) -> Iterator[float]:
    """The share of the pixels that are done, after every tile."""
    if plan.margins:
        from napari_ufseg.engine.prediction.confidence import margin_images

        yield from margin_images(plan.model, jobs, device, stopped=is_over)
        return
    from napari_ufseg.engine.prediction.labelling import label_images

    for progress in label_images(plan.model, jobs, device, stopped=is_over):
        yield progress.pixels / progress.total


def labelling_job(plan: ApplyPlan, parent: QObject, settings: Settings, **words: str) -> Job:
    """A job that does what a plan says; its outcome is the share of the pixels that are done, and a failure is shown.

    Parameters
    ----------
    plan : ApplyPlan
    parent : QObject
    settings : Settings
    **words
        What the `Job` says of itself.
    """
    job = Job(partial(label_regions, plan), parent, threads=settings.threads, **words)  # type: ignore[arg-type]
    job.failed.connect(show_error)
    return job


class ModelApplication(QObject):
    """Applies a model; at most once at a time. The Labels layers appear at the end.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the Labels layers live.
    jobs : Jobs
    settings : Settings

    Signals
    -------
    made(list of ResultLayer, str, Origin, ClassTable)
        The layers are the user's; with how their labels came about, and the names of the classes.
    ended(str)
        What came of it, in one sentence.
    """

    made = Signal(object, str, object, object)
    ended = Signal(str)

    def __init__(self, viewer: Any, jobs: Jobs, settings: Settings, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._jobs, self._settings = viewer, jobs, settings
        self._job: Job | None = None
        self._targets: list[ResultLayer] = []

    @property
    def is_running(self) -> bool:
        """Whether a model is being applied."""
        return self._job is not None

    def start(self, model: "SegmentationModel", parts: Sequence[ImageRegion]) -> None:
        """Label these parts.

        Raises
        ------
        UfsegError
            If the model is for other images, or there is no room for the labels.
        """
        for part in parts:
            model.require_channels(part.source)
        name = uuid.uuid4().hex
        self._targets = [ResultLayer(self._viewer, part, name) for part in parts]
        outs = [target.out for target in self._targets]
        plan = ApplyPlan(model, [part.source for part in parts], outs, self._settings.device)
        title = ", ".join(part.title for part in parts)
        job = self._job = labelling_job(
            plan,
            self,
            self._settings,
            what="Prediction",
            title="A model is being applied",
            about=f"Applying the model to {title}",
        )
        job.ended.connect(lambda share: self._on_ended(job, share, model, parts, title))
        job.state_changed.connect(lambda state: self._on_state(job, state, title))
        self._jobs.start(job)

    def _on_ended(
        self, job: Job, share: float | None, model: "SegmentationModel", parts: Sequence[ImageRegion], title: str
    ) -> None:
        self._job = None
        if not share:
            job.conclusion = f"Stopped before {title} had its first label; nothing was changed."
            return
        about = {"model": model.config.to_dict(), "labelled": share}
        with selected_together(self._viewer, self._targets):
            for target in self._targets:
                target.show()
                target.release(about)
        origin = Origin(parts, model, [target.packed for target in self._targets])
        self.made.emit(self._targets, "labels of a model", origin, model.classes)
        done = "Done: the model has labelled" if share == 1 else f"Stopped: {share:.0%} labelled, the rest is 0, in"
        job.conclusion = f"{done} {title}."

    def _on_state(self, job: Job, state: JobState, title: str) -> None:
        if not state.is_final:
            return
        self._job = None
        if state is JobState.CLOSED:
            job.conclusion = f"The model was not applied to {title} because the dock was closed."
        self.ended.emit(job.conclusion)
