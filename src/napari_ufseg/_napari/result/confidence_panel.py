"""A layer that shows how sure the network is, and a way to where it is least so."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Image
from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_ufseg._napari.apply.apply_model import ApplyPlan, labelling_job
from napari_ufseg._napari.background import Job, Jobs, JobState
from napari_ufseg._napari.layers.class_metadata import METADATA_KEY
from napari_ufseg._napari.layers.origin import Origin
from napari_ufseg._napari.layers.region import ImageRegion
from napari_ufseg._napari.method.preferences import Settings
from napari_ufseg._napari.result.result import Result
from napari_ufseg.engine.errors import counted

_MOST = 2**26  # pixels whose margins are kept in memory
_KIND = "confidence_of"
_AROUND = 4  # times the size of a region is seen around it


class ConfidencePanel(QWidget):
    """Two buttons.

    Parameters
    ----------
    viewer : napari.Viewer
    jobs : Jobs
    settings : Settings

    Signals
    -------
    ended(str)
        What came of it, in one sentence.
    told(str)
        Where the view has gone, in one sentence.
    """

    ended = Signal(str)
    told = Signal(str)

    def __init__(self, viewer: Any, jobs: Jobs, settings: Settings, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer, self._jobs, self._settings = viewer, jobs, settings
        self._job: Job | None = None
        self._result: Result | None = None
        self._next = 0
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self.show_it = QPushButton("Show confidence")
        self.show_it.setObjectName("ufseg.confidence")
        self.show_it.setToolTip("An image of how sure the network is of each pixel: 1 sure, 0 a tie of two classes.")
        self.show_it.clicked.connect(self.measure)
        self.go = QPushButton("Least certain")
        self.go.setObjectName("ufseg.least_certain")
        self.go.setToolTip("Go to the region where the network is least sure; again for the next one (F9).")
        self.go.setShortcut(QKeySequence("F9"))
        self.go.clicked.connect(self.go_to_next)
        row.addWidget(self.show_it)
        row.addWidget(self.go)
        self.look_at(None)

    @property
    def is_running(self) -> bool:
        """Whether it is being measured."""
        return self._job is not None

    def look_at(self, result: Result | None) -> None:
        """Be about another result, or the same one anew."""
        if result is not self._result:
            self._next = 0
        self._result = result
        has_model = result is not None and result.origin is not None
        self.show_it.setEnabled(has_model and not self.is_running)
        self.go.setEnabled(result is not None and bool(result.doubts))

    def measure(self) -> None:
        """Measure the margins of what is looked at, and show them as Image layers."""
        result = self._result
        if result is None or result.origin is None or result.model_as_shown is None:
            return
        if busy := self._jobs.busy:
            show_info(busy)
            return
        origin, model = result.origin, result.model_as_shown
        shapes = [part.labels_shape for part in origin.parts]
        if sum(int(np.prod(shape)) for shape in shapes) > _MOST:
            show_warning("The image is too large to show its confidence: choose a plane of it, or a lower resolution.")
            return
        outs = [np.zeros(shape, np.float32) for shape in shapes]
        targets = [part.target(out) for part, out in zip(origin.parts, outs, strict=True)]
        plan = ApplyPlan(model, [part.source for part in origin.parts], targets, self._settings.device, margins=True)
        names = ", ".join(part.title for part in origin.parts)
        job = self._job = labelling_job(
            plan,
            self,
            self._settings,
            what="Measuring the confidence",
            title="Confidence is being measured",
            about=f"Measuring the confidence of {names}",
            gives="confidence",
        )
        job.ended.connect(lambda share: self._on_ended(job, share, result, origin, outs))
        job.state_changed.connect(lambda state: self._on_state(job, state))
        self.look_at(self._result)
        self._jobs.start(job)

    def go_to_next(self) -> None:
        """Move the view to the next region of doubt."""
        doubts = self._result.doubts if self._result is not None else []
        here = [item for item in doubts if item[0] in self._viewer.layers]
        if not here:
            return
        layer, part, item, region = here[self._next % len(here)]
        rank, self._next = self._next % len(here) + 1, self._next + 1
        self._move(layer, part, item, region)
        where = f"{counted(region.n_pixels, 'pixel')} of {part.title}"
        self.told.emit(f"Region {rank} of {len(here)} in doubt: {where} (F9 for the next).")

    def _on_ended(self, job: Job, share: float | None, result: Result, origin: Origin, outs: Sequence[Any]) -> None:
        if share != 1:
            job.conclusion = "Stopped; no confidence is shown."
            return
        result.doubts, self._next = list(self._shown(origin, outs)), 0
        words = counted(len(result.doubts), "region")
        job.conclusion = f"Done: confidence is shown, with {words} in doubt (F9 goes there)."

    def _on_state(self, job: Job, state: JobState) -> None:
        if state.is_final:
            self._job = None
            self.look_at(self._result)
            self.ended.emit(job.conclusion)

    def _shown(self, origin: Origin, outs: Sequence[Any]) -> Any:
        """Put the margins into layers; gives the regions of doubt of all of them, the worst first."""
        from napari_ufseg.engine.prediction.confidence import uncertain_regions

        regions = []
        active = self._viewer.layers.selection.active
        for number, (part, out) in enumerate(zip(origin.parts, outs, strict=True)):
            layer = self._layer_for(part, out)
            own = origin.own[number] if origin.own is not None else None
            for item in range(part.source.n_items):
                index = part.source.label_index(item, part.source.whole)
                margin = part.source.unturned(part.target(out)[index])
                sure = None if own is None else part.source.unturned(np.asarray(own[index]))
                regions += [(layer, part, item, region) for region in uncertain_regions(margin, excluded=sure)]
        if active is not None:
            self._viewer.layers.selection.active = active
        return sorted(regions, key=lambda entry: -entry[3].doubt)

    def _layer_for(self, part: ImageRegion, out: Any) -> Image:
        """The layer of an image, an old one if there is one."""
        about = {_KIND: str(part.layer.unique_id), "plane": list(part.index), "level": part.level}
        for layer in self._viewer.layers:
            if layer.metadata.get(METADATA_KEY) == about and layer.data.shape == out.shape:
                layer.data = out
                return layer
        new: Image = self._viewer.add_image(
            out,
            name=f"{part.layer.name} confidence",
            colormap="inferno",
            contrast_limits=(0, 1),
            opacity=0.7,
            metadata={METADATA_KEY: about},
            **part.geometry,
        )
        return new

    def _move(self, layer: Image, part: ImageRegion, item: int, region: Any) -> None:
        """Show a region in the middle of the canvas."""
        pixel = [0.0] * layer.ndim
        spatial = dict(zip(sorted(part.source.spatial, key="ZYX".index), region.centre, strict=True))
        position = iter(np.unravel_index(item, part.source.series_shape)) if part.source.series_shape else iter(())
        kept = [axis for axis in range(layer.ndim) if axis not in part.singles]
        for axis, letter in zip(kept, part.source.labels_axes, strict=True):
            pixel[axis] = spatial[letter] if letter in spatial else float(next(position))
        world = layer.data_to_world(pixel)
        for axis, value in enumerate(world, start=self._viewer.dims.ndim - layer.ndim):
            self._viewer.dims.set_point(axis, value)
        sizes = [b - a for a, b in zip(region.start, region.stop, strict=True)][-2:]
        width = max(n * step for n, step in zip(sizes, layer.scale[-2:], strict=True))
        camera = self._viewer.scene.camera
        camera.center = (*camera.center[:-2], *world[-2:])
        height, across = layer.data.shape[-2] * layer.scale[-2], layer.data.shape[-1] * layer.scale[-1]
        seen = max(_AROUND * width, min(height, across) / 8)
        camera.zoom = camera.zoom if seen <= 0 else min(self._viewer.canvas.size) / seen
