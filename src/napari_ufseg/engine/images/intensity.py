"""Intensity range of an image: which brightness becomes 0 and which 1, its noise and levels, learnt in one pass over its pixels."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.config import InputOptions
from napari_ufseg.engine.errors import ImageError, counted, go_on
from napari_ufseg.engine.images.source import ImageSource
from napari_ufseg.engine.images.threshold import FLATTEN, Levels, levels_of
from napari_ufseg.engine.images.tiling import Box

PERCENTILES = (0.1, 99.9)
_SAMPLED_VALUES = 2**24
_SAMPLED_PIXELS = 2**20
_LAB_RANGE = 100.0


@dataclass(frozen=True)
class IntensityRange:
    """The values of an image that become 0 and 1, and its noise.

    Parameters
    ----------
    low, high : float
        In double precision; equal if there is nothing to tell apart.
    noise : float
        Standard deviation of the noise, in the units of the image.
    levels : tuple of Levels
        Of each kind of `light_of` after `scaled`; empty where nobody asks for a local threshold.
    """

    low: float
    high: float
    noise: float = 0.0
    levels: tuple[Levels, ...] = ()

    @property
    def is_constant(self) -> bool:
        """Whether every value is the same."""
        return self.low == self.high

    def doubt(self, name: str) -> str:
        """What a user should know of the labels of an image of that name, in one sentence; empty if there is nothing."""
        return f"{name} is constant: all of it is one class." if self.is_constant else ""

    @property
    def scaled_noise(self) -> float:
        """Standard deviation of the noise after `scaled`."""
        return 0.0 if self.is_constant else float(min(1.0, self.noise / 2 / (self.high / 2 - self.low / 2)))

    def scaled(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """The values as float32 in [0, 1]; those beyond the two are clipped, a constant image is 0."""
        if self.is_constant:
            return np.zeros(values.shape, np.float32)
        values, low, high = values.astype(np.float64), self.low, self.high
        if not np.isfinite(high - low):  # huge floats: halve them, so that the difference does not overflow
            values, low, high = values / 2, low / 2, high / 2
        return np.ascontiguousarray(np.clip((values - low) / (high - low), 0, 1), dtype=np.float32)


def as_seen(scaled: npt.NDArray[np.float32], options: InputOptions) -> npt.NDArray[np.float32]:
    """The scaled channels, (C, ...), in the colours of the options."""
    if not options.sees_lab(len(scaled)):
        return scaled
    from skimage.color import rgb2lab

    return np.ascontiguousarray(rgb2lab(scaled, channel_axis=0), np.float32) / np.float32(_LAB_RANGE)


def light_of(seen: npt.NDArray[np.float32], options: InputOptions) -> npt.NDArray[np.float64]:
    """What thresholds are of, in [0, 1]: the lightness of a picture in colours, else every channel, flattened by a power.

    Parameters
    ----------
    seen : (C, ...) array
        As `as_seen` gives it.
    options : InputOptions

    Returns
    -------
    (``options.n_lights(C)``, ...) array
    """
    light = seen[: options.n_lights(len(seen))].astype(np.float64)
    return light.clip(0, 1) if options.sees_lab(len(seen)) else light.clip(0, 1) ** FLATTEN


def learn_range(
    source: ImageSource,
    options: InputOptions,
    pieces: Iterable[tuple[int, Box]],
    visit: Callable[[int, Box, npt.NDArray[Any]], None] = lambda item, box, values: None,
    stopped: Callable[[], bool] = lambda: False,
) -> IntensityRange:
    """Read an image once, piece by piece, and find the values that become 0 and 1.

    Parameters
    ----------
    source : ImageSource
        All its items and channels share one pair.
    options : InputOptions
        With the scaling "minmax" the extremes, with "percentile" the 0.1 and
        99.9 percentiles. Of numbers wider than 16 bit the percentiles are
        taken over an even sample of at least 8 million values, if there are
        more. The levels of a local threshold are those of an even sample of
        half a million pixels or more.
    pieces : iterable of (int, Box)
        Items and boxes that together make up the image.
    visit : callable, optional
        Is shown every piece, so that nobody has to read it a second time.
    stopped : callable, optional
        Whether it is no longer wanted; asked before every piece.

    Raises
    ------
    ImageError
        If it cannot be read, or holds NaN or infinite values.
    StoppedError
        If it was stopped.
    """
    summary = IntensitySummary.of(source, options)
    for item, box in pieces:
        go_on(stopped)
        values = source.read(item, box)
        summary.add(values, box)
        visit(item, box, values)
    return summary.brightness(source.name)


class IntensitySummary:
    """Extremes, percentiles and noise of some pieces of an image; the summaries of all pieces can be merged.

    The brightness is the same in whatever order the pieces come and are merged.

    Parameters
    ----------
    ranking : _Counts, _Sample or None
        What percentiles are taken from; None for the extremes.
    noise : _Noise
        What the noise is taken from.
    pixels : _Sample or None
        What the levels of a local threshold are taken from.
    options : InputOptions
        Say what the light of a pixel is.
    """

    def __init__(
        self, ranking: "_Counts | _Sample | None", noise: "_Noise", pixels: "_Sample | None", options: InputOptions
    ) -> None:
        self._ranking, self._noise, self._pixels, self._options = ranking, noise, pixels, options
        self._low, self._high, self._strange = np.inf, -np.inf, 0

    @classmethod
    def of(cls, source: ImageSource, options: InputOptions) -> Self:
        """The summary of no piece yet of an image; `options` are as for `learn_range`."""
        total = source.n_pixels * source.n_channels
        ranking = _ranking(np.dtype(source.data.dtype), total) if options.scaling == "percentile" else None
        pixels = _Sample(max(1, source.n_pixels // _SAMPLED_PIXELS)) if options.sees_local_threshold else None
        return cls(ranking, _Noise(total), pixels, options)

    def add(self, values: npt.NDArray[Any], box: Box) -> None:
        """Take in a piece that was read from a box."""
        if values.dtype.kind == "f":
            self._strange += int(values.size - np.isfinite(values).sum())
        self._low, self._high = min(self._low, float(values.min())), max(self._high, float(values.max()))
        self._noise.add(values, box)
        for kept in (self._ranking, self._pixels):
            if kept is not None:
                kept.add(values, box)

    def merge(self, other: Self) -> None:
        """Take in all pieces of another summary of the same image."""
        self._low, self._high = min(self._low, other._low), max(self._high, other._high)
        self._strange += other._strange
        self._noise.merge(other._noise)
        for kept, more in ((self._ranking, other._ranking), (self._pixels, other._pixels)):
            if kept is not None:
                kept.merge(more)

    def brightness(self, name: str) -> IntensityRange:
        """What becomes 0 and 1; ImageError with the name of the image if values are NaN or infinite."""
        if self._strange:
            are, them = ("is", "it") if self._strange == 1 else ("are", "them")
            raise ImageError(
                f"{name} has {counted(self._strange, 'value')} that {are} NaN or infinite: replace {them} first, "
                "for example by 0 (in Python: numpy.nan_to_num)."
            )
        low, high = self._low, self._high
        if self._ranking is not None:
            inner = self._ranking.percentiles(PERCENTILES)
            low, high = inner if inner[0] < inner[1] else (low, high)
        found = IntensityRange(low, high, self._noise.deviation())
        return found if self._pixels is None else replace(found, levels=self._levels(self._pixels, found))

    def _levels(self, pixels: "_Sample", found: IntensityRange) -> tuple[Levels, ...]:
        light = light_of(as_seen(found.scaled(pixels.values), self._options), self._options)
        return tuple(levels_of(kind) for kind in light)


def _ranking(dtype: np.dtype[Any], total: int) -> "_Counts | _Sample | None":
    if dtype.kind == "b":
        return None
    return _Counts(dtype) if dtype.kind in "ui" and dtype.itemsize <= 2 else _Sample(max(1, total // _SAMPLED_VALUES))


class _Counts:
    """Exact percentiles of whole numbers of at most 16 bit."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._lowest = int(np.iinfo(dtype).min)
        self._counts = np.zeros(2 ** (8 * dtype.itemsize), np.int64)

    def add(self, values: npt.NDArray[Any], box: Box) -> None:
        self._counts += np.bincount(values.ravel().astype(np.int64) - self._lowest, minlength=len(self._counts))

    def merge(self, other: Any) -> None:
        self._counts += other._counts

    def percentiles(self, wanted: tuple[float, float]) -> tuple[float, float]:
        ends = self._counts.cumsum()
        places = np.array(wanted) / 100 * (ends[-1] - 1)
        below = np.searchsorted(ends, np.floor(places), side="right")
        above = np.searchsorted(ends, np.ceil(places), side="right")
        low, high = below + (above - below) * (places % 1) + self._lowest
        return float(low), float(high)


