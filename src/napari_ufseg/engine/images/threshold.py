"""Threshold between ground and things: of all pixels of an image, and what a local one leans on where nothing is near."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FLATTEN = 0.9  # exponent for values in proportion to light: a bright thing varies more than the dark around it
_BINS = 1024


@dataclass(frozen=True)
class Levels:
    """A threshold of an image and what is typical on its two sides.

    Parameters
    ----------
    threshold : float
        The `half_height` of all pixels.
    below, above : float
        Mean of the pixels up to it, and of those above it.
    """

    threshold: float
    below: float
    above: float


def levels_of(light: npt.NDArray[np.floating]) -> Levels:
    """The levels of pixels in [0, 1], by a histogram of 1024 parts, so that their order plays no part.

    Parameters
    ----------
    light : array
        Not empty.
    """
    counts = np.bincount((light.ravel() * _BINS).clip(0, _BINS - 1).astype(np.intp), minlength=_BINS).astype(float)
    middles = (np.arange(_BINS) + 0.5) / _BINS
    threshold = half_height(middles[counts > 0], counts[counts > 0])
    means = []
    for side in (middles <= threshold, middles > threshold):
        weight = counts * side if (counts * side).any() else counts  # all pixels are alike
        means.append(float(np.average(middles, weights=weight)))
    return Levels(threshold, means[0], means[1])


def half_height(levels: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]) -> float:
    """The threshold halfway between the medians of its two sides: where a blurred edge lies between the two.

    It begins with Otsu's threshold [1]_ and follows the medians until they
    stay, as Ridler and Calvard [2]_ follow means. Halfway between means, as
    Otsu's is, it is too high where a few things are much brighter than the
    others. (That from which all pixels are nearest to the medians of their
    sides, wherever it lies, often parts an uneven background instead.)

    Parameters
    ----------
    levels : (n,) array
        Rising.
    counts : (n,) array
        How many pixels have each of them, above 0.

    References
    ----------
    .. [1] Otsu (1979), https://doi.org/10.1109/TSMC.1979.4310076
    .. [2] Ridler and Calvard (1978), https://doi.org/10.1109/TSMC.1978.4310039
    """
    if len(levels) == 1:
        return float(levels[0])
    up_to = np.cumsum(counts)
    weight, moment = up_to / up_to[-1], np.cumsum(counts * levels) / up_to[-1]
    between = (moment[-1] * weight[:-1] - moment[:-1]) ** 2 / (weight[:-1] * (1 - weight[:-1]))
    below, before, threshold = int(np.argmax(between)) + 1, 0, 0.0
    for _ in levels:  # it stays long before; this is for what rounding could do
        if below == before:
            break
        middle = up_to[below - 1] / 2, (up_to[below - 1] + up_to[-1]) / 2
        threshold = float(levels[np.searchsorted(up_to, middle)].mean())
        before, below = below, int(np.searchsorted(levels, threshold, "right"))
    return threshold
