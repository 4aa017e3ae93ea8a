"""TIFF files: their pixels, axes and scale, and whether they hold all that they tell of."""

import json
import weakref
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy.typing as npt
import tifffile

from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.io.axis_steps import Step, ToldSteps, as_number, unreadable
from napari_ufseg.io.reading.claims import check_series
from napari_ufseg.io.reading.file_pixels import FilePixels, WatchedPixels
from napari_ufseg.io.reading.image_file import ImageFile, LazyArray
from napari_ufseg.io.reading.known_labels import CLASSES_TAG, LABELS_SOFTWARE, classes_in_json
from napari_ufseg.io.reading.series import Series
from napari_ufseg.io.reading.tiff.directory import ChainEnd, end_of_chain, open_pages
from napari_ufseg.io.reading.tiff.samples import Channels, Colours, is_colour, kept_samples, palette_of, told_of_samples
from napari_ufseg.io.reading.tiff.series import TiffImage, as_series, chosen_series, series_in


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
        image = chosen_series(file, tiff, series)
        chosen, notes = image.pages, [image.note]
        ome_number = _ome_number(tiff, chosen)
        if partial:
            notes.append(_told_of_part(file, tiff, chosen))
            chosen = _present(chosen)
        check_series(file, chosen)
        level = level if 0 <= level < len(chosen.levels) else 0
        end = end_of_chain(tiff, chosen, following)
        notes += [require_whole(file, tiff, chosen, level, end, partial=partial), told_of_samples(file, chosen)]
        _require_codec(file, chosen)
        palette = None if numbers else palette_of(chosen)
        data, axes = _samples(_lazy(file, tiff, chosen.levels[level]), chosen, palette)
        steps = _at_level(
            _steps(tiff, image, axes, ome_number), axes, (*chosen.shape, *data.shape[chosen.ndim :]), data.shape
        )
        is_labels = chosen.keyframe.software == LABELS_SOFTWARE
        about: dict[str, Any] = {"is_labels": is_labels, "classes": _classes(chosen), "series": image.number}
        about["is_rgb"] = isinstance(data, Colours) or is_colour(chosen, axes, data.shape)
        about["note"] = " ".join(filter(None, notes))
        return ImageFile(file, data, axes, steps, len(chosen.levels), level, **about)
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


def _at_level(told: ToldSteps, axes: str, full: Sequence[int], shape: Sequence[int]) -> ToldSteps:
    """The steps of a level of that shape, whose outer edges are those of the full one."""
    if all(n == size for letter, n, size in zip(axes, full, shape, strict=True) if letter in "ZYX"):
        return told
    no_pixel = not any(step.size for letter, step in zip(axes, told.by_axis, strict=True) if letter in "YX")
    steps = []
    for letter, step, n, size in zip(axes, told.by_axis, full, shape, strict=True):
        ratio = n / size if letter in "ZYX" and size else 1.0
        its = Step(1.0) if no_pixel and letter in "YX" else step
        steps.append(Step(its.size and its.size * ratio, its.unit, (its.size or 0.0) * (ratio - 1) / 2))
    return replace(told, by_axis=tuple(steps))


def _lazy(file: Path, tiff: tifffile.TiffFile, pages: tifffile.TiffPageSeries) -> LazyArray:
    """The pixels of one level of an image, read when they are asked for; takes over closing `tiff`."""
    if pages.dataoffset is not None and pages.dtype is not None and not pages.is_multifile:
        stored = pages.dtype.newbyteorder(tiff.byteorder)  # not compressed and in one piece
        tiff.close()
        return FilePixels(file, pages.dataoffset, pages.shape, stored)
    import zarr

    files = {Path(page.parent.filehandle.path): page.parent.filehandle.size for page in pages if page is not None}
    array = zarr.open_array(pages.aszarr(level=0), mode="r", zarr_format=2)
    weakref.finalize(array, tiff.close)
    return WatchedPixels(file, array, files)


def _axes(axes: str, ndim: int) -> str:
    """The letters of tifffile as ours; samples are channels, unless there are channels beside them."""
    if len(axes) != ndim:
        return "?" * ndim
    if "C" not in axes:
        axes = axes.replace("S", "C")
    return "".join(axis if axis in "TZCYX" else "?" for axis in axes)


