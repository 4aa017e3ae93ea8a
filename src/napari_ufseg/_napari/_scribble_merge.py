"""Scribbles over the layers of one result, as they were when the user asked for a merge by them."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from napari.layers import Labels

from napari_ufseg._napari._train_on import Origin
from napari_ufseg.engine.corrections import Derived
from napari_ufseg.engine.label_edits import Edit
from napari_ufseg.engine.scribbles import classes_of_scribbles, count_scribbles, painted_over, require_room


class ScribbleMerge:
    """What becomes of classes that were painted over.

    Parameters
    ----------
    layers : sequence of napari.layers.Labels
    scribbles : sequence of integer arrays
        One per layer, of its shape; 0 where nothing is painted.
    labels : collection of int
        All that occur.
    named : collection of int
        Labels whose number means them.
    """

    def __init__(
        self, layers: Sequence[Labels], scribbles: Sequence[Any], labels: Collection[int], named: Collection[int]
    ) -> None:
        self._data = [layer.data for layer in layers]
        self._scribbles = [marks.copy() for marks in scribbles]
        self._of = {id(layer): marks for layer, marks in zip(layers, self._scribbles, strict=True)}
        self._labels, self._named = set(labels), named

    @cached_property
    def label_of(self) -> dict[int, int]:
        """What each label becomes; takes a while for large layers."""
        votes: Counter[tuple[int, int]] = Counter()
        for data, marks in zip(self._data, self._scribbles, strict=True):
            votes.update(count_scribbles(data, marks))
        label_of = classes_of_scribbles(votes, self._labels | {label for label, _ in votes}, self._named)
        for data in self._data:
            require_room(label_of, votes, data.dtype)
        return label_of

    def edit_of(self, layer: Labels) -> tuple[Edit, Any]:
        """How a layer is edited, and what else the edit is given."""
        return partial(painted_over, label_of=self.label_of), self._of[id(layer)]

    def noted(self, origin: Origin | None) -> Origin | None:
        """How the labels came about, with the scribbles among the pixels that are the user's own."""
        if origin is None or [marks.shape for marks in self._scribbles] != [part.labels_shape for part in origin.parts]:
            return origin
        own = [part.target(marks > 0) for part, marks in zip(origin.parts, self._scribbles, strict=True)]
        if origin.own is not None:
            own = [_either(*both) for both in zip(origin.own, own, strict=True)]
        return replace(origin, own=own)


def _either(first: Any, second: Any) -> Any:
    both = Derived(lambda one, other: one | other, first, second)
    return both[...] if isinstance(first, type(second)) else both
