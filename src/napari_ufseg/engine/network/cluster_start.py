"""Start from clusters (k-means): the first weights of a network, so that its first labels are the nearest centroids."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.cluster.vq import ClusterError, kmeans2
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import ConfigError
from napari_ufseg.engine.network.feature_net import FeatureNet

Points = npt.NDArray[np.float64]

SAMPLED = 20_000
RESTARTS, ITERATIONS = 10, 20
_PIECE = 2**20


def require_skip(config: SegmentationConfig) -> None:
    """Raise ConfigError if the start needs an input that the classifier does not see."""
    if config.start == "clusters" and not config.skip:
        raise ConfigError("start is 'clusters', which needs the skip: turn skip on, or use start 'random'.")


@torch.no_grad()
def start_from_clusters(
    network: FeatureNet, images: Sequence[Tensor], config: SegmentationConfig, scribbles: Sequence[Tensor] | None = None
) -> None:
    """Let the first response of a fresh network be that of the nearest centroid of `clusters`.

    With the mean c of a sample of the pixels and the centroids mu_k counted
    from it, the response is r_k = (mu_k (x - c) - |mu_k|^2 / 2) / t. Up to a
    term that all k share this is -|x - c - mu_k|^2 / 2t, the logarithm of a
    mixture of equal Gaussians of variance t. t is such that the standard
    deviation of r_k over the sample, as a mean over k, is `start_contrast`.

    The weights of the learned features begin at 0; the gain and offset of the
    BatchNorm behind begin as standard deviation and mean of r over all pixels
    of the images, so that it changes nothing in a step on all of them. A step
    on a part of them normalises with the part's own statistics, and then a
    few pixels differ.

    Parameters
    ----------
    network : FeatureNet
        With a skip, on the CPU; changed in place.
    images : sequence of (C, Y, X) or (C, Z, Y, X) float tensors
        Those that are trained on, at least one; sizes may differ.
    config : SegmentationConfig
        Its `n_classes`, `start_contrast` and `seed` are used.
    scribbles : sequence of (Y, X) or (Z, Y, X) integer tensors, optional
        One per image, 0 for none: class s - 1 begins with the mean of the pixels that carry s (see `named`).
    """
    sample = sampled_pixels(images, config.seed)
    centroids = clusters(sample, config.n_classes, config.seed)
    if scribbles is not None:
        centroids = named(centroids, _means_of(images, scribbles), config.n_classes)
    middle = sample.mean(0)
    mu = centroids - middle
    spread = float((sample @ mu.T).std(0).mean())
    t = spread / config.start_contrast if spread > 0 else 1.0
    weight = np.zeros((config.n_classes, sample.shape[1]))
    weight[: len(mu)] = mu / t
    bias = np.zeros(config.n_classes)
    bias[: len(mu)] = -((mu**2).sum(1) / 2 + mu @ middle) / t
    # fewer values than classes: each class that is left over is the first one, but less sure, so it has no pixels
    weight[len(mu) :], bias[len(mu) :] = weight[0], bias[0] - config.start_contrast
    mean, covariance = _moments(images)
    classifier, norm = network.stages[-1].children()
    assert isinstance(classifier, nn.Conv2d | nn.Conv3d)
    assert isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d)
    assert classifier.bias is not None
    classifier.weight.zero_()
    classifier.weight.flatten(1)[:, : len(mean)] = torch.from_numpy(weight)
    classifier.bias.copy_(torch.from_numpy(bias))
    variance = np.einsum("kc,cd,kd->k", weight, covariance, weight).clip(0)
    norm.weight.copy_(torch.from_numpy(np.sqrt(variance + norm.eps)))
    norm.bias.copy_(torch.from_numpy(weight @ mean + bias))


def sampled_pixels(images: Sequence[Tensor], seed: int) -> Points:
    """(n, C) array: at most `SAMPLED` pixels of all images, drawn without repetition."""
    ends = np.cumsum([image[0].numel() for image in images])
    n = int(ends[-1])
    random = np.random.default_rng([seed, 2])
    chosen = np.sort(random.choice(n, min(SAMPLED, n), replace=False, shuffle=False))
    parts = np.split(chosen, np.searchsorted(chosen, ends[:-1]))
    starts = [0, *ends[:-1]]
    drawn = [
        image.flatten(1)[:, torch.from_numpy(part - first)].numpy()
        for image, part, first in zip(images, parts, starts, strict=True)
    ]
    return np.ascontiguousarray(np.concatenate(drawn, 1).T, dtype=np.float64)


def clusters(points: Points, k: int, seed: int) -> Points:
    """The best of `RESTARTS` runs of k-means, from dark to bright.

    Each begins as k-means++ (Arthur and Vassilvitskii 2007) and makes
    `ITERATIONS` rounds; the one with the least sum of squared distances wins.
    A run in which a centroid loses all its points makes way for one of a single round.

    Parameters
    ----------
    points : (n, C) float64 array
    k : int
        How many; more find finer differences.
    seed : int
        Start of the random numbers.

    Returns
    -------
    (j, C) float64 array
        j is k, or the number of distinct points if there are fewer.
    """
    distinct = np.unique(points, axis=0)
    found = distinct if len(distinct) <= k else min(_runs(points, k, seed), key=lambda run: run[0])[1]
    order = np.lexsort((*found.T[::-1], found.sum(1)))
    return np.ascontiguousarray(found[order])


def named(centroids: Points, means: dict[int, Points], n_classes: int) -> Points:
    """The centroids with those of scribbled classes in their place.

    Each scribbled class takes the place of one cluster, the nearest as far as
    no other class does (the assignment with the least sum of squared
    distances); the other clusters stay, in their order, in the places that are left.

    Parameters
    ----------
    centroids : (j, C) float64 array
        From dark to bright.
    means : dict of int to (C,) array
        Of the pixels that carry each scribble, 1 to `n_classes`.
    n_classes : int

    Returns
    -------
    (n_classes, C) float64 array if there are scribbles
        Places that nothing is left for repeat the first cluster.
    """
    if not means:
        return centroids
    wanted = np.array(list(means.values()))
    _, taken = linear_sum_assignment(((wanted[:, None] - centroids[None]) ** 2).sum(2))
    rest = iter(np.delete(centroids, taken, axis=0))
    places = range(1, n_classes + 1)
    return np.array([means[place] if place in means else next(rest, centroids[0]) for place in places])


def _means_of(images: Sequence[Tensor], scribbles: Sequence[Tensor]) -> dict[int, Points]:
    """The mean pixel of every scribble."""
    pixels = torch.cat([image[:, marks > 0] for image, marks in zip(images, scribbles, strict=True)], 1).numpy()
    marks = torch.cat([marks[marks > 0] for marks in scribbles]).numpy()
    return {int(mark): pixels[:, marks == mark].mean(1, dtype=np.float64) for mark in np.unique(marks)}


def _runs(points: Points, k: int, seed: int) -> Iterator[tuple[float, Points]]:
    """Sum of squared distances, and centroids, of every restart."""
    random = np.random.default_rng([seed, 3])
    for _ in range(RESTARTS):
        try:
            centroids, nearest = kmeans2(points, k, iter=ITERATIONS, minit="++", missing="raise", rng=random)
        except ClusterError:
            centroids, nearest = kmeans2(points, k, iter=1, minit="++", rng=random)
        yield float(((points - centroids[nearest]) ** 2).sum()), centroids


def _moments(images: Sequence[Tensor]) -> tuple[Points, Points]:
    """Mean (C,) and covariance (C, C) of all pixels."""
    count, channels = 0, len(images[0])
    total, products = np.zeros(channels), np.zeros((channels, channels))
    for image in images:
        for piece in torch.split(image.flatten(1), _PIECE, dim=1):
            values = piece.numpy().astype(np.float64)
            count += values.shape[1]
            total += values.sum(1)
            products += values @ values.T
    mean = total / count
    return mean, products / count - np.outer(mean, mean)
