"""TIFF files: their pixels, axes and scale, and whether they hold all that they tell of."""

import json
import weakref
from collections.abc import Iterable
from contextlib import suppress
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.io.reading.image_file import ImageFile, LazyArray
from napari_ufseg.io.reading.known_labels import CLASSES_TAG, LABELS_SOFTWARE, classes_in_json
from napari_ufseg.io.reading.series import Series
from napari_ufseg.io.reading.tiff_directory import ChainEnd, end_of_chain, open_pages
from napari_ufseg.io.reading.tiff_samples import Channels, Colours, is_colour, kept_samples, palette_of, told_of_samples
from napari_ufseg.io.reading.tiff_series import as_series, chosen_series, series_in
from napari_ufseg.io.units import length_ratio, length_unit, seconds


def open_tiff(
    file: Path, level: int, series: int | str | None = None, *, numbers: bool = False, partial: bool = False
) -> ImageFile:
    """An image in a TIFF file; of its levels, `level`, or the full one if there is no such level.

    Parameters
    ----------
    file : Path
    level : int
    series : int or str, optional
        Number or name of the image; by default as `choose_series` says.
    numbers : bool
        Of an image with a palette, take the numbers of the pixels and not the colours of the palette.
    partial : bool
        Take the planes that are in the file, if it tells of more that are in others.
    """
    tiff, following = open_pages(file)
    try:
        number, chosen, told = chosen_series(file, tiff, series)
        notes = [told]
        if partial:
            notes.append(_told_of_part(file, tiff, chosen))
            chosen = _present(chosen)
        level = level if 0 <= level < len(chosen.levels) else 0
        end = end_of_chain(tiff, chosen, following)
        notes += [require_whole(file, tiff, chosen, level, end, partial=partial), told_of_samples(file, chosen)]
        _require_codec(file, chosen)
        palette = None if numbers else palette_of(chosen)
        data, axes = _samples(_lazy(file, tiff, chosen.levels[level]), chosen, palette)
        steps, unit = _steps(tiff, chosen.kind, _ome_number(tiff, chosen))
        full = [steps.get(axis, 1.0) for axis in axes]
        ratio = [
            n / size if axis in "ZYX" and size else 1.0
            for axis, n, size in zip(axes, (*chosen.shape, 3), data.shape, strict=False)
        ]
        scale = tuple(step * times for step, times in zip(full, ratio, strict=True))
        translate = tuple((step - its) / 2 for step, its in zip(scale, full, strict=True))  # the edges are the same
        is_labels = chosen.keyframe.software == LABELS_SOFTWARE
        about: dict[str, Any] = {"is_labels": is_labels, "classes": _classes(chosen), "series": number}
        about["is_rgb"] = isinstance(data, Colours) or is_colour(chosen, axes, data.shape)
        about["note"] = " ".join(filter(None, notes))
        return ImageFile(file, data, axes, scale, translate, unit, len(chosen.levels), level, **about)
    except BaseException:
        tiff.close()
        raise


def series_of_tiff(file: Path) -> list[Series]:
    """What images a TIFF file holds."""
    with open_pages(file)[0] as tiff:
        return as_series(series_in(tiff)[0])


def _require_codec(file: Path, series: tifffile.TiffPageSeries) -> None:
    """FileError if nobody here can decode the pixels."""
    kind = series.keyframe.compression
    try:
        tifffile.TIFF.DECOMPRESSORS[kind]
    except KeyError as error:
        name = getattr(kind, "name", None) or f"number {int(kind)}"
        raise FileError(
            f"{file} is compressed in a way that cannot be read here ({name}): save it anew, without compression or with "
            "LZW or Deflate."
        ) from error


def _samples(
    data: LazyArray, series: tifffile.TiffPageSeries, palette: npt.NDArray[Any] | None
) -> tuple[LazyArray, str]:
    """The pixels without opacity, and with the colours of a palette if there is one; and their axes."""
    if palette is not None:
        return Colours(data, palette), _axes(f"{series.axes}S", data.ndim + 1)
    kept = kept_samples(series) if len(series.axes) == data.ndim else None
    if kept is not None:
        data = Channels(data, series.axes.index("S"), kept)
    return data, _axes(series.axes, data.ndim)


