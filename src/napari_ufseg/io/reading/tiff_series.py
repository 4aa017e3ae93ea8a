"""The images of a TIFF file, and the files among which an OME-TIFF is spread."""

from contextlib import suppress
from pathlib import Path

import tifffile

from napari_ufseg.io.paths import TIFF_SUFFIXES
from napari_ufseg.io.quiet import without_log
from napari_ufseg.io.reading.series import Series, choose_series, told_of_series


def series_in(tiff: tifffile.TiffFile) -> list[tifffile.TiffPageSeries]:
    """The images of which this file holds pixels.

    Each file of an OME-TIFF tells of those of all its files. A file without any of its own has none of its own in
    what it tells, and then all that it tells of count.
    """
    try:
        found = tiff.series
    except RuntimeError:  # pages that look alike, but for one in between
        tiff.is_uniform = False
        found = tiff.series
    return [one for one in found if any(_is_of(tiff, page) for page in one)] or found


def _is_of(tiff: tifffile.TiffFile, page: tifffile.TiffPage | tifffile.TiffFrame | None) -> bool:
    return page is not None and page.parent.filehandle.path == tiff.filehandle.path


def as_series(found: list[tifffile.TiffPageSeries]) -> list[Series]:
    """What is told of the images of a TIFF file."""
    return [Series(_name(one), one.shape, one.axes, _aside(one)) for one in found]


def _name(one: tifffile.TiffPageSeries) -> str:
    return one.name or ""


def _aside(one: tifffile.TiffPageSeries) -> str:
    page = one.keyframe
    return "a mask" if page.is_mask else "a reduced copy" if page.is_reduced else ""


def chosen_series(
    file: Path, tiff: tifffile.TiffFile, asked: int | str | None
) -> tuple[int, tifffile.TiffPageSeries, str]:
    """The image of a TIFF file that is meant: its number, itself, and what is to be told of the choice.

    Raises
    ------
    FileError
        If there is none as it was asked for.
    """
    found = series_in(tiff)
    described = as_series(found)
    number = choose_series(file, described, asked)
    return number, found[number], told_of_series(file, described, number) if asked is None else ""


def files_beside(file: Path) -> list[Path]:
    """The other files that are read with a TIFF file as one image; none for one that cannot be read."""
    if file.suffix.lower() not in TIFF_SUFFIXES:
        return []
    with suppress(Exception), without_log(), tifffile.TiffFile(file) as tiff:  # whoever opens it tells what is wrong
        if _tells_of_files(tiff):
            _, series, _ = chosen_series(file, tiff, None)
            paths = {Path(page.parent.filehandle.path) for page in series if page is not None}
            return sorted(path for path in paths if path.name != file.name)
    return []


def _tells_of_files(tiff: tifffile.TiffFile) -> bool:
    """Whether the description names files; asked first, since to open them all takes long."""
    return bool(tiff.is_mmstack or (tiff.is_ome and "FileName=" in (tiff.ome_metadata or "")))
