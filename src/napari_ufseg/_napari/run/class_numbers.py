"""Classes of a rerun keep the numbers, and with them the names and colours, of those that they lie on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels

from napari_ufseg._napari.layers.class_metadata import read_table
from napari_ufseg._napari.layers.result_layer import ResultLayer
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.engine.labels.edits import boxes_of, renaming
from napari_ufseg.engine.labels.matching import count_pairs, match_labels

if TYPE_CHECKING:
    from napari_ufseg.engine.training.results import Segmentation

_MOST = 2**24  # pixels; the classes of more keep their own numbers


def keep_class_numbers(layers: Sequence[ResultLayer], segmentation: "Segmentation") -> "Segmentation":
    """The result with other labels, in the layers too, if there was an earlier one for the same planes.

    Parameters
    ----------
    layers : sequence of ResultLayer
        With their labels.
    segmentation : Segmentation
        Its labels are those of the layers.
    """
    pairs: Counter[tuple[int, int]] = Counter()
    for item in layers:
        before = item.before
        if before is None and item.reference is not None:
            before = item.reference.data
        data = item.layer.data if item.layer is not None else None
        if isinstance(before, np.ndarray) and isinstance(data, np.ndarray) and prod(data.shape) <= _MOST:
            pairs.update(count_pairs(before, data))
    if not pairs or any(item.is_given for item in layers):
        return segmentation
    table = table_of(layers) or ClassTable()
    named = [info.label for info in table.values() if info.name or info.colour]
    merged = {label for item in layers if item.reference is not None for label in _merged_in(item.reference)}
    label_of = match_labels(pairs, segmentation.model.class_labels, named, merged)
    if all(old == new for old, new in label_of.items()):
        return segmentation
    edit = renaming(label_of)
    for item in layers:
        for box in boxes_of(item.out, min(2, len(item.out.shape))):
            item.out[box.slices] = edit(np.asarray(item.out[box.slices]))
        item.show()
    areas = {label_of.get(label, label): n for label, n in segmentation.areas.items()}
    return replace(segmentation, model=segmentation.model.merged(label_of), areas=dict(sorted(areas.items())))


def _merged_in(layer: Labels) -> set[int]:
    """The labels of an earlier result that a user has made of several classes."""
    return set(read_table(layer).label_of.values())


def table_of(layers: Sequence[ResultLayer]) -> ClassTable | None:
    """What was said about the classes of the earlier result; None if there was none, or nothing was."""
    for item in layers:
        if item.reference is not None and not item.is_given:
            table = read_table(item.reference)
            return table.of_labels(table) if table else None
    return None
