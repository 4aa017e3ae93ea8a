"""Result: what one run has made, over all its Labels layers, with all that belongs to it and can be done to it."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from app_model.types import KeyCode, KeyMod
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_ufseg._napari.background import Job, JobState
from napari_ufseg._napari.layers.class_metadata import draw_classes, read_classes, write_table
from napari_ufseg._napari.layers.joined_classes import ClassesOf, all_classes, can_join, join, joined, show_all
from napari_ufseg._napari.layers.origin import Origin, TrainOn, without_image
from napari_ufseg._napari.result.history import ClassStep, History, State, Step, Stroke, finish
from napari_ufseg._napari.result.joint_edits import RegionSplit, ScribbleMerge, shown_labels
from napari_ufseg._napari.result.label_editor import LabelEditor
from napari_ufseg.engine.errors import counted
from napari_ufseg.engine.labels.class_table import BACKGROUND, ClassTable, groups_of
from napari_ufseg.engine.labels.edits import Change, Edit, Packed, absorbing, boxes_of, on_shown, renaming
from napari_ufseg.engine.labels.hierarchy import ClassHierarchy, merged_areas, relabel

if TYPE_CHECKING:
    from napari_ufseg._napari.layers.region import ImageRegion
    from napari_ufseg.engine.network.model import SegmentationModel
    from napari_ufseg.engine.training.results import EpochRecord
    from napari_ufseg.engine.training.timeline import Keyframe, Timeline

_KEYS = KeyMod.CtrlCmd | KeyCode.KeyZ, KeyMod.CtrlCmd | KeyMod.Shift | KeyCode.KeyZ  # undo and redo, as in napari
_JOINED = 2**24  # pixels; of more in one layer the colours join classes, as on a disk
_MILLISECONDS = 150  # after the last stroke, until areas are counted anew


@dataclass(frozen=True)
class Live:
    """What the picture of a run shows.

    Parameters
    ----------
    tree : ClassHierarchy
        Of its classes.
    classes : ClassTable
        What is said about them.
    detail : int
        How many are shown.
    epochs : sequence of EpochRecord
        Of the run so far.
    """

    tree: ClassHierarchy
    classes: ClassTable
    detail: int
    epochs: "Sequence[EpochRecord]" = ()


class Result(QObject):
    """What one run, or one application of a model, has made: its layers, classes, areas, origin, history and timeline.

    Every change is one step of `history`, together with the brush strokes in
    these layers, whose undo keys are bound to it. It belongs to its layers and not to the dock, which may be closed.

    Parameters
    ----------
    layers : sequence of napari.layers.Labels
        Not multiscale.

    Attributes
    ----------
    regions : list of ImageRegion
        What of which image each layer shows; empty if nobody knows, as after labels were read from a file.
    classes : ClassTable
        Names, colours and the rest, of every class and of those that are shown as one.
    tree : ClassHierarchy
        Of the classes as they are now; empty if nobody knows, as after labels were read from a file.
    detail : int
        How many classes of the tree are shown; 0 without one.
    live : Live or None
        What the picture shows that a run has just drawn; colours alone join classes then.
    draws_background : bool
        Whether the background is drawn too.
    origin : Origin or None
        How the labels came about.
    areas : dict of int to int
        Pixels of every label, over all layers, as they were counted last.
    history : History
    timeline : Timeline or None
        What the run has shown on its way.
    keyframe : Keyframe or None
        The one of them that the layers show at the moment; None for now.
    doubts : list of (Image, ImageRegion, int, UncertainRegion)
        Where the network is least sure, the worst first; empty before it was measured.
    editor : LabelEditor
        What is being done to the labels.

    Signals
    -------
    changed()
        Labels, areas, table or lock have.
    told(str)
        What has come of an action, or why there was none, for the user.
    """

    changed = Signal()
    told = Signal(str)

    def __init__(self, layers: Sequence[Labels]) -> None:
        super().__init__()
        self.layers = list(layers)
        self.regions: list[ImageRegion] = []
        self.classes = read_classes(self.layers[0])
        self.tree, self.detail, self.draws_background = ClassHierarchy(), 0, False
        self.live: Live | None = None
        self._class_areas: dict[int, int] = {}
        self._selected = {id(layer): int(layer.selected_label) for layer in self.layers}
        self.areas: dict[int, int] = {}
        self.origin: Origin | None = None
        self.history = History(self)
        self.timeline: Timeline | None = None
        self.keyframe: Keyframe | None = None
        self.doubts: list[tuple[Any, ImageRegion, int, Any]] = []
        self._state_of_now = self.state  # as it was when an earlier moment was shown
        self._now: dict[tuple[int, Any], Packed] = {}  # what the layers held where a keyframe is shown
        self._locked_by: object = None
        self._modes: dict[int, str] = {}  # of the layers, before they were locked
        self._held_by: Job | None = None
        self.editor = LabelEditor(self.layers, self)
        self.editor.counted.connect(self._on_counted)
        self.editor.ended.connect(self.recount)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_MILLISECONDS)
        self._timer.timeout.connect(self.recount)
        for layer in self.layers:
            layer.events.paint.connect(self._on_stroke)
            layer.events.mode.connect(self._keep_from_painting)
            layer.events.set_data.connect(self._note_drawing)
            layer.events.selected_label.connect(self._keep_from_hidden)
            for keys, action in zip(_KEYS, (self.undo, self.redo), strict=True):
                layer.bind_key(keys, lambda _, action=action: action(), overwrite=True)
        self.recount()

    # -- the lock ---------------------------------------------------------------------------------

    @property
    def locked_by(self) -> object:
        """The job that writes into the layers, or the keyframe that they show instead; None if the user may edit.

        An edit in a thread, or a job that reads the labels, is no lock of this kind: painting is then kept from by the
        mode of the layers, since napari forgets all strokes of a layer that is not editable.
        """
        return self._locked_by

    @locked_by.setter
    def locked_by(self, what: object) -> None:
        if what is not None and self._locked_by is None:
            self._modes = {id(layer): str(layer.mode) for layer in self.layers}
        self._locked_by = what
        for layer in self.layers:
            layer.editable = what is None
            if what is None and str(layer.mode) == "pan_zoom":
                layer.mode = self._modes.pop(id(layer), "pan_zoom")  # the brush is where it was
        self.changed.emit()

    @property
    def is_locked(self) -> bool:
        """Whether the user must not change anything now."""
        return self._locked_by is not None or self._is_held

    @property
    def _is_held(self) -> bool:
        return self.editor.is_busy or self._held_by is not None

    def hold(self, job: Job) -> None:
        """Let nobody change the labels until a job that reads them has ended."""
        self._held_by = job
        job.state_changed.connect(self._on_reader)
        for layer in self.layers:
            layer.mode = "pan_zoom"
        self.changed.emit()

    def _on_reader(self, state: JobState) -> None:
        if state.is_final:
            self._held_by = None
            self.changed.emit()

    def _keep_from_painting(self, event: Any) -> None:
        if self._is_held and event.source.mode != "pan_zoom":
            event.source.mode = "pan_zoom"

    @property
    def why_locked(self) -> str:
        """Why nothing may be changed now, and what to do, in one sentence; empty if it may."""
        if self.keyframe is not None:
            return "An earlier epoch is shown: press Back to now first."
        if self._is_held:
            doing = "changed" if self.editor.is_busy else "saved"
            return f"The classes are being {doing}: wait until that is done."
        return "A run draws these classes: wait until it has ended, or press Stop." if self.is_locked else ""

    def _refuses(self) -> bool:
        """Whether nothing may be changed now; says why."""
        if self.is_locked:
            self.told.emit(self.why_locked)
        return self.is_locked

    @property
    def state(self) -> State:
        """What belongs to the labels beyond their pixels."""
        return State(self.classes, self.origin, self.tree, self.detail, self.draws_background)

    @state.setter
    def state(self, state: State) -> None:
        self.classes, self.origin = state.classes, state.origin
        self.tree, self.detail, self.draws_background = state.tree, state.detail, state.draws_background

    @property
    def model_as_shown(self) -> "SegmentationModel | None":
        """The model with the merges, names and colours of the user, so that other images get the same classes.

        It has all classes; the detail that its tree suggests is the one that is shown.
        """
        if self.origin is None:
            return None
        merged = self.origin.model.merged(self.classes.label_of)
        tree = replace(self.tree, suggested=self.detail or self.tree.suggested)
        return replace(merged, classes=self.classes.of_labels(set(merged.class_labels)), hierarchy=tree)

    # -- detail -----------------------------------------------------------------------------------

    @property
    def shown_tree(self) -> ClassHierarchy:
        """The tree of what the layers show: of now, of an earlier moment, or of the picture of a run."""
        if self.live is not None:
            return self.live.tree
        return self.tree if self.keyframe is None else self.keyframe.hierarchy

    @property
    def shown_detail(self) -> int:
        """How many classes of the tree the layers show; 0 without one."""
        return self.detail if self.live is None else self.live.detail

    @property
    def details(self) -> range:
        """Those that can be shown; empty without a tree."""
        tree = self.shown_tree
        least = 1 if tree.background is None else 2  # where the user has made it 0
        return range(min(least, tree.n_classes), tree.n_classes + 1) if tree.n_classes else range(0)

    @property
    def shown_class(self) -> dict[int, int]:
        """What every class is shown as."""
        tree, detail = self.shown_tree, self.shown_detail
        return tree.shown_class(detail) if tree.n_classes and detail else {}

    @property
    def background(self) -> int | None:
        """The class, as it is shown, that is transparent; None if there is none."""
        detail = self.shown_detail
        return self.shown_tree.background_at(detail) if detail else None

    @property
    def table(self) -> ClassTable:
        """Names, colours and the rest of the classes that are shown."""
        classes = self.classes if self.live is None else self.live.classes
        table, background = classes.shown(self.shown_class), self.background
        if background is None or self.draws_background:
            return table
        return table.changed(background, is_visible=False)

    def members(self, label: int) -> tuple[int, ...]:
        """The classes that are shown under a label."""
        return groups_of(self.shown_class).get(label, ())

    def joined_by_colour(self, layer: Labels) -> dict[int, int]:
        """What the colours of a layer show its classes as; empty where its data are what is shown."""
        if not self._draws_other and joined(layer) is not None:
            return {}
        return {one: shown for one, shown in self.shown_class.items() if one != shown}

    @property
    def _draws_other(self) -> bool:
        """Whether the layers hold for the moment all classes of something else than what is theirs."""
        return self.live is not None or self.keyframe is not None

    def show_detail(self, detail: int) -> None:
        """Show so many classes, as one step of the history with the moves just before; a run or an earlier moment only changes colours."""
        if not self.details:
            return
        detail = min(max(detail, self.details.start), self.details.stop - 1)
        if detail == self.shown_detail:
            return
        if self.live is not None:
            self.show_picture(replace(self.live, detail=detail), self._class_areas)
            return
        if self.keyframe is not None:
            self.detail = detail
            self._show_areas()
            self._show_table()
            return
        if self._refuses():
            self.changed.emit()  # the slider goes back
            return
        before, changes = self.state, self._take_strokes()
        was_painted = not all(change.is_empty for _, change in changes)
        self.detail = detail
        last = self.history.last
        if isinstance(last, DetailStep) and not was_painted:
            last.goes_to(self.state)
            if last.is_empty:
                self.history.drop_last()
        else:
            self.history.record(DetailStep(changes, (before, self.state)))
        self._draw_detail()
        if was_painted:
            self.recount()

    def turn_background(self) -> None:
        """Let the other side be the background, where dark things were taken for what bright ones lie on, or the other way round."""
        self._say_of_tree("bright and dark turned round", self.tree.turned)

    def choose_background(self, label: int) -> None:
        """Let a shown class be the background, which is transparent and keeps its number."""
        if label in self.tree.areas:
            self._say_of_tree("another background", replace(self.tree, background=label))

    def _say_of_tree(self, words: str, tree: ClassHierarchy) -> None:
        if tree != self.tree and not self._refuses():
            before, self.tree = self.state, tree
            self._record(words, before)

    def _take_strokes(self) -> list[tuple[Any, Change]]:
        """Let what was painted be among all classes; gives what these held before."""
        return [
            (ClassesOf(layer), hidden.take_strokes()) for layer in self.layers if (hidden := joined(layer)) is not None
        ]

    def _draw_detail(self) -> None:
        """Let the layers show each class as the detail says, and draw them."""
        shown = self.shown_class
        has_all = all(one == other for one, other in shown.items())
        for layer in self.layers:
            if has_all:
                show_all(layer)
            elif can_join(layer, _JOINED):
                join(layer).show(shown)
            label = int(layer.selected_label)
            if shown.get(label, label) != label:  # the brush paints what is shown
                layer.selected_label = shown[label]
        self._show_areas()
        self._show_table()
        self._redraw()

    def _redraw(self) -> None:
        for layer in self.layers:
            layer.refresh(extent=False, thumbnail=False, highlight=False)
            if (hidden := joined(layer)) is not None:
                hidden.may_be_painted = False

    def of_all_classes(self, label_of: Mapping[int, int]) -> dict[int, int]:
        """What happens to all classes where this happens to those that are shown.

        A class that changes, or that others become, is one class from then on. A hidden class whose number is taken gets
        another one.
        """
        shown = self.shown_class
        changed = {old: new for old, new in label_of.items() if old != new}
        touched = set(changed) | set(changed.values())
        found = {old: new for old, new in changed.items() if old not in shown}
        found |= {one: label_of.get(name, name) for one, name in shown.items() if name in touched}
        taken = {*shown, *label_of, *changed.values(), *self.classes, *self._class_areas}
        for one, name in shown.items():
            if one in changed.values() and one not in found and one != name:
                found[one] = next(number for number in count(1) if number not in taken)
                taken.add(found[one])
        return found

    # -- what a user can do -----------------------------------------------------------------------

    def merge(self, labels: Sequence[int]) -> int | None:
        """Make one class of several: the largest of those that have a name, or else of all; gives its label, if there is one."""
        there = [label for label in labels if label in self.areas]
        if len(there) < 2:
            return None
        into = max(there, key=lambda label: (bool(self.table[label].name), self.areas[label]))
        gone = [label for label in there if label != into]
        self._rename(f"merge of {counted(len(there), 'class')}", dict.fromkeys(gone, into))
        return into

    def make_background(self, labels: Sequence[int]) -> None:
        """Give the pixels of these classes the label 0."""
        there = [label for label in labels if label in self.areas and label != BACKGROUND]
        if there:
            words = f"{counted(len(there), 'class')} to background"
            self._rename(words, dict.fromkeys(there, BACKGROUND))

    def absorb(self, min_size: int) -> None:
        """Give regions under so many pixels to their neighbours."""
        words = f"specks under {counted(min_size, 'pixel')}"

        def edit_of(layer: Labels) -> tuple[Edit, *tuple[Any, ...]]:
            return (on_shown(self.joined_by_colour(layer), absorbing(min_size, _lead(layer))),)

        self._edit(words, edit_of, whole_items=True)

    def split(self, labels: Sequence[int]) -> None:
        """Make every connected region of these classes a class of its own."""
        there = [label for label in labels if label in self.areas and label != BACKGROUND]
        if not there:
            return
        known = {*self.classes, *self.tree.areas}
        split = RegionSplit(there, self.layers, known, self.joined_by_colour)

        def state() -> State:
            named = self.table.split(split.parents)
            return replace(self.state, classes=self.classes.taking(named, split.parents))

        self._edit(f"split of {counted(len(there), 'class')}", split.edit_of, whole_items=True, state=state)

    def merge_by_scribbles(self, scribbles: Sequence[Any]) -> None:
        """Give each class the label that was painted most on it, and each scribble its own.

        Parameters
        ----------
        scribbles : sequence of integer arrays
            One per layer, of its shape; 0 where nothing is painted.
        """
        named = [info.label for info in self.table.values() if info.name]
        merge = ScribbleMerge(self.layers, scribbles, self.areas, named, self.joined_by_colour)

        def state() -> State:
            merged = self._merged(merge.label_of)
            return replace(merged, origin=merge.noted(self.origin))

        def tell(is_new: bool) -> None:
            self.told.emit(merge.summary if is_new else "The classes are as the scribbles say already.")

        def edit_of(layer: Labels) -> tuple[Edit, Any]:
            return merge.edit_of(layer, self.of_all_classes)

        def of_all(labels: Any) -> Any:
            return relabel(labels, self.of_all_classes(merge.label_of))

        self._edit("merge by scribbles", edit_of, of_all_classes=of_all, state=state, then=tell)

    def rename(self, label: int, name: str) -> None:
        """Call a class something; an empty name takes it away."""
        if name.strip() not in (self.table[label].name, self.table[label].title) and not self._refuses():
            self._say("name of a class", label, name=name.strip())

    def recolour(self, label: int, colour: str) -> None:
        """Give a class another colour, ``"#rrggbb"``; empty for the one that it has by itself."""
        if not self._refuses():
            self._say("colour of a class", label, colour=colour)

    def set_visible(self, label: int, visible: bool) -> None:
        """Draw a class, or not; the background is not, unless it is asked for."""
        if self._refuses():
            return
        if label == self.background:
            before, self.draws_background = self.state, visible
            self._record("visibility of the background", before)
        else:
            self._say("visibility of a class", label, is_visible=visible)

    @property
    def why_not_train_on(self) -> str:
        """Why no training can go on from here, and what to do, in one sentence; empty if one can."""
        if self.why_locked:
            return self.why_locked
        if self.origin is None:
            return "No network is known that made these labels: press Segment, or load a model and apply it."
        return (
            ""
            if self._fits(self.origin.parts)
            else "The layers hold other labels than the network made: press Segment."
        )

    def _fits(self, parts: Sequence["ImageRegion"]) -> bool:
        """Whether the layers have the shapes of the labels of these parts of images."""
        return [tuple(layer.data.shape) for layer in self.layers] == [part.labels_shape for part in parts]

    def train_on(self) -> TrainOn | None:
        """What a training needs to go on from here; None if nobody knows how the labels came about."""
        if self.origin is None or not self._fits(self.origin.parts):
            return None
        labels = [
            shown_labels(part.target(layer.data), self.joined_by_colour(layer))
            for part, layer in zip(self.origin.parts, self.layers, strict=True)
        ]
        return TrainOn(self.origin, labels, self.classes.parents)

    def keep_strokes(self) -> None:
        """Remember what was painted without napari, stroke by stroke, since it is about to forget its own.

        Where labels are on a disk, or very large, strokes are forgotten too, with all that came before them.
        """
        steps = self.history.since_first_stroke
        if any(not can_join(layer, _JOINED) for layer in self.layers):
            self.history.forget_strokes()
            return
        own: list[Step] = []
        for step in reversed(steps):
            painted = [layer.data.copy() for layer in self.layers] if isinstance(step, Stroke) else []
            finish(step.undo())
            if isinstance(step, Stroke):
                own.append(self._step_between(step.title, painted))
            else:
                self._stand_at(step, back=True)
                own.append(step)
        for step in reversed(own):
            finish(step.redo())
            self._stand_at(step, back=False)
        self.history.replace(steps, own[::-1])

    def _step_between(self, words: str, after: Sequence[Any]) -> ClassStep:
        """The step, not done yet, from what the data of the layers are to what they were after it."""
        changes = []
        for layer, later in zip(self.layers, after, strict=True):
            change = Change()
            change.note(later, boxes_of(later, min(2, layer.ndim)), layer.data)
            changes.append((layer, change))
        return ClassStep(words, changes, None)

    def undo(self) -> None:
        """Take the last step back, whatever it was."""
        step = self.history.last
        if step is not None and not self._refuses():
            self.editor.do(
                f"Undoing: {step.title}", step.undo, lambda: self._moved(step, back=True), is_slow=step.is_slow
            )

    def redo(self) -> None:
        """Do the step again that was taken back last."""
        step = self.history.next
        if step is not None and not self._refuses():
            self.editor.do(
                f"Redoing: {step.title}", step.redo, lambda: self._moved(step, back=False), is_slow=step.is_slow
            )

    def leave(self, layer: Labels) -> None:
        """Let a layer go that has left the viewer; what was done to it can no longer be undone.

        A training goes on from the others alone.
        """
        self.show_keyframe(None)
        self.editor.close()  # an edit of all layers is given up
        number = self.layers.index(layer)
        self.layers.remove(layer)
        if self.regions:
            del self.regions[number]
        self.timeline = None if self.timeline is None else self.timeline.without(number)
        self.doubts = [doubt for doubt in self.doubts if any(doubt[1] is region for region in self.regions)]
        narrow = without_image(number, len(self.layers) + 1)
        self.origin = narrow(self.origin)
        self.history.change_origins(narrow)
        layer.events.paint.disconnect(self._on_stroke)
        layer.events.mode.disconnect(self._keep_from_painting)
        layer.events.set_data.disconnect(self._note_drawing)
        layer.events.selected_label.disconnect(self._keep_from_hidden)
        for keys in _KEYS:
            layer.bind_key(keys, None)
        if self.layers:
            self.recount()

    def close(self) -> None:
        """Bring back what the layers hold now, and wait until no thread touches the labels any more."""
        self.show_keyframe(None)
        self.editor.close()

    # -- what the run has shown -------------------------------------------------------------------

    @property
    def epochs(self) -> "Sequence[EpochRecord]":
        """Those of the run that has made the labels, or draws them; empty where nobody knows, as after labels were read from a file."""
        if self.live is not None and self.live.epochs:
            return self.live.epochs
        return self.timeline.history if self.timeline is not None else ()

    @property
    def epoch_of_now(self) -> int:
        """The epoch that the labels began with, whatever was done to them since; 0 if nobody knows."""
        known = self.origin.epoch if self.origin is not None and self.live is None else 0
        return known or len(self.epochs)

    @property
    def shown_epoch(self) -> int:
        """The epoch whose labels the layers show; 0 if nobody knows."""
        return self.epoch_of_now if self.keyframe is None else self.keyframe.epoch

    def show_keyframe(self, keyframe: "Keyframe | None") -> None:
        """Show what the run has shown at an epoch, or with None what the layers hold now, which comes back untouched."""
        if keyframe is self.keyframe or (keyframe is not None and self.keyframe is None and self.is_locked):
            return
        if keyframe is not None and not self._fits(self.regions):
            self.told.emit("The layers hold other labels by now: there is no earlier moment of them to show.")
            return
        if self.keyframe is None:
            self.keep_strokes()
            self._state_of_now = self.state
        for key, packed in self._now.items():  # keyframes may hold different parts
            self._put(*key, packed.array())
        self.keyframe = keyframe
        if keyframe is None:
            self._now.clear()
        else:
            for number, index, packed in keyframe.labels:
                self._show(number, index, packed.array())
        self.locked_by = keyframe
        if keyframe is None and self.detail != self._state_of_now.detail:
            self._note_painting()
            self.history.record(DetailStep(self._take_strokes(), (self._state_of_now, self.state)))
            self._draw_detail()
        else:
            self._redraw()
        self.recount()

    def _show(self, number: int, index: Any, labels: Any) -> None:
        key = number, tuple((part.start, part.stop) if isinstance(part, slice) else part for part in index)
        if key not in self._now:
            self._now[key] = Packed(np.asarray(self._target(number)[index]))
        self._put(*key, labels)

    def _put(self, number: int, where: Any, labels: Any) -> None:
        index = tuple(slice(*bounds) if isinstance(bounds, tuple) else bounds for bounds in where)
        self._target(number)[index] = labels

    def _target(self, number: int) -> Any:
        return self.regions[number].target(self.layers[number].data)

    # -- how it is done ---------------------------------------------------------------------------

    def open_at(self, classes: ClassTable, tree: ClassHierarchy, detail: int) -> None:
        """Let the layers, which hold all classes, show so many of them, without a step in the history.

        Parameters
        ----------
        classes : ClassTable
            What is said about the classes.
        tree : ClassHierarchy
        detail : int
            0 without a tree.
        """
        self.classes, self.tree, self.detail, self.live = classes, tree, detail, None
        self._class_areas = {}
        if tree.n_classes:
            self._draw_detail()
            self._take_up_things()
        else:
            self._show_table()

    def _take_up_things(self, gone: Iterable[int] = ()) -> None:
        """Let a brush that would paint the background, a hidden class or one that is gone paint the largest of the things."""
        shown, background = self.shown_class, self.background
        areas = merged_areas(self.tree.areas, shown)
        things = [label for label in areas if label != background]
        for layer in self.layers if things else ():
            label = int(layer.selected_label)
            if label in (background, *gone) or shown.get(label, label) != label:
                layer.selected_label = max(things, key=areas.__getitem__)

    def show_picture(self, live: "Live", areas: dict[int, int]) -> None:
        """Take note of what a run has drawn, with the pixels of every class: its layers hold all of them, and colours join them."""
        self.live, self._class_areas = live, areas
        self._show_areas()
        table = self.table
        for layer in self.layers:
            draw_classes(layer, table, self.areas, self.joined_by_colour(layer))
        self.changed.emit()

    def recount(self) -> None:
        """Count the pixels of every class."""
        self.editor.count((lambda layer: layer.data) if self._draws_other else all_classes)

    def _on_counted(self, areas: dict[int, int]) -> None:
        self._class_areas = areas
        self._show_areas()
        self._show_table()

    def _show_areas(self) -> None:
        """Add up what is counted of all classes."""
        self.areas = dict(sorted(merged_areas(self._class_areas, self.shown_class).items()))

    def _rename(self, words: str, label_of: dict[int, int]) -> None:
        all_of, gone = self.of_all_classes(label_of), {old for old, new in label_of.items() if new == BACKGROUND}

        def edit_of(layer: Labels) -> tuple[Edit, *tuple[Any, ...]]:
            return (renaming(all_of if self.joined_by_colour(layer) else label_of),)

        def then(_: bool) -> None:
            self._take_up_things(gone)

        self._edit(words, edit_of, of_all_classes=renaming(all_of), state=lambda: self._merged(label_of), then=then)

    def _merged(self, label_of: Mapping[int, int]) -> State:
        """What holds after shown classes have become others."""
        all_of = self.of_all_classes(label_of)
        named = self.table.merged(label_of)
        into = {new for old, new in label_of.items() if old != new}
        classes = self.classes.merged(all_of).taking(named, into - {BACKGROUND})
        detail = self.tree.detail_after(all_of, self.detail) if self.tree.n_classes else 0
        return replace(self.state, classes=classes, tree=self.tree.merged(all_of), detail=detail)

    def _edit(
        self,
        words: str,
        edit_of: Callable[[Labels], tuple[Edit, *tuple[Any, ...]]],
        *,
        whole_items: bool = False,
        of_all_classes: Edit | None = None,
        state: Callable[[], State] | None = None,
        then: Callable[[bool], None] = lambda is_new: None,
    ) -> None:
        """Edit all layers as one step; what holds then is asked for when that is done, and `then` learns if it is a change."""
        if self._refuses():
            return
        self._timer.stop()  # areas are counted anew when it is done

        def done(changes: list[tuple[Any, Change]]) -> None:
            before, after = self.state, state() if state is not None else self.state
            self.state = after
            self._note_detail()
            step = ClassStep(words, changes, (before, after))
            if not step.is_empty:
                self.history.record(step)
            then(not step.is_empty)

        self.editor.edit(words, edit_of, done, whole_items=whole_items, of_all_classes=of_all_classes)

    def _note_detail(self) -> None:
        """Note what the data of the layers show by now; they may hold strokes."""
        for layer in self.layers:
            if (hidden := joined(layer)) is not None:
                hidden.shown_class, hidden.may_be_painted = self.shown_class, True

    def _moved(self, step: Step, *, back: bool) -> None:
        self._stand_at(step, back=back)
        (self.history.move_back if back else self.history.move_forth)(step)

    def _stand_at(self, step: Step, *, back: bool) -> None:
        """Let hold, and be drawn, what holds before or after a step that has just been taken back, or done again."""
        if step.states is not None:
            self.state = step.states[0 if back else 1]
        if isinstance(step, DetailStep) and back:
            self._draw_detail()
            step.swap_strokes()  # they stay in what is shown
            self._note_detail()
        elif isinstance(step, DetailStep):
            step.swap_strokes()
            self._draw_detail()
        elif step.is_of_all_classes:
            self._draw_detail()
        else:
            self._note_detail()

    def _say(self, words: str, label: int, **what: Any) -> None:
        """Change what is said about a shown class, as one step."""
        before, self.classes = self.state, self.classes.changed(label, self.members(label), **what)
        self._record(words, before)

    def _record(self, words: str, before: State) -> None:
        """Note a step that has changed no pixel."""
        self.history.record(ClassStep(words, [], (before, self.state)))
        self._show_table()

    def _show_table(self) -> None:
        table, background = self.table, self.background
        for layer in self.layers:
            write_table(layer, self.classes, table, self.areas, self.joined_by_colour(layer), background)
        self.changed.emit()

    def _on_stroke(self, event: Any) -> None:
        self.history.record(Stroke(event.source))
        self._note_drawing(event)
        self._timer.start()

    def _note_drawing(self, event: Any) -> None:
        if self.keyframe is None and (hidden := joined(event.source)) is not None:
            hidden.may_be_painted = True

    def _note_painting(self) -> None:
        for layer in self.layers:
            if (hidden := joined(layer)) is not None:
                hidden.may_be_painted = True

    def _keep_from_hidden(self, event: Any) -> None:
        """Let the brush pass over the number of a class that is shown under another one, up or down as it was changed."""
        layer, shown = event.source, self.shown_class
        label, before = layer.selected_label, self._selected.get(id(layer), 0)
        if label == before:  # it has become a hidden one
            label = shown.get(label, label)
        step = 1 if label > before else -1
        while label > 0 and shown.get(label, label) != label:
            label += step
        self._selected[id(layer)] = label
        if label != layer.selected_label:
            layer.selected_label = label


class DetailStep(ClassStep):
    """Moves of the detail slider, one after the other; strokes that were there before are among all classes after it."""

    def __init__(self, changes: Sequence[tuple[Any, Change]], states: tuple[State, State]) -> None:
        super().__init__("", changes, states, is_of_all_classes=True, is_slow=False)
        self.goes_to(states[1])

    def undo(self) -> Generator[float]:
        """Nothing yet: the result draws the other detail, and calls `swap_strokes`."""
        yield 1.0

    redo = undo

    def swap_strokes(self) -> None:
        """Take the strokes out of all classes, or put them back."""
        finish(super().undo())

    def goes_to(self, state: State) -> None:
        """End with another detail."""
        assert self.states is not None
        self.states = self.states[0], state
        self.title = f"detail {self.states[0].detail} to {state.detail}"


def _lead(layer: Labels) -> int:
    """Axes before those of what is an image of its own."""
    return int(layer.data.ndim - layer.n_edit_dimensions)
