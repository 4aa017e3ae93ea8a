"""The methods that are compared: each makes classes, and perhaps regions, of an image (Y, X, 3) uint8."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.cluster.vq import kmeans2
from scores import regions_of
from skimage.color import rgb2gray, rgb2lab
from skimage.filters import threshold_otsu
from skimage.segmentation import felzenszwalb, slic

from napari_ufseg import SegmentationConfig, connected_regions, segment

Image = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Method:
    """How to make labels; a method without luck gives the same ones for every seed."""

    classes: Callable[[Image, int], Labels]
    regions: Callable[[Image, Labels], Labels] = lambda image, classes: regions_of(classes)
    has_luck: bool = True


def as_opened(image: Image) -> Image:
    """In gray images that are stored as RGB one channel says it all, as in a viewer that opens a gray file."""
    return image[..., 0] if (image == image[..., :1]).all() else image


def ours(preset: str, **changes: float) -> Method:
    def classes(image: Image, seed: int) -> Labels:
        config = SegmentationConfig.preset(preset, seed=seed, **changes)
        return segment(as_opened(image), config, device="cpu").labels

    def regions(image: Image, classes: Labels) -> Labels:
        return connected_regions(classes, rgb2lab(image), channel_axis=-1)

    return Method(classes, regions)


def otsu(image: Image, seed: int) -> Labels:
    gray = rgb2gray(image)
    return (gray > threshold_otsu(gray)).astype(np.uint8)


def k_means(k: int) -> Method:
    def classes(image: Image, seed: int) -> Labels:
        pixels = image.reshape(-1, 3) / 255.0
        _, labels = kmeans2(pixels, k, iter=50, minit="++", seed=seed)
        return labels.reshape(image.shape[:2])

    return Method(classes)


def superpixels(image: Image, seed: int) -> Labels:
    return slic(image, n_segments=100, start_label=1)


def as_they_are(image: Image, segments: Labels) -> Labels:
    """The segments of methods that make connected ones."""
    return segments


def graph(scale: float) -> Method:
    return Method(lambda image, seed: felzenszwalb(image, scale=scale), regions=as_they_are, has_luck=False)


METHODS = {
    **{preset: ours(preset) for preset in ("fast", "generalised", "paper")},
    "fast without local threshold": ours("fast", local_threshold=0),
    "otsu": Method(otsu, has_luck=False),
    "k-means 4": k_means(4),
    "k-means 8": k_means(8),
    "felzenszwalb 100": graph(100),
    "felzenszwalb 500": graph(500),
    "slic": Method(superpixels, regions=as_they_are, has_luck=False),
}
