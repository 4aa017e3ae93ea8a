"""Classes that keep their numbers: those of another run get the labels of the ones that they lie on."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from napari_ufseg.engine.errors import ImageError
from napari_ufseg.engine.labels.edits import boxes_of

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
    pairs: Mapping[tuple[int, int], int], labels: Sequence[int] = (), named: Collection[int] = ()
) -> dict[int, int]:
    """The label that each new class should have, so that it is called as what was there before.

    Old and new labels are paired one to one so that the sum of their IoU is as
    large as possible (the assignment problem, Crouse 2016,
    doi:10.1109/TAES.2016.140952, as in `scipy.optimize.linear_sum_assignment`);
    old labels that a user has named come first, where the new one holds most of
    their pixels. 0 is no class, and nothing is paired with it. A new label
    without a partner keeps its number if that is free, or gets the least one that is.

    Parameters
    ----------
    pairs : dict of (int, int) to int
        Pixels with that old and that new label; see `count_pairs`.
    labels : sequence of int, optional
        New labels that need a number though they have no pixels.
    named : collection of int, optional
        Old labels that come first.

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
    first = np.isin(old, list(named))[:, None] & (shared > np.array(sizes)[:, None] / 2)
    rows, columns = linear_sum_assignment(score + len(old) * first, maximize=True)
    found = {new[j]: old[i] for i, j in zip(rows, columns, strict=True) if shared[i, j] > 0}
    taken = set(found.values()) | set(old)
    for label in new:
        if label not in found:
            number = label if label not in taken else next(i for i in range(1, 2**16) if i not in taken)
            found[label] = number
            taken.add(number)
    return found
