"""Corrections of labels by a user, as a training that goes on learns them: merged classes, meant labels, painted pixels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.errors import ImageError
from napari_ufseg.engine.images.source import ImageSource
from napari_ufseg.engine.images.tiling import Box
from napari_ufseg.engine.labels.hierarchy import relabel
from napari_ufseg.engine.labels.matching import count_pairs, most_frequent

_MOST_NEW = 64  # classes


@dataclass(frozen=True)
class Corrections:
    """Labels as a user left them, held against what a model had made.

    Every pixel is meant to have the label that it carries now. Those that are
    the user's own, since no merge explains them, weigh more, and keep their label.

    Parameters
    ----------
    label_images : sequence of arrays of integers
        One per image, with its axes but for the channels.
    own : sequence of bool arrays or array-likes
        Where each pixel was corrected.
    class_labels : tuple of int
        The label of every class, new classes at the end; classes that share one are one class from now on.
    copied : dict of int to int
        For each new class the one that most of its pixels had.
    """

    label_images: Sequence[Any]
    own: Sequence[Any]
    class_labels: tuple[int, ...]
    copied: dict[int, int] = field(default_factory=dict)

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        """(K,) the group of every class: which of the labels, in ascending order, it shows."""
        return np.unique(self.class_labels, return_inverse=True)[1].astype(np.int64)

    def without(self, number: int) -> Self:
        """The same, but for the image of that number."""
        label_images, own = ([*some[:number], *some[number + 1 :]] for some in (self.label_images, self.own))
        return replace(self, label_images=label_images, own=own)

    def require_shapes(self, sources: Sequence[ImageSource]) -> None:
        """Raise ImageError unless the labels are those of the images."""
        shapes = [tuple(labels.shape) for labels in self.label_images]
        wanted = [source.labels_shape for source in sources]
        if shapes != wanted:
            raise ImageError(f"The corrected labels have shapes {shapes}, but the images need {wanted}.")

    def targets(self, number: int) -> "Derived":
        """For an image the group that each pixel is meant to have."""
        table = _table({label: group for group, label in enumerate(sorted(set(self.class_labels)))})
        return Derived(lambda labels: table[labels], self.label_images[number])

    def marks(self, number: int) -> "Derived":
        """For an image the group, counted from 1, of every corrected pixel; 0 elsewhere."""
        table = _table({label: group for group, label in enumerate(sorted(set(self.class_labels)), start=1)})
        return Derived(lambda labels, own: np.where(own, table[labels], 0), self.label_images[number], self.own[number])

    def kept(self, number: int, labels: npt.NDArray[Any], index: tuple[Any, ...]) -> npt.NDArray[Any]:
        """Labels of a part of an image, with the user's own pixels as they are."""
        mine = np.asarray(self.own[number][index])
        its = np.asarray(self.label_images[number][index])
        return np.where(mine, its, labels).astype(labels.dtype)

    def kept_of_box(
        self, number: int, source: ImageSource, labels: npt.NDArray[Any], item: int, box: Box
    ) -> npt.NDArray[Any]:
        """As `kept`, for labels of a box of an item in the order Z, Y, X."""
        return source.unturned(self.kept(number, source.turned(labels), source.label_index(item, box)))


class Derived:
    """An array that is computed from others, region by region, when it is asked for."""

    def __init__(self, function: Any, *arrays: Any) -> None:
        self._function, self._arrays = function, arrays
        self.shape = tuple(arrays[0].shape)
        self.ndim = len(self.shape)
        self.chunks = getattr(arrays[0], "chunksize", None) or getattr(arrays[0], "chunks", None)

    def __getitem__(self, region: Any) -> npt.NDArray[Any]:
        values: npt.NDArray[Any] = self._function(*(np.asarray(array[region]) for array in self._arrays))
        return values


