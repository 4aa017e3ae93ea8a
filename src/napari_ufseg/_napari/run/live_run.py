"""A training run that is drawn into Labels layers: it makes them, shows each picture in them, and hands them over at the end."""

import uuid
from collections.abc import Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_ufseg._napari.background import Lifeline
from napari_ufseg._napari.layers.origin import Origin
from napari_ufseg._napari.layers.region import ImageRegion
from napari_ufseg._napari.layers.result_layer import ClassesLayer, selected_together
from napari_ufseg._napari.run.class_numbers import keep_class_numbers
from napari_ufseg._napari.run.training_thread import RunPlan, RunState, TrainingRun

if TYPE_CHECKING:
    from napari_ufseg.engine.training.results import Segmentation, Snapshot
    from napari_ufseg.engine.training.timeline import Timeline


class LiveRun(QObject):
    """The run of a dock; there is at most one at a time.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the Labels layers live.

    Signals
    -------
    state_changed(RunState)
    updated(Snapshot)
        Its picture is in the layers.
    finished(Segmentation)
        The layers are the user's.
    failed(str)
        One sentence for the user.
    warned(str)
        One sentence for the user; the run goes on.
    released(Origin or None)
        The layers are the user's, however the run has ended; with how their labels came about.
    closed(str)
        The run was dropped; says why, as the end of a sentence.
    """

    state_changed = Signal(object)
    updated = Signal(object)
    finished = Signal(object)
    failed = Signal(str)
    warned = Signal(str)
    released = Signal(object)
    closed = Signal(str)

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._lifeline = Lifeline[TrainingRun]()
        self._parts: Sequence[ImageRegion] = []
        self._layers: list[ClassesLayer] = []
        self._preset = ""
        viewer.layers.events.removed.connect(self._on_layer_removed)
        viewer.dims.events.current_step.connect(self._follow_view)
        viewer.scene.camera.events.center.connect(self._follow_view)
        parent.destroyed.connect(self._lifeline.cut)

    @property
    def is_running(self) -> bool:
        """Whether a run is under way (paused ones count)."""
        run = self._lifeline.run
        return run is not None and not run.state.is_final

    @property
    def device(self) -> str:
        """The device really in use, in words; empty until it is known."""
        return self._lifeline.run.device if self._lifeline.run else ""

    @property
    def moments(self) -> "Timeline | None":
        """What the newest run has shown on its way."""
        return self._lifeline.run.moments if self._lifeline.run is not None else None

    @property
    def layers(self) -> list[ClassesLayer]:
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
        targets = into or [None] * len(parts)
        self._layers = [ClassesLayer(self._viewer, *item) for item in zip(parts, repeat(run_id), targets, strict=False)]
        self._parts, self._preset = parts, preset
        outs = [layer.out for layer in self._layers]
        run = TrainingRun(RunPlan([part.source for part in parts], outs=outs, **plan), self)
        self._lifeline.run = run
        run.state_changed.connect(self.state_changed)
        run.updated.connect(self._on_snapshot)
        run.finished.connect(self._on_finished)
        run.failed.connect(self._on_failed)
        run.warned.connect(self.warned)
        self.state_changed.emit(run.state)
        self._follow_view()
        run.start()

    def pause_or_resume(self) -> None:
        """Hold the run, or let it go on."""
        run = self._lifeline.run
        if run is None:
            return
        if run.state is RunState.PAUSED:
            run.resume()
        else:
            run.pause()

    def stop(self) -> None:
        """End the run and keep its labels."""
        if self._lifeline.run is not None:
            self._lifeline.run.stop()

    def close(self, why: str, *, wait: bool = True) -> None:
        """Drop the run, if there is one; the labels that are shown stay."""
        run = self._lifeline.run
        if run is None or not self.is_running:
            return
        run.abandon()
        if wait:
            run.wait()
        self._release(stop_reason="stopped")
        self.closed.emit(why)

    def _follow_view(self, _: Any = None) -> None:
        """Let the run show the plane that the user looks at."""
        run = self._lifeline.run
        if run is None or run.state.is_final:
            return
        point, centre = tuple(self._viewer.dims.point), tuple(self._viewer.scene.camera.center)
        for number, part in enumerate(self._parts):
            run.look_at(number, *part.view(point, centre))

    def _on_snapshot(self, snapshot: "Snapshot") -> None:
        with selected_together(self._viewer, self._layers):
            for layer, labels, index in zip(self._layers, snapshot.labels, snapshot.index, strict=True):
                if snapshot.labelled is None:
                    layer.show(labels, index)
                else:  # they stand in the layer's array already
                    layer.show()
        self.updated.emit(snapshot)

    def _on_finished(self, segmentation: "Segmentation") -> None:
        with selected_together(self._viewer, self._layers):
            for layer in self._layers:
                layer.show()
        segmentation = keep_class_numbers(self._layers, segmentation)
        own = self._lifeline.run.own if self._lifeline.run is not None else None
        self._release(
            Origin(self._parts, segmentation.model, [layer.packed for layer in self._layers], own),
            stop_reason=str(segmentation.stop_reason),
            epochs=len(segmentation.history),
            device=segmentation.device,
        )
        self.finished.emit(segmentation)

    def _on_failed(self, message: str) -> None:
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
        from napari_ufseg.engine.training.results import versions

        assert self._lifeline.run is not None
        config = self._lifeline.run.plan.config
        record = {"config": config.to_dict(), "preset": self._preset, "seed": config.seed, "versions": versions()}
        for layer in self._layers:
            layer.release({**record, **about})
        self.released.emit(origin)
