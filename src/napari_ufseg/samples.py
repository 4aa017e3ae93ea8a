"""Sample images: shipped, from scikit-image's wheel, or made; none is downloaded."""

from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt


def nuclei() -> npt.NDArray[np.uint8]:
    """(520, 696) uint8: nuclei under fluorescence (Data Science Bowl 2018, BBBC038, CC0)."""
    import imageio.v3 as iio

    with resources.as_file(resources.files("napari_ufseg") / "data" / "nuclei.png") as path:
        return np.asarray(iio.imread(path), np.uint8)


def stained_tissue() -> npt.NDArray[np.uint8]:
    """(512, 512, 3) uint8: colon tissue, hematoxylin and DAB (scikit-image)."""
    from skimage import data

    return np.asarray(data.immunohistochemistry())  # type: ignore[no-untyped-call]


def cells() -> npt.NDArray[np.uint8]:
    """(660, 550) uint8: a cell under quantitative phase contrast (scikit-image)."""
    from skimage import data

    return np.asarray(data.cell())  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class TimeSeries:
    """A synthetic recording with its truth.

    Parameters
    ----------
    image : (T, Y, X) array of uint16
        Bright and dim discs that drift over an uneven, noisy background.
    truth : (T, Y, X) array of uint16
        1 background, 2 dim discs, 3 bright discs.
    """

    image: npt.NDArray[np.uint16]
    truth: npt.NDArray[np.uint16]


def time_series(n_frames: int = 12, size: int = 128, n_discs: int = 14, seed: int = 0) -> TimeSeries:
    """Make a `TimeSeries`.

    Parameters
    ----------
    n_frames : int
        Number of time points T.
    size : int
        Height and width in pixels.
    n_discs : int
        How many discs; every second one is bright.
    seed : int
        Start of the random numbers.
    """
    from scipy import ndimage

    random = np.random.default_rng(seed)
    start = random.uniform(0, size, (n_discs, 2))
    velocity = random.uniform(-2, 2, (n_discs, 2))
    radius = random.uniform(0.04, 0.08, n_discs) * size
    grid = np.indices((size, size))
    truth: npt.NDArray[Any] = np.ones((n_frames, size, size), np.uint16)
    for frame in range(n_frames):
        for disc in range(n_discs):
            centre = (start[disc] + frame * velocity[disc]) % size
            inside = ((grid - centre[:, None, None]) ** 2).sum(0) < radius[disc] ** 2
            truth[frame][inside] = 2 + disc % 2
    brightness = np.array([0, 400, 1100, 2400])[truth]
    shading = 1 + 0.1 * grid[1] / size
    blurred = ndimage.gaussian_filter(brightness * shading, (0, 1, 1))
    image = blurred + random.normal(0, 60, truth.shape)
    return TimeSeries(image.clip(0, 2**16 - 1).astype(np.uint16), truth)
