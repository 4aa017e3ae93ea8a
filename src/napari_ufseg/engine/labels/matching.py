"""Matching of labels that lie over each other: classes of another run keep their numbers, scribbles give theirs to classes."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from napari_ufseg.engine.errors import ImageError
from napari_ufseg.engine.labels.class_table import BACKGROUND
from napari_ufseg.engine.labels.edits import boxes_of
from napari_ufseg.engine.labels.hierarchy import relabel

_GREATEST = 2**16 - 1


def count_pairs(first: Any, second: Any) -> Counter[tuple[int, int]]:
    """How many pixels each label of one label image shares with each label of another, of the same shape.

    Parameters
    ----------
    first, second : array-like of integers from 0 to 65535
        May be lazy; they are read box by box.

    Raises
    ------
    ImageError
        If the second one holds other than that.
    """
    pairs: Counter[tuple[int, int]] = Counter()
    for box in boxes_of(second, min(2, second.ndim)):
        joint = np.asarray(first[box.slices]).astype(np.int64) * 2**16 + require_labels(np.asarray(second[box.slices]))
        values, counts = np.unique(joint, return_counts=True)
        pairs.update(
            {divmod(value, 2**16): count for value, count in zip(values.tolist(), counts.tolist(), strict=True)}
        )
    return pairs


def most_frequent(pairs: Mapping[tuple[int, int], int]) -> dict[int, int]:
    """For every first label the second one that it shares most pixels with; of equal ones itself."""
    found: dict[int, int] = {}
    for (first, second), _ in sorted(pairs.items(), key=lambda item: (item[1], item[0][0] == item[0][1])):
        found[first] = second  # the last one is the most frequent
    return found


def require_labels(labels: npt.NDArray[Any], what: str = "labels") -> npt.NDArray[Any]:
    """These labels, or an ImageError that says why they are none."""
    if labels.dtype.kind not in "bui":
        raise ImageError(f"The {what} hold values of type {labels.dtype}, but labels are whole numbers.")
    if labels.dtype not in (np.bool_, np.uint8, np.uint16) and labels.size:
        least, most = labels.min(), labels.max()
        if not 0 <= least <= most <= _GREATEST:
            raise ImageError(f"The {what} go from {least} to {most}, but must be from 0 to {_GREATEST}.")
    return labels


def match_labels(
    pairs: Mapping[tuple[int, int], int],
    labels: Sequence[int] = (),
    named: Collection[int] = (),
    merged: Collection[int] = (),
) -> dict[int, int]:
    """The label that each new class should have, so that it is called as what was there before.

    Old and new labels are paired one to one so that the sum of their IoU is as
    large as possible (the assignment problem, Crouse 2016,
    doi:10.1109/TAES.2016.140952, as in `scipy.optimize.linear_sum_assignment`);
    old labels that a user has named come first, where the new one holds most of
    their pixels. Old labels that were made of several are paired only where either
    holds most of the pixels of the other, since a piece of them is something else. 0 is no class, and nothing is paired with it. A new label
    without a partner keeps its number if that is free, or gets the least one that is.

    Parameters
    ----------
    pairs : dict of (int, int) to int
        Pixels with that old and that new label; see `count_pairs`.
    labels : sequence of int, optional
        New labels that need a number though they have no pixels.
    named : collection of int, optional
        Old labels that come first.
    merged : collection of int, optional
        Old labels that were made of several classes.

    Returns
    -------
    dict of int to int
        For every new label but 0; no two are the same.
    """
    old = sorted({before for before, _ in pairs} - {0})
    new = sorted(({after for _, after in pairs} | set(labels)) - {0})
    shared = np.array([[pairs.get((before, after), 0) for after in new] for before in old], np.float64)
    shared = shared.reshape(len(old), len(new))
    sizes = [sum(n for pair, n in pairs.items() if pair[0] == before) for before in old]
    others = [sum(n for pair, n in pairs.items() if pair[1] == after) for after in new]
    score = shared / np.maximum(np.add.outer(sizes, others) - shared, 1)
    holds_most = shared > np.array(sizes)[:, None] / 2
    score += len(old) * (np.isin(old, list(named))[:, None] & holds_most)
    is_same = holds_most & (shared > np.array(others) / 2)
    score *= is_same | ~np.isin(old, list(merged))[:, None]
    rows, columns = linear_sum_assignment(score, maximize=True)
    found = {new[j]: old[i] for i, j in zip(rows, columns, strict=True) if score[i, j] > 0}
    taken = set(found.values()) | set(old)
    for label in new:
        if label not in found:
            number = label if label not in taken else next(i for i in range(1, 2**16) if i not in taken)
            found[label] = number
            taken.add(number)
    return found


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
    return apply_scribbles(labels, marks, label_of)


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


def apply_scribbles(labels: Labels, scribbles: Labels, label_of: Mapping[int, int]) -> Labels:
    """A copy with labels renamed, and the scribbles on top."""
    merged: Labels = np.where(scribbles > 0, scribbles, relabel(labels, label_of)).astype(labels.dtype)
    return merged
