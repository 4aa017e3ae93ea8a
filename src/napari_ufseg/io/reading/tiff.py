"""TIFF files: their pixels, axes and scale, and whether they hold all that they tell of."""

import json
import struct
import weakref
from collections.abc import Iterable
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.io.reading.claims import check_fits, check_series, open_checked
from napari_ufseg.io.reading.file_pixels import FilePixels, WatchedPixels
from napari_ufseg.io.reading.image_file import ImageFile, LazyArray
from napari_ufseg.io.reading.known_labels import CLASSES_TAG, LABELS_SOFTWARE, classes_in_json
from napari_ufseg.io.units import length_ratio, length_unit, seconds


def read_tiff(file: Path) -> tuple[npt.NDArray[Any], str]:
    """All pixels of the first series of a TIFF file, and a letter for each axis."""
    with open_checked(file) as tiff:
        require_whole(tiff)
        series = tiff.series[0]
        check_fits(file, prod(series.shape) * series.dtype.itemsize)
        array = np.asarray(series.asarray())
        return array, _axes(series.axes, array.ndim)


def open_tiff(file: Path, level: int) -> ImageFile:
    """The first series of a TIFF file; of its levels, `level`, or the full one if there is no such level."""
    tiff = open_checked(file)
    try:
        series = tiff.series[0]
        check_series(file, series)
        level = level if 0 <= level < len(series.levels) else 0
        require_whole(tiff, level)
        data = _lazy(tiff, level)
        axes = _axes(series.axes, data.ndim)
        steps, unit = _steps(tiff, series.kind)
        full = [steps.get(axis, 1.0) for axis in axes]
        ratio = [
            n / size if axis in "ZYX" and size else 1.0
            for axis, n, size in zip(axes, series.shape, data.shape, strict=True)
        ]
        scale = tuple(step * times for step, times in zip(full, ratio, strict=True))
        translate = tuple((step - its) / 2 for step, its in zip(scale, full, strict=True))  # the edges are the same
        is_labels = series.keyframe.software == LABELS_SOFTWARE
        about: dict[str, Any] = {"is_rgb": _is_rgb(series), "is_labels": is_labels, "classes": _classes(series)}
        return ImageFile(file, data, axes, scale, translate, unit, len(series.levels), level, **about)
    except BaseException:
        tiff.close()
        raise


def _lazy(tiff: tifffile.TiffFile, level: int) -> LazyArray:
    """The pixels of one level of the first series, read when they are asked for; takes over closing `tiff`."""
    pages = tiff.series[0].levels[level]
    path = Path(tiff.filehandle.path)
    if pages.dataoffset is not None and not pages.is_multifile:  # not compressed and in one piece
        stored = pages.dtype.newbyteorder(tiff.byteorder)
        tiff.close()
        return FilePixels(path, pages.dataoffset, pages.shape, stored)
    import zarr

    files = {Path(page.parent.filehandle.path): page.parent.filehandle.size for page in pages if page is not None}
    array = zarr.open_array(pages.aszarr(level=0), mode="r", zarr_format=2)
    weakref.finalize(array, tiff.close)
    return WatchedPixels(path, array, files)


def _axes(axes: str, ndim: int) -> str:
    """The letters of tifffile as ours; samples are channels, unless there are channels beside them."""
    if len(axes) != ndim:
        return "?" * ndim
    if "C" not in axes:
        axes = axes.replace("S", "C")
    return "".join(axis if axis in "TZCYX" else "?" for axis in axes)


