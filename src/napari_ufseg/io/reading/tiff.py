"""TIFF files: their pixels, axes and scale, and whether they hold all that they tell of."""

import json
import struct
import weakref
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.io.axis_steps import Step, ToldSteps, as_number, unreadable
from napari_ufseg.io.reading.image_file import ImageFile, LazyArray
from napari_ufseg.io.reading.known_labels import CLASSES_TAG, LABELS_SOFTWARE, classes_in_json


def read_tiff(file: Path) -> tuple[npt.NDArray[Any], str]:
    """All pixels of the first series of a TIFF file, and a letter for each axis."""
    with _opened(file) as tiff:
        require_whole(tiff)
        series = tiff.series[0]
        array = np.asarray(series.asarray())
        return array, _axes(series.axes, array.ndim)


def open_tiff(file: Path, level: int) -> ImageFile:
    """The first series of a TIFF file; of its levels, `level`, or the full one if there is no such level."""
    tiff = _opened(file)
    try:
        series = tiff.series[0]
        level = level if 0 <= level < len(series.levels) else 0
        require_whole(tiff, level)
        data = _lazy(tiff, level)
        axes = _axes(series.axes, data.ndim)
        steps = _at_level(_steps(tiff, series.keyframe, axes), axes, series.shape, data.shape)
        is_labels = series.keyframe.software == LABELS_SOFTWARE
        about: dict[str, Any] = {"is_rgb": _is_rgb(series), "is_labels": is_labels, "classes": _classes(series)}
        return ImageFile(file, data, axes, steps, len(series.levels), level, **about)
    except BaseException:
        tiff.close()
        raise


def _opened(file: Path) -> tifffile.TiffFile:
    """A TIFF file; one whose description by OME or ImageJ makes no sense as if it had none."""
    tiff = tifffile.TiffFile(file)
    try:
        tiff.series  # noqa: B018  # tifffile reads the description now, and raises anything
    except Exception:
        tiff.close()
        if not (tiff.is_ome or tiff.is_imagej):
            raise
        return tifffile.TiffFile(file, is_ome=False, is_imagej=False)
    return tiff


def _is_not_understood(tiff: tifffile.TiffFile) -> bool:
    """Whether `_opened` had to leave a description out."""
    first = tiff.pages.first
    return (first.is_ome and not tiff.is_ome) or (first.is_imagej and not tiff.is_imagej)


def _at_level(told: ToldSteps, axes: str, full: Sequence[int], shape: Sequence[int]) -> ToldSteps:
    """The steps of a level of that shape, whose outer edges are those of the full one."""
    if tuple(full) == tuple(shape):
        return told
    no_pixel = not any(step.size for letter, step in zip(axes, told.by_axis, strict=True) if letter in "YX")
    steps = []
    for letter, step, n, size in zip(axes, told.by_axis, full, shape, strict=True):
        ratio = n / size if letter in "ZYX" and size else 1.0
        its = Step(1.0) if no_pixel and letter in "YX" else step
        steps.append(Step(its.size and its.size * ratio, its.unit, (its.size or 0.0) * (ratio - 1) / 2))
    return replace(told, by_axis=tuple(steps))


def _lazy(tiff: tifffile.TiffFile, level: int) -> LazyArray:
    """The pixels of one level of the first series, read when they are asked for; takes over closing `tiff`."""
    pages = tiff.series[0].levels[level]
    in_one_piece = pages.dataoffset is not None and not pages.is_multifile  # and not compressed
    if in_one_piece and not _is_not_understood(tiff):  # else tifffile can't map it by its name
        mapped = tifffile.memmap(tiff.filehandle.path, level=level, mode="r")
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


def _is_rgb(series: tifffile.TiffPageSeries) -> bool:
    colours = (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
    n_samples = dict(zip(series.axes, series.shape, strict=False)).get("S")
    return "C" not in series.axes and n_samples in (3, 4) and series.keyframe.photometric in colours


def _steps(tiff: tifffile.TiffFile, page: tifffile.TiffPage, axes: str) -> ToldSteps:
    """The steps along axes by ImageJ's or OME's metadata; if these say nothing of pixels, by the tags that all TIFF have."""
    told: dict[str, tuple[str, Any, Any]] = {}
    notes: list[str] = []
    try:
        if tiff.is_ome and tiff.ome_metadata:
            told = _ome_steps(tiff.ome_metadata)
        elif tiff.is_imagej and tiff.imagej_metadata:
            told = _imagej_steps(tiff.imagej_metadata, page)
        is_understood = not _is_not_understood(tiff)
    except Exception:  # XML may be broken in any way
        is_understood = False
    if not is_understood:
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


def _ome_steps(xml: str) -> dict[str, tuple[str, Any, Any]]:
    """Name, size and unit by the OME-XML of the first image."""
    pixels = ome_pixels(xml)
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
    told = 0
    with suppress(
        LookupError, TypeError, ValueError, AttributeError, SyntaxError
    ):  # of a description that makes no sense
        told = _planes_told(tiff, series)
    there = _planes(tiff, series)
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
    if page.is_ome and page.description:  # also of one that `_opened` has left out
        return _ome_planes(page.description)
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
