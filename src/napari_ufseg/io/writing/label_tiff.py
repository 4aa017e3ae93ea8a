"""Label images as TIFF: plain, as ImageJ writes it, or OME-TIFF."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_ufseg.io.reading.known_labels import CLASSES_TAG, LABELS_SOFTWARE, json_of_classes
from napari_ufseg.io.units import in_ascii, length_name
from napari_ufseg.io.writing.label_data import LabelsToWrite
from napari_ufseg.io.writing.label_grid import LabelGrid

LARGEST_TIFF = 2**32 - 2**25  # bytes of pixels before compression; the rest of 4 GB is for what else the file holds


def write_tiff(temporary: Path, labels: LabelsToWrite) -> None:
    """Write labels as a compressed TIFF, plane by plane, with ImageJ's metadata if there is a scale or more than (Y, X).

    Names, colours and detail of the classes go as JSON into a private tag, which only this
    program reads. It becomes an OME-TIFF if the name that was asked for ends in ``.ome.tif``
    or ``.ome.tiff``. That is done in any case if the pixels may pass 4 GB, as a
    BigTIFF, since there is no BigTIFF of ImageJ's kind.
    """
    grid, classes, made_by = labels.grid, labels.classes, labels.made_by
    ome = labels.path.stem.lower().endswith(".ome")
    big = int(np.prod(grid.shape, dtype=np.int64)) * np.dtype(np.uint16).itemsize > LARGEST_TIFF
    tifffile.imwrite(
        temporary,
        labels.planes(),
        shape=grid.shape,
        dtype=np.uint16,
        photometric="minisblack",
        compression="zlib",
        software=LABELS_SOFTWARE,
        extratags=[(CLASSES_TAG, "s", 0, json_of_classes(classes, made_by), True)] if classes or made_by else [],
        bigtiff=big,
        **(_ome(grid) if ome or big else _imagej(grid)),
    )


def _imagej(grid: LabelGrid) -> dict[str, Any]:
    """Options of tifffile so that ImageJ, QuPath and napari readers show the axes and the scale."""
    metadata: dict[str, Any] = {"axes": grid.axes}
    if not grid.scale and grid.axes == "YX":
        return {"ome": False, "metadata": metadata}
    metadata["unit"] = in_ascii(grid.unit or "pixel")
    for axis, key in (("Z", "spacing"), ("T", "finterval")):
        if axis in grid.steps:
            metadata[key] = grid.steps[axis]
    per_unit = (1 / grid.steps.get("X", 1.0), 1 / grid.steps.get("Y", 1.0))
    return {"ome": False, "imagej": True, "resolution": per_unit, "metadata": metadata}


def _ome(grid: LabelGrid) -> dict[str, Any]:
    """Options of tifffile for OME-TIFF; a unit that OME does not know counts as pixels."""
    metadata: dict[str, Any] = {"axes": grid.axes}
    unit = grid.unit if length_name(grid.unit) else "pixel"
    for axis, step in grid.steps.items():
        if axis == "T":
            metadata |= {"TimeIncrement": step, "TimeIncrementUnit": "s"}
        else:
            metadata |= {f"PhysicalSize{axis}": step, f"PhysicalSize{axis}Unit": unit}
    return {"ome": True, "metadata": metadata}
