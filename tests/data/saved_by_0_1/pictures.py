"""The images that the saved files were made from, made again instead of kept.

`RandomState` gives the same numbers in every version of numpy.
"""

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]


def plane(seed: int = 0) -> Picture:
    """(40, 56) uint8: three bright discs on a dark, noisy ground."""
    noise = np.random.RandomState(seed).randint(-12, 13, (40, 56))
    y, x = np.indices((40, 56))
    image = np.full((40, 56), 40)
    for centre_y, centre_x, radius, level in ((11, 13, 7, 170), (26, 38, 9, 170), (31, 10, 5, 220)):
        image[(y - centre_y) ** 2 + (x - centre_x) ** 2 < radius**2] = level
    return (image + noise).astype(np.uint8)


def stack() -> Picture:
    """(4, 40, 56) uint8: planes with other noise each."""
    return np.stack([plane(seed) for seed in range(4)])


def colour() -> Picture:
    """(40, 56, 3) uint8: three channels."""
    return np.stack([plane(5), np.roll(plane(6), 9, axis=1), 255 - plane(7)], axis=-1)


def stripes(*shape: int) -> npt.NDArray[np.uint16]:
    """Labels in stripes, and some background; of any shape."""
    values = np.array([0, 1, 2, 3, 9], np.uint16)
    return values[np.indices(shape).sum(0) // 7 % len(values)]
