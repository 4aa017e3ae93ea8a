"""Two buttons: how sure the network is, in place of the labels, and the way to where it is least so."""

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QHBoxLayout, QShortcut, QWidget

from napari_ufseg._napari.apply.apply_model import ApplyPlan, labelling_job
from napari_ufseg._napari.background import Job, Jobs, JobState
from napari_ufseg._napari.layers.origin import Origin
from napari_ufseg._napari.method.preferences import Settings
from napari_ufseg._napari.parts import named_button, show_info, show_warning
from napari_ufseg._napari.result.confidence_layers import ConfidenceLayers
from napari_ufseg._napari.result.doubt_mark import Doubt, DoubtMark, go_to
from napari_ufseg._napari.result.result import Result
from napari_ufseg.engine.errors import counted

_MOST = 2**26  # pixels whose margins are kept in memory
_SHOW, _HIDE = "Show confidence", "Hide confidence"
_SHOW_TIP = "An image of how sure the network is of each pixel, in place of the labels: 1 sure, 0 a tie of two classes."
_HIDE_TIP = "Show the labels again (Esc)."
_GO_TIP = (
    "Go to the region where the network is least sure, and draw a rectangle around it; again for the next one (F9)."
)
_MEASURING = "The confidence is being measured: wait until that has ended, or press Stop."
_NO_RESULT = "There are no labels whose confidence could be measured: press Segment, or select the labels of a run."
_NO_NETWORK = (
    "These labels have no network that could be asked, as those that were opened from a file: press Segment, "
    "or Load model and then Apply model, and select the labels that come of it."
)
_NOT_MEASURED = "Press Show confidence first: it finds the regions."
_NO_DOUBT = "The network is sure everywhere: there is no region to go to."