def _steps(tiff: tifffile.TiffFile, image: TiffImage, axes: str, ome_number: int) -> ToldSteps:
    """The steps along axes by ImageJ's or OME's metadata; if these say nothing of pixels, by the tags that all TIFF have."""
    page = image.pages.keyframe
    told: dict[str, tuple[str, Any, Any]] = {}
    notes: list[str] = []
    if image.is_understood:
        try:
            if tiff.is_ome and tiff.ome_metadata:
                told = _ome_steps(tiff.ome_metadata, ome_number)
            elif tiff.is_imagej and tiff.imagej_metadata:
                told = _imagej_steps(tiff.imagej_metadata, page)
        except Exception:  # XML may be broken in any way
            notes.append("Its metadata cannot be understood, and are left out.")
    steps = {letter: Step.told(size, unit) for letter, (_, size, unit) in told.items()}
    notes += [unreadable(name, size) for name, size, _ in told.values() if as_number(size) is None]
    if not any(steps.get(letter, Step()).size for letter in "YX"):
        steps |= _tag_steps(page)
    return ToldSteps.of(axes, steps, notes)


def _imagej_steps(metadata: dict[str, Any], page: tifffile.TiffPage) -> dict[str, tuple[str, Any, Any]]:
    """Name, size and unit by ImageJ's description, and the pixels per unit along x and y.

    As in ImageJ the unit of x is that of y and z, too, unless these have their own, and without any it is that of the
    tag ResolutionUnit; frames are counted in seconds unless there is another unit.
    """
    by_tag = _tag_steps(page)
    unit = metadata.get("unit", by_tag["X"].unit if "X" in by_tag else None)
    sizes = _tag_sizes(page)
    if "unit" not in metadata and _tag_unit(page) and not by_tag:
        sizes = dict.fromkeys(sizes, 1.0)  # pixels, as in ImageJ
    told: dict[str, tuple[str, Any, Any]] = {
        letter: (_RESOLUTION[letter], size, unit) for letter, size in sizes.items()
    }
    if "Y" in told and "yunit" in metadata:
        told["Y"] = (*told["Y"][:2], metadata["yunit"])
    if "spacing" in metadata:
        told["Z"] = ("spacing", metadata["spacing"], metadata.get("zunit", unit))
    if "finterval" in metadata:
        told["T"] = ("finterval", metadata["finterval"], metadata.get("tunit") or "s")
    return told


def _ome_steps(xml: str, number: int) -> dict[str, tuple[str, Any, Any]]:
    """Name, size and unit by the OME-XML of an image."""
    pixels = ome_pixels(xml, number)
    names = {**{letter: f"PhysicalSize{letter}" for letter in "XYZ"}, "T": "TimeIncrement"}
    return {
        letter: (name, pixels[name], pixels.get(f"{name}Unit", "s" if letter == "T" else "µm"))
        for letter, name in names.items()
        if name in pixels
    }


_RESOLUTION = {"X": "XResolution", "Y": "YResolution"}  # tags: pixels per unit
_TAG_UNITS = {2: "in", 3: "cm", 4: "mm", 5: "µm"}  # of the tag ResolutionUnit; 1 is no unit


def _tag_unit(page: tifffile.TiffPage) -> str | None:
    return _TAG_UNITS.get(page.tags.valueof("ResolutionUnit"))


def _tag_sizes(page: tifffile.TiffPage) -> dict[str, float]:
    """Size of a pixel along X and Y by the tags of resolution, in whatever unit."""
    sizes = {}
    for letter, name in _RESOLUTION.items():
        match page.tags.valueof(name):
            case (int(number), int(per)) if number and per:
                sizes[letter] = per / number
    return sizes


def _tag_steps(page: tifffile.TiffPage) -> dict[str, Step]:
    """The steps along X and Y by the tags of resolution.

    One pixel in a unit, and 72 in an inch, are what programs write that know of no size: ImageJ takes the latter for none, too.
    """
    unit, sizes = _tag_unit(page), _tag_sizes(page)
    nothing = {1.0, 1 / 72} if unit == "in" else {1.0}
    if unit is None or set(sizes.values()) <= nothing:
        return {}
    return {letter: Step.told(size, unit) for letter, size in sizes.items()}


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