def _lazy(file: Path, tiff: tifffile.TiffFile, pages: tifffile.TiffPageSeries) -> LazyArray:
    """The pixels of one level of an image, read when they are asked for; takes over closing `tiff`."""
    if pages.dataoffset is not None and pages.dtype is not None and not pages.is_multifile:
        dtype = pages.dtype.newbyteorder(tiff.byteorder)  # not compressed and in one piece
        mapped = np.memmap(file, dtype, "r", pages.dataoffset, pages.shape)
        tiff.close()
        return mapped if mapped.dtype.isnative else _Native(mapped)
    import zarr

    array = zarr.open_array(pages.aszarr(level=0), mode="r", zarr_format=2)
    weakref.finalize(array, tiff.close)
    return array


class _Native:
    """A memory map in the other byte order, as of ImageJ, whose values come in that of this machine."""

    def __init__(self, mapped: npt.NDArray[Any]) -> None:
        self._mapped = mapped
        self.shape = mapped.shape
        self.ndim = mapped.ndim
        self.dtype = mapped.dtype.newbyteorder("=")

    def __getitem__(self, region: Any) -> Any:
        return np.asarray(self._mapped[region], self.dtype)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self._mapped, dtype or self.dtype)


def _axes(axes: str, ndim: int) -> str:
    """The letters of tifffile as ours; samples are channels, unless there are channels beside them."""
    if len(axes) != ndim:
        return "?" * ndim
    if "C" not in axes:
        axes = axes.replace("S", "C")
    return "".join(axis if axis in "TZCYX" else "?" for axis in axes)


def _steps(tiff: tifffile.TiffFile, kind: str, number: int) -> tuple[dict[str, float], str | None]:
    """Size of a step along those axes of which the file tells it, and the unit of space."""
    steps: dict[str, float] = {}
    unit = None
    if kind == "imagej" and tiff.imagej_metadata:
        steps, unit = _imagej_steps(tiff.imagej_metadata, tiff.pages.first.resolution)
    elif kind == "ome" and tiff.ome_metadata:
        steps, unit = _ome_steps(tiff.ome_metadata, number)
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


def _ome_steps(xml: str, number: int) -> tuple[dict[str, float], str | None]:
    """From the OME-XML of an image; lengths are turned into the unit of X."""
    pixels = ome_pixels(xml, number)
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


def require_whole(
    path: Path,
    tiff: tifffile.TiffFile,
    series: tifffile.TiffPageSeries,
    level: int,
    end: ChainEnd,
    *,
    partial: bool = False,
) -> str:
    """Raise FileError if planes of an image, or parts of them, are not in the file.

    Parameters
    ----------
    path : Path
        As it was given.
    tiff : tifffile.TiffFile
        Open.
    series : tifffile.TiffPageSeries
        The image.
    level : int
        The resolution level whose planes are looked at.
    end : ChainEnd
        How the chain of pages ends.
    partial : bool
        Planes that would be in other files may be missing.

    Returns
    -------
    str
        What is to be told of a further page that cannot be read; empty if there is none.
    """
    there, told = _planes(tiff, series), _planes_told(tiff, series)
    if there < told and not (partial and _told_of_part(path, tiff, series)):
        begun = f"{path} is not complete: it tells of {told} planes but holds {there}. Copy it once more, or with the "
        if tiff.is_ome and end is not ChainEnd.CUT:
            example = "YX" if there == 1 else "ZYX"
            raise FileError(
                f"{begun}files that belong to it; or name the axes of the planes that are there, for example "
                f"--axes {example} on the command line, to take these alone."
            )
        raise FileError(f"{begun}files that belong to it.")
    if end is ChainEnd.CUT or not _all_inside(series.levels[level]):
        raise FileError(f"{path} is not complete: its end is missing. Copy it once more.")
    if end is ChainEnd.ODD:
        return f"A further page of {path} cannot be read, since its place in the file is wrong: what is before it is taken."
    return ""


