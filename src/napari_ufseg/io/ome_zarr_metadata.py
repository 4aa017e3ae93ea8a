"""The metadata of an OME-Zarr label image."""

from collections.abc import Sequence
from itertools import islice
from typing import Any, Literal

import numpy as np

from napari_ufseg.colours import N_COLOURS, class_colours
from napari_ufseg.io.label_grid import LabelGrid
from napari_ufseg.io.units import length_name


def label_metadata(
    grid: LabelGrid, n_levels: int, labels: Sequence[int], version: Literal["0.4", "0.5"]
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
    """
    from yaozarrs import v04, v05

    models: Any = v05 if version == "0.5" else v04
    multiscale = models.Multiscale(
        axes=[_axis(letter, grid) for letter in grid.axes],
        datasets=[{"path": str(level), **_transformation(grid, level)} for level in range(n_levels)],
        type="nearest",
    )
    colours = [{"label-value": label, "rgba": _rgba(label)} for label in islice(labels, N_COLOURS)]
    image = models.LabelImage(
        multiscales=[multiscale], image_label=models.ImageLabel(version=version, colors=colours or None)
    )
    attributes: dict[str, Any] = image.model_dump(mode="json", by_alias=True, exclude_none=True)
    for colour in attributes["image-label"].get("colors", []):
        colour["label-value"] = int(colour["label-value"])  # the model has made it a float
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


def _rgba(label: int) -> list[int]:
    red, green, blue = np.rint(class_colours()[(label - 1) % N_COLOURS] * 255).astype(int)
    return [int(red), int(green), int(blue), 255]
