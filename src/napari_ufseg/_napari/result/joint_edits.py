"""Edits in which the layers of one result have to know of each other: a merge by scribbles, a split into regions."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_ufseg._napari.layers.origin import Origin
from napari_ufseg.engine.errors import counted
from napari_ufseg.engine.labels.class_table import BACKGROUND
from napari_ufseg.engine.labels.corrections import Derived
from napari_ufseg.engine.labels.edits import Edit, Splitting, boxes_of, on_shown
from napari_ufseg.engine.labels.hierarchy import relabel
from napari_ufseg.engine.labels.matching import apply_scribbles, classes_of_scribbles, count_scribbles, require_room


class RegionSplit:
    """Every connected region of some classes becomes a class of its own.

    Parameters
    ----------
    classes : collection of int
        Those that are split.
    layers : sequence of napari.layers.Labels
        All of the result.
    known : iterable of int
        Labels that something is said about, which no region may get.
    joined_by_colour : callable
        For a layer what its classes are shown as, where its data are all classes; else an empty dict.
    """

    def __init__(
        self,
        classes: Collection[int],
        layers: Sequence[Labels],
        known: Iterable[int],
        joined_by_colour: Callable[[Labels], Mapping[int, int]],
    ) -> None:
        self._classes = classes
        self._joined_by_colour = joined_by_colour
        self._data = [(layer.data, int(layer.n_edit_dimensions)) for layer in layers]
        self._known = list(known)
        self._parts: list[Splitting] = []

    @cached_property
    def _first(self) -> int:
        """The least label that is free, as the labels are now: one may just have been painted."""
        largest = max((0, *self._known, *self._classes))
        for data, ndim in self._data:
            for box in boxes_of(data, ndim):
                largest = max(largest, int(np.asarray(data[box.slices]).max()))
        return largest + 1

    @property
    def parents(self) -> dict[int, int]:
        """The old label of every new one, over all layers that were edited."""
        return {new: old for part in self._parts for new, old in part.parents.items()}

    def edit_of(self, layer: Labels) -> tuple[Edit, *tuple[Any, ...]]:
        """How a layer is edited, after the one before."""
        first, kept = (self._parts[-1].next_free, self._parts[-1].kept) if self._parts else (self._first, set[int]())
        largest, lead = int(np.iinfo(layer.data.dtype).max), int(layer.data.ndim - layer.n_edit_dimensions)
        self._parts.append(Splitting(self._classes, first, largest, lead, kept))
        return (on_shown(self._joined_by_colour(layer), self._parts[-1]),)


class ScribbleMerge:
    """What becomes of classes that were painted over, by scribbles as they are now.

    Parameters
    ----------
    layers : sequence of napari.layers.Labels
    scribbles : sequence of integer arrays
        One per layer, of its shape; 0 where nothing is painted.
    labels : collection of int
        All that occur.
    named : collection of int
        Labels whose number means them.
    joined_by_colour : callable
        As for `RegionSplit`.
    """

    def __init__(
        self,
        layers: Sequence[Labels],
        scribbles: Sequence[Any],
        labels: Collection[int],
        named: Collection[int],
        joined_by_colour: Callable[[Labels], Mapping[int, int]],
    ) -> None:
        self._data = [shown_labels(layer.data, joined_by_colour(layer)) for layer in layers]
        self._joined_by_colour = joined_by_colour
        self._scribbles = [marks.copy() for marks in scribbles]
        self._of = {id(layer): marks for layer, marks in zip(layers, self._scribbles, strict=True)}
        self._labels, self._named = set(labels), named

    @cached_property
    def votes(self) -> Counter[tuple[int, int]]:
        """Pixels of each label with each scribble; takes a while for large layers."""
        votes: Counter[tuple[int, int]] = Counter()
        for data, marks in zip(self._data, self._scribbles, strict=True):
            votes.update(count_scribbles(data, marks))
        return votes

    @cached_property
    def label_of(self) -> dict[int, int]:
        """What each label becomes."""
        label_of = classes_of_scribbles(self.votes, self._labels | {label for label, _ in self.votes}, self._named)
        for data in self._data:
            require_room(label_of, self.votes, data.dtype)
        return label_of

    @property
    def summary(self) -> str:
        """What has come of it, for the user."""
        wanted = counted(len({mark for _, mark in self.votes}), "class")
        left = self._labels - {label for label, _ in self.votes} - {BACKGROUND}
        rest = f"; {counted(len(left), 'class')} without a scribble stayed" if left else ""
        return f"Merged by scribbles into {wanted}{rest}. Continue lets the network learn it."

    def edit_of(self, layer: Labels, of_classes: Callable[[Mapping[int, int]], dict[int, int]]) -> tuple[Edit, Any]:
        """How a layer is edited, and what else the edit is given.

        Parameters
        ----------
        layer : napari.layers.Labels
        of_classes : callable
            Gives for what happens to shown classes what happens to all classes.
        """
        label_of = of_classes(self.label_of) if self._joined_by_colour(layer) else self.label_of
        return partial(apply_scribbles, label_of=label_of), self._of[id(layer)]

    def noted(self, origin: Origin | None) -> Origin | None:
        """How the labels came about, with the scribbles among the pixels that are the user's own."""
        if origin is None or [marks.shape for marks in self._scribbles] != [part.labels_shape for part in origin.parts]:
            return origin
        own = [part.target(marks > 0) for part, marks in zip(origin.parts, self._scribbles, strict=True)]
        if origin.own is not None:
            if all(_holds(*both) for both in zip(origin.own, own, strict=True)):
                return origin
            own = [_either(*both) for both in zip(origin.own, own, strict=True)]
        return replace(origin, own=own)


def shown_labels(data: Any, shown_class: Mapping[int, int]) -> Any:
    """Labels as they are shown: the array itself where all classes are, else one that is computed where it is read."""
    return Derived(partial(relabel, label_of=shown_class), data) if shown_class else data


def _holds(known: Any, marks: Any) -> bool:
    """Whether nothing is marked that is not known."""
    return not any((marks[box.slices] & ~known[box.slices]).any() for box in boxes_of(marks, min(2, marks.ndim)))


def _either(first: Any, second: Any) -> Any:
    both = Derived(lambda one, other: one | other, first, second)
    return both[...] if isinstance(first, type(second)) else both
