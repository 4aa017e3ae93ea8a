"""Intensity range of an image: which brightness becomes 0 and which 1, what is left out, its noise and levels; learnt in one pass."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.config import INTENSITY_CHOICES, InputOptions
from napari_ufseg.engine.errors import ConfigError, ImageError, counted, go_on
from napari_ufseg.engine.images.odd_pixels import Odd, OddPixels, Spread, holds_no_data, replace_left_out
from napari_ufseg.engine.images.source import ImageSource
from napari_ufseg.engine.images.threshold import FLATTEN, Levels, levels_of
from napari_ufseg.engine.images.tiling import Box

PERCENTILES = (0.1, 99.9)
_SAMPLED_VALUES = 2**24
_SAMPLED_PIXELS = 2**20
_STEP_PIXELS = 2**17
_MOST_COUNTED = 16  # channels whose values are counted one by one
_LAB_RANGE = 100.0
_LOWEST = float(np.finfo(np.float64).min)


@dataclass(frozen=True)
class ChannelRange:
    """The values of a channel that become 0 and 1, and its noise.

    Parameters
    ----------
    low, high : float
        In double precision; equal if there is nothing to tell apart.
    noise : float
        Standard deviation of the noise, in the units of the image.
    below, above : float
        What is darker or brighter than these is odd, such as a stuck pixel, and replaced by what is around it.
    typical : float
        The median, which stands where nothing is known.
    """

    low: float
    high: float
    noise: float = 0.0
    below: float = -np.inf
    above: float = np.inf
    typical: float = 0.0

    @property
    def is_constant(self) -> bool:
        """Whether every value is the same."""
        return self.low == self.high

    @property
    def scaled_noise(self) -> float:
        """Standard deviation of the noise after `scaled`."""
        return 0.0 if self.is_constant else float(min(1.0, self.noise / 2 / (self.high / 2 - self.low / 2)))

    def scaled(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """The values as float32 in [0, 1]; those beyond the two are clipped, a constant channel is 0."""
        if self.is_constant:
            return np.zeros(values.shape, np.float32)
        values, low, high = values.astype(np.float64), self.low, self.high
        if not np.isfinite(high - low):  # huge floats: halve them, so that the difference does not overflow
            values, low, high = values / 2, low / 2, high / 2
        return np.ascontiguousarray(np.clip((values - low) / (high - low), 0, 1), dtype=np.float32)


@dataclass(frozen=True)
class IntensityRange:
    """The values of an image that become 0 and 1, what is left out, and its noise.

    Parameters
    ----------
    channels : tuple of ChannelRange
        One for each channel, or one that all share.
    levels : tuple of Levels
        Of each kind of `light_of` after `scaled`; empty where nobody asks for a local threshold.
    no_data : tuple of float or None
        The value of each channel where there are no data; None if no value means that.
    has_gaps : bool
        Whether there are pixels that are NaN or infinite, which are no data either.
    dtype : str
        Type of the values; empty if nobody knows.
    is_given : bool
        Whether somebody has said what becomes 0 and 1.
    told : tuple of str
        What was left out, or taken from elsewhere, a sentence each, to follow the name of the image.
    """

    channels: tuple[ChannelRange, ...]
    levels: tuple[Levels, ...] = ()
    no_data: tuple[float, ...] | None = None
    has_gaps: bool = False
    dtype: str = ""
    is_given: bool = False
    told: tuple[str, ...] = ()

    @classmethod
    def shared(cls, low: float, high: float, noise: float = 0.0, levels: tuple[Levels, ...] = ()) -> Self:
        """The same range for all channels, of which nothing is left out."""
        return cls((ChannelRange(low, high, noise),), levels)

    @property
    def is_constant(self) -> bool:
        """Whether every value that counts is the same, in every channel."""
        return all(channel.is_constant for channel in self.channels)

    @property
    def leaves_no_data(self) -> bool:
        """Whether there are pixels that hold no data."""
        return self.no_data is not None or self.has_gaps

    @property
    def _has_odd(self) -> bool:
        return any(np.isfinite(limit) for channel in self.channels for limit in (channel.below, channel.above))

    def doubt(self, name: str) -> str:
        """What a user should know of an image of that name, a sentence each; empty if there is nothing."""
        constant = [f"{name} is constant: all of it is one class."] if self.is_constant else []
        return " ".join([*(f"{name}: {words}" for words in self.told), *constant])

    def scaled_noise(self, n_channels: int) -> tuple[float, ...]:
        """Standard deviation of the noise of every channel after `scaled`."""
        return tuple(channel.scaled_noise for channel in self._of(n_channels))

    def scaled(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """The values, (C, ...), as float32 in [0, 1]; those beyond the range of their channel are clipped."""
        if len(self.channels) == 1:
            return self.channels[0].scaled(values)
        return np.stack([channel.scaled(its) for channel, its in zip(self.channels, values, strict=True)])

    def where_no_data(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Which pixels of (C, ...) values hold no data: (...)."""
        gone = np.zeros(values.shape[1:], np.bool_)
        if self.has_gaps:
            gone |= ~np.isfinite(values).all(0)
        if self.no_data is not None:
            gone |= _equal(values, self.no_data)
        return gone

    def without_odd(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The values, (C, ...), with others in place of what is odd or holds no data; see `replace_left_out`."""
        if not self._has_odd and not self.leaves_no_data:
            return values
        channels = self._of(len(values))
        left = np.repeat(self.where_no_data(values)[np.newaxis], len(values), 0)
        with np.errstate(invalid="ignore"):
            for its, channel, gone in zip(values, channels, left, strict=True):
                gone |= (its < channel.below) | (its > channel.above)
        return replace_left_out(values, left, [channel.typical for channel in channels])

    def to_dict(self) -> dict[str, Any]:
        """What a model knows of the images that it was trained on, as plain values, for a file."""
        numbers = [[its.low, its.high, its.noise, its.typical] for its in self.channels]
        levels = [[its.threshold, its.below, its.above] for its in self.levels]
        return {"channels": numbers, "levels": levels, "dtype": self.dtype}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From what `to_dict` gives; ValueError, KeyError or TypeError if it is anything else."""
        channels = [[float(number) for number in its] for its in values["channels"]]
        levels = [[float(number) for number in its] for its in values["levels"]]
        are_ranges = all(len(its) == 4 and its[0] <= its[1] and its[2] >= 0 for its in channels)
        if not channels or not are_ranges or not all(len(its) == 3 for its in levels):
            raise ValueError("an intensity range of other numbers")
        if not all(np.isfinite(its).all() for its in (*channels, *levels)):
            raise ValueError("an intensity range without end")
        return cls(
            tuple(ChannelRange(low, high, noise, typical=typical) for low, high, noise, typical in channels),
            tuple(Levels(*its) for its in levels),
            dtype=str(values["dtype"]),
        )

    def _of(self, n_channels: int) -> tuple[ChannelRange, ...]:
        return self.channels * n_channels if len(self.channels) == 1 else self.channels


def _equal(values: npt.NDArray[Any], value: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Which pixels of (C, ...) values have that value in every channel."""
    found: npt.NDArray[np.bool_] = (values == np.reshape(value, (-1, *(1 for _ in values.shape[1:])))).all(0)
    return found


def choose_range(own: IntensityRange, trained: Sequence[IntensityRange], how: str) -> IntensityRange:
    """The range by which a model sees an image: the image's own, or one of the training images.

    Numbers are of the same kind if they have the same type, and the background
    the same brightness (to three deviations of the noise, or 2 % of the range)
    and noise (to a factor of 2): as of another field under the same microscope.
    Where noise cannot be measured, as of 8 bit images whose background is 0, the ranges must
    also be alike, to a factor of 2, unless a channel is constant.

    Parameters
    ----------
    own : IntensityRange
        What was learnt of the image; what is left out, and its noise, stay its own.
    trained : sequence of IntensityRange
        Of the images that the model was trained on; empty if nobody knows.
    how : {"auto", "trained", "own"}
        ``"auto"`` is the one of the training images that is nearest if the numbers are of the same
        kind, else the image's own. A range that somebody has given for the image stays in any case.

    Raises
    ------
    ConfigError
        If `how` is another word.
    """
    if how not in INTENSITY_CHOICES:
        raise ConfigError(f"intensity is {how!r}, but must be one of {', '.join(INTENSITY_CHOICES)}.")
    known = [its for its in trained if len(its.channels) == len(own.channels)]
    if how == "own" or not known or own.is_given:
        return own
    nearest = min(known, key=lambda its: _distance(own, its))
    if how == "auto" and not _is_alike(own, nearest):
        words = f"scaled by its own brightness ({_in_words(own)}), since that of the training images ({_in_words(nearest)}) is of another kind."
        return own if nearest.is_constant else replace(own, told=(*own.told, words))
    pairs = zip(own.channels, nearest.channels, strict=True)
    channels = tuple(replace(its, low=other.low, high=other.high) for its, other in pairs)
    words = f"scaled as the training images ({_in_words(nearest)}); its own brightness is {_in_words(own)}."
    told = (*own.told, words) if _differs_much(own, nearest) else own.told
    return replace(own, channels=channels, levels=nearest.levels, told=told)


def _distance(one: IntensityRange, other: IntensityRange) -> float:
    return sum(abs(a.low - b.low) + abs(a.high - b.high) for a, b in zip(one.channels, other.channels, strict=True))


def _is_alike(own: IntensityRange, trained: IntensityRange) -> bool:
    """Whether numbers are of the same kind; see `choose_range`."""
    if own.dtype != trained.dtype or trained.is_constant:
        return False
    for its, other in zip(own.channels, trained.channels, strict=True):
        noise, span = max(its.noise, other.noise), other.high - other.low
        if abs(its.typical - other.typical) > max(3 * noise, span / 50):
            return False
        if its.is_constant:  # an empty field without noise
            continue
        is_measured = min(its.noise, other.noise) > 0
        if is_measured and noise > 2 * min(its.noise, other.noise):
            return False
        if not is_measured and not span / 2 <= its.high - its.low <= 2 * span:
            return False
    return True


def _differs_much(own: IntensityRange, trained: IntensityRange) -> bool:
    """Whether one range is more than twice the other in a channel."""
    spans = [(a.high - a.low, b.high - b.low) for a, b in zip(own.channels, trained.channels, strict=True)]
    return any(max(pair) > 2 * min(pair) for pair in spans)


def _in_words(brightness: IntensityRange) -> str:
    return ", ".join(f"{its.low:.4g} to {its.high:.4g}" for its in brightness.channels)


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
        All its items share a range.
    options : InputOptions
        With the scaling "minmax" the extremes, with "percentile" the 0.1 and
        99.9 percentiles, of all channels together. With "robust" the same
        percentiles of each channel by itself (those of a picture in colours
        share one range), without pixels that are odd or hold no data. Of numbers wider than 16 bit the percentiles are
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
        If it cannot be read, or holds NaN or infinite values (with "robust": nothing else).
    StoppedError
        If it was stopped.
    """
    summary = IntensitySummary(source, options)
    for item, box in pieces:
        go_on(stopped)
        values = source.read(item, box)
        summary.add(values, box)
        visit(item, box, values)
    return summary.brightness(source.name)


class IntensitySummary:
    """Extremes, percentiles, noise and odd pixels of some pieces of an image; the summaries of all pieces can be merged.

    The range is the same in whatever order the pieces come and are merged.

    Parameters
    ----------
    source : ImageSource
    options : InputOptions
        As for `learn_range`.
    """

    def __init__(self, source: ImageSource, options: InputOptions) -> None:
        self._options, self._n_channels, self._n_pixels = options, source.n_channels, source.n_pixels
        self._width, self._height = source.item_shape[-1], source.item_shape[-2]
        dtype = np.dtype(source.data.dtype)
        self._dtype = dtype.name
        self._largest = None if dtype.kind == "f" else float(np.iinfo(dtype).max) if dtype.kind in "ui" else 1.0
        self._is_robust = options.scaling == "robust" and dtype.kind != "b"
        self._is_shared = not self._is_robust or source.is_picture
        total = self._n_pixels * self._n_channels
        is_ranked = options.scaling != "minmax" and dtype.kind != "b"
        self._ranking = _ranking(dtype, total, 1 if self._is_shared else self._n_channels) if is_ranked else None
        self._noise = _Noise(total)
        every = max(1, self._n_pixels // _SAMPLED_PIXELS)
        self._pixels = _Sample(every) if options.sees_local_threshold else None
        self._nodata, self._given = source.nodata, source.intensity_range
        if options.scaling != "robust" and (self._nodata != "auto" or self._given is not None):
            raise ConfigError(
                f"nodata and intensity_range go with the scaling 'robust', as in the preset 'fast', not with {options.scaling!r}."
            )
        self._odd = OddPixels(source.item_shape, self._n_pixels) if self._is_robust else None
        self._low, self._high, self._strange = np.inf, -np.inf, 0

    def add(self, values: npt.NDArray[Any], box: Box) -> None:
        """Take in a piece that was read from a box."""
        numbers = values
        if values.dtype.kind == "f":
            is_number = np.isfinite(values)
            numbers = values if is_number.all() else values[is_number]
            self._strange += values.size - numbers.size
        if numbers.size:
            self._low, self._high = min(self._low, float(numbers.min())), max(self._high, float(numbers.max()))
        self._noise.add(values, box)
        for kept in (self._ranking, self._pixels, self._odd):
            if kept is not None:
                kept.add(values, box)

    def merge(self, other: Self) -> None:
        """Take in all pieces of another summary of the same image."""
        self._low, self._high = min(self._low, other._low), max(self._high, other._high)
        self._strange += other._strange
        self._noise.merge(other._noise)
        both = (self._ranking, other._ranking), (self._pixels, other._pixels), (self._odd, other._odd)
        for kept, more in both:
            if kept is not None:
                kept.merge(more)  # type: ignore[arg-type]

    def brightness(self, name: str) -> IntensityRange:
        """What becomes 0 and 1; ImageError with the name of the image if values are NaN or infinite and may not be."""
        if self._strange and not self._is_robust:
            are, them = ("is", "it") if self._strange == 1 else ("are", "them")
            raise ImageError(
                f"{name} has {counted(self._strange, 'value')} that {are} NaN or infinite: replace {them} first, "
                "for example by 0 (in Python: numpy.nan_to_num)."
            )
        if self._low > self._high:
            raise ImageError(f"{name} holds nothing but NaN or infinite values: choose an image with data.")
        found = replace(self._robust() if self._is_robust else self._plain(), dtype=self._dtype)
        if any(np.isnan(its.low) for its in found.channels):
            raise ImageError(
                f"{name} holds nothing but {self._nodata}, which was said to be no data: choose another value."
            )
        return found if self._pixels is None else replace(found, levels=self._levels(self._pixels, found))

    def _plain(self) -> IntensityRange:
        low, high = self._low, self._high
        if self._ranking is not None:
            inner = self._ranking.percentiles(0, PERCENTILES)
            low, high = (inner[0], inner[1]) if inner[0] < inner[1] else (low, high)
        return IntensityRange.shared(low, high, float(self._noise.deviations().mean()))

    def _robust(self) -> IntensityRange:
        no_data, told = self._no_data()
        channels, odd = self._channels(no_data or ())
        if self._given is not None:
            low, high = self._given
            channels = [replace(its, low=low, high=high, below=-np.inf, above=np.inf) for its in channels]
            odd = []
        n = counted(self._strange, "value")
        gaps = [f"{n} masked, NaN or infinite: no data there (label 0)."] if self._strange else []
        words = (*gaps, *told, *odd)
        is_given = self._given is not None
        return IntensityRange(tuple(channels), (), no_data, self._strange > 0, is_given=is_given, told=words)

    def _no_data(self) -> tuple[tuple[float, ...] | None, list[str]]:
        """The value that stands where there are no data, and what is said about it."""
        assert self._odd is not None
        if not isinstance(self._nodata, str):
            return (self._nodata,) * self._n_channels, []
        if self._nodata == "none":
            return None, []
        for is_high in (False, True):
            extreme = self._odd.extreme(is_high=is_high)
            rest = self._spreads(extreme.value) if extreme and extreme.may_hold_no_data else None
            if extreme and rest and holds_no_data(extreme, rest, self._largest, is_high=is_high):
                value = " and ".join(f"{v:g}" for v in dict.fromkeys(extreme.value))
                n = counted(max(1, round(extreme.share * self._n_pixels)), "pixel")
                return extreme.value, [f"about {n} of {value} hold no data (label 0)."]
        return None, []

    def _channels(self, without: Sequence[float]) -> tuple[list[ChannelRange], list[str]]:
        """The range of each channel, or the one that all share, and what is said about odd pixels."""
        assert self._ranking is not None
        noise = self._noise.deviations(without)
        limits, told = self._limits(without)
        found = []
        for i, within in enumerate(limits):
            low, typical, high = self._ranking.percentiles(i, (PERCENTILES[0], 50.0, PERCENTILES[1]), without, within)
            if low >= high:
                low, high = self._ranking.percentiles(i, (0.0, 100.0), without, within)
            found.append(
                ChannelRange(low, high, float(noise.mean() if self._is_shared else noise[i]), *within, typical)
            )
        return found, told

    def _limits(self, without: Sequence[float]) -> tuple[list[tuple[float, float]], list[str]]:
        """Of each channel, or of all together, the values beyond which pixels are odd, and what is said about these."""
        assert self._ranking is not None
        assert self._odd is not None
        if self._is_shared and self._n_channels > 1:
            return [(-np.inf, np.inf)], []  # a picture in colours: its camera has mended its pixels
        limits, told = [], []
        for i in range(self._n_channels):
            within = [-np.inf, np.inf]
            for is_high in (False, True):
                odd = self._odd.odd(i, without, is_high=is_high)
                if odd is None or not self._decides(i, odd, without, is_high=is_high):
                    continue
                share = self._ranking.share_beyond(i, odd.limit, without, is_high=is_high)
                if share <= odd.most:
                    within[is_high] = odd.limit
                    told.append(self._words(odd.kind, share, is_high=is_high, channel=i))
            limits.append((within[0], within[1]))
        return limits, told

    def _decides(self, group: int, odd: Odd, without: Sequence[float], *, is_high: bool) -> bool:
        """Whether odd pixels would decide the range."""
        assert self._ranking is not None
        low, high = self._ranking.percentiles(group, PERCENTILES, without)
        if low >= high:
            low, high = self._ranking.percentiles(group, (0.0, 100.0), without)
        return high > odd.limit if is_high else low < odd.limit

    def _words(self, kind: str, share: float, *, is_high: bool, channel: int) -> str:
        """What is said about odd pixels."""
        n_pixels = max(1, round(share * self._n_pixels))
        n = {"column": share * self._width, "row": share * self._height}.get(kind, n_pixels)
        what = counted(
            max(1, round(n)), f"stuck {kind}" if kind != "pixel" else "hot pixel" if is_high else "dead pixel"
        )
        where = f" of channel {channel + 1}" if self._n_channels > 1 else ""
        return f"{what}{where} left out, far {'brighter' if is_high else 'darker'} than all else."

    def _spreads(self, without: Sequence[float]) -> list[Spread] | None:
        """Of every channel, without the pixels that have these values; None if nothing is left."""
        assert self._ranking is not None
        limits, _ = self._limits(without)
        pairs = [self._ranking.percentiles(i, PERCENTILES, without, within) for i, within in enumerate(limits)]
        if not all(np.isfinite(pair).all() for pair in pairs):
            return None
        noise = self._noise.deviations(without)
        groups = [0] * self._n_channels if self._is_shared else range(self._n_channels)
        return [
            Spread(pairs[i][0], pairs[i][1], float(its), self._ranking.step(i))
            for i, its in zip(groups, noise, strict=True)
        ]

    def _levels(self, pixels: "_Sample", found: IntensityRange) -> tuple[Levels, ...]:
        values = pixels.values.astype(np.float64)
        values = values[:, ~found.where_no_data(values)]
        light = light_of(as_seen(found.scaled(values), self._options), self._options)
        return tuple(levels_of(kind) for kind in light)


def _ranking(dtype: np.dtype[Any], total: int, n_groups: int) -> "_Counts | _Sample":
    if dtype.kind in "ui" and dtype.itemsize <= 2 and n_groups <= _MOST_COUNTED:
        return _Counts(dtype, n_groups)
    return _Sample(max(1, total // _SAMPLED_VALUES), n_groups)


class _Counts:
    """Exact percentiles of whole numbers of at most 16 bit, of each channel or of all together."""

    def __init__(self, dtype: np.dtype[Any], n_groups: int) -> None:
        self._lowest = int(np.iinfo(dtype).min)
        self._counts = np.zeros((n_groups, 2 ** (8 * dtype.itemsize)), np.int64)

    def add(self, values: npt.NDArray[Any], box: Box) -> None:
        n_groups, n_values = self._counts.shape
        for counts, its in zip(self._counts, values.reshape(n_groups, -1), strict=True):
            counts += np.bincount(its.astype(np.int64) - self._lowest, minlength=n_values)

    def merge(self, other: Any) -> None:
        self._counts += other._counts

    def percentiles(
        self,
        group: int,
        wanted: Sequence[float],
        without: Sequence[float] = (),
        within: tuple[float, float] = (-np.inf, np.inf),
    ) -> tuple[float, ...]:
        ends = self._kept(group, without, within).cumsum()
        if not ends[-1]:
            return (np.nan,) * len(wanted)
        places = np.array(wanted) / 100 * (ends[-1] - 1)
        below = np.searchsorted(ends, np.floor(places), side="right")
        above = np.searchsorted(ends, np.ceil(places), side="right")
        return tuple((below + (above - below) * (places % 1) + self._lowest).tolist())

    def share_beyond(self, group: int, limit: float, without: Sequence[float], *, is_high: bool) -> float:
        counts = self._kept(group, without, (-np.inf, np.inf))
        levels = np.arange(len(counts)) + self._lowest
        return float(counts[levels > limit if is_high else levels < limit].sum() / counts.sum())

    def step(self, group: int) -> float:
        """The least distance of two values that many pixels have."""
        return _least_step(np.flatnonzero(self._counts[group] * 1000 > self._counts[group].sum()))

    def _kept(self, group: int, without: Sequence[float], within: tuple[float, float]) -> npt.NDArray[np.int64]:
        levels = np.arange(self._counts.shape[1]) + self._lowest
        gone = _values_of(group, len(self._counts), without)
        kept: npt.NDArray[np.int64] = np.where(
            np.isin(levels, gone) | (levels < within[0]) | (levels > within[1]), 0, self._counts[group]
        )
        return kept


def _least_step(levels: npt.NDArray[Any]) -> float:
    return float(np.diff(levels).min()) if len(levels) > 2 else 0.0  # one of two may be no data


def _values_of(group: int, n_groups: int, values: Sequence[float]) -> Sequence[float]:
    """Those of a channel, or all where the channels are one group."""
    return values if n_groups == 1 or not values else values[group : group + 1]


class _Sample:
    """About every n-th pixel, and the percentiles of their values; which ones are taken depends on where a pixel lies and on nothing else."""

    def __init__(self, every: int, n_groups: int = 1) -> None:
        self._every, self._n_groups, self._taken = every, n_groups, []  # type: tuple[int, int, list[npt.NDArray[Any]]]

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
    def values(self) -> npt.NDArray[Any]:
        """(C, n) array, of the type of the image."""
        self._taken = [np.concatenate(self._taken, axis=1)]
        return self._taken[0]

    def percentiles(
        self,
        group: int,
        wanted: Sequence[float],
        without: Sequence[float] = (),
        within: tuple[float, float] = (-np.inf, np.inf),
    ) -> tuple[float, ...]:
        values = self._kept(group, without, within)
        return tuple(np.percentile(values, wanted).tolist()) if values.size else (np.nan,) * len(wanted)

    def share_beyond(self, group: int, limit: float, without: Sequence[float], *, is_high: bool) -> float:
        values = self._kept(group, without, (-np.inf, np.inf))
        return float((values > limit if is_high else values < limit).mean())

    def step(self, group: int) -> float:
        """The least distance of two values that many pixels have."""
        values = self._kept(group, (), (-np.inf, np.inf))
        values = values[:: max(1, len(values) // _STEP_PIXELS)]
        levels, counts = np.unique(values, return_counts=True)
        return _least_step(levels[counts * 1000 > len(values)])

    def _kept(self, group: int, without: Sequence[float], within: tuple[float, float]) -> npt.NDArray[np.float64]:
        values: npt.NDArray[np.float64] = self.values.reshape(self._n_groups, -1)[group].astype(np.float64)
        for value in _values_of(group, self._n_groups, without):
            values = values[values != value]
        lowest, highest = max(within[0], _LOWEST), min(within[1], -_LOWEST)  # which leaves NaN and infinite ones out
        if self._taken[0].dtype.kind != "f" and np.isinf(within).all():
            return values
        return values[(values >= lowest) & (values <= highest)]


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
        self._corners: list[npt.NDArray[Any]] = []

    def add(self, values: npt.NDArray[Any], box: Box) -> None:
        """Take in the squares whose corners lie in a grid that is the same for every piece."""
        starts = [-start % self._step for start in box.start[-2:]]
        corner, right, below, across = (
            values[..., starts[0] + y :: self._step, starts[1] + x :: self._step] for y, x in np.ndindex(2, 2)
        )
        rows, columns = across.shape[-2:]  # where a piece ends within a square, that one is left out
        four = [part[..., :rows, :columns].astype(np.float64) / 2 for part in (corner, right, below, across)]
        with np.errstate(over="ignore", invalid="ignore"):  # huge floats, and NaN
            sizes = np.abs((four[0] - four[1]) - (four[2] - four[3])).astype(np.float32)
        self._taken.append(sizes.reshape(len(values), -1))
        self._corners.append(corner[..., :rows, :columns].reshape(len(values), -1))

    def merge(self, other: Any) -> None:
        self._taken += other._taken
        self._corners += other._corners

    def deviations(self, without: Sequence[float] = ()) -> npt.NDArray[np.float64]:
        """Of every channel, of the squares whose corners have not these values, one per channel, and which are numbers."""
        sizes = np.concatenate(self._taken, 1).astype(np.float64)
        gone = ~np.isfinite(sizes).all(0)
        if without:
            gone |= _equal(np.concatenate(self._corners, 1), without)
        kept = sizes[:, ~gone] if gone.any() else sizes
        if not kept.shape[1]:
            return np.zeros(len(sizes))
        deviations: npt.NDArray[np.float64] = np.median(kept, axis=1) * self._DEVIATION_PER_MEDIAN
        return deviations
