"""Pixels that are no light: hot and stuck ones, overlays, and areas that hold no data; found in one pass, and replaced."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter

from napari_ufseg.engine.images.tiling import Box

CELL = 8  # edge of the cells that are looked at; fixed from the corner of an item, so that pieces play no part
_MOST_CELLS = 2**16
_THIRD = CELL * CELL // 3
_LOWER, _UPPER, _PEAK, _HALFWAY = 0, 1, 2, 6  # places among the features of a cell
REACH = 2  # pixels around an odd one that it is replaced by the median of
_FEW_BETWEEN = 1  # neighbours halfway to the brightest pixel of a cell; light that has passed a lens has more
_FEW_HALFWAY = 5  # of the 64 pixels of a cell; a blurred edge has more
_MOST_ODD = {"pixel": 0.01, "row": 0.05, "column": 0.05}  # share of the pixels; beyond that they are the image
_MOST_ODD_OF_NOTHING = 0.0005
_AREA, _LARGE_AREA = 9, 64  # windows of 3 x 3 equal pixels
_FEW_LEVELS = 16
_MOST_OVERLAY = 0.02  # share of the pixels that a scale bar or a text may have
_FILL_VALUES, _HUGE = (9999.0, 99999.0, 32767.0, 32768.0, 65535.0, 2.0**31, 2.0**31 - 1, 2.0**32 - 1), 1e20

Values = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """What the pixels of a channel that count are like.

    Parameters
    ----------
    low, high : float
        Their 0.1 and 99.9 percentiles.
    noise : float
        Standard deviation of the noise.
    step : float
        Between two values that occur, where there are few.
    """

    low: float
    high: float
    noise: float
    step: float

    @property
    def span(self) -> float:
        """Between the percentiles."""
        return self.high - self.low


@dataclass(frozen=True)
class Extreme:
    """The pixels that have in every channel the lowest, or the highest, value of all.

    Parameters
    ----------
    value : tuple of float
        One per channel.
    share : float
        Of the pixels.
    windows : int
        Squares of 3 x 3 of them.
    at_border : bool
        Whether some lie at the border of an item.
    is_sharp : bool
        Whether hardly any pixel beside them lies between them and the others.
    """

    value: tuple[float, ...]
    share: float
    windows: int
    at_border: bool
    is_sharp: bool

    @property
    def may_hold_no_data(self) -> bool:
        """Whether they are an area with a sharp edge; see `holds_no_data`."""
        return self.windows >= _AREA and self.is_sharp


@dataclass(frozen=True)
class Odd:
    """Pixels that are no light.

    Parameters
    ----------
    limit : float
        The brightness beyond which they are.
    kind : {"pixel", "row", "column"}
        Whether they lie in few rows or columns.
    most : float
        The share of the pixels that may be odd; hardly any where nothing else is there.
    """

    limit: float
    kind: str
    most: float


class OddPixels:
    """What some pieces of an image tell of odd pixels; summaries of all pieces can be merged, in any order.

    Parameters
    ----------
    item_shape : sequence of int
        Of the items, (Y, X) or (Z, Y, X).
    n_pixels : int
        Of all items; of large images a part of the cells is looked at.
    """

    def __init__(self, item_shape: Sequence[int], n_pixels: int) -> None:
        self._shape = tuple(item_shape)
        self._every = max(1, ceil((n_pixels / CELL**2 / _MOST_CELLS) ** 0.5))
        self._features: dict[bool, list[Floats]] = {
            False: [],
            True: [],
        }  # of bright peaks, and of dark ones upside down
        self._extremes: dict[tuple[bool, tuple[float, ...]], npt.NDArray[np.int64]] = {}
        self._seen = 0

    def add(self, values: Values, box: Box) -> None:
        """Take in a piece, (C, *box)."""
        cells, corners = self._cells_of(values, box)
        if cells.dtype.kind == "f":
            cells = np.where(np.isfinite(cells), cells, np.nan)
        if cells.shape[1]:
            lower, upper = _thirds(cells)
            numbers = cells.astype(np.float64)
            self._features[True].append(_features(numbers, lower, upper, corners))
            self._features[False].append(_features(-numbers, -upper, -lower, corners))
            self._seen += cells[0].size
            for is_high in (False, True):
                self._note_extreme(values, cells, box, is_high=is_high)

    def merge(self, other: Self) -> None:
        """Take in what another summary of the same image tells."""
        for is_high, found in other._features.items():
            self._features[is_high] += found
        self._seen += other._seen
        for key, counts in other._extremes.items():
            self._extremes[key] = self._extremes.get(key, 0) + counts

    def extreme(self, *, is_high: bool) -> Extreme | None:
        """The pixels with the extreme value of every channel; None if no pixel has all of them."""
        found = [value for high, value in self._extremes if high == is_high]
        if not found:
            return None
        value = tuple((np.max if is_high else np.min)(found, axis=0).tolist())
        if value not in found:
            return None
        pixels, windows, at_border = self._extremes[is_high, value].tolist()
        return Extreme(value, pixels / self._seen, windows, at_border > 0, self._is_sharp(value, is_high=is_high))

    def _is_sharp(self, value: Sequence[float], *, is_high: bool) -> bool:
        """Whether few pixels lie between those of a value and the others, in the cells that hold both."""
        cells = self._joined(is_high=is_high)
        its = np.reshape(value, (-1, 1)) * (1 if is_high else -1)
        is_mixed = (cells[..., _PEAK] == its).all(0) & (cells[..., _LOWER] != its).all(0)
        return not is_mixed.any() or bool(np.quantile(cells[:, is_mixed, _HALFWAY], 0.25) <= _FEW_HALFWAY)

    def _joined(self, *, is_high: bool) -> Floats:
        """(C, N, 7) features of all cells so far."""
        self._features[is_high] = [np.concatenate(self._features[is_high], axis=1)]
        return self._features[is_high][0]

    def odd(self, channel: int, without: Sequence[float], *, is_high: bool) -> "Odd | None":
        """From which brightness on pixels of a channel are odd; None if there are none.

        Nearly all cells of 8 x 8 pixels have a third of their pixels below `calm`. What is
        brighter by more than the range of the image is odd if it rises with nothing between,
        as light that has passed a lens cannot. (The same for pixels that are too dark.)

        Parameters
        ----------
        channel : int
        without : sequence of float
            Values that hold no data.
        is_high : bool
            Whether pixels that are too bright are looked for.
        """
        if not self._seen:
            return None
        cells = self._joined(is_high=is_high)[channel]
        gone = np.array(without) * (1 if is_high else -1)
        is_told = ~np.isin(cells[:, [_LOWER, _UPPER]], gone).any(1) & np.isfinite(cells[:, : _PEAK + 1]).all(1)
        if not is_told.any():
            return None
        lower, upper, top, between, row, column, _ = cells[is_told].T
        calm, floor = np.quantile(lower, 0.999), np.quantile(upper, 0.001)
        span = max(0.0, calm - floor) + 2 * max(0.0, float(np.median(top - lower)))  # of what is there, and of noise
        beyond = top > calm + span
        is_odd = beyond & (between <= _FEW_BETWEEN)
        if not is_odd.any() or 2 * is_odd.sum() < beyond.sum():
            return None
        rest = calm if is_odd.all() else max(calm, np.quantile(top[~is_odd], 0.995))
        limit = rest + max(span, rest - floor)
        few = is_odd.sum() / 4
        kind = "column" if len(set(column[is_odd])) <= few else "row" if len(set(row[is_odd])) <= few else "pixel"
        return Odd(float(limit if is_high else -limit), kind, _MOST_ODD[kind] if span > 0 else _MOST_ODD_OF_NOTHING)

    def _cells_of(self, values: Values, box: Box) -> tuple[Values, npt.NDArray[np.int64]]:
        """(C, N, 8, 8), whole cells of every plane of a piece, of those that are looked at, and (N, 2), their corners."""
        step = CELL * self._every
        starts = [
            np.arange(-a % step, b - a - CELL + 1, step) for a, b in zip(box.start[-2:], box.stop[-2:], strict=True)
        ]
        rows, columns = (its[:, None] + np.arange(CELL) for its in starts)
        cells = values[..., rows[:, None, :, None], columns[None, :, None, :]].reshape(len(values), -1, CELL, CELL)
        corners = np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, 2) + box.start[-2:]
        return cells, np.tile(corners, (cells.shape[1] // max(1, len(corners)), 1))

    def _note_extreme(self, values: Values, cells: Values, box: Box, *, is_high: bool) -> None:
        with np.errstate(invalid="ignore"):
            extreme = (np.fmax if is_high else np.fmin).reduce(cells, axis=(1, 2, 3))
        is_it = (cells == extreme[:, None, None, None]).all(0)
        if not is_it.any():
            return
        windows = _all_of_three(_all_of_three(is_it, 1), 2)
        edges = [
            values[(..., *side)]
            for axis, n in enumerate(self._shape[-2:])
            for place, at in ((0, 0), (n - 1, -1))
            if (box.start[-2:][axis] if place == 0 else box.stop[-2:][axis] - 1) == place
            for side in [tuple(at if i == axis else slice(None) for i in range(2))]
        ]
        shape = (-1, *(1 for _ in range(values.ndim - 2)))
        at_border = sum(int((edge == extreme.reshape(shape)).all(0).sum()) for edge in edges)
        key = is_high, tuple(float(v) for v in extreme)
        counts = np.array([is_it.sum(), windows.sum(), at_border], np.int64)
        self._extremes[key] = self._extremes.get(key, 0) + counts


def _thirds(cells: Values) -> tuple[Floats, Floats]:
    """The brightness of the lower and of the upper third of each cell, (C, N) both."""
    flat = cells.reshape(*cells.shape[:2], -1)
    ordered = np.partition(flat, (_THIRD, flat.shape[-1] - 1 - _THIRD), axis=-1)
    return ordered[..., _THIRD].astype(np.float64), ordered[..., -1 - _THIRD].astype(np.float64)


def _features(cells: Floats, lower: Floats, upper: Floats, corners: npt.NDArray[np.int64]) -> Floats:
    """(C, N, 7): of each cell the brightness of its thirds; of its brightest pixel the value, how many neighbours in the cell
    lie halfway between the lower third and it, its row and its column; how many pixels of the cell lie there."""
    place = cells.reshape(*cells.shape[:2], -1).argmax(-1)
    row, column = np.divmod(place, CELL)
    c, n = np.ogrid[: cells.shape[0], : cells.shape[1]]
    peak = cells[c, n, row, column]
    with np.errstate(invalid="ignore"):  # NaN is nowhere between
        height = np.abs(peak / 2 - lower / 2)[..., None, None]  # halves of huge floats do not overflow
        rise = np.abs(cells / 2 - lower[..., None, None] / 2)
        is_halfway = (rise > 0.2 * height) & (rise < 0.8 * height)
    around = np.pad(is_halfway, ((0, 0), (0, 0), (1, 1), (1, 1)))
    between = sum(around[c, n, row + dy, column + dx].astype(np.float64) for dy, dx in np.ndindex(3, 3))
    places = row + corners[:, 0], column + corners[:, 1]
    return np.stack([lower, upper, peak, between, *places, is_halfway.sum((-2, -1))], axis=-1)


def _all_of_three(mask: npt.NDArray[np.bool_], axis: int) -> npt.NDArray[np.bool_]:
    first, middle, last = (np.take(mask, range(i, mask.shape[axis] - 2 + i), axis) for i in range(3))
    found: npt.NDArray[np.bool_] = first & middle & last
    return found


def holds_no_data(extreme: Extreme, rest: Sequence[Spread], largest: float | None, *, is_high: bool) -> bool:
    """Whether the pixels with an extreme value are an area that holds no data.

    They are if they lie far from all others (by twice the range of these), or are one of the
    values that are written for it and lie clearly apart; so are those that reach the border of an
    image whose other pixels are brighter, with a sharp edge between, unless they are most of it.

    Parameters
    ----------
    extreme : Extreme
    rest : sequence of Spread
        Of all other pixels, one per channel.
    largest : float, optional
        The largest number of the type, for whole numbers.
    is_high : bool
    """
    gaps = [value - its.high if is_high else its.low - value for value, its in zip(extreme.value, rest, strict=True)]
    if not extreme.may_hold_no_data or min(gaps) <= 0 or not any(its.span for its in rest):
        return False
    is_fill = all(abs(value) in _FILL_VALUES or abs(value) >= _HUGE for value in extreme.value)
    if is_fill and (not is_high or largest is None or largest > 255):  # 255 is what an overexposed picture has
        return all(gap > its.span / 4 for gap, its in zip(gaps, rest, strict=True))
    is_far = all(gap > 2 * its.span for gap, its in zip(gaps, rest, strict=True))
    if is_high:
        return is_far and (
            extreme.share <= _MOST_OVERLAY or (extreme.value == (largest,) * len(rest) and largest != 255)
        )
    if is_far and any(extreme.value):
        return True
    apart = all(gap > max(its.noise, its.span / 100, 3 * its.step) for gap, its in zip(gaps, rest, strict=True))
    is_drawn = all(its.noise == 0 and its.span < _FEW_LEVELS * its.step for its in rest)  # its flat areas are data
    return not is_drawn and extreme.share <= 0.5 and apart and extreme.at_border and extreme.windows >= _LARGE_AREA


def replace_left_out(values: Values, left: npt.NDArray[np.bool_], fill: Sequence[float]) -> npt.NDArray[np.float64]:
    """A copy in which pixels that are left out are the median of the others of 5 x 5 pixels; far from any, a typical value.

    Parameters
    ----------
    values : (C, ..., Y, X) array
    left : array of bool of that shape
    fill : sequence of float
        The typical value of each channel.
    """
    replaced = values.astype(np.float64)
    for place in np.ndindex(values.shape[:-2]):
        gone = left[place]
        if not gone.any():
            continue
        plane = replaced[place]
        plane[gone] = np.nan
        window = 2 * REACH + 1
        near = gone & maximum_filter(~gone, window, mode="constant", cval=False)
        around = np.lib.stride_tricks.sliding_window_view(np.pad(plane, REACH, constant_values=np.nan), (window,) * 2)
        middle = np.nanmedian(around[near].reshape(-1, window**2), axis=1)
        plane[gone] = fill[place[0]]
        plane[near] = middle
    return replaced
