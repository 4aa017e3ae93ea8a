"""A model that labels images of the viewer: from the parts of layers to Labels layers, in the background."""

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_ufseg._napari._apply_run import ApplyPlan, ApplyRun
from napari_ufseg._napari._lifeline import Lifeline
from napari_ufseg._napari.layers.origin import Origin
from napari_ufseg._napari.layers.region import Part
from napari_ufseg._napari.layers.result_layer import ClassesLayer, selected_together

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_ufseg.engine.network.model import SegmentationModel


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
        self._parts: Sequence[Part] = []
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

    def start(self, model: "SegmentationModel", parts: Sequence[Part], device: str, threads: int) -> None:
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
