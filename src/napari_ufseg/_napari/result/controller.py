"""Which result is worked on, and what its panels ask for: edits, another moment, a training that goes on."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_ufseg._napari.apply.apply_model import ModelApplication
from napari_ufseg._napari.background import Jobs, JobState
from napari_ufseg._napari.image.scribbles import ScribbleChoice
from napari_ufseg._napari.layers.class_metadata import METADATA_KEY, RUN
from napari_ufseg._napari.layers.origin import Origin, RestoredKeyframe, TrainOn, in_network_of
from napari_ufseg._napari.layers.result_layer import ClassesLayer
from napari_ufseg._napari.method.preferences import Settings
from napari_ufseg._napari.result.class_panel import ClassPanel
from napari_ufseg._napari.result.confidence_panel import ConfidencePanel
from napari_ufseg._napari.result.history import NewData
from napari_ufseg._napari.result.result import Result
from napari_ufseg._napari.result.time_panel import TimePanel
from napari_ufseg._napari.run.class_numbers import table_of
from napari_ufseg._napari.run.live_run import LiveRun
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import ImageError
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.engine.labels.edits import boxes_of, count_labels

if TYPE_CHECKING:
    from napari_ufseg.engine.network.model import SegmentationModel
    from napari_ufseg.engine.training.results import Snapshot
    from napari_ufseg.engine.training.timeline import Keyframe


class ClassDesk(QObject):
    """Keeps one `Result` for the layers of every run, and shows one of them in the panel.

    Parameters
    ----------
    viewer : napari.Viewer
    panel : ClassPanel

    Signals
    -------
    changed()
        Others are shown, or a training can go on from them, or no longer.
    """

    changed = Signal()

    def __init__(self, viewer: Any, panel: ClassPanel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._panel = panel
        self._sets: list[Result] = []
        self._goes_on = False
        viewer.layers.selection.events.active.connect(self._follow_active_layer)
        viewer.layers.events.removed.connect(self._on_removed)
        parent.destroyed.connect(partial(_close, self._sets))
        self._follow_active_layer()

    def set_of(self, layer: Any) -> Result | None:
        """The classes that a layer shows; None if this plugin has not made it."""
        if not is_ours(layer):
            return None
        for classes in self._sets:
            if layer in classes.layers:
                return classes
        run = layer.metadata[METADATA_KEY].get(RUN)
        free = [other for other in self._viewer.layers if is_ours(other) and not self._known(other)]
        group = [other for other in free if run and other.metadata[METADATA_KEY].get(RUN) == run]
        return self._new_set(group if layer in group else [layer])

    def draw(self, layers: Sequence[ClassesLayer], snapshot: "Snapshot") -> None:
        """Show the areas of what a run draws into these layers."""
        shown = [item.layer for item in layers if item.layer is not None]
        classes = self._set_of_all(shown)
        self._panel.look_at(classes)
        areas: Counter[int] = Counter()
        for labels in snapshot.labels:
            for counts in count_labels(labels, boxes_of(labels, 2)):
                areas.update(counts)
        self._panel.show_live(dict(sorted(areas.items())))

    def take_over(
        self, layers: Sequence[ClassesLayer], words: str, origin: Origin | None = None, table: ClassTable | None = None
    ) -> None:
        """Let labels that have just been made be worked on; where they have replaced others, that can be undone.

        Parameters
        ----------
        layers : sequence of ClassesLayer
            Those without a layer yet are left out.
        words : str
            What has made them.
        origin : Origin, optional
            How they came about.
        table : ClassTable, optional
            Names and the rest; those that the layers have stay without it.
        """
        shown = [item.layer for item in layers if item.layer is not None]
        if not shown:
            return
        classes = self._set_of_all(shown)
        if any(item.before is not None for item in layers) and not self._goes_on:
            classes.history.clear()  # of what was in the layers before, napari has forgotten the strokes
        self._goes_on = False
        before = [(item.layer, item.before) for item in layers if item.layer is not None and item.before is not None]
        state = classes.state
        if table is not None or origin is not None:
            classes.put(table if table is not None else classes.table.settled)
        if origin is not None or before:
            classes.origin = origin
        if before:
            classes.history.record(NewData(words, before, (state, classes.state)))
        self._panel.look_at(classes)
        self._panel.end_live()
        self.changed.emit()

    @property
    def origin(self) -> Origin | None:
        """How the labels that are shown came about."""
        return self._panel.set.origin if self._panel.set is not None else None

    @property
    def can_train_on(self) -> bool:
        """Whether a training can go on from what is shown."""
        classes = self._panel.set
        return classes is not None and not classes.is_locked and classes.train_on() is not None

    def train_on(self) -> tuple[list[Labels], TrainOn] | None:
        """The layers that are shown, and what a training needs to go on from them; what was done becomes one step."""
        classes = self._panel.set
        wanted = classes.train_on() if classes is not None and not classes.is_locked else None
        if classes is None or wanted is None:
            return None
        classes.make_one_step()
        self._goes_on = True
        for layer in classes.layers:
            layer.editable = False  # what is painted from now on would be lost
        return classes.layers, wanted

    def lend(self, is_lent: bool) -> None:
        """Let others write into the layers that are shown, or take them back as they were."""
        classes = self._panel.set
        if classes is None:
            return
        if is_lent:
            classes.make_one_step()
        for layer in classes.layers:
            layer.editable = not is_lent
        self.changed.emit()

    def refresh(self) -> None:
        """Count anew; others have written labels."""
        if self._panel.set is not None:
            self._panel.set.recount()

    def as_shown(self, model: "SegmentationModel | None") -> "SegmentationModel | None":
        """A model with what the user has made of its classes, if they are here."""
        for classes in self._sets:
            if classes.origin is not None and classes.origin.model is model:
                return classes.model_as_shown
        return model

    # -- which set --------------------------------------------------------------------------------

    def _set_of_all(self, layers: Sequence[Labels]) -> Result:
        """The set of exactly these layers."""
        for classes in self._sets:
            if classes.layers == list(layers):
                return classes
        for classes in [item for item in self._sets if any(layer in item.layers for layer in layers)]:
            self._drop(classes)
        return self._new_set(layers)

    def _new_set(self, layers: Sequence[Labels]) -> Result:
        classes = Result(layers, self)
        self._sets.append(classes)
        return classes

    def _drop(self, classes: Result) -> None:
        if self._panel.set is classes:
            self._panel.look_at(None)
            self.changed.emit()
        self._sets.remove(classes)
        classes.close()
        classes.deleteLater()

    def _known(self, layer: Labels) -> bool:
        return any(layer in classes.layers for classes in self._sets)

    def _follow_active_layer(self, _: Any = None) -> None:
        """Another layer than Labels of ours leaves what is shown as it is."""
        if self._panel.is_live:
            return
        classes = self.set_of(self._viewer.layers.selection.active)
        if classes is not None:
            self._panel.look_at(classes)
            self.changed.emit()

    def _on_removed(self, event: Any) -> None:
        for classes in list(self._sets):
            if event.value in classes.layers:
                classes.leave(event.value)
                if not classes.layers:
                    self._drop(classes)
                elif self._panel.set is classes:
                    self.changed.emit()


def _close(sets: list[Result], *_: object) -> None:
    """Called at the end of the dock, when Qt no longer calls methods of its parts."""
    for classes in sets:
        classes.close()


def is_ours(layer: Any) -> bool:
    """Whether it is a Labels layer that this plugin has made, or read from a file that it has written."""
    return isinstance(layer, Labels) and METADATA_KEY in layer.metadata and not layer.multiscale


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
    jobs : Jobs
    settings : Settings
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
    start_wanted(list of ImageRegion, dict)
        A run on these images with these arguments of `LiveRun.start`.
    can_go_on(bool)
        Whether a training can go on from what is shown.
    """

    start_wanted = Signal(object, object)
    can_go_on = Signal(bool)

    def __init__(self, viewer: Any, run: LiveRun, jobs: Jobs, settings: Settings, parent: QWidget) -> None:
        super().__init__(parent)
        self._run = run
        self.panel = ClassPanel()
        self.time = TimePanel()
        self.confidence = ConfidencePanel(viewer, jobs, settings, parent)
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

    def _on_keep(self, moment: "Keyframe") -> None:
        moments, wanted = self.time.moments, self._desk.train_on()
        if wanted is not None and moments is not None:
            layers, train_on = wanted
            plan = {"config": moments.config, "into": layers, "train_on": RestoredKeyframe(moments, moment)}
            self.start_wanted.emit(train_on.origin.parts, plan)

    def _on_state(self, state: JobState) -> None:
        self.time.allow(state.is_final)

    def _on_released(self, origin: Origin | None) -> None:
        self._desk.take_over(self._run.layers, "run", origin, table_of(self._run.layers))
        if self._run.timeline is not None:
            targets = [(layer.layer, layer.part) for layer in self._run.layers if layer.layer is not None]
            self.time.show_moments(self._run.timeline, targets)
