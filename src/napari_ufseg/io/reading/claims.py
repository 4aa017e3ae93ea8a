"""What a file tells of itself, compared with what is there before it is believed.

A header of some bytes may claim any size, and name any other file.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod
from pathlib import Path
from xml.etree import ElementTree

import psutil
import tifffile

from napari_ufseg.engine.errors import FileError
from napari_ufseg.io.paths import is_below

_BELIEVED = 2**32  # bytes of pixels that every file may claim
_BELIEVED_PLANES = 10**6
_MOST_COMPRESSED = 10_000  # times as many bytes of pixels as there are in the file; plain black gets a thousand
_SIZES = ("SizeX", "SizeY", "SizeZ", "SizeC", "SizeT")
_believing: ContextVar[bool] = ContextVar("believing", default=False)


@contextmanager
def believe_claims(believed: bool = True) -> Iterator[None]:
    """Within the block, in this thread, images are opened whatever size they claim."""
    token = _believing.set(believed)
    try:
        yield
    finally:
        _believing.reset(token)


def are_claims_believed() -> bool:
    """Whether this is within a block of `believe_claims`."""
    return _believing.get()


def check_claim(path: Path, claimed: int, there: Iterable[int]) -> None:
    """Raise FileError if an image claims more than its file can hold.

    Parameters
    ----------
    path : Path
    claimed : int
        Bytes of all its pixels.
    there : iterable of int
        Bytes of the files that hold them; no more are asked for than are needed.
    """
    if claimed <= _BELIEVED or are_claims_believed():
        return
    found = 0
    for size in there:
        found += size
        if claimed <= found * _MOST_COMPRESSED:
            return
    raise FileError(
        f"{path} claims to hold {in_words(claimed)} of pixels, but there are {in_words(found)} in it: it is damaged, or "
        "nearly empty, or made to use up this machine (the flag --yes of ufseg opens it all the same)."
    )


def check_fits(path: Path, n_bytes: int) -> None:
    """Raise FileError if an image that is read whole does not fit into the memory that is free."""
    free = psutil.virtual_memory().available
    if n_bytes > free:
        raise FileError(
            f"{path} does not fit into memory: it has {in_words(n_bytes)} of pixels, and {in_words(free)} are free."
        )


def in_words(n_bytes: int) -> str:
    """A number of bytes for people: ``4 kB``, ``1.5 TB``."""
    amount, units = float(n_bytes), ["bytes", "kB", "MB", "GB", "TB", "PB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{amount:.3g} {units[0]}"


def open_checked(file: Path) -> tifffile.TiffFile:
    """A TIFF that is open, and for which `check_tiff` has raised nothing."""
    tiff = tifffile.TiffFile(file)
    try:
        check_tiff(file, tiff)
    except BaseException:
        tiff.close()
        raise
    return tiff


def check_tiff(file: Path, tiff: tifffile.TiffFile) -> None:
    """Raise FileError if the first page or the OME metadata claim more than there is, or name a file outside of the folder.

    This is before it is asked for a series: for that tifffile makes a list of all planes that are claimed, and opens
    every file that is named.
    """
    page = tiff.pages.first
    itemsize = 1 if page.dtype is None else page.dtype.itemsize
    check_claim(file, prod(page.shape) * itemsize, [tiff.filehandle.size])
    if tiff.is_ome and tiff.ome_metadata:
        _check_ome(file, tiff.ome_metadata, tiff.filehandle.size, max(1, prod(page.shape)))


def _check_ome(file: Path, xml: str, size: int, page_size: int) -> None:
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:  # tifffile then takes it for a file without them
        return
    names = {name for element in root.iter() if (name := element.get("FileName")) is not None}
    for name in sorted(names):
        if not is_below(name):
            raise FileError(
                f"{file} says that a part of it is in {name}, which is not in its folder: nothing outside of that is opened."
            )
    sizes = [size, *(part.stat().st_size for name in names if (part := file.parent / name).is_file())]
    for element in root.iter():
        if "SizeX" in element.keys():  # noqa: SIM118 (not a dict)
            check_claim(file, _claimed(element), sizes)
            n_planes = _claimed(element) // page_size
            if n_planes > max(_BELIEVED_PLANES, sum(sizes)):
                raise FileError(f"{file} claims to hold {n_planes} planes, for which it is too small: it is damaged.")


def _claimed(pixels: ElementTree.Element) -> int:
    """How many pixels the metadata of an OME-TIFF tell of; 0 if they are no numbers."""
    try:
        return prod(max(1, int(pixels.get(name, "1"))) for name in _SIZES)
    except ValueError:
        return 0


def check_series(file: Path, series: tifffile.TiffPageSeries) -> None:
    """Raise FileError if a series claims more pixels than there can be in the files of its planes."""
    if prod(series.shape) * series.dtype.itemsize > _BELIEVED:
        files = {page.parent.filehandle.path: page.parent.filehandle.size for page in series.pages if page is not None}
        check_claim(file, prod(series.shape) * series.dtype.itemsize, files.values())
