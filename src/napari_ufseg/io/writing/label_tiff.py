"""Label images as TIFF: plain, as ImageJ writes it, or OME-TIFF."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_ufseg.io.axis_steps import AxisSteps, Step
from napari_ufseg.io.reading.known_labels import CLASSES_TAG, LABELS_SOFTWARE, json_of_classes
from napari_ufseg.io.units import in_ascii, is_length
from napari_ufseg.io.writing.label_data import LabelsToWrite
from napari_ufseg.io.writing.label_grid import LabelGrid

LARGEST_TIFF = 2**32 - 2**25  # bytes of pixels before compression; the rest of 4 GB is for what else the file holds

_SMALLEST, _LARGEST = 1e-6, 1e6  # sizes of a pixel that fractions of 32-bit numbers tell to many digits


def write_tiff(temporary: Path, labels: LabelsToWrite) -> None:
    """Write labels as a compressed TIFF, plane by plane, with ImageJ's metadata if there is a scale or more than (Y, X).

    Names, colours and detail of the classes go as JSON into a private tag, which only this
    program reads. It becomes an OME-TIFF if the name that was asked for ends in ``.ome.tif``
    or ``.ome.tiff``. That is done in any case if the pixels may pass 4 GB, as a
    BigTIFF, since there is no BigTIFF of ImageJ's kind, and for stacks of pages that are one pixel wide.
    """
    grid, classes, made_by = labels.grid, labels.classes, labels.made_by
    ome = labels.path.stem.lower().endswith(".ome")
    is_line = grid.shape[-1] == 1 and len(grid.shape) > 2  # tifffile takes pages one pixel wide for samples of ImageJ
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
        **(_ome(grid) if ome or big or is_line else _imagej(grid)),
    )


def _imagej(grid: LabelGrid) -> dict[str, Any]:
    """Options of tifffile so that ImageJ, QuPath and napari readers show the axes and the scale.

    The unit is that of x; y and z have their own where it is another one. So has a step along z that is not known,
    which ImageJ else takes for 1 of the unit of x.
    """
    steps, metadata = _in_handy_unit(grid.steps), dict[str, Any](axes=grid.axes)
    if not steps.is_known and grid.axes == "YX":
        return {"ome": False, "metadata": metadata}
    unit, per_unit = _imagej_unit(steps["X"]), [1 / (steps[letter].size or 1.0) for letter in "XY"]
    metadata["unit"] = unit
    for letter in "YZ":
        if letter in grid.axes and _imagej_unit(steps[letter]) != unit:
            metadata[f"{letter.lower()}unit"] = _imagej_unit(steps[letter])
    if (depth := steps["Z"].size) is not None:
        metadata["spacing"] = depth
    if steps["T"].unit == "s":
        metadata["finterval"] = steps["T"].size
    return {"ome": False, "imagej": True, "resolution": tuple(per_unit), "metadata": metadata}


def _in_handy_unit(steps: AxisSteps) -> AxisSteps:
    """The same steps in a unit of which the tags of resolution can tell pixels; none at all if there is no such unit."""
    for unit in (None, "µm", "nm", "mm", "m", "pm", "km"):
        told = steps.in_unit(unit) if unit else steps
        if all(_SMALLEST <= (told[letter].size or 1.0) <= _LARGEST for letter in "YX"):
            return told
    return AxisSteps()


def _imagej_unit(step: Step) -> str:
    return in_ascii({"in": "inch", None: "pixel"}.get(step.unit) or str(step.unit))


def _ome(grid: LabelGrid) -> dict[str, Any]:
    """Options of tifffile for OME-TIFF; a unit that OME does not know is one of nothing but this image."""
    metadata: dict[str, Any] = {"axes": grid.axes}
    for letter in grid.axes:
        step = grid.steps[letter]
        if letter == "T" and step.unit == "s":
            metadata |= {"TimeIncrement": step.size, "TimeIncrementUnit": "s"}
        elif letter != "T" and step.size is not None:
            unit = "pixel" if step.unit is None else step.unit if is_length(step.unit) else "reference frame"
            metadata |= {f"PhysicalSize{letter}": step.size, f"PhysicalSize{letter}Unit": unit}
    return {"ome": True, "metadata": metadata}
