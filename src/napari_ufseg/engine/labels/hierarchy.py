"""Merging of the classes that are most alike, and label images with labels renamed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.cluster import hierarchy


def merge_most_similar(
    mean_response: Mapping[int, npt.ArrayLike], areas: Mapping[int, int], n_classes: int
) -> dict[int, int]:
    """Which labels to merge so that exactly `n_classes` are left.

    Two classes are the more similar the smaller the Euclidean distance
    between their mean response vectors; groups are joined by average linkage
    (UPGMA, `scipy.cluster.hierarchy`).

    Parameters
    ----------
    mean_response : dict of int to (K,) array
        Mean response of the network over the pixels of each label.
    areas : dict of int to int
        Pixels of each label.
    n_classes : int
        How many are to be left; more than there are changes nothing.

    Returns
    -------
    dict of int to int
        The label that each old label becomes: the largest of its group keeps its name.
    """
    labels = sorted(mean_response)
    if len(labels) <= n_classes:
        return {label: label for label in labels}
    vectors = np.stack([np.asarray(mean_response[label], np.float64) for label in labels])
    groups = hierarchy.cut_tree(hierarchy.linkage(vectors, "average"), n_clusters=n_classes).ravel()
    merged = {}
    for label, group in zip(labels, groups, strict=True):
        members = [other for other, its in zip(labels, groups, strict=True) if its == group]
        merged[label] = max(members, key=lambda member: areas.get(member, 0))
    return merged


def relabel(label_image: npt.NDArray[Any], label_of: Mapping[int, int]) -> npt.NDArray[Any]:
    """A copy with labels renamed; labels that are missing in `label_of` stay as they are."""
    table = np.arange(max(int(label_image.max()), *label_of, 0) + 1).astype(label_image.dtype)
    for old, new in label_of.items():
        table[old] = new
    renamed: npt.NDArray[Any] = table[label_image]
    return renamed