def find_corrections(
    predicted: Sequence[Any],
    label_images: Sequence[Any],
    class_labels: Sequence[int],
    *,
    earlier: Sequence[Any] | None = None,
    parents: Mapping[int, int] | None = None,
) -> Corrections:
    """Find what a user has changed in labels: merged classes, painted pixels and new labels.

    An old label has become the one that most of its pixels carry now: so a
    merge, a class that was made background, or one that was filled with
    another colour is found by itself, and so is one that was undone. Pixels
    with another label than this explains are the user's own.

    Parameters
    ----------
    predicted : sequence of arrays of integers
        The labels that the model gave, one array per image; may be lazy.
    label_images : sequence of arrays of integers
        The labels as they are now, of the same shapes.
    class_labels : sequence of int
        The label of every class of the model, ``model.class_labels``.
    earlier : sequence of bool arrays, optional
        Pixels that were corrected before, and stay the user's own whatever they carry.
    parents : dict of int to int, optional
        Labels that count as others: regions that a class was split into.

    Returns
    -------
    Corrections

    Raises
    ------
    ImageError
        If shapes differ, labels are not whole numbers from 0 to 65535, or there are more new labels than a network
        should learn.
    """
    label_images = [_counted_from_0(labels) for labels in label_images]
    for old, new in zip(predicted, label_images, strict=True):
        if tuple(old.shape) != tuple(new.shape):
            raise ImageError(
                f"The labels have shape {tuple(new.shape)}, but those of the model {tuple(old.shape)}: use the labels of the same image."
            )
    meant = [_meant(labels, parents or {}) for labels in label_images]
    pairs: Counter[tuple[int, int]] = Counter()
    for old, new in zip(predicted, meant, strict=True):
        pairs.update(count_pairs(old, new))
    becomes = most_frequent(pairs)
    own = [_own(*arrays, becomes) for arrays in zip(predicted, meant, earlier or [None] * len(meant), strict=True)]
    labels = [becomes.get(label, label) for label in class_labels]
    added = sorted({new for _, new in pairs} - set(labels))
    if len(added) > _MOST_NEW:
        raise ImageError(
            f"There are {len(added)} labels that the model does not know: it can learn up to {_MOST_NEW} new ones at a time, so merge some."
        )
    return Corrections(meant, own, (*labels, *added), _copied(added, class_labels, pairs))


def _copied(added: Sequence[int], class_labels: Sequence[int], pairs: Counter[tuple[int, int]]) -> dict[int, int]:
    """For each new class, by its number, the class that most of its pixels had; 0 if that is none of the model's."""
    copied: dict[int, int] = {}
    for number, label in enumerate(added, start=len(class_labels)):
        source = max((count, old) for (old, new), count in pairs.items() if new == label)[1]
        copied[number] = list(class_labels).index(source) if source in class_labels else 0
    return copied


def _counted_from_0(labels: Any) -> Any:
    """The labels; a mask, which would choose where it should number, as 0 and 1."""
    return labels.astype(np.uint8) if isinstance(labels, np.ndarray) and labels.dtype == np.bool_ else labels


def _meant(labels: Any, parents: Mapping[int, int]) -> Any:
    """Labels in which the regions of a split class are that class again."""
    return Derived(lambda part: relabel(part, parents), labels) if parents else labels


def _own(predicted: Any, labels: Any, earlier: Any, becomes: dict[int, int]) -> Any:
    """Where the user has corrected; in memory, if the labels are."""
    table = _table(becomes)

    def differs(old: Any, new: Any, before: Any = False) -> npt.NDArray[np.bool_]:
        mine: npt.NDArray[np.bool_] = (table[old] != new) | before
        return mine

    found = Derived(differs, predicted, labels, *(() if earlier is None else (earlier,)))
    return found[...] if isinstance(predicted, np.ndarray) else found


def _table(label_of: Mapping[int, int]) -> npt.NDArray[np.int64]:
    """(65536,) what every label becomes; those that are missing stay."""
    table = np.arange(2**16)
    for old, new in label_of.items():
        table[old] = new
    return table
