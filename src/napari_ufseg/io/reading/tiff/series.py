"""The images of a TIFF file, and the files among which an OME-TIFF is spread."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import tifffile

from napari_ufseg.io.paths import TIFF_SUFFIXES
from napari_ufseg.io.quiet import without_log
from napari_ufseg.io.reading.series import Series, choose_series, told_of_series
from napari_ufseg.io.reading.tiff.directory import open_pages

_KINDS = (  # as tifffile tells descriptions apart
    *("shaped", "lsm", "mmstack", "ome", "imagej", "ndtiff", "fluoview", "stk", "sis", "svs", "scn", "qpi", "ndpi"),
    *("bif", "avs", "eer", "philips", "scanimage", "nih", "mdgel"),
)


def series_in(tiff: tifffile.TiffFile) -> tuple[list[tifffile.TiffPageSeries], bool]:
    """The images of which this file holds pixels, and whether its description of them can be understood.

    Each file of an OME-TIFF tells of the images in all its files.
    """
    is_understood = True
    try:
        found = _series_without(tiff)
    except Exception:  # pages that look alike but for one in between, or a description with anything in it
        try:
            found = _series_without(tiff, "uniform")
        except Exception:
            found, is_understood = _series_without(tiff, "uniform", *_KINDS), False
    first = tiff.pages.first
    if (first.is_ome and not tiff.is_ome) or (first.is_imagej and not tiff.is_imagej):  # tifffile has given it up
        is_understood = False
    return [one for one in found if any(_is_of(tiff, page) for page in one)] or found, is_understood


def _series_without(tiff: tifffile.TiffFile, *kinds: str) -> list[tifffile.TiffPageSeries]:
    """The images in a file as if it were none of these kinds."""
    for kind in kinds:
        setattr(tiff, f"is_{kind}", False)
    try:
        return tiff.series
    finally:
        for kind in kinds:
            vars(tiff).pop(f"is_{kind}", None)


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


@dataclass(frozen=True)
class TiffImage:
    """One of the images in a TIFF file.

    Parameters
    ----------
    number : int
        Which it is, from 0.
    pages : tifffile.TiffPageSeries
    is_understood : bool
        Whether tifffile can make sense of the description of the file.
    note : str
        What is to be told of the choice, as sentences; may be empty.
    """

    number: int
    pages: tifffile.TiffPageSeries
    is_understood: bool
    note: str


def chosen_series(file: Path, tiff: tifffile.TiffFile, asked: int | str | None) -> TiffImage:
    """The image of a TIFF file that is meant.

    Raises
    ------
    FileError
        If there is none as it was asked for.
    """
    found, is_understood = series_in(tiff)
    described = as_series(found)
    number = choose_series(file, described, asked)
    odd = (
        ""
        if is_understood
        else f"What {file} says of its planes and its pixels cannot be understood, and is left out: the planes are taken as "
        "they are."
    )
    told = told_of_series(file, described, number) if asked is None else ""
    return TiffImage(number, found[number], is_understood, " ".join(filter(None, (odd, told))))


def files_beside(file: Path) -> list[Path]:
    """The other files that are read with a TIFF file as one image; none for one that cannot be read."""
    if file.suffix.lower() not in TIFF_SUFFIXES:
        return []
    with suppress(Exception), without_log():  # whoever opens it tells what is wrong
        with tifffile.TiffFile(file) as tiff:
            if not _tells_of_others(tiff, file.name):
                return []
        with open_pages(file)[0] as tiff:
            pages = chosen_series(file, tiff, None).pages
            paths = {Path(page.parent.filehandle.path) for page in pages if page is not None}
            return sorted(path for path in paths if path.name != file.name)
    return []


def _tells_of_others(tiff: tifffile.TiffFile, name: str) -> bool:
    """Whether the first page may tell of other files that hold planes of the same image.

    To open all files that it names takes long, and in a set of images with a file each every one names all others.
    """
    if tiff.is_mmstack or not tiff.is_ome or "FileName=" not in (tiff.ome_metadata or ""):
        return bool(tiff.is_mmstack)
    images = [one for one in ElementTree.fromstring(tiff.ome_metadata or "") if one.tag.endswith("Image")]
    named = [{part.get("FileName") for part in image.iter() if part.get("FileName")} for image in images]
    own = [names for names in named if name in names]
    return any(len(names) > 1 for names in own) if own else True  # it may have another name by now
