"""Result: what one run has made, over all its Labels layers, with all that belongs to it and can be done to it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from app_model.types import KeyCode, KeyMod
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_ufseg._napari.background import Job, JobState
from napari_ufseg._napari.layers.class_metadata import read_table, write_table
from napari_ufseg._napari.layers.origin import Origin, TrainOn, without_image
from napari_ufseg._napari.result.history import ClassStep, History, State, Step, Stroke
from napari_ufseg._napari.result.joint_edits import RegionSplit, ScribbleMerge
from napari_ufseg._napari.result.label_editor import LabelEditor
from napari_ufseg.engine.errors import counted
from napari_ufseg.engine.labels.class_table import BACKGROUND, ClassTable
from napari_ufseg.engine.labels.edits import Change, Edit, Packed, absorbing, boxes_of, renaming

if TYPE_CHECKING:
    from napari_ufseg._napari.layers.region import ImageRegion
    from napari_ufseg.engine.network.model import SegmentationModel
    from napari_ufseg.engine.training.timeline import Keyframe, Timeline

_KEYS = KeyMod.CtrlCmd | KeyCode.KeyZ, KeyMod.CtrlCmd | KeyMod.Shift | KeyCode.KeyZ  # undo and redo, as in napari
_MILLISECONDS = 150  # after the last stroke, until areas are counted anew


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
    table : ClassTable
        Names, colours and the rest.
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
        self.table = read_table(self.layers[0])
        self.areas: dict[int, int] = {}
        self.origin: Origin | None = None
        self.history = History(self)
        self.timeline: Timeline | None = None
        self.keyframe: Keyframe | None = None
        self.doubts: list[tuple[Any, ImageRegion, int, Any]] = []
        self._now: dict[tuple[int, Any], Packed] = {}  # what the layers held where a keyframe is shown
        self._locked_by: object = None
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
        self._locked_by = what
        for layer in self.layers:
            layer.editable = what is None
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

    def _refuses(self) -> bool:
        """Whether nothing may be changed now; says why."""
        if self.keyframe is not None:
            self.told.emit("An earlier moment of the run is shown: move the slider to its right end first.")
        elif self._is_held:
            doing = "changed" if self.editor.is_busy else "saved"
            self.told.emit(f"The classes are being {doing}: wait until that is done.")
        return self.is_locked

    @property
    def state(self) -> State:
        """What belongs to the labels beyond their pixels."""
        return State(self.table, self.origin)

    @property
    def model_as_shown(self) -> "SegmentationModel | None":
        """The model with the merges, names and colours of the user, so that other images get the same classes."""
        if self.origin is None:
            return None
        merged = self.origin.model.merged(self.table.label_of)
        return replace(merged, classes=self.table.of_labels(set(merged.class_labels)))

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
        self._edit(words, lambda layer: (absorbing(min_size, _lead(layer)),), whole_items=True)

    def split(self, labels: Sequence[int]) -> None:
        """Make every connected region of these classes a class of its own."""
        there = [label for label in labels if label in self.areas and label != BACKGROUND]
        if not there:
            return
        split = RegionSplit(there, self.layers, self.table)

        def state() -> State:
            return State(self.table.split(split.parents), self.origin)

        self._edit(f"split of {counted(len(there), 'class')}", split.edit_of, whole_items=True, state=state)

    def merge_by_scribbles(self, scribbles: Sequence[Any]) -> None:
        """Give each class the label that was painted most on it, and each scribble its own.

        Parameters
        ----------
        scribbles : sequence of integer arrays
            One per layer, of its shape; 0 where nothing is painted.
        """
        named = [info.label for info in self.table.values() if info.name]
        merge = ScribbleMerge(self.layers, scribbles, self.areas, named)

        def state() -> State:
            return State(self.table.merged(merge.label_of), merge.noted(self.origin))

        def tell(is_new: bool) -> None:
            self.told.emit(merge.summary if is_new else "The classes are as the scribbles say already.")

        self._edit("merge by scribbles", merge.edit_of, state=state, then=tell)

    def rename(self, label: int, name: str) -> None:
        """Call a class something; an empty name takes it away."""
        if name.strip() not in (self.table[label].name, self.table[label].title) and not self._refuses():
            self._say("name of a class", self.table.changed(label, name=name.strip()))

    def recolour(self, label: int, colour: str) -> None:
        """Give a class another colour, ``"#rrggbb"``; empty for the one of its label."""
        if not self._refuses():
            self._say("colour of a class", self.table.changed(label, colour=colour))

    def set_visible(self, label: int, visible: bool) -> None:
        """Draw a class, or not."""
        if not self._refuses():
            self._say("visibility of a class", self.table.changed(label, is_visible=visible))

    def train_on(self) -> TrainOn | None:
        """What a training needs to go on from here; None if nobody knows how the labels came about."""
        shapes = [part.labels_shape for part in self.origin.parts] if self.origin is not None else []
        if self.origin is None or [tuple(layer.data.shape) for layer in self.layers] != shapes:
            return None
        labels = [part.target(layer.data) for part, layer in zip(self.origin.parts, self.layers, strict=True)]
        return TrainOn(self.origin, labels, self.table.parents)

    def make_one_step(self) -> None:
        """Let all that was done since the labels were made be one step, since napari is about to forget its strokes."""
        if self.origin is None or any(packed is None for packed in self.origin.made):
            self.history.forget_strokes()
            return
        changes = []
        for layer, packed in zip(self.layers, self.origin.made, strict=True):
            assert packed is not None
            change, made = Change(), packed.array()
            change.note(made, boxes_of(made, min(2, made.ndim)), layer.data)
            changes.append((layer, change))
        self.history.make_one("your corrections", changes, self.state)

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
        for keys in _KEYS:
            layer.bind_key(keys, None)
        if self.layers:
            self.recount()

    def close(self) -> None:
        """Bring back what the layers hold now, and wait until no thread touches the labels any more."""
        self.show_keyframe(None)
        self.editor.close()

    # -- what the run has shown -------------------------------------------------------------------

    def show_keyframe(self, keyframe: "Keyframe | None") -> None:
        """Show what the run has shown at an epoch, or with None what the layers hold now, which comes back untouched."""
        if keyframe is self.keyframe or (keyframe is not None and self.keyframe is None and self.is_locked):
            return
        shapes = [region.labels_shape for region in self.regions]
        if keyframe is not None and [tuple(layer.data.shape) for layer in self.layers] != shapes:
            self.told.emit("The layers hold other labels by now: there is no earlier moment of them to show.")
            return
        if self.keyframe is None:
            self.make_one_step()
        for key, packed in self._now.items():  # keyframes may hold different parts
            self._put(*key, packed.array())
        self.keyframe = keyframe
        if keyframe is None:
            self._now.clear()
        else:
            for number, index, packed in keyframe.labels:
                self._show(number, index, packed.array())
        self.locked_by = keyframe
        for layer in self.layers:
            layer.refresh(extent=False, thumbnail=False, highlight=False)
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

    def put(self, table: ClassTable) -> None:
        """Let another table hold, without a step in the history."""
        self.table = table
        self._show_table()

    def recount(self) -> None:
        """Count the pixels of every class."""
        self.editor.count()

    def _on_counted(self, areas: dict[int, int]) -> None:
        self.areas = areas
        self._show_table()

    def _rename(self, words: str, label_of: dict[int, int]) -> None:
        self._edit(
            words, lambda _: (renaming(label_of),), state=lambda: State(self.table.merged(label_of), self.origin)
        )

    def _edit(
        self,
        words: str,
        edit_of: Callable[[Labels], tuple[Edit, *tuple[Any, ...]]],
        *,
        whole_items: bool = False,
        state: Callable[[], State] | None = None,
        then: Callable[[bool], None] = lambda is_new: None,
    ) -> None:
        """Edit all layers as one step; what holds then is asked for when that is done, and `then` learns if it is a change."""
        if self._refuses():
            return
        self._timer.stop()  # areas are counted anew when it is done

        def done(changes: list[tuple[Labels, Change]]) -> None:
            before, after = self.state, state() if state is not None else self.state
            self.table, self.origin = after.table, after.origin
            step = ClassStep(words, changes, (before, after))
            if not step.is_empty:
                self.history.record(step)
            then(not step.is_empty)

        self.editor.edit(words, edit_of, done, whole_items=whole_items)

    def _moved(self, step: Step, *, back: bool) -> None:
        if step.states is not None:
            state = step.states[0 if back else 1]
            self.table, self.origin = state.table, state.origin
        (self.history.move_back if back else self.history.move_forth)(step)

    def _say(self, words: str, table: ClassTable) -> None:
        """Change the table alone, as one step."""
        before, self.table = self.state, table
        self.history.record(ClassStep(words, [], (before, self.state)))
        self._show_table()

    def _show_table(self) -> None:
        for layer in self.layers:
            write_table(layer, self.table, self.areas)
        self.changed.emit()

    def _on_stroke(self, event: Any) -> None:
        self.history.record(Stroke(event.source))
        self._timer.start()


def _lead(layer: Labels) -> int:
    """Axes before those of what is an image of its own."""
    return int(layer.data.ndim - layer.n_edit_dimensions)
