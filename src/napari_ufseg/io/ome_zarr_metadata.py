"""The metadata of an OME-Zarr label image."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Literal

import numpy as np

from napari_ufseg.colours import N_COLOURS
from napari_ufseg.engine.labels.class_table import ClassInfo, ClassTable, as_hex
from napari_ufseg.io.units import length_name
from napari_ufseg.io.writing.label_grid import LabelGrid


def label_metadata(
    grid: LabelGrid,
    n_levels: int,
    labels: Sequence[int],
    version: Literal["0.4", "0.5"],
    classes: ClassTable | None = None,
) -> dict[str, Any]:
    """The attributes of the Zarr group that holds the levels ``"0"``, ``"1"``, ...

    Parameters
    ----------
    grid : LabelGrid
        Of level 0.
    n_levels : int
        Each level holds every second pixel along Y and X of the one before.
    labels : sequence of int
        Those that get a colour; no more than the first hundred do.
    version : {"0.4", "0.5"}
        Of OME-Zarr.
    classes : ClassTable, optional
        Names, and colours other than those of the labels.
    """
    from yaozarrs import v04, v05

    models: Any = v05 if version == "0.5" else v04
    multiscale = models.Multiscale(
        axes=[_axis(letter, grid) for letter in grid.axes],
        datasets=[{"path": str(level), **_transformation(grid, level)} for level in range(n_levels)],
        type="nearest",
    )
    table = classes or ClassTable()
    shown = [*islice(labels, N_COLOURS), *(label for label in labels[N_COLOURS:] if table[label].colour)]
    colours = [{"label-value": label, "rgba": _rgba(table[label])} for label in shown]
    image = models.LabelImage(
        multiscales=[multiscale], image_label=models.ImageLabel(version=version, colors=colours or None)
    )
    attributes: dict[str, Any] = image.model_dump(mode="json", by_alias=True, exclude_none=True)
    for colour in attributes["image-label"].get("colors", []):
        colour["label-value"] = int(colour["label-value"])  # the model has made it a float
    if table:
        attributes["image-label"]["properties"] = [_properties(entry) for entry in table.to_list()]
    return {"ome": attributes} if version == "0.5" else attributes


def _axis(letter: str, grid: LabelGrid) -> dict[str, str]:
    axis = {"name": letter.lower(), "type": "time" if letter == "T" else "space"}
    unit = length_name(grid.unit) if letter != "T" else "second" if grid.steps.get("T", 1.0) != 1.0 else None
    return axis | ({"unit": unit} if unit else {})


def _transformation(grid: LabelGrid, level: int) -> dict[str, Any]:
    """Scale and translation of a level.

    The pixels of a level are some of those of the one before, at the places
    where they were: the first pixel is the same one, and so is the translation
    (a half-pixel shift would be right for means of 2 x 2). It is told for every
    level, since readers give one to a level that has none.
    """
    scale = [grid.steps.get(letter, 1.0) * (2**level if letter in "YX" else 1) for letter in grid.axes]
    start = list(grid.translate or (0.0,) * len(grid.axes))
    return {
        "coordinateTransformations": [{"type": "scale", "scale": scale}, {"type": "translation", "translation": start}]
    }


def _rgba(info: ClassInfo) -> list[int]:
    return [*(int(value) for value in np.rint(np.array(info.rgb) * 255)), 255]


def _properties(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What is said about a class, as OME-Zarr has it; its colour is in ``colors`` as well."""
    return {"label-value": entry["label"]} | {key: value for key, value in entry.items() if key != "label"}


def classes_of(image_label: Any) -> ClassTable:
    """Names and colours out of the attribute ``image-label``, whoever wrote it.

    A colour that is the label's own counts as none that somebody has chosen.
    """
    said = image_label if isinstance(image_label, Mapping) else {}
    entries: dict[Any, dict[str, Any]] = {}
    for key in ("colors", "properties"):
        for item in said.get(key) or []:
            if isinstance(item, Mapping) and isinstance(label := item.get("label-value"), int | float):
                entries.setdefault(int(label), {"label": int(label)}).update(item)
    for label, entry in entries.items():
        rgba = entry.get("rgba")
        if "colour" not in entry and isinstance(rgba, list) and len(rgba) >= 3 and rgba != _rgba(ClassInfo(label)):
            entry["colour"] = as_hex([value / 255 for value in rgba])
    return ClassTable.from_list(list(entries.values()))
