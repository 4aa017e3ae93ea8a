"""Classes of a rerun keep the numbers, and with them the names and colours, of those that they lie on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels

from napari_ufseg._napari.layers.class_metadata import read_classes
from napari_ufseg._napari.layers.joined_classes import all_classes
from napari_ufseg._napari.layers.result_layer import ResultLayer
from napari_ufseg.engine.labels.class_table import ClassTable, groups_of
from napari_ufseg.engine.labels.edits import boxes_of, renaming
from napari_ufseg.engine.labels.hierarchy import ClassHierarchy
from napari_ufseg.engine.labels.matching import count_pairs, match_labels

if TYPE_CHECKING:
    from napari_ufseg.engine.training.results import Segmentation

_MOST = 2**24  # pixels; the classes of more keep their own numbers
_SAME = 0.5  # IoU; classes that are shown as one and overlap by more are the same thing


def keep_class_numbers(
    layers: Sequence[ResultLayer], segmentation: "Segmentation"
) -> "tuple[Segmentation, ClassTable | None]":
    """The result with other labels, in the layers too, if there was an earlier one for the same planes.

    Parameters
    ----------
    layers : sequence of ResultLayer
        With their labels.
    segmentation : Segmentation
        Its labels are those of the layers.

    Returns
    -------
    Segmentation
    ClassTable or None
        What was said about the classes of the earlier result; None if there was none, or nothing was.
    """
    told = _told_before(layers)
    pairs = _pairs_with_earlier(layers)
    if not pairs or any(item.is_given for item in layers):
        return segmentation, told
    table = told or ClassTable()
    named = [info.label for info in table.values() if info.name or info.colour]
    merged = {label for item in layers if item.reference is not None for label in _merged_in(item.reference)}
    label_of = match_labels(pairs, segmentation.model.class_labels, named, merged)
    if any(old != new for old, new in label_of.items()):
        edit = renaming(label_of)
        for item in layers:
            for box in boxes_of(item.out, min(2, len(item.out.shape))):
                item.out[box.slices] = edit(np.asarray(item.out[box.slices]))
            item.show()
        areas = {label_of.get(label, label): n for label, n in segmentation.areas.items()}
        model = segmentation.model.merged(label_of)
        segmentation = replace(segmentation, model=model, areas=dict(sorted(areas.items())))
    if told is not None and told.groups:
        renamed = {(old, label_of.get(new, new)): n for (old, new), n in pairs.items()}
        told = carry_groups(told, renamed, segmentation.model.hierarchy)
    return segmentation, told


def carry_groups(told: ClassTable, pairs: Mapping[tuple[int, int], int], tree: ClassHierarchy) -> ClassTable:
    """What is said about classes that were shown as one, on those of another tree that lie where these lay.

    Parameters
    ----------
    told : ClassTable
    pairs : dict of (int, int) to int
        Pixels with that earlier and that present class.
    tree : ClassHierarchy
        Of the present classes.
    """
    name_of: dict[tuple[int, ...], int] = {}
    for detail in range(1, tree.n_classes + 1):
        name_of |= {node: name for name, node in groups_of(tree.shown_class(detail)).items()}
    carried = ClassTable(told.values())
    for group in told.groups:
        overlap = {node: _iou(pairs, group.members, node) for node in name_of}
        best = max(overlap, key=lambda node: (overlap[node], node), default=())
        if best and overlap[best] > _SAME:
            what = {"name": group.name, "colour": group.colour, "is_visible": group.is_visible}
            carried = carried.changed(name_of[best], best, **what)
    return carried


def _iou(pairs: Mapping[tuple[int, int], int], earlier: Sequence[int], present: Sequence[int]) -> float:
    both = sum(n for (old, new), n in pairs.items() if old in earlier and new in present)
    either = sum(n for (old, new), n in pairs.items() if old in earlier or new in present)
    return both / either if either else 0.0


def _pairs_with_earlier(layers: Sequence[ResultLayer]) -> Counter[tuple[int, int]]:
    """Pixels of each earlier class with each present one, where they are not too many."""
    pairs: Counter[tuple[int, int]] = Counter()
    for item in layers:
        before = item.before
        if before is None and item.reference is not None:
            before = all_classes(item.reference)
        data = item.layer.data if item.layer is not None else None
        if isinstance(before, np.ndarray) and isinstance(data, np.ndarray) and prod(data.shape) <= _MOST:
            pairs.update(count_pairs(before, data))
    return pairs


def _merged_in(layer: Labels) -> set[int]:
    """The labels of an earlier result that a user has made of several classes."""
    return set(read_classes(layer).label_of.values())


def _told_before(layers: Sequence[ResultLayer]) -> ClassTable | None:
    """What was said about the classes of the earlier result; None if there was none, or nothing was."""
    for item in layers:
        if item.reference is not None and not item.is_given:
            table = read_classes(item.reference)
            return (
                table.of_labels({*table, *(one for group in table.groups for one in group.members)}) if table else None
            )
    return None
