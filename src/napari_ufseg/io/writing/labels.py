"""Writing label images."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.io.reading.image_file import LazyArray
from napari_ufseg.io.writing.label_data import LabelsToWrite
from napari_ufseg.io.writing.label_formats import require_label_format
from napari_ufseg.io.writing.label_grid import label_grid


def write_labels(
    path: str | os.PathLike[str],
    label_image: npt.ArrayLike | LazyArray,
    *,
    axes: str | None = None,
    scale: Sequence[float | None] | None = None,
    unit: str | Sequence[str | None] | None = None,
    translate: Sequence[float] | None = None,
    colours: bool = True,
    classes: ClassTable | None = None,
    ome_zarr_version: Literal["0.4", "0.5"] = "0.4",
    made_by: str = "",
) -> None:
    """Write a label image as compressed uint16, whole or not at all.

    Parameters
    ----------
    path : path-like
        Its ending is the format, one of `napari_ufseg.io.LABEL_FORMATS`; what
        each of them is like, its writer says. Its folder is made if it is missing.
    label_image : array of integers
        0 to 65535. One that reads its values when asked (zarr, dask, a memory
        map) is written plane by plane, and never whole in memory.
    axes : {"YX", "ZYX", "TYX", "TZYX"}, optional
        A letter per axis; without it, three axes are ZYX and four are TZYX.
    scale : sequence of float or None, optional
        Size of a step along each axis, or along the last ones such as (Y, X):
        in `unit` along Z, Y and X, in seconds along T. None along an axis of
        which it is not known, which no format is then told. Of a pixel of which
        one side alone is known the other one is assumed to be as long.
    unit : str, or sequence of str or None, optional
        Unit of length, for example ``"µm"`` or ``"micrometer"``; or the unit of
        each number in `scale`, for example ``("s", "nm", "µm", "µm")``. Lengths
        are written in the unit of the last axis that has one.
    translate : sequence of float, optional
        Where the middle of the first pixel lies, for each axis or the last
        ones, as `scale`. Only OME-Zarr can; others are written without it.
    colours : bool
        Store the colours of the classes, if the format can.
    classes : ClassTable, optional
        Names of classes, and the rest that a user has said about them.
    ome_zarr_version : {"0.4", "0.5"}
        More programs read 0.4.
    made_by : str
        The fingerprint of the model that has made them.

    Raises
    ------
    FileError
        If the labels do not fit into uint16 or the format, the axes are others,
        the ending is another, or the system refuses to write.
    """
    target = Path(path)
    labels_format = require_label_format(target)
    labels: Any = label_image if hasattr(label_image, "dtype") else np.asarray(label_image)
    if np.dtype(labels.dtype).kind not in "bui":
        raise FileError(f"Cannot write {path}: labels are whole numbers, not {labels.dtype}.")
    grid = label_grid(target, tuple(labels.shape), axes, scale, unit, translate)
    labels_format.check_shape(target, grid.shape)
    whole = LabelsToWrite(target, labels, grid, classes or ClassTable(), colours, ome_zarr_version, made_by)
    with labels_format.whole(target) as temporary:
        labels_format.write(temporary, whole)
