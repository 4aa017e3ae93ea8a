"""From raw classes to what the user means: class panel, time machine, and the training that goes on from both."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_ufseg._napari._worker import RunState
from napari_ufseg._napari.apply.apply_model import ModelApplication
from napari_ufseg._napari.image.scribbles import ScribbleChoice
from napari_ufseg._napari.layers.origin import Kept, Origin, in_network_of
from napari_ufseg._napari.result.class_panel import ClassPanel
from napari_ufseg._napari.result.confidence_panel import ConfidencePanel
from napari_ufseg._napari.result.controller import ClassDesk
from napari_ufseg._napari.result.time_panel import TimePanel
from napari_ufseg._napari.run.class_numbers import table_of
from napari_ufseg._napari.run.live_run import LiveRun
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import ImageError

if TYPE_CHECKING:
    from napari_ufseg.engine.network.model import SegmentationModel
    from napari_ufseg.engine.training.timeline import Moment

_NO_SCRIBBLES = (
    "There are no scribbles to merge by: press New beside Scribbles, paint over the classes with one label for each "
    "thing that you mean, then press Merge by scribbles again."
)


class CorrectionLoop(QObject):
    """Follows the runs of the dock, and says when another is wanted.

    Parameters
    ----------
    viewer : napari.Viewer
    run : LiveRun
    under_way : callable
        Says what is being computed, in one sentence; empty if nothing is.
    parent : QWidget

    Attributes
    ----------
    panel : ClassPanel
    time : TimePanel
    confidence : ConfidencePanel
    scribbles : ScribbleChoice or None
        Where scribbles over the classes come from.

    Signals
    -------
    start_wanted(list of Part, dict)
        A run on these images with these arguments of `LiveRun.start`.
    can_go_on(bool)
        Whether a training can go on from what is shown.
    """

    start_wanted = Signal(object, object)
    can_go_on = Signal(bool)

    def __init__(self, viewer: Any, run: LiveRun, under_way: Callable[[], str], parent: QWidget) -> None:
        super().__init__(parent)
        self._run = run
        self.panel = ClassPanel()
        self.time = TimePanel()
        self.confidence = ConfidencePanel(viewer, under_way, parent)
        self.confidence.as_shown = self.as_shown
        self.scribbles: ScribbleChoice | None = None
        self._desk = ClassDesk(viewer, self.panel, parent)
        run.updated.connect(lambda snapshot: self._desk.draw(run.layers, snapshot))
        run.released.connect(self._on_released)
        run.state_changed.connect(self._on_state)
        self.time.scrubbing.connect(self._desk.lend)
        self.time.moved.connect(self._desk.refresh)
        self.time.keep_clicked.connect(self._on_keep)
        self._desk.changed.connect(self._on_changed)
        self.panel.told.connect(show_info)
        self.panel.scribbles_wanted.connect(self._on_scribbles_wanted)
        viewer.layers.events.removed.connect(self.time.on_removed)

    def follow(self, application: ModelApplication) -> None:
        """Let the labels that a model makes be worked on as well."""
        application.made.connect(self._desk.take_over)

    def as_shown(self, model: "SegmentationModel | None") -> "SegmentationModel | None":
        """A model with the merges, names and colours that the user has given to its classes."""
        return self._desk.as_shown(model)

    def train_on(self, config: SegmentationConfig) -> None:
        """Ask for a run that goes on from what is shown.

        Parameters
        ----------
        config : SegmentationConfig
            Says how to train; network and input stay those of the model.
        """
        wanted = self._desk.train_on()
        if wanted is None:
            show_warning("There are no classes to train on from: press Segment first.")
            return
        layers, train_on = wanted
        model = train_on.origin.model
        plan = {"config": in_network_of(model.config, config), "into": layers, "train_on": train_on}
        self.start_wanted.emit(train_on.origin.parts, plan)

    def _on_scribbles_wanted(self) -> None:
        classes = self.panel.set
        if classes is None or self.scribbles is None:
            return
        try:
            marks = self.scribbles.over(classes.layers, classes.origin.parts if classes.origin is not None else None)
        except ImageError as error:
            show_warning(str(error))
        else:
            if marks is None:
                show_warning(_NO_SCRIBBLES)
            else:
                classes.merge_by_scribbles(marks)

    def _on_changed(self) -> None:
        self.can_go_on.emit(self._desk.can_train_on)
        self.confidence.look_at(self._desk.origin)

    def _on_keep(self, moment: "Moment") -> None:
        moments, wanted = self.time.moments, self._desk.train_on()
        if wanted is not None and moments is not None:
            layers, train_on = wanted
            plan = {"config": moments.config, "into": layers, "train_on": Kept(moments, moment)}
            self.start_wanted.emit(train_on.origin.parts, plan)

    def _on_state(self, state: RunState) -> None:
        self.time.allow(state.is_final)

    def _on_released(self, origin: Origin | None) -> None:
        self._desk.take_over(self._run.layers, "run", origin, table_of(self._run.layers))
        if self._run.moments is not None:
            targets = [(layer.layer, layer.part) for layer in self._run.layers if layer.layer is not None]
            self.time.show_moments(self._run.moments, targets)
