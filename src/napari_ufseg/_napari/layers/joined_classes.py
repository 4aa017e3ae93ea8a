"""Labels layers that show several classes as one: what they hold of each class, and what becomes of strokes."""

from collections.abc import Mapping
from typing import Any, Self
from weakref import WeakKeyDictionary, ref

import numpy as np
import numpy.typing as npt
from napari.layers import Labels

from napari_ufseg.engine.labels.edits import Change, boxes_of
from napari_ufseg.engine.labels.hierarchy import relabel


class JoinedLabels:
    """All classes of a layer in memory whose data show some of them as one.

    What somebody paints is found by holding the data of the layer against what they would show: a painted pixel
    becomes the class that has the painted label.

    Parameters
    ----------
    layer : napari.layers.Labels
        Holds all classes.

    Attributes
    ----------
    data : array of integers
        All classes, of the shape of the layer; strokes are in it after `take_strokes`.
    shown_class : dict of int to int
        What the data of the layer show for each class.
    may_be_painted : bool
        Whether the data of the layer may hold strokes by now.
    """

    def __init__(self, layer: Labels) -> None:
        self.data = layer.data.copy()
        self.of = layer.data
        self.shown_class: dict[int, int] = {}
        self.may_be_painted = False

    def with_strokes(self) -> npt.NDArray[Any]:
        """All classes, with what was painted; a copy, unless nothing was."""
        painted = self._painted()
        whole: npt.NDArray[Any] = self.data if painted is None else np.where(painted, self.of, self.data)
        return whole

    def take_strokes(self) -> Change:
        """Let what was painted be among the classes; gives what `data` held before."""
        change = Change()
        painted = self._painted() if self.may_be_painted else None
        if painted is not None:
            whole = np.where(painted, self.of, self.data)
            change.note(self.data, boxes_of(self.data, min(2, self.data.ndim)), whole)
            self.data[...] = whole
        self.may_be_painted = False
        return change

    def show(self, shown_class: Mapping[int, int]) -> None:
        """Let the layer show each class as this one, whatever it shows now; it is not drawn."""
        self.shown_class = dict(shown_class)
        np.take(_lookup(self.shown_class, self.data.dtype), self.data, out=self.of, mode="clip")

    def _painted(self) -> npt.NDArray[np.bool_] | None:
        """Where the layer shows something else than it should; None if nowhere."""
        painted: npt.NDArray[np.bool_] = np.take(_lookup(self.shown_class, self.data.dtype), self.data) != self.of
        return painted if painted.any() else None


_joined: "WeakKeyDictionary[Labels, JoinedLabels]" = WeakKeyDictionary()


def joined(layer: Labels) -> JoinedLabels | None:
    """All classes of a layer whose data show some as one; None if its data are all classes."""
    known = _joined.get(layer)
    return known if known is not None and known.of is layer.data else None  # a script may have put other data in


def all_classes(layer: Labels) -> Any:
    """What a layer holds of every class, with what was painted; an array that must not be written into."""
    known = joined(layer)
    return layer.data if known is None else known.with_strokes()


def copy_of_all(layer: Labels) -> Any:
    """As `all_classes`, but nothing that changes with the layer, unless that shows all classes itself."""
    known = joined(layer)
    return layer.data if known is None else known.with_strokes().copy()


def join(layer: Labels) -> JoinedLabels:
    """Keep all classes of a layer apart from its data, which may then show some as one."""
    known = joined(layer)
    if known is None:
        known = _joined[layer] = JoinedLabels(layer)
    return known


class ClassesOf:
    """All classes of a layer, wherever they are when they are asked for.

    Parameters
    ----------
    layer : napari.layers.Labels
    """

    def __init__(self, layer: Labels) -> None:
        self._layer = ref(layer)

    def if_there(self) -> Self | None:
        """Itself, as long as there is the layer."""
        return self if self._layer() is not None else None

    @property
    def data(self) -> Any:
        """The array that holds them; strokes may be missing."""
        layer = self._layer()
        assert layer is not None
        known = joined(layer)
        return layer.data if known is None else known.data


def show_all(layer: Labels) -> None:
    """Let the data of a layer be all classes again, without looking for strokes."""
    known = joined(layer)
    if known is not None:
        layer.data[...] = known.data
        del _joined[layer]


def can_join(layer: Labels, most: int) -> bool:
    """Whether the data of a layer may show several classes as one; else, as on a disk, its colours do.

    Parameters
    ----------
    layer : napari.layers.Labels
    most : int
        Pixels; more are too many to be changed at once.
    """
    data = layer.data
    return isinstance(data, np.ndarray) and data.size <= most and data.dtype in (np.uint8, np.uint16)


def _lookup(shown_class: Mapping[int, int], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """(256,) or (65536,) what every label is shown as."""
    return relabel(np.arange(np.iinfo(dtype).max + 1, dtype=dtype), shown_class)
