"""How well labels agree with the truth: numpy in, numbers out.

Every score is read off one table of overlaps, so that it takes milliseconds
even with thousands of regions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from skimage.measure import label

Labels = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Foreground:
    """The best that can be made of some classes by merging them into foreground and background."""

    iou: float
    n_classes: int
    mask: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SegmentScore:
    """Best IoU of every true segment: of all people, of the one with most segments, of the one with fewest."""

    all: npt.NDArray[np.float64]
    fine: npt.NDArray[np.float64]
    coarse: npt.NDArray[np.float64]


def best_foreground(classes: Labels, truth: Labels) -> Foreground:
    """The merge of classes with the highest IoU with ``truth > 0``.

    With the classes in order of the share of their pixels that is true
    foreground, the best merge is one of the prefixes (the ratio of two sums
    is largest for those above a threshold).
    """
    names, index = np.unique(classes, return_inverse=True)
    index = index.ravel()
    inside = np.bincount(index, weights=(truth > 0).ravel(), minlength=len(names))
    size = np.bincount(index, minlength=len(names))
    order = np.argsort(-inside / size, kind="stable")
    union = inside.sum() + np.cumsum((size - inside)[order])
    iou = np.cumsum(inside[order]) / np.maximum(union, 1)
    best = int(iou.argmax())
    chosen = np.zeros(len(names), bool)
    chosen[order[: best + 1]] = True
    return Foreground(float(iou[best]), len(names), chosen[index].reshape(classes.shape))


def segment_ious(predicted: Labels, truth: Labels) -> npt.NDArray[np.float64]:
    """For every true segment the highest IoU that any predicted segment has with it."""
    return np.asarray(_ious(truth, predicted).max(axis=1).todense(), np.float64).ravel()


def segment_score(predicted: Labels, truths: Sequence[Labels]) -> SegmentScore:
    """`segment_ious` against the segmentations of several people; the first of equally fine ones counts."""
    each = [segment_ious(predicted, truth) for truth in truths]
    return SegmentScore(np.concatenate(each), max(each, key=len), min(each, key=len))


def average_precision(instances: Labels, truth: Labels, iou: float = 0.5) -> float:
    """TP / (TP + FP + FN) of instances with 0 as background; one-to-one, as many pairs as can be.

    Two images without any instance agree: 1.
    """
    n_true, n_found = (len(np.setdiff1d(image, [0])) for image in (truth, instances))
    if n_true + n_found == 0:
        return 1.0
    if not n_true or not n_found:
        return 0.0
    pairs = _ious(truth, instances, background=0)
    pairs.data = np.where(pairs.data >= iou, 1.0, 0.0)
    pairs.eliminate_zeros()
    hits = int((maximum_bipartite_matching(pairs) >= 0).sum())
    return hits / (n_true + n_found - hits)


def instances_of(mask: npt.NDArray[np.bool_]) -> Labels:
    """Connected components of a mask (pixels that share an edge), 0 outside it."""
    return label(mask, connectivity=1)


def regions_of(classes: Labels) -> Labels:
    """Connected components of every class, 1 to n."""
    return label(classes, connectivity=1, background=int(classes.min()) - 1)


def _ious(truth: Labels, predicted: Labels, background: int | None = None) -> csr_array:
    """Sparse table (true segments, predicted segments) of their IoU; a background label is left out."""
    rows, row = np.unique(truth, return_inverse=True)
    columns, column = np.unique(predicted, return_inverse=True)
    ones = np.ones(truth.size)
    overlap = csr_array(coo_array((ones, (row.ravel(), column.ravel())), shape=(len(rows), len(columns))))
    overlap.sum_duplicates()
    both = overlap.tocoo()
    union = overlap.sum(axis=1)[both.row] + overlap.sum(axis=0)[both.col] - both.data
    table = csr_array((both.data / union, (both.row, both.col)), shape=both.shape)
    return table if background is None else table[rows != background][:, columns != background]