def _is_rgb(series: tifffile.TiffPageSeries) -> bool:
    colours = (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
    n_samples = dict(zip(series.axes, series.shape, strict=False)).get("S")
    return "C" not in series.axes and n_samples in (3, 4) and series.keyframe.photometric in colours


def _steps(tiff: tifffile.TiffFile, kind: str) -> tuple[dict[str, float], str | None]:
    """Size of a step along those axes of which the file tells it, and the unit of space."""
    steps: dict[str, float] = {}
    unit = None
    if kind == "imagej" and tiff.imagej_metadata:
        steps, unit = _imagej_steps(tiff.imagej_metadata, tiff.pages.first.resolution)
    elif kind == "ome" and tiff.ome_metadata:
        steps, unit = _ome_steps(tiff.ome_metadata)
    return {axis: step for axis, step in steps.items() if isfinite(step) and step > 0}, unit


def _imagej_steps(
    metadata: dict[str, Any], per_unit: tuple[int | float, int | float]
) -> tuple[dict[str, float], str | None]:
    """From ImageJ's description, and the pixels per unit along x and y."""
    steps = {axis: 1 / number for axis, number in zip("XY", per_unit, strict=True) if number}
    unit = length_unit(str(metadata.get("unit", "")))
    for axis, key in (("Z", "spacing"), ("T", "finterval")):
        if isinstance(metadata.get(key), int | float):
            steps[axis] = abs(float(metadata[key]))
    steps["T"] = steps.get("T", 1.0) * seconds(str(metadata.get("tunit", "")))
    return steps, unit


def _ome_steps(xml: str) -> tuple[dict[str, float], str | None]:
    """From the OME-XML of the first image; lengths are turned into the unit of X."""
    pixels = ome_pixels(xml)
    units = {axis: length_unit(str(pixels.get(f"PhysicalSize{axis}Unit", "µm"))) for axis in "XYZ"}
    known = {axis: float(pixels[f"PhysicalSize{axis}"]) for axis in "XYZ" if f"PhysicalSize{axis}" in pixels}
    unit = units["X"] if known else None
    steps = {axis: size * length_ratio(units[axis], unit) for axis, size in known.items()}
    if "TimeIncrement" in pixels:
        steps["T"] = float(pixels["TimeIncrement"]) * seconds(str(pixels.get("TimeIncrementUnit", "s")))
    return steps, unit


def _classes(series: tifffile.TiffPageSeries) -> ClassTable:
    """Names and colours of labels, if `write_tiff` has put some in."""
    return classes_in_json(series.keyframe.tags.valueof(CLASSES_TAG, "[]"))


def require_whole(tiff: tifffile.TiffFile, level: int = 0) -> None:
    """Raise FileError if planes of the first series, or parts of them, are not in the file.

    Parameters
    ----------
    tiff : tifffile.TiffFile
        Open.
    level : int
        The resolution level whose planes are looked at.
    """
    series = tiff.series[0]
    there, told = _planes(tiff, series), _planes_told(tiff, series)
    if there < told:
        raise FileError(
            f"{tiff.filehandle.path} is not complete: it tells of {told} planes but holds {there}. "
            "Copy it once more, or with the files that belong to it."
        )
    if not _directory_ends(tiff) or not _all_inside(series.levels[level]):
        raise FileError(f"{tiff.filehandle.path} is not complete: its end is missing. Copy it once more.")


def _planes(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> int:
    """How many planes can be read, as those count that wrote the description."""
    if series.kind in ("ome", "imagej", "shaped"):
        absent = sum(page is None for page in series)
        return series.size // max(1, series.keyframe.size) - absent
    return len(tiff.pages)


def _planes_told(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> int:
    """How many planes the description in the file tells of; 0 if it tells of none."""
    page = tiff.pages.first
    if tiff.is_ome and tiff.ome_metadata:
        return _ome_planes(tiff.ome_metadata)
    if tiff.is_imagej and tiff.imagej_metadata and series.kind != "imagej":
        told = tiff.imagej_metadata
        return max(int(told.get("images", 1)), int(told.get("frames", 1)) * int(told.get("slices", 1)))
    if page.shaped_description and page.shaped_description.startswith("{"):
        shape: list[int] = json.loads(page.shaped_description).get("shape", [])
        return prod(shape) // max(1, page.size)
    return 0


def ome_pixels(xml: str) -> dict[str, Any]:
    """What OME-XML says of the pixels of its first image; empty if it has none."""
    images = tifffile.xml2dict(xml).get("OME", {}).get("Image", {})
    image: dict[str, Any] = images[0] if isinstance(images, list | tuple) else images
    pixels: dict[str, Any] = image.get("Pixels", {})
    return pixels


def _ome_planes(xml: str) -> int:
    pixels = ome_pixels(xml)
    channels = pixels.get("Channel", {})
    first = channels[0] if isinstance(channels, list | tuple) else channels
    n = prod(int(pixels.get(f"Size{axis}", 1)) for axis in "ZTC")
    return n // max(1, int(first.get("SamplesPerPixel", 1)))


def _directory_ends(tiff: tifffile.TiffFile) -> bool:
    """Whether the last page is the last one, or points to another one that isn't there."""
    form, file, last = tiff.tiff, tiff.filehandle, tiff.pages[-1]
    file.seek(last.offset)
    try:
        (n_tags,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
        file.seek(last.offset + form.tagnosize + n_tags * form.tagsize)
        (following,) = struct.unpack(form.offsetformat, file.read(form.offsetsize))
    except struct.error:
        return False
    return bool(following == 0)


def _all_inside(pages: Iterable[tifffile.TiffPage | tifffile.TiffFrame | None]) -> bool:
    """Whether every strip or tile of these pages ends before its file does."""
    for page in pages:
        if page is not None:
            size = page.parent.filehandle.size
            segments = zip(page.dataoffsets, page.databytecounts, strict=False)
            if any(offset + n_bytes > size for offset, n_bytes in segments):
                return False
    return True
