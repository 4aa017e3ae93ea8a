"""Undo and redo of what is done to classes: panel actions, brush strokes and whole runs in one line."""

import weakref
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_ufseg._napari.layers.joined_classes import all_classes
from napari_ufseg._napari.layers.origin import Origin
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.engine.labels.edits import Change, Packed
from napari_ufseg.engine.labels.hierarchy import ClassHierarchy

_BYTES, _STEPS = 2**28, 100  # napari itself remembers as many strokes


@dataclass(frozen=True)
class State:
    """What belongs to labels beyond their pixels.

    Parameters
    ----------
    classes : ClassTable
        What is said about the classes.
    origin : Origin or None
        How the labels came about.
    tree : ClassHierarchy
        Of the classes as they are now.
    detail : int
        How many of them are shown; 0 where there is no tree.
    draws_background : bool
        Whether the background is drawn too.
    """

    classes: ClassTable
    origin: Origin | None = None
    tree: ClassHierarchy = field(default_factory=ClassHierarchy)
    detail: int = 0
    draws_background: bool = False


class Step(Protocol):
    """Something that was done, and can be taken back and done again.

    Attributes
    ----------
    title : str
        What was done, as "merge of 2 classes".
    states : (State, State) or None
        What held before and after; None if it is the same.
    is_slow : bool
        Whether `undo` and `redo` touch nothing but arrays, so that another thread may do them.
    is_of_all_classes : bool
        Whether they change all classes alone, so that what is shown of them must be drawn anew.
    """

    title: str
    states: tuple[State, State] | None
    is_slow: bool
    is_of_all_classes: bool

    @property
    def n_bytes(self) -> int:
        """What it takes in memory."""

    def undo(self) -> Generator[float]:
        """Take it back; yields the share that is done."""

    def redo(self) -> Generator[float]:
        """Do it again."""