def _told_of_part(path: Path, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> str:
    """What is to be told of a part of a larger image; empty if it is none."""
    there, told = _planes(tiff, series), _planes_told(tiff, series)
    if there >= told or not tiff.is_ome:
        return ""
    return f"{path} tells of {told} planes but holds {there}: only what is there is taken."


def _present(series: tifffile.TiffPageSeries) -> tifffile.TiffPageSeries:
    """The planes of an OME-TIFF that are there, one behind the other, if some are missing."""
    pages = [page for page in series if page is not None]
    if series.kind != "ome" or not pages or len(pages) == len(series):
        return series
    page = series.keyframe
    shape, axes = (len(pages), *page.shape), f"I{page.axes}"
    multifile = series.is_multifile
    return tifffile.TiffPageSeries(
        pages, shape, page.dtype, axes, parent=page.parent, name=series.name, multifile=multifile, kind="ome"
    )


def _planes(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> int:
    """How many planes can be read, as those count that wrote the description."""
    if series.kind in ("ome", "mmstack", "imagej", "shaped"):
        absent = sum(page is None or (series.kind == "mmstack" and page.offset == 0) for page in series)
        return series.size // max(1, series.keyframe.size) - absent
    return len(tiff.pages)


def _planes_told(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> int:
    """How many planes the description in the file tells of; 0 if it tells of none, or nobody can understand it."""
    page = series.keyframe
    with suppress(Exception):  # the description may hold anything
        if series.kind == "ome":
            return series.size // max(1, page.size)
        if series.kind == "mmstack":
            in_xml = _ome_planes(tiff.ome_metadata) if tiff.ome_metadata else 0
            return max(in_xml, series.size // max(1, page.size))
        if tiff.is_ome and tiff.ome_metadata:
            return _ome_planes(tiff.ome_metadata)
        if tiff.is_imagej and tiff.imagej_metadata and series.kind != "imagej":
            told = tiff.imagej_metadata
            return max(int(told.get("images", 1)), int(told.get("frames", 1)) * int(told.get("slices", 1)))
        if page.shaped_description and page.shaped_description.startswith("{"):
            shape: list[int] = json.loads(page.shaped_description).get("shape", [])
            return prod(shape) // max(1, page.size)
    return 0


def ome_pixels(xml: str, number: int = 0) -> dict[str, Any]:
    """What OME-XML says of the pixels of an image; empty if it has none."""
    images = _ome_images(xml)
    pixels: dict[str, Any] = images[number].get("Pixels", {}) if number < len(images) else {}
    return pixels


def _ome_images(xml: str) -> list[dict[str, Any]]:
    images = tifffile.xml2dict(xml).get("OME", {}).get("Image", [])
    return list(images) if isinstance(images, list | tuple) else [images]


def _ome_number(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> int:
    """Which image of the OME-XML a series is: those without pixels in the file are no series."""
    with suppress(Exception):  # the description may hold anything
        images = _ome_images(tiff.ome_metadata or "") if series.kind == "ome" else []
        if len(images) == len(tiff.series):
            return tiff.series.index(series)
        return next(i for i, image in enumerate(images) if str(image.get("Name", "")) == series.name)
    return 0


def _ome_planes(xml: str) -> int:
    pixels = ome_pixels(xml)
    channels = pixels.get("Channel", {})
    first = channels[0] if isinstance(channels, list | tuple) else channels
    n = prod(int(pixels.get(f"Size{axis}", 1)) for axis in "ZTC")
    return n // max(1, int(first.get("SamplesPerPixel", 1)))


def _all_inside(pages: Iterable[tifffile.TiffPage | tifffile.TiffFrame | None]) -> bool:
    """Whether every strip or tile of these pages ends before its file does."""
    for page in pages:
        if page is not None:
            size = page.parent.filehandle.size
            segments = zip(page.dataoffsets, page.databytecounts, strict=False)
            if any(offset + n_bytes > size for offset, n_bytes in segments):
                return False
    return True
