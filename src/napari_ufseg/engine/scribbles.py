"""Scribbles painted over classes -> which class each one becomes: the one that was painted most on it."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.errors import ImageError
from napari_ufseg.engine.labels.class_table import BACKGROUND
from napari_ufseg.engine.labels.edits import boxes_of
from napari_ufseg.engine.labels.hierarchy import relabel
from napari_ufseg.engine.labels.matching import most_frequent, require_labels

Labels = npt.NDArray[Any]


def merge_by_scribbles(label_image: npt.ArrayLike, scribbles: npt.ArrayLike) -> Labels:
    """Merge classes by painting over them: each becomes the label that was painted most on it.

    So a few strokes sort many classes into the few that somebody means. To let
    the network learn them, give the result to `train_on`, with ``scribbles > 0``
    as `corrected`.

    Parameters
    ----------
    label_image : array of integers
        The classes, as `segment` or `predict` gave them.
    scribbles : array of integers of the same shape
        0 where nothing is painted; elsewhere the label that the pixel, and the class under it, should have.

    Returns
    -------
    array of integers, of the dtype of `label_image`
        Painted pixels have the label that was painted. Classes without any
        scribble, and 0, stay; if the number of such a class was painted
        elsewhere, where it means something else, the class gets a free number.

    Raises
    ------
    UfsegError
        If the shapes differ, values are no labels, or a label does not fit into the dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_ufseg import merge_by_scribbles
    >>> merge_by_scribbles(np.array([[1, 1, 2, 2, 3, 3, 4]]), np.array([[0, 5, 0, 5, 0, 7, 0]]))
    array([[5, 5, 5, 5, 7, 7, 4]])
    """
    labels, marks = np.asarray(label_image), np.asarray(scribbles)
    if labels.shape != marks.shape:
        raise ImageError(
            f"The scribbles have shape {marks.shape}, but the labels {labels.shape}: paint on the same image."
        )
    require_labels(labels)
    votes = count_scribbles(labels, require_labels(marks, "scribbles"))
    label_of = classes_of_scribbles(votes, np.unique(labels).tolist())
    require_room(label_of, votes, labels.dtype)
    return painted_over(labels, marks, label_of)


def count_scribbles(labels: Any, scribbles: Any) -> Counter[tuple[int, int]]:
    """How many pixels of each label carry each scribble, as {(label, scribble): pixels}; may be lazy, read box by box."""
    found: Counter[tuple[int, int]] = Counter()
    for box in boxes_of(labels, min(2, len(labels.shape))):
        marks = np.asarray(scribbles[box.slices])
        on = marks > 0
        if on.any():
            under = np.asarray(labels[box.slices])[on]
            pairs, counts = np.unique(np.stack([under, marks[on]]).astype(np.int64), axis=1, return_counts=True)
            found.update({(label, mark): n for (label, mark), n in zip(pairs.T.tolist(), counts.tolist(), strict=True)})
    return found


def classes_of_scribbles(
    votes: Mapping[tuple[int, int], int], labels: Collection[int], named: Collection[int] = ()
) -> dict[int, int]:
    """What each label becomes.

    Parameters
    ----------
    votes : dict of (int, int) to int
        From `count_scribbles`.
    labels : collection of int
        All that occur.
    named : collection of int, optional
        Labels whose number means them, with a scribble or without.

    Returns
    -------
    dict of int to int
        Only of labels that change. All at once: two may change places. 0, the background, stays.
    """
    becomes = most_frequent(votes)
    wanted = {mark for _, mark in votes}
    taken = {*labels, *wanted, BACKGROUND}
    for label in sorted((set(labels) & wanted) - set(becomes) - set(named)):
        becomes[label] = min(set(range(len(taken) + 1)) - taken)
        taken.add(becomes[label])
    return {label: new for label, new in becomes.items() if label not in (new, BACKGROUND)}


def require_room(label_of: Mapping[int, int], votes: Mapping[tuple[int, int], int], dtype: Any) -> None:
    """Raise ImageError unless all new labels fit into a dtype."""
    largest = 1 if np.dtype(dtype) == np.bool_ else int(np.iinfo(dtype).max)
    most = max((*label_of.values(), *(mark for _, mark in votes)), default=0)
    if most > largest:
        raise ImageError(f"Label {most} does not fit into labels of type {dtype}, which end at {largest}.")


def painted_over(labels: Labels, scribbles: Labels, label_of: Mapping[int, int]) -> Labels:
    """A copy with labels renamed, and the scribbles on top."""
    merged: Labels = np.where(scribbles > 0, scribbles, relabel(labels, label_of)).astype(labels.dtype)
    return merged
