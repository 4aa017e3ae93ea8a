"""Connected regions of classes: specks that go to their neighbours, and objects one by one; numpy in, numpy out."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_gradient_magnitude

from napari_ufseg.engine.errors import ImageError

Labels = npt.NDArray[Any]

MIN_REGION = 15
CONTRAST = 0.3


def connected_regions(
    label_image: Labels,
    image: npt.NDArray[Any] | None = None,
    *,
    min_size: int = MIN_REGION,
    contrast: float = CONTRAST,
    channel_axis: int | None = None,
) -> npt.NDArray[np.int32]:
    """Number the connected regions of all labels.

    Pixels are connected where they share an edge (in volumes a face). With
    `image`, regions whose common border is weak are merged, the weakest
    first: two of n_a and n_b pixels, whose border is b pixels long, while

        step^2 * n_a * n_b / (n_a + n_b) / b < contrast

    where step is the mean over the border of the gradient of the image, in
    units of its standard deviation. (The merging criterion of Koepfler, Lopez
    and Morel 1994, https://doi.org/10.1137/0731017, with the step at the
    border in place of the difference of the means.)

    Parameters
    ----------
    label_image : (Y, X) or (Z, Y, X) array of integers
        Classes, as `segment` gives them; 0 is a class like any other.
    image : array of the same shape, or with channels along `channel_axis`, optional
        What the regions are compared in.
    min_size : int
        Smaller regions are absorbed first (see `absorb_small`); 1 keeps all.
    contrast : float
        A larger value merges more; 0 merges nothing.
    channel_axis : int, optional
        Axis of `image` that holds the channels. Default: the last, if the image has one axis more than the labels.

    Raises
    ------
    ImageError
        If the labels are no whole numbers, or the image does not have their shape.

    Returns
    -------
    array of int32 of the shape of `label_image`
        1 to n.
    """
    classes = absorb_small(label_image, min_size)
    channels = None if image is None else _channels_of(np.asarray(image), classes.shape, channel_axis)
    parts = _components(classes)
    if channels is not None and contrast > 0 and parts.max() > 1:
        parts = _components(_merged(parts, _steepness(channels), contrast))
    return parts.astype(np.int32)


def absorb_small(label_image: Labels, min_size: int = MIN_REGION) -> Labels:
    """Give every region under `min_size` pixels the label of a larger neighbour, the one with the longest common border.

    Small regions inside small ones go first; what remains small has no larger neighbour.

    Parameters
    ----------
    label_image : (Y, X) or (Z, Y, X) array of integers
    min_size : int
        A larger value removes larger specks; 1 removes none.

    Returns
    -------
    array of the shape and type of `label_image`
        Another one; the argument stays as it is.

    Raises
    ------
    ImageError
        If the labels are no whole numbers.
    """
    labels = np.array(label_image)
    if labels.dtype.kind not in "bui" or labels.ndim < 2 or not labels.size:
        raise ImageError(
            f"A label image is an array (Y, X) or (Z, Y, X) of whole numbers, not of shape {labels.shape} and type {labels.dtype}."
        )
    while min_size > 1:
        parts = _components(labels) - 1
        sizes = np.bincount(parts.ravel())
        goes_to = _larger_neighbours(parts, sizes, min_size)
        if (goes_to == np.arange(len(sizes))).all():
            break
        label_of = np.zeros(len(sizes), labels.dtype)
        label_of[parts.ravel()] = labels.ravel()
        labels = label_of[_ends(goes_to)][parts]
    return labels


def _components(label_image: Labels) -> Labels:
    """Connected parts of every label, from 1 on."""
    from skimage.measure import label

    _, index = np.unique(label_image, return_inverse=True)
    parts: Labels = label(  # type: ignore[no-untyped-call]
        index.reshape(label_image.shape), connectivity=1, background=-1
    )
    return parts


def _larger_neighbours(parts: Labels, sizes: npt.NDArray[np.int64], min_size: int) -> npt.NDArray[np.int64]:
    """For every part which one it goes to: itself, unless it is small and has a larger neighbour (equal ones are numbered)."""
    rank = np.argsort(np.argsort(sizes, kind="stable"), kind="stable")
    first, second, border = _borders(parts)
    i, j, border = np.r_[first, second], np.r_[second, first], np.r_[border, border]
    use = (sizes[i] < min_size) & (rank[j] > rank[i])
    i, j, border = i[use], j[use], border[use]
    order = np.lexsort((rank[j], border, i))  # the last of each part is the one with the longest border
    goes_to = np.arange(len(sizes))
    goes_to[i[order]] = j[order]
    return goes_to


def _borders(parts: Labels) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Every pair of touching parts, the lower number first, and the number of pixel edges between them."""
    n = int(parts.max()) + 1
    keys = []
    for axis in range(parts.ndim):
        rows = np.moveaxis(parts, axis, 0).astype(np.int64)
        a, b = rows[1:], rows[:-1]
        apart = a != b
        keys.append(np.minimum(a, b)[apart] * n + np.maximum(a, b)[apart])
    pairs, border = np.unique(np.concatenate(keys), return_counts=True)
    return pairs // n, pairs % n, border