class _Sample:
    """About every n-th pixel, and the percentiles of their values; which ones are taken depends on where a pixel lies and on nothing else."""

    def __init__(self, every: int) -> None:
        self._every, self._taken = every, []  # type: tuple[int, list[npt.NDArray[Any]]]

    def add(self, values: npt.NDArray[Any], box: Box) -> None:
        ndim = len(box.start)
        index = np.zeros((1,) * ndim, np.int64)
        for axis, (a, b) in enumerate(zip(box.start, box.stop, strict=True)):
            step = 37 ** (ndim - 1 - axis)  # prime, so that no row or column is favoured
            index = index + (np.arange(a, b) * step).reshape([-1 if i == axis else 1 for i in range(ndim)])
        self._taken.append(values[:, index % self._every == 0])

    def merge(self, other: Any) -> None:
        self._taken += other._taken

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """(C, n) array."""
        return np.concatenate(self._taken, axis=1).astype(np.float64)

    def percentiles(self, wanted: tuple[float, float]) -> tuple[float, float]:
        low, high = np.percentile(self.values, wanted)
        return float(low), float(high)


class _Noise:
    """The noise, from the diagonal differences of squares of 2 x 2 pixels: at most about a million of them.

    Half of (a - b - c + d) has the deviation of the noise where the image is
    flat; the median of its size leaves edges out (Donoho and Johnstone 1994,
    https://doi.org/10.1093/biomet/81.3.425).
    """

    _SQUARES = 2**20
    _DEVIATION_PER_MEDIAN = 1 / 0.6745  # of a Gaussian

    def __init__(self, n_values: int) -> None:
        self._step = 2 * max(1, ceil((n_values / 4 / self._SQUARES) ** 0.5))
        self._taken: list[npt.NDArray[np.float32]] = []

    def add(self, values: npt.NDArray[Any], box: Box) -> None:
        """Take in the squares whose corners lie in a grid that is the same for every piece."""
        starts = [-start % self._step for start in box.start[-2:]]
        corner, right, below, across = (
            values[..., starts[0] + y :: self._step, starts[1] + x :: self._step] for y, x in np.ndindex(2, 2)
        )
        rows, columns = across.shape[-2:]  # where a piece ends within a square, that one is left out
        four = [part[..., :rows, :columns].astype(np.float64) / 2 for part in (corner, right, below, across)]
        with np.errstate(over="ignore"):  # huge floats
            sizes = np.abs((four[0] - four[1]) - (four[2] - four[3])).astype(np.float32)
        self._taken.append(sizes.reshape(len(values), -1))

    def merge(self, other: Any) -> None:
        self._taken += other._taken

    def deviation(self) -> float:
        """The mean over the channels."""
        sizes = np.concatenate(self._taken, 1) if self._taken else np.empty((1, 0))
        return float(np.median(sizes, axis=1).mean() * self._DEVIATION_PER_MEDIAN) if sizes.size else 0.0
