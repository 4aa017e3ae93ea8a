"""Whether a TIFF file holds all that it tells of: readers open one that was cut off in mid-copy as a shorter stack."""

import json
import struct
from collections.abc import Iterable
from math import prod
from typing import Any

import tifffile

from napari_ufseg.engine.errors import FileError


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
