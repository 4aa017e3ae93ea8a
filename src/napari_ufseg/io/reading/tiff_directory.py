"""The chain of pages of a TIFF file: whether it ends, was cut off, or leads nowhere."""

import struct
from enum import Enum

import tifffile

_PADDING = 16  # bytes behind the last page that hold nothing


class ChainEnd(Enum):
    """How the chain of pages ends."""

    WHOLE = "the last page says that it is the last one"
    CUT = "there is something behind the last page that cannot be read, or the page itself is cut off"
    ODD = "the last page points to another one, but nothing is behind it: what it points to never was a page"


def end_of_chain(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> ChainEnd:
    """How the chain of pages ends.

    Parameters
    ----------
    tiff : tifffile.TiffFile
        Open.
    series : tifffile.TiffPageSeries
        The image that is read; its pixels may lie behind the last page.
    """
    file, last = tiff.filehandle, tiff.pages[-1]
    following = _following(tiff, last.offset)
    if following is None:
        return ChainEnd.CUT
    if following == 0:
        return ChainEnd.WHOLE
    known = max(_end_of_page(tiff, page.offset, page.index) for page in tiff.pages)
    if series.dataoffset is not None and not series.is_multifile:
        known = max(known, series.dataoffset + series.nbytes)
    return ChainEnd.ODD if following < known <= file.size or file.size - known <= _PADDING else ChainEnd.CUT


def _following(tiff: tifffile.TiffFile, offset: int) -> int | None:
    """Where the page behind the one at `offset` lies; 0 if that is the last one, None if it is cut off."""
    form, file = tiff.tiff, tiff.filehandle
    file.seek(offset)
    try:
        (n_tags,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
        file.seek(offset + form.tagnosize + n_tags * form.tagsize)
        (following,) = struct.unpack(form.offsetformat, file.read(form.offsetsize))
    except struct.error:
        return None
    return int(following)


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
