"""Writing label images."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.files import written_whole
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.io.paths import TIFF_SUFFIXES, ZARR_SUFFIX
from napari_ufseg.io.reading.image_file import LazyArray
from napari_ufseg.io.writing.label_grid import LabelGrid, blocks, label_grid
from napari_ufseg.io.writing.label_tiff import write_tiff
from napari_ufseg.io.writing.label_zarr import create_label_zarr, finish_label_zarr
from napari_ufseg.io.zarr_folder import folder_written_whole

_CHUNK = 512  # pixels along Y and X


def write_labels(
    path: str | os.PathLike[str],
    label_image: npt.ArrayLike | LazyArray,
    *,
    axes: str | None = None,
    scale: Sequence[float] | None = None,
    unit: str | None = None,
    translate: Sequence[float] | None = None,
    colours: bool = True,
    classes: ClassTable | None = None,
    ome_zarr_version: Literal["0.4", "0.5"] = "0.4",
) -> None:
    """Write a label image as compressed uint16, whole or not at all.

    Parameters
    ----------
    path : path-like
        Its ending is the format: ``.tif`` or ``.tiff`` for a TIFF, with
        ImageJ's metadata if there is a scale or more than (Y, X);
        ``.ome.tif`` or ``.ome.tiff`` for an OME-TIFF; ``.zarr`` for an OME-Zarr
        label image with lower resolutions. Its folder is made if it is missing.
    label_image : array of integers
        0 to 65535. One that reads its values when asked (zarr, dask, a memory
        map) is written plane by plane, and never whole in memory.
    axes : {"YX", "ZYX", "TYX", "TZYX"}, optional
        A letter per axis; without it, three axes are ZYX and four are TZYX.
    scale : sequence of float, optional
        Size of a step along each axis, or along the last ones such as (Y, X):
        in `unit` along Z, Y and X, in seconds along T.
    unit : str, optional
        Unit of length, for example ``"µm"`` or ``"micrometer"``.
    translate : sequence of float, optional
        Where the middle of the first pixel lies, for each axis or the last
        ones, as `scale`. Only OME-Zarr can; a TIFF is written without it.
    colours : bool
        Store the colours of the classes. Only OME-Zarr can.
    classes : ClassTable, optional
        Names of classes, and the rest that a user has said about them: as
        ``properties`` and ``colors`` in an OME-Zarr, as JSON in a private tag
        of a TIFF, which only this program reads.
    ome_zarr_version : {"0.4", "0.5"}
        More programs read 0.4.

    Raises
    ------
    FileError
        If the labels do not fit into uint16, the axes are others, the ending is
        another, or the system refuses to write.
    """
    target = Path(path)
    labels: Any = label_image if hasattr(label_image, "dtype") else np.asarray(label_image)
    if np.dtype(labels.dtype).kind not in "bui":
        raise FileError(f"Cannot write {path}: labels are whole numbers, not {labels.dtype}.")
    grid = label_grid(target, tuple(labels.shape), axes, scale, unit, translate)
    if target.suffix.lower() in TIFF_SUFFIXES:
        planes = (_fitting(labels[index], target) for index in np.ndindex(grid.shape[:-2]))
        with written_whole(target) as temporary:
            write_tiff(temporary, planes, grid, classes, ome=target.stem.lower().endswith(".ome"))
    elif target.suffix.lower() == ZARR_SUFFIX:
        with folder_written_whole(target) as temporary:
            _write_zarr(temporary, labels, grid, target, ome_zarr_version)
            finish_label_zarr(temporary, colours=colours, classes=classes)
    else:
        raise FileError(f"Cannot write {path}: labels are TIFF or OME-Zarr, so let the name end in .tif or .zarr.")


def _write_zarr(
    folder: Path, labels: Any, grid: LabelGrid, target: Path, ome_zarr_version: Literal["0.4", "0.5"]
) -> None:
    """Copy labels into a new Zarr, a band of its chunks at a time."""
    chunks = (1,) * (len(grid.shape) - 2) + (_CHUNK, _CHUNK)
    array = create_label_zarr(
        folder,
        grid.shape,
        chunks=chunks,
        axes=grid.axes,
        scale=grid.scale,
        unit=grid.unit,
        translate=grid.translate,
        ome_zarr_version=ome_zarr_version,
    )
    band = (*chunks[:-1], max(grid.shape[-1], 1))
    for region in blocks(grid.shape, band):
        array[region] = _fitting(labels[region], target)


def _fitting(values: Any, path: Path) -> npt.NDArray[np.uint16]:
    """Some labels in memory as uint16; FileError if they do not fit."""
    part = np.asarray(values)
    if part.size and part.dtype not in (np.uint8, np.uint16, np.bool_):
        least, most = int(part.min()), int(part.max())
        if not 0 <= least <= most <= np.iinfo(np.uint16).max:
            raise FileError(f"Cannot write {path}: labels from {least} to {most} do not fit into uint16.")
    return part.astype(np.uint16, copy=False)