class History(QObject):
    """The steps of one set of classes; the oldest are dropped when they get too many or too large.

    Parameters
    ----------
    most_bytes : int
        What all steps together may take in memory, strokes aside, of which napari keeps the last hundred.

    Signals
    -------
    changed()
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None, most_bytes: int = _BYTES) -> None:
        super().__init__(parent)
        self._most_bytes = most_bytes
        self._done: list[Step] = []
        self._undone: list[Step] = []

    @property
    def n_bytes(self) -> int:
        """What the steps take in memory."""
        return sum(step.n_bytes for step in (*self._done, *self._undone))

    @property
    def last(self) -> Step | None:
        """What can be taken back."""
        return self._done[-1] if self._done else None

    @property
    def next(self) -> Step | None:
        """What can be done again."""
        return self._undone[-1] if self._undone else None

    @property
    def summary(self) -> str:
        """How much is remembered, for the user."""
        n = len(self._done)
        steps = "1 step" if n == 1 else f"{n} steps"
        return f"{steps} can be undone, {self.n_bytes / 2**20:.1f} of {self._most_bytes / 2**20:.0f} MB"

    def record(self, step: Step) -> None:
        """Add what has just been done; what was undone before can no longer be done again."""
        self._undone.clear()
        self._done.append(step)
        while len(self._done) > _STEPS or (self.n_bytes > self._most_bytes and self._done):
            self._done.pop(0)
        self.changed.emit()

    def move_back(self, step: Step) -> None:
        """Note that this step has been taken back."""
        self._done.remove(step)
        self._undone.append(step)
        self.changed.emit()

    def move_forth(self, step: Step) -> None:
        """Note that this step has been done again."""
        self._undone.remove(step)
        self._done.append(step)
        self.changed.emit()

    def drop_last(self) -> None:
        """Forget the last step, which comes to nothing."""
        self._done.pop()
        self.changed.emit()

    @property
    def since_first_stroke(self) -> list[Step]:
        """The first stroke that napari remembers, and all that came after it; the last one is at the end."""
        strokes = [i for i, step in enumerate(self._done) if isinstance(step, Stroke)]
        return self._done[strokes[0] :] if strokes else []

    def replace(self, steps: Sequence[Step], others: Sequence[Step]) -> None:
        """Let others stand for the last steps; strokes that were undone, and what came after them, can no longer be done again."""
        self._done[len(self._done) - len(steps) :] = others
        self._forget_undone_strokes()
        self.changed.emit()

    def change_origins(self, change: Callable[[Origin | None], Origin | None]) -> None:
        """Replace how the labels came about in all that is remembered."""
        for step in (*self._done, *self._undone):
            if step.states is not None:
                before, after = (replace(state, origin=change(state.origin)) for state in step.states)
                step.states = before, after

    def forget_strokes(self) -> None:
        """Drop the strokes, and what came before them: napari is about to forget them."""
        strokes = [i for i, step in enumerate(self._done) if isinstance(step, Stroke)]
        del self._done[: strokes[-1] + 1 if strokes else 0]
        self._forget_undone_strokes()
        self.changed.emit()

    def _forget_undone_strokes(self) -> None:
        strokes = [i for i, step in enumerate(self._undone) if isinstance(step, Stroke)]
        del self._undone[: strokes[-1] + 1 if strokes else 0]

    def clear(self) -> None:
        """Forget everything."""
        self._done.clear()
        self._undone.clear()
        self.changed.emit()


class Stroke:
    """A stroke, a fill or a polygon, which napari itself remembers."""

    n_bytes = 0

    def __init__(self, layer: Labels) -> None:
        self.title = "brush stroke"
        self.states: tuple[State, State] | None = None
        self.is_slow = self.is_of_all_classes = False
        self._layer = weakref.ref(layer)

    def undo(self) -> Generator[float]:
        """Let napari take it back."""
        layer = self._layer()
        if layer is not None:
            layer.undo()
        yield 1.0

    def redo(self) -> Generator[float]:
        """Let napari do it again."""
        layer = self._layer()
        if layer is not None:
            layer.redo()
        yield 1.0


class ClassStep:
    """A change of labels in some layers and of what is said about the classes.

    Parameters
    ----------
    words : str
        What was done.
    changes : sequence of (Labels or ClassesOf, Change)
        Of the data of layers, or of all their classes.
    states : (State, State) or None
        Before and after; None if it is the same.
    is_of_all_classes : bool
        As in `Step`.
    is_slow : bool
        As in `Step`.
    """

    def __init__(
        self,
        words: str,
        changes: Sequence[tuple[Any, Change]],
        states: tuple[State, State] | None,
        *,
        is_of_all_classes: bool = False,
        is_slow: bool = True,
    ) -> None:
        self.title = words
        self.states: tuple[State, State] | None = states
        self.is_slow, self.is_of_all_classes = is_slow, is_of_all_classes
        self._changes = [(_reference(layer), change) for layer, change in changes if not change.is_empty]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was changed."""
        return not self._changes and (self.states is None or self.states[0] == self.states[1])

    @property
    def n_bytes(self) -> int:
        """What it takes in memory."""
        return sum(change.n_bytes for _, change in self._changes)

    def undo(self) -> Generator[float]:
        """Put the old labels back; all of them or, if it is closed half-way, none."""
        done: list[tuple[Change, Any]] = []
        try:
            for ref, change in self._changes:
                layer = ref()
                if layer is not None:
                    yield from change.swap(layer.data)
                    done.append((change, layer.data))
        except BaseException:
            for change, data in done:
                change.swap_at_once(data)
            raise

    redo = undo


def _reference(layer: Any) -> Callable[[], Any]:
    """Gives it as long as it is there."""
    return weakref.ref(layer) if isinstance(layer, Labels) else layer.if_there


class NewData:
    """Other arrays in some layers, as a run puts them in; the old ones are kept, compressed if they are in memory.

    Parameters
    ----------
    words : str
        What was done.
    before : sequence of (Labels, array-like)
        What the layers held of all classes; they hold something else by now.
    states : (State, State)
        Before and after.
    """

    def __init__(self, words: str, before: Sequence[tuple[Labels, Any]], states: tuple[State, State]) -> None:
        self.title = words
        self.states: tuple[State, State] | None = states
        self.is_slow, self.is_of_all_classes = False, True
        self._others = [(weakref.ref(layer), kept(data)) for layer, data in before]

    @property
    def n_bytes(self) -> int:
        """What it takes in memory."""
        return sum(other.n_bytes for _, other in self._others if isinstance(other, Packed))

    def undo(self) -> Generator[float]:
        """Put the old arrays back."""
        for i, (ref, other) in enumerate(self._others):
            layer = ref()
            if layer is not None:
                self._others[i] = ref, kept(all_classes(layer))
                layer.data = other.array() if isinstance(other, Packed) else other
        yield 1.0

    redo = undo


def kept(data: Any) -> Any:
    """Labels as they are remembered: compressed, or the array itself if it lies on a disk."""
    return Packed(data) if isinstance(data, np.ndarray) else data


def finish(shares: Generator[float]) -> None:
    """Do all of what is done share by share."""
    for _ in shares:
        pass
