"""The resolutions of an Image layer: their pixels, and where these lie in the full resolution, which is that of the layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image


def n_levels(layer: Image) -> int:
    """Number of resolutions of a layer; 1 unless it is a multiscale one."""
    return len(layer.data) if layer.multiscale else 1


def pixels_of(layer: Image, level: int = 0) -> Any:
    """The array of one level; 0 is the full resolution, and beyond the last one is the last one."""
    return layer.data[min(level, n_levels(layer) - 1)] if layer.multiscale else layer.data


def ratio_of(layer: Image, level: int) -> npt.NDArray[np.float64]:
    """Pixels of the full resolution per pixel of a level, for each axis of the layer; of odd sizes no whole numbers."""
    full, shape = pixels_of(layer).shape, pixels_of(layer, level).shape
    return np.array([n / its for n, its in zip(full[: layer.ndim], shape, strict=False)])


def in_full(position: Sequence[float] | npt.NDArray[Any], ratio: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The pixel of the full resolution at a pixel of a level; whole numbers are the middles of pixels."""
    return (np.asarray(position, float) + 0.5) * ratio - 0.5


def in_level(position: Sequence[float] | npt.NDArray[Any], ratio: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The pixel of a level at a pixel of the full resolution."""
    return (np.asarray(position, float) + 0.5) / ratio - 0.5


def level_choices(layer: Image, axes: str) -> list[tuple[str, int]]:
    """Every level in words, for example ``2048 x 2048``, with its number; axes that all levels share are left out."""
    shapes = [pixels_of(layer, level).shape for level in range(n_levels(layer))]
    told = [i for i, sizes in enumerate(zip(*shapes, strict=True)) if axes[i] in "YX" or len(set(sizes)) > 1]
    words = [" x ".join(str(shape[i]) for i in told) for shape in shapes]
    words[0] += " (full)"
    return [(word, level) for level, word in enumerate(words)]
