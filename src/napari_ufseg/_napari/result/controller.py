"""Which result is active: that of the layer that is selected; its panels show it, and ask for edits, another moment, or a training."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_ufseg._napari.apply.apply_model import ModelApplication
from napari_ufseg._napari.background import Job, Jobs, JobState
from napari_ufseg._napari.image.scribbles import ScribbleChoice
from napari_ufseg._napari.layers.class_metadata import METADATA_KEY, RUN
from napari_ufseg._napari.layers.origin import Origin, RestoredKeyframe, in_network_of
from napari_ufseg._napari.layers.result_layer import ResultLayer, belongs_to, is_ours
from napari_ufseg._napari.method.preferences import Settings
from napari_ufseg._napari.parts import show_info, show_warning
from napari_ufseg._napari.result.class_panel import ClassPanel
from napari_ufseg._napari.result.confidence_panel import ConfidencePanel
from napari_ufseg._napari.result.history import NewData
from napari_ufseg._napari.result.result import Live, Result
from napari_ufseg._napari.result.time_panel import TimePanel
from napari_ufseg._napari.run.live_run import LiveRun
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import ImageError
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.engine.labels.edits import boxes_of, count_labels
from napari_ufseg.engine.labels.hierarchy import ClassHierarchy
from napari_ufseg.engine.labels.palette import shades_for, shades_of

if TYPE_CHECKING:
    from napari_ufseg.engine.training.results import Snapshot
    from napari_ufseg.engine.training.timeline import Keyframe

NO_CLASSES = "There are no classes to train on from: press Segment first."
_NO_SCRIBBLES = (
    "There are no scribbles to merge by: press New beside Scribbles, paint over the classes with one label for each "
    "thing that you mean, then press Merge by scribbles again."
)
_kept: "WeakKeyDictionary[Any, list[Result]]" = WeakKeyDictionary()  # of viewers whose dock is closed


class ResultController(QObject):
    """Keeps a `Result` for the layers of every run, and has one of them shown.

    When the dock is closed the results stay with the viewer, and a dock that is opened later has them again.

    Parameters
    ----------
    viewer : napari.Viewer
    run : LiveRun
    jobs : Jobs
    settings : Settings
    parent : QWidget

    Attributes
    ----------
    active : Result or None
        What all panels show and work on.
    panel : ClassPanel
    time : TimePanel
    confidence : ConfidencePanel
    scribbles : ScribbleChoice or None
        Where scribbles over the classes come from.
    opens_at : int or {"auto", "all"}
        The detail at which new results are shown; ``"auto"`` is the one that their tree suggests.

    Signals
    -------
    active_changed(Result or None)
        Another result is active, or the same one has another origin or lock.
    start_wanted(list of ImageRegion, dict)
        A run on these images with these arguments of `LiveRun.start`.
    """

    active_changed = Signal(object)
    start_wanted = Signal(object, object)

    def __init__(self, viewer: Any, run: LiveRun, jobs: Jobs, settings: Settings, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer, self._run, self._jobs = viewer, run, jobs
        self.active: Result | None = None
        self._results: list[Result] = []
        self._continued: Result | None = None  # its training goes on in its own layers
        self._suggested = 0  # detail of the last picture of a run, unless the user has moved it
        self._is_learning = False  # what is shown of it becomes its classes
        self.opens_at: int | str = "auto"
        self.panel = ClassPanel()
        self.time = TimePanel()
        self.confidence = ConfidencePanel(viewer, jobs, settings, parent)
        self.scribbles: ScribbleChoice | None = None
        run.updated.connect(self._on_updated)
        run.released.connect(self._on_released)
        run.state_changed.connect(self._on_state)
        self.time.keep_clicked.connect(self._on_keep)
        self.panel.told.connect(show_info)
        self.panel.scribbles_wanted.connect(self._on_scribbles_wanted)
        viewer.layers.selection.events.active.connect(self._follow_active_layer)
        viewer.layers.events.removed.connect(self._on_removed)
        self._take_up_kept()

    # -- what others ask for ----------------------------------------------------------------------

    def follow(self, application: ModelApplication) -> None:
        """Let the labels that a model makes be worked on as well."""
        application.made.connect(self._take_over)

    def show_now(self) -> None:
        """Let no layer show an earlier moment of its run, as before they are saved."""
        for result in self._results:
            result.show_keyframe(None)

    def hold(self, job: Job, layers: Sequence[Labels]) -> None:
        """Let nobody change these layers until a job that reads them has ended."""
        for result in self._results:
            if any(layer in result.layers for layer in layers):
                result.hold(job)

    def close(self) -> None:
        """Leave the results to the viewer, as when the dock is closed: nothing is lost, and nothing goes on."""
        self.show_now()
        for result in self._results:
            result.close()
            result.editor.began.disconnect(self._jobs.follow)
        self._activate(None)
        _kept[_itself(self._viewer)] = self._results
        self._results = []
        self._viewer.layers.selection.events.active.disconnect(self._follow_active_layer)
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    @property
    def why_not_train_on(self) -> str:
        """Why no training can go on from what is shown, in one sentence; empty if one can."""
        return NO_CLASSES if self.active is None else self.active.why_not_train_on

    def train_on(self, config: SegmentationConfig) -> None:
        """Ask for a run that goes on from what is shown.

        Parameters
        ----------
        config : SegmentationConfig
            Says how to train; network and input stay those of the model.
        """
        self.show_now()
        wanted = self.active.train_on() if self.active is not None and not self.active.is_locked else None
        if self.active is None or wanted is None:
            show_warning(NO_CLASSES)
            return
        model = wanted.origin.model
        self._is_learning = True
        self._go_on(self.active, wanted.origin, {"config": in_network_of(model.config, config), "train_on": wanted})

    def give_up(self) -> None:
        """Note that nothing has come of a run that was asked for."""
        if self._continued is not None:
            self._continued.locked_by = None
            self._continued = None

    def _go_on(self, result: Result, origin: Origin, plan: dict[str, Any]) -> None:
        result.keep_strokes()
        self._continued, result.locked_by = result, self._run  # what is painted from now on would be lost
        self.start_wanted.emit(origin.parts, {**plan, "into": result.layers})

    def _on_keep(self, result: Result, keyframe: "Keyframe") -> None:
        if result.timeline is not None and result.train_on() is not None and result.origin is not None:
            restored = RestoredKeyframe(result.timeline, keyframe)
            self._is_learning = False
            self._go_on(result, result.origin, {"config": result.timeline.config, "train_on": restored})

    def _on_scribbles_wanted(self) -> None:
        if self.active is None or self.scribbles is None:
            return
        origin = self.active.origin
        try:
            marks = self.scribbles.over(self.active.layers, origin.parts if origin is not None else None)
        except ImageError as error:
            show_warning(str(error))
        else:
            if marks is None:
                show_warning(_NO_SCRIBBLES)
            else:
                self.active.merge_by_scribbles(marks)

    # -- the run ----------------------------------------------------------------------------------

    def _on_updated(self, snapshot: "Snapshot") -> None:
        """Show the areas of what a run draws into its layers."""
        result = self._result_of_all([item.layer for item in self._run.layers if item.layer is not None])
        if result.locked_by is not self._run:
            result.locked_by = self._run
        areas: Counter[int] = Counter()
        for labels in snapshot.labels:
            for counts in count_labels(labels, boxes_of(labels, 2)):
                areas.update(counts)
        result.show_picture(self._live(result, snapshot), dict(sorted(areas.items())))
        self._activate(result)

    def _live(self, result: Result, snapshot: "Snapshot") -> Live:
        """What a picture shows: colours by the brightness in the first one, and the detail that is suggested until the user moves it."""
        last, tree, timeline = result.live, snapshot.hierarchy, self._run.timeline
        epochs = () if timeline is None else tuple(timeline.history[: snapshot.epoch])
        if last is None:
            classes = self._classes_before(result).shaded(shades_of(tree.brightness))
            self._suggested = detail = self._detail_of(tree)
            return Live(tree, classes, detail, epochs)
        if last.detail == self._suggested:
            self._suggested = detail = self._detail_of(tree)
        else:
            detail = min(last.detail, tree.n_classes)
        return Live(tree, last.classes, detail, epochs)

    def _classes_before(self, result: Result) -> ClassTable:
        """What is said about the classes that a run begins with; where it learns what is shown, that is all there is."""
        if self._continued is result and self._is_learning:
            return result.classes.shown(result.tree.shown_class(result.detail) if result.detail else {}).settled
        return result.classes.settled

    def _detail_of(self, tree: ClassHierarchy) -> int:
        """The detail at which a new result is shown; 0 without a tree."""
        if self.opens_at == "all" or (self._continued is not None and self._is_learning):
            return tree.n_classes
        if self._continued is not None:
            return min(self._continued.detail, tree.n_classes)
        wanted = tree.suggested if self.opens_at == "auto" else int(self.opens_at)
        return min(max(wanted, 1), tree.n_classes)

    def _on_state(self, state: JobState) -> None:
        self.time.allow(state.is_final)

    def _on_released(self, origin: Origin | None) -> None:
        self._take_over(self._run.layers, "run", origin, self._run.told)

    def _take_over(
        self, layers: Sequence[ResultLayer], title: str, origin: Origin | None = None, table: ClassTable | None = None
    ) -> None:
        """Let labels that have just been made be worked on; where they have replaced others, that can be undone.

        Parameters
        ----------
        layers : sequence of ResultLayer
            Those without a layer yet are left out.
        title : str
            What has made them.
        origin : Origin, optional
            How they came about.
        table : ClassTable, optional
            Names and the rest; those that the layers have stay without it.
        """
        made = [item for item in layers if item.layer is not None]
        if not made:
            self.give_up()
            return
        goes_on = self._continued is not None
        result = self._result_of_all([item.layer for item in made if item.layer is not None])
        before = [(item.layer, item.before) for item in made if item.layer is not None and item.before is not None]
        if before and not goes_on:
            result.history.clear()  # of what was in the layers before, napari has forgotten the strokes
        state = result.state
        if origin is not None or before:
            result.origin = origin
        self._open(result, origin, table)
        self._continued = None
        if before:
            result.history.record(NewData(title, before, (state, result.state)))
        result.regions = [item.part for item in made]
        if self._run.layers is layers and self._run.timeline is not None:
            result.timeline = self._run.timeline
        if not goes_on:
            result.doubts = []
        result.locked_by = None
        self._activate(result)
        result.recount()
        self._follow_active_layer()  # another one may have been selected in the meantime
        self.active_changed.emit(self.active)

    def _open(self, result: Result, origin: Origin | None, table: ClassTable | None) -> None:
        """Let the layers of a result, which hold all classes, show the detail that is due."""
        live = result.live
        tree = origin.model.hierarchy if origin is not None else live.tree if live is not None else ClassHierarchy()
        detail = self._detail_of(tree)
        if live is not None and live.detail != self._suggested:
            detail = min(live.detail, tree.n_classes)  # as the user has chosen on the way
        known = self._classes_before(result) if origin is not None else result.classes
        classes = table if table is not None else known
        background = result.tree.background_at(result.detail) if result.detail else None
        if self._continued is result and self._is_learning and background in tree.areas:
            tree = replace(tree, background=background)
        result.open_at(classes.shaded(self._shades(classes, live, tree)), tree, detail)

    def _shades(self, classes: ClassTable, live: Live | None, tree: ClassHierarchy) -> dict[int, str]:
        """Colours by brightness: those that the classes had, or had in the pictures of the run, if they are in order."""
        had = [classes.shades] if live is None or self._continued is not None else []
        return shades_for(tree.brightness, *had, *([] if live is None else [live.classes.shades]))

    # -- which result -----------------------------------------------------------------------------

    def result_of(self, layer: Any) -> Result | None:
        """The result that a layer shows: its own, or of an image the newest one; None if there is none."""
        if is_ours(layer):
            known = next((result for result in self._results if layer in result.layers), None)
            return known or self._new_result(self._group_of(layer))
        if not isinstance(layer, Image):
            return None
        own = [other for other in self._viewer.layers if is_ours(other) and belongs_to(other, layer)]
        results = [result for result in self._results if any(other in result.layers for other in own)]
        return results[-1] if results else self.result_of(own[-1]) if own else None

    def result_of_run(self) -> Result | None:
        """The result of the newest run; None if there is none any more."""
        layers = [item.layer for item in self._run.layers]
        return next((result for result in self._results if any(layer in layers for layer in result.layers)), None)

    def _group_of(self, layer: Labels) -> list[Labels]:
        """The layers that a run has made together, as their metadata say."""
        run = layer.metadata[METADATA_KEY].get(RUN)
        known = [other for result in self._results for other in result.layers]
        free = [other for other in self._viewer.layers if is_ours(other) and other not in known]
        group = [other for other in free if run and other.metadata[METADATA_KEY].get(RUN) == run]
        return group if layer in group else [layer]

    def _result_of_all(self, layers: Sequence[Labels]) -> Result:
        """The result of exactly these layers."""
        for result in self._results:
            if result.layers == list(layers):
                self._results.remove(result)
                self._results.append(result)  # the newest
                return result
        for result in [item for item in self._results if any(layer in item.layers for layer in layers)]:
            self._drop(result)
        return self._new_result(layers)

    def _new_result(self, layers: Sequence[Labels]) -> Result:
        result = Result(layers)
        self._results.append(result)
        result.editor.began.connect(self._jobs.follow)
        return result

    def _drop(self, result: Result) -> None:
        result.close()
        if self.active is result:
            self._activate(None)
        self._results.remove(result)
        result.deleteLater()

    def _take_up_kept(self) -> None:
        """Go on with the results of an earlier dock, as far as their layers are still there."""
        self._results = _kept.pop(_itself(self._viewer), [])
        for result in list(self._results):
            result.editor.began.connect(self._jobs.follow)
            for layer in [layer for layer in result.layers if layer not in self._viewer.layers]:
                self._leave(result, layer)
        newest = self.result_of(self._viewer.layers.selection.active)
        self._activate(newest or (self._results[-1] if self._results else None))

    def _activate(self, result: Result | None) -> None:
        """Let all panels show it."""
        if result is self.active:
            return
        if self.active is not None:
            self.active.changed.disconnect(self._on_changed)
        self.active = result
        if result is not None:
            result.changed.connect(self._on_changed)
        self.time.look_at(result)
        self.panel.look_at(result)
        self._on_changed()

    def _on_changed(self) -> None:
        self.confidence.look_at(self.active)
        self.active_changed.emit(self.active)

    def _follow_active_layer(self, _: Any = None) -> None:
        """Scribbles, points and the like leave what is shown as it is."""
        layer = self._viewer.layers.selection.active
        if self.active is not None and (self.active.locked_by is self._run or layer in self.active.layers):
            return
        if is_ours(layer) or (isinstance(layer, Image) and METADATA_KEY not in layer.metadata):
            self._activate(self.result_of(layer))

    def _on_removed(self, event: Any) -> None:
        for result in list(self._results):
            if event.value in result.layers:
                self._leave(result, event.value)

    def _leave(self, result: Result, layer: Labels) -> None:
        result.leave(layer)
        if not result.layers:
            self._drop(result)
            self._follow_active_layer()
        elif self.active is result:
            self.time.look_at(result)
            self._on_changed()


def _itself(viewer: Any) -> Any:
    """The viewer, of which each plugin gets a proxy of its own."""
    return getattr(viewer, "__wrapped__", viewer)
