"""The chain of pages of a TIFF file: whether it ends, was cut off, or leads nowhere."""

import io
import struct
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any

import tifffile

from napari_ufseg.io.reading.claims import open_checked

_PADDING = 16  # bytes behind the last page that hold nothing
_MOST_TAGS = 4096
_WIDTH, _LENGTH = 256, 257  # tags that every page has


class ChainEnd(Enum):
    """How the chain of pages ends."""

    WHOLE = "the last page says that it is the last one"
    CUT = "there is something behind the last page that cannot be read, or the page itself is cut off"
    ODD = "the last page points to another one, but nothing is behind it: what it points to never was a page"


def open_pages(file: Path) -> tuple[tifffile.TiffFile, int | None]:
    """Open a TIFF file; if its chain of pages leads nowhere, as if it ended there.

    Returns
    -------
    tiff : tifffile.TiffFile
        With all pages that are there.
    following : int or None
        Where the last page says that the next one is, though none is there; 0 if it says that it is the last one, and
        None if its end is cut off.
    """
    tiff = open_checked(file)
    try:
        with suppress(tifffile.TiffFileError):  # of what is no page
            last = _entry(tiff, tiff.pages[-1].offset)
            if last is not None and last[1] == 0:
                return tiff, 0
        place, following = _end(tiff)
        if following is None or following == 0:
            return tiff, following
        size = tiff.tiff.offsetsize
    except BaseException:
        tiff.close()
        raise
    tiff.close()
    return tifffile.TiffFile(_EndedFile(file, place, size)), following


def end_of_chain(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, following: int | None) -> ChainEnd:
    """How the chain of pages ends.

    Parameters
    ----------
    tiff : tifffile.TiffFile
    series : tifffile.TiffPageSeries
        The image that is read; its pixels may lie behind the last page.
    following : int or None
        As `open_pages` gives it.
    """
    if following is None:
        return ChainEnd.CUT
    if following == 0:
        return ChainEnd.WHOLE
    size = tiff.filehandle.size
    known = max(_end_of_page(tiff, page.offset, page.index) for page in tiff.pages)
    if series.dataoffset is not None and not series.is_multifile:
        known = max(known, series.dataoffset + series.nbytes)
    return ChainEnd.ODD if following < known <= size or 0 <= size - known <= _PADDING else ChainEnd.CUT


def _end(tiff: tifffile.TiffFile) -> tuple[int, int | None]:
    """Where the last page that is one tells of the next, and what it tells; None if the page is cut off there."""
    offset = tiff.pages.first.offset
    seen: set[int] = set()
    place, told = 0, None
    while offset not in seen and (entry := _entry(tiff, offset)) is not None:
        seen.add(offset)
        place, told = entry
        if not told:
            break
        offset = told
    return place, told


def _entry(tiff: tifffile.TiffFile, offset: int) -> tuple[int, int | None] | None:
    """Where the page at `offset` tells of the next one, and what it tells; None if there is no page."""
    form, file = tiff.tiff, tiff.filehandle
    if not 0 < offset < file.size:
        return None
    file.seek(offset)
    try:
        (n_tags,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
        if n_tags > _MOST_TAGS:
            return None
        entries = file.read(n_tags * form.tagsize)
        codes = {
            struct.unpack(form.byteorder + "H", entries[i : i + 2])[0] for i in range(0, len(entries), form.tagsize)
        }
        if not {_WIDTH, _LENGTH} <= codes:
            return None
        place = offset + form.tagnosize + n_tags * form.tagsize
        told = file.read(form.offsetsize)
        return place, int(struct.unpack(form.offsetformat, told)[0]) if len(told) == form.offsetsize else None
    except struct.error:
        return None


def _end_of_page(tiff: tifffile.TiffFile, offset: int, index: int) -> int:
    """The first byte behind a page, its tags, its pixels and the smaller copies that hang on it."""
    tiff.filehandle.seek(offset)
    page = tifffile.TiffPage(tiff, index)
    form = tiff.tiff
    ends = [offset + form.tagnosize + len(page.tags) * form.tagsize + form.offsetsize]
    ends += [tag.valueoffset + tag.valuebytecount for tag in page.tags]
    ends += [start + n for start, n in zip(page.dataoffsets, page.databytecounts, strict=False)]
    ends += [_end_of_page(tiff, smaller, index) for smaller in page.subifds or () if smaller > offset]
    return max(ends)


class _EndedFile(io.FileIO):
    """A file some bytes of which are read as zeros: those by which a page tells of the next one.

    Parameters
    ----------
    file : Path
    place, size : int
        Of these bytes.
    """

    def __init__(self, file: Path, place: int, size: int) -> None:
        super().__init__(str(file))
        self._place, self._size = place, size

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file."""
        start = self.tell()
        data = bytearray(super().read(-1 if size is None else size))
        self._blank(memoryview(data), start)
        return bytes(data)

    def readinto(self, buffer: Any, /) -> int:
        """As of any file."""
        start = self.tell()
        n = super().readinto(buffer) or 0
        self._blank(memoryview(buffer).cast("B")[:n], start)
        return n

    def _blank(self, data: memoryview, start: int) -> None:
        first = max(0, self._place - start)
        last = min(len(data), self._place + self._size - start)
        if first < last:
            data[first:last] = bytes(last - first)

    def __del__(self) -> None:
        self.close()
