"""What the samples of a TIFF pixel mean: opacity is left out, and the numbers of a palette become its colours."""

from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_ufseg.io.reading.image_file import LazyArray
from napari_ufseg.io.reading.known_labels import LABELS_SOFTWARE

_OPACITY = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
_COLOURS = (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
_PICTURES = ("uniform", "generic", "shaped")  # not of a microscope, whose palette only says how its numbers are shown


def kept_samples(series: tifffile.TiffPageSeries) -> list[int] | None:
    """Which samples of a pixel are not its opacity; None if all are."""
    n_samples = dict(zip(series.axes, series.shape, strict=False)).get("S", 1)
    page = series.keyframe
    n_own = n_samples - len(page.extrasamples)  # those of grey or colour come first
    opacity = [n_own + i for i, kind in enumerate(page.extrasamples) if kind in _OPACITY]
    if not opacity or n_own < 1:
        return None
    return [i for i in range(n_samples) if i not in opacity]


def palette_of(series: tifffile.TiffPageSeries) -> npt.NDArray[Any] | None:
    """The (n, 3) colours that the numbers of an image stand for; None if they stand for themselves.

    They do in labels of this program, and in files of microscopes and of ImageJ, where a palette is a look-up table
    that only says how they are shown.
    """
    page = series.keyframe
    if page.photometric != tifffile.PHOTOMETRIC.PALETTE or page.colormap is None or series.kind not in _PICTURES:
        return None
    if (
        page.is_imagej
        or page.software == LABELS_SOFTWARE
        or "S" in series.axes
        or series.dtype is None
        or series.dtype.kind not in "bu"
    ):
        return None
    colours = np.asarray(page.colormap).T
    if series.dtype.itemsize == 1:
        colours = (colours if colours.max(initial=0) < 256 else colours >> 8).astype(np.uint8)
    return np.ascontiguousarray(colours)


def is_colour(series: tifffile.TiffPageSeries, axes: str, shape: tuple[int, ...]) -> bool:
    """Whether the channels of an image, without its opacity, are red, green and blue."""
    n_channels = dict(zip(axes, shape, strict=True)).get("C")
    return "C" not in series.axes and n_channels == 3 and series.keyframe.photometric in _COLOURS


def told_of_samples(path: Any, series: tifffile.TiffPageSeries) -> str:
    """The sentence that tells that a sample beside a colour has no meaning in the file; nothing if all have one."""
    page = series.keyframe
    if page.photometric not in _COLOURS or dict(zip(series.axes, series.shape, strict=False)).get("S") != 4:
        return ""
    if kept_samples(series) is not None:
        return ""
    return f"{path} does not say what the fourth value of its colours is: it is taken for a channel, not for opacity."


class Channels:
    """An array without some entries along one of its axes, read by regions as it is itself.

    Parameters
    ----------
    data : array-like
    axis : int
    kept : list of int
        The entries that stay, in order.
    """

    def __init__(self, data: LazyArray, axis: int, kept: list[int]) -> None:
        self._data, self._axis, self._kept = data, axis, np.asarray(kept)
        self.shape = tuple(len(kept) if i == axis else n for i, n in enumerate(data.shape))
        self.dtype, self.ndim = data.dtype, data.ndim
        self.chunks = _chunks(data, tuple(min(n, len(kept)) if i == axis else n for i, n in _stored(data)))

    def __getitem__(self, region: Any) -> Any:
        index = _whole_index(region, self.ndim)
        wanted = self._kept[index[self._axis]]
        if wanted.ndim == 0 or wanted.size == 0:
            entries: Any = int(wanted) if wanted.ndim == 0 else slice(0, 0)
            return self._data[(*index[: self._axis], entries, *index[self._axis + 1 :])]
        first, last = int(wanted.min()), int(wanted.max())
        piece = np.asarray(self._data[(*index[: self._axis], slice(first, last + 1), *index[self._axis + 1 :])])
        axis = sum(not isinstance(entry, int | np.integer) for entry in index[: self._axis])
        return np.take(piece, wanted - first, axis=axis)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[...], dtype)


class Colours:
    """An array of numbers as the colours of a palette, which are its last axis; read by regions.

    Parameters
    ----------
    data : array-like
        Of whole numbers; one that the palette lacks has its last colour.
    palette : (n, 3) array
    """

    def __init__(self, data: LazyArray, palette: npt.NDArray[Any]) -> None:
        self._data, self._palette = data, palette
        self.shape = (*data.shape, 3)
        self.dtype, self.ndim = palette.dtype, data.ndim + 1
        self.chunks = _chunks(data, (*(n for _, n in _stored(data)), 3))

    def __getitem__(self, region: Any) -> Any:
        index = _whole_index(region, self.ndim)
        numbers = np.asarray(self._data[index[:-1]]).astype(np.intp)
        return np.take(self._palette[:, index[-1]], numbers, axis=0, mode="clip")

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[...], dtype)


def _stored(data: LazyArray) -> list[tuple[int, int]]:
    """Each axis, and how many of its entries are stored together."""
    return list(enumerate(getattr(data, "chunks", None) or data.shape))


def _chunks(data: LazyArray, chunks: tuple[int, ...]) -> tuple[int, ...] | None:
    return chunks if getattr(data, "chunks", None) else None


def _whole_index(region: Any, ndim: int) -> tuple[Any, ...]:
    """An index with an entry for every axis."""
    entries = region if isinstance(region, tuple) else (region,)
    at = next((i for i, entry in enumerate(entries) if entry is Ellipsis), len(entries))
    rest = entries[at + 1 :]
    return (*entries[:at], *[slice(None)] * (ndim - at - len(rest)), *rest)