class ConfidencePanel(QWidget):
    """Show confidence, which is pressed while it is shown, and Least certain.

    Parameters
    ----------
    viewer : napari.Viewer
    jobs : Jobs
    settings : Settings

    Signals
    -------
    ended(str)
        What came of measuring it, in one sentence.
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
        self._measured: WeakKeyDictionary[Result, Any] = WeakKeyDictionary()  # of which model, by `_model_of`
        self._shown: Any = None  # the model whose confidence is shown
        self._layers = ConfidenceLayers(viewer, self)
        self._layers.switched.connect(self._on_switched)
        self._mark = DoubtMark(viewer)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self.show_it = named_button(_SHOW, "confidence", "")
        self.show_it.setCheckable(True)
        self.show_it.clicked.connect(self.show_or_leave)
        self.go = named_button("Least certain", "least_certain", "", "F9")
        self.go.clicked.connect(self.go_to_next)
        row.addWidget(self.show_it)
        row.addWidget(self.go)
        self._escape = QShortcut(QKeySequence("Esc"), self)
        self._escape.setObjectName("ufseg.leave_confidence")
        self._escape.activated.connect(self.leave)
        self.look_at(None)

    @property
    def is_running(self) -> bool:
        """Whether it is being measured."""
        return self._job is not None

    def look_at(self, result: Result | None) -> None:
        """Be about another result, or the same one anew; the confidence of other labels than there are now makes way for them."""
        if result is not self._result:
            self._next = 0
            self._mark.remove()
        elif self._layers.is_shown and self._is_outdated:
            self.leave()
        self._result = result
        self._layers.look_at(result)
        if not self._places:
            self._mark.remove()
        self._show_state()

    def show_or_leave(self) -> None:
        """Show the confidence in place of the labels, measured if that was not done for this model; or the labels again."""
        if self._layers.is_shown:
            self.leave()
        elif self._is_measured and self._result is not None and self._layers.has_all(self._result):
            self._layers.show()
        else:
            self.measure()
        self._show_state()

    def leave(self) -> None:
        """Show the labels again, and take away the rectangle."""
        self._mark.remove()
        self._layers.show(False)
        self._show_state()

    def measure(self) -> None:
        """Measure the margins of what is looked at, and show them as Image layers."""
        result = self._result
        if result is None or result.origin is None or result.model_as_shown is None:
            return
        if busy := self._jobs.busy:
            show_info(busy)
            return
        origin, model, measured = result.origin, result.model_as_shown, _model_of(result)
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
        job.ended.connect(lambda share: self._on_ended(job, share, result, origin, outs, measured))
        job.state_changed.connect(lambda state: self._on_state(job, state))
        self._show_state()
        self._jobs.start(job)

    def go_to_next(self) -> None:
        """Move the view to the next region of doubt, and mark it."""
        places = self._places
        if not places:
            return
        place = places[self._next % len(places)]
        rank, self._next = self._next % len(places) + 1, self._next + 1
        go_to(self._viewer, place)
        self._mark.put(place)
        self._show_state()
        where = f"{counted(place.region.n_pixels, 'pixel')} of {place.part.title}"
        self.told.emit(f"Region {rank} of {len(places)} in doubt: {where} (F9 for the next).")

    # -- what is known -----------------------------------------------------------------------------

    @property
    def _places(self) -> list[Doubt]:
        """The regions of doubt, the worst first."""
        doubts = self._result.doubts if self._result is not None else []
        return [Doubt(*doubt) for doubt in doubts if doubt[0] in self._viewer.layers]

    @property
    def _is_measured(self) -> bool:
        """Whether that was done for the labels as they are."""
        result = self._result
        return result is not None and result in self._measured and self._measured[result] == _model_of(result)

    @property
    def _is_outdated(self) -> bool:
        """Whether other labels have taken the place of those whose confidence is shown."""
        result = self._result
        return result is not None and (result.locked_by is not None or _model_of(result) != self._shown)

    @property
    def _why_not(self) -> str:
        """Why there is no confidence to show, and what to do; empty if there is, or could be."""
        result = self._result
        if self.is_running:
            return _MEASURING
        if result is None:
            return _NO_RESULT
        if result.locked_by is not None:
            return result.why_locked
        return "" if result.origin is not None else _NO_NETWORK

    @property
    def _why_not_go(self) -> str:
        if self._places:
            return ""
        is_sure = self._is_measured and self._result is not None and not self._result.doubts
        return self._why_not or (_NO_DOUBT if is_sure else _NOT_MEASURED)

    # -- what comes of it --------------------------------------------------------------------------

    def _on_ended(
        self, job: Job, share: float | None, result: Result, origin: Origin, outs: Sequence[Any], measured: Any
    ) -> None:
        if share != 1:
            job.conclusion = "Stopped; no confidence is shown."
            return
        result.doubts, self._next = list(self._put(origin, outs)), 0
        self._measured[result] = measured
        self._layers.look_at(self._result)
        if result is self._result:
            self._layers.show()
        is_shown = "is shown" if result is self._result else "was measured"
        words = counted(len(result.doubts), "region")
        job.conclusion = f"Done: confidence {is_shown}, with {words} in doubt (F9 goes there)."

    def _on_state(self, job: Job, state: JobState) -> None:
        if state.is_final:
            self._job = None
            self._show_state()
            self.ended.emit(job.conclusion)

    def _put(self, origin: Origin, outs: Sequence[Any]) -> list[Doubt]:
        """Put the margins into layers; gives the regions of doubt of all of them, the worst first."""
        from napari_ufseg.engine.prediction.confidence import uncertain_regions

        places = []
        for number, (part, out) in enumerate(zip(origin.parts, outs, strict=True)):
            layer = self._layers.put(part, out)
            own = origin.own[number] if origin.own is not None else None
            for item in range(part.source.n_items):
                index = part.source.label_index(item, part.source.whole)
                margin = part.source.unturned(part.target(out)[index])
                sure = None if own is None else part.source.unturned(np.asarray(own[index]))
                places += [Doubt(layer, part, item, region) for region in uncertain_regions(margin, excluded=sure)]
        return sorted(places, key=lambda place: -place.region.doubt)

    def _on_switched(self) -> None:
        if self._layers.is_shown and self._result is not None:
            self._shown = _model_of(self._result)
        else:
            self._mark.remove()
        self._show_state()

    def _show_state(self) -> None:
        """Let both buttons say what they would do, or why they are grey."""
        is_shown, why_not, why_not_go = self._layers.is_shown, self._why_not, self._why_not_go
        self.show_it.setChecked(is_shown)
        self.show_it.setText(_HIDE if is_shown else _SHOW)
        self.show_it.setToolTip(why_not or (_HIDE_TIP if is_shown else _SHOW_TIP))
        self.show_it.setEnabled(is_shown or not why_not)
        self.go.setToolTip(why_not_go or _GO_TIP)
        self.go.setEnabled(not why_not_go)
        self._escape.setEnabled(is_shown or self._mark.layer is not None)


def _model_of(result: Result) -> Any:
    """What the confidence depends on: how the labels came about, and which classes are one."""
    model = result.model_as_shown
    return None if model is None else (result.origin, model.class_labels)