def _ends(goes_to: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where every chain ends; each step leads to a larger part, so there is no circle."""
    while (goes_to[goes_to] != goes_to).any():
        goes_to = goes_to[goes_to]
    return goes_to


def _channels_of(image: npt.NDArray[Any], shape: tuple[int, ...], channel_axis: int | None) -> npt.NDArray[np.float64]:
    """The image as (C, *shape)."""
    if channel_axis is None and image.ndim == len(shape) + 1:
        channel_axis = -1
    try:
        channels = image[None] if channel_axis is None else np.moveaxis(image, channel_axis, 0)
    except np.exceptions.AxisError:
        channels = image
    if channels.shape[1:] != shape:
        raise ImageError(
            f"The image has shape {image.shape}, but the labels have {shape}: give the image that they belong to, "
            "and the axis of its channels as channel_axis."
        )
    return channels.astype(np.float64)


def _steepness(channels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Length of the gradient over all channels, in units of the standard deviation of the image."""
    deviation = np.sqrt(np.mean([channel.var() for channel in channels])) or 1.0
    squares = sum(gaussian_gradient_magnitude(channel, 0.5) ** 2 for channel in channels)
    return np.asarray(np.sqrt(squares) / deviation, np.float64)


def _merged(parts: Labels, steepness: npt.NDArray[np.float64], contrast: float) -> Labels:
    from skimage.graph import merge_hierarchical, rag_boundary

    graph = rag_boundary(parts, steepness, connectivity=1)  # type: ignore[no-untyped-call]
    sizes = np.bincount(parts.ravel())

    def weight(a: int, b: int, step: float, border: float) -> float:
        n_a, n_b = graph.nodes[a]["size"], graph.nodes[b]["size"]
        return float(step**2 * n_a * n_b / (n_a + n_b) / border)

    for node in graph.nodes:
        graph.nodes[node]["size"] = int(sizes[node])
    for a, b, edge in graph.edges(data=True):
        edge["step"], edge["border"] = edge["weight"], edge["count"]
        edge["weight"] = weight(a, b, edge["step"], edge["border"])

    def join(_: Any, source: int, target: int) -> None:
        graph.nodes[target]["size"] += graph.nodes[source]["size"]

    def joined(_: Any, source: int, target: int, other: int) -> dict[str, float]:
        edges = [graph[node][other] for node in (source, target) if graph.has_edge(node, other)]
        border = sum(edge["border"] for edge in edges)
        step = sum(edge["step"] * edge["border"] for edge in edges) / border
        return {"weight": weight(target, other, step, border), "step": step, "border": border}

    return np.asarray(
        merge_hierarchical(  # type: ignore[no-untyped-call]
            parts, graph, contrast, rag_copy=False, in_place_merge=True, merge_func=join, weight_func=joined
        )
    )
