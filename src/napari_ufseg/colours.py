"""One set of class colours for layers, charts and pictures."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

N_COLOURS = 100


@lru_cache(maxsize=1)
def class_colours() -> npt.NDArray[np.float64]:
    """(100, 3) RGB in [0, 1]: label k has colour ``(k - 1) % 100``, whatever other labels there are.

    Each colour is the one that lies farthest, in CIELAB, from all before it,
    so that the first ones are the easiest to tell apart.
    """
    from skimage.color import rgb2lab

    steps = np.linspace(0, 1, 11)
    candidates = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    lab = rgb2lab(candidates)
    visible = (lab[:, 0] > 35) & (lab[:, 0] < 90)  # on black and on white
    candidates, lab = candidates[visible], lab[visible]
    start = rgb2lab(np.array([[0.0, 0.45, 0.7]]))[0]
    chosen = [int(np.linalg.norm(lab - start, axis=1).argmin())]
    distance = np.full(len(lab), np.inf)
    while len(chosen) < N_COLOURS:
        distance = np.minimum(distance, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    colours: npt.NDArray[np.float64] = candidates[chosen]
    return colours
