"""A training run that is drawn into Labels layers: it makes them, shows each picture in them, and hands them over at the end."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_ufseg._napari.background import Jobs, JobState
from napari_ufseg._napari.layers.joined_classes import copy_of_all
from napari_ufseg._napari.layers.origin import Origin
from napari_ufseg._napari.layers.region import ImageRegion
from napari_ufseg._napari.layers.result_layer import ResultLayer, selected_together
from napari_ufseg._napari.method.preferences import Settings
from napari_ufseg._napari.run.class_numbers import keep_class_numbers
from napari_ufseg._napari.run.training_thread import RunPlan, Trained, TrainingRun
from napari_ufseg.engine.labels.class_table import ClassTable

if TYPE_CHECKING:
    from napari_ufseg.engine.config import SegmentationConfig
    from napari_ufseg.engine.training.results import Snapshot
    from napari_ufseg.engine.training.timeline import Timeline


class LiveRun(QObject):
    """The run of a dock; there is at most one at a time.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the Labels layers live.

    Signals
    -------
    state_changed(JobState)
    updated(Snapshot)
        Its picture is in the layers.
    finished(Segmentation, str)
        The layers are the user's; with the device that was in use, in words.
    failed(str)
        One sentence for the user.
    warned(str)
        One sentence for the user; the run goes on.
    released(Origin or None)
        The layers are the user's, however the run has ended; with how their labels came about.
    closed(str)
        The run was dropped; says why, as the end of a sentence.
    queued()
        The run waits until another job lets go of the processor.
    ended_early(str)
        The run was stopped before it had a picture; says so.
    """

    state_changed = Signal(object)
    updated = Signal(object)
    finished = Signal(object, str)
    failed = Signal(str)
    warned = Signal(str)
    released = Signal(object)
    closed = Signal(str)
    queued = Signal()
    ended_early = Signal(str)

    def __init__(self, viewer: Any, jobs: Jobs, settings: Settings, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._jobs, self._settings = viewer, jobs, settings
        self._run: TrainingRun | None = None
        self._timeline: Timeline | None = None
        self._told: ClassTable | None = None
        self._record: dict[str, Any] = {}
        self._parts: Sequence[ImageRegion] = []
        self._layers: list[ResultLayer] = []
        viewer.layers.events.removed.connect(self._on_layer_removed)
        viewer.dims.events.current_step.connect(self._follow_view)
        viewer.scene.camera.events.center.connect(self._follow_view)

    @property
    def is_running(self) -> bool:
        """Whether a run is under way (paused ones count)."""
        return self._run is not None

    @property
    def device(self) -> str:
        """The device really in use, in words; empty until it is known."""
        return self._run.device if self._run is not None else ""

    @property
    def timeline(self) -> "Timeline | None":
        """What the newest run has shown on its way, also while it is under way."""
        return self._timeline if self._run is None else self._run.timeline

    @property
    def told(self) -> ClassTable | None:
        """What was said about the classes of an earlier result that the newest run has taken the place of."""
        return self._told

    @property
    def layers(self) -> list[ResultLayer]:
        """Where the labels of the newest run are."""
        return self._layers

    def start(
        self, parts: Sequence[ImageRegion], preset: str, into: Sequence[Labels | None] | None = None, **plan: Any
    ) -> None:
        """Train on these parts together.

        Parameters
        ----------
        parts : sequence of ImageRegion
        preset : str
            For the record.
        into : sequence of napari.layers.Labels, optional
            The layers that take the labels; others may be made without it.
        **plan
            The other fields of `RunPlan`.

        Raises
        ------
        UfsegError
            If there is no room for the labels.
        """
        run_id = uuid.uuid4().hex
        self._told = None
        targets = into or [None] * len(parts)
        self._layers = [ResultLayer(self._viewer, *item) for item in zip(parts, repeat(run_id), targets, strict=False)]
        self._parts = parts
        outs = [layer.out for layer in self._layers]
        sources = [part.source for part in parts]
        now = self._settings
        run_plan = RunPlan(sources, outs=outs, device=now.device, every=now.every, **plan)
        run = self._run = TrainingRun(run_plan, now.threads, self)
        self._record = _record_of(run.plan.config, preset)
        run.updated.connect(self._on_snapshot)
        run.ended.connect(self._on_ended)
        run.failed.connect(self._on_failed)
        run.warned.connect(self.warned)
        run.queued.connect(self.queued)
        run.state_changed.connect(self.state_changed)
        self.state_changed.emit(run.state)
        self._follow_view()
        self._jobs.start(run)

    def pause_or_resume(self) -> None:
        """Hold the run, or let it go on."""
        if self._run is None:
            return
        if self._run.state is JobState.PAUSED:
            self._run.resume()
        else:
            self._run.pause()

    def stop(self) -> None:
        """End the run and keep its labels."""
        if self._run is not None:
            self._run.stop()

    def close(self, why: str, *, wait: bool = True) -> None:
        """Drop the run, if there is one; the labels that are shown stay."""
        if self._run is None:
            return
        run, self._run = self._run, None
        self._timeline = run.timeline
        if wait:
            run.close()
        else:
            run.drop()
        self._release(stop_reason="stopped")
        self.closed.emit(why)

    def _follow_view(self, _: Any = None) -> None:
        """Let the run show the plane that the user looks at."""
        if self._run is None:
            return
        point, centre = tuple(self._viewer.dims.point), tuple(self._viewer.scene.camera.center)
        for number, part in enumerate(self._parts):
            self._run.look_at(number, *part.view(point, centre))

    def _on_snapshot(self, snapshot: "Snapshot") -> None:
        with selected_together(self._viewer, self._layers):
            for layer, labels, index in zip(self._layers, snapshot.labels, snapshot.index, strict=True):
                if snapshot.labelled is None:
                    layer.show(labels, index)
                else:  # they stand in the layer's array already
                    layer.show()
        self.updated.emit(snapshot)

    def _on_ended(self, trained: "Trained | None") -> None:
        device = self.device
        self._run = None
        if trained is None:
            self._release(stop_reason="stopped")
            self.ended_early.emit("Stopped before there were any labels; nothing was changed.")
            return
        self._timeline = trained.timeline
        with selected_together(self._viewer, self._layers):
            for layer in self._layers:
                layer.show()
        segmentation, self._told = keep_class_numbers(self._layers, trained.segmentation)
        self._release(
            Origin(
                self._parts, segmentation.model, [layer.packed for layer in self._layers], trained.own, trained.epoch
            ),
            stop_reason=str(segmentation.stop_reason),
            epochs=len(segmentation.history),
            device=segmentation.device,
        )
        labels = [item.part.target(copy_of_all(item.layer)) for item in self._layers if item.layer is not None]
        is_one = not isinstance(segmentation.labels, list)
        self.finished.emit(replace(segmentation, labels=labels[0] if is_one else labels), device)

    def _on_failed(self, message: str) -> None:
        if self._run is not None:
            self._timeline = self._run.timeline
        self._run = None
        self._release(stop_reason="failed")
        self.failed.emit(message)

    def _on_layer_removed(self, event: Any) -> None:
        if not self.is_running:
            return
        for layer in self._layers:
            layer.notice_removal()
        if any(layer.layer == event.value for layer in self._layers):
            self.close("its Labels layer was removed", wait=False)

    def _release(self, origin: Origin | None = None, **about: Any) -> None:
        """Make the Labels layers ordinary ones, with a record of how they came about."""
        for layer in self._layers:
            layer.release({**self._record, **about})
        self.released.emit(origin)


def _record_of(config: "SegmentationConfig", preset: str) -> dict[str, Any]:
    """What a layer tells of the run that has made it."""
    from napari_ufseg.engine.training.results import versions

    return {"config": config.to_dict(), "preset": preset, "seed": config.seed, "versions": versions()}
