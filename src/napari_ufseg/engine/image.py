"""Images as users have them, in memory or not: made ready for training together, with their scribbles."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_ufseg.engine.errors import ConfigError, ImageError, counted
from napari_ufseg.engine.images.source import ImageSource, open_source


def as_list(image: Any) -> tuple[list[Any], bool]:
    """The images as a list, and whether it was a single one (not a list or tuple)."""
    if isinstance(image, list | tuple):
        if not image:
            raise ImageError("The list of images is empty: give at least one image.")
        return list(image), False
    return [image], True


def open_sources(
    images: Sequence[Any], *, axes: str | None = None, channel_axis: int | None = None, spatial_dims: int = 2
) -> list[ImageSource]:
    """The images of one list; messages number them if there are several.

    Raises
    ------
    ImageError
        As `open_source`.
    """
    several = len(images) > 1
    return [
        open_source(
            image,
            axes=axes,
            channel_axis=channel_axis,
            spatial_dims=spatial_dims,
            name=f"Image {i}" if several else "The image",
        )
        for i, image in enumerate(images, start=1)
    ]


def require_same_channels(sources: Sequence[ImageSource]) -> None:
    """Raise ImageError unless all have as many channels as the first."""
    for source in sources:
        if source.n_channels != sources[0].n_channels:
            raise ImageError(
                f"{source.name} has {counted(source.n_channels, 'channel')} but {_lower(sources[0].name)} has "
                f"{sources[0].n_channels}: images that are trained together need the same channels."
            )


def check_scribbles(scribbles: Any, sources: Sequence[ImageSource], n_classes: int) -> list[Any]:
    """Check the scribbles of each image.

    Parameters
    ----------
    scribbles : sequence of integer arrays or None
        One per image, with its shape but for the channels; 0 means "no
        scribble here", s trains the class that is shown as label s.
    sources : sequence of ImageSource
        The images that they belong to.
    n_classes : int
        Number of classes of the network, the largest id allowed.

    Returns
    -------
    list of arrays of `labels_shape`, or None where there are no scribbles

    Raises
    ------
    ImageError
        If shape or type do not fit.
    ConfigError
        If an id is larger than `n_classes`.
    """
    if len(scribbles) != len(sources):
        images = f"{counted(len(scribbles), 'scribble image')} for {counted(len(sources), 'image')}"
        raise ImageError(f"There {'is' if len(scribbles) == 1 else 'are'} {images}: give one for each.")
    return [
        None if item is None else _checked_scribbles(item, source, n_classes)
        for item, source in zip(scribbles, sources, strict=True)
    ]


def _checked_scribbles(item: Any, source: ImageSource, n_classes: int) -> Any:
    array = np.asarray(item)
    if array.dtype.kind not in "bui":
        raise ImageError(f"Scribbles have values of type {array.dtype}: whole numbers are needed, 0 for none.")
    if without_singles(array.shape) != without_singles(source.labels_shape):
        raise ImageError(
            f"Scribbles of shape {array.shape} do not fit an image of {source.labels_shape} ({', '.join(source.labels_axes)})."
        )
    if array.min() < 0:
        raise ImageError("Scribbles contain negative numbers: use 0 for none and 1, 2, ... for classes.")
    if array.max() > n_classes:
        raise ConfigError(
            f"Scribbles use label {array.max()}, but n_classes is {n_classes}: raise n_classes or use smaller labels."
        )
    return array.reshape(source.labels_shape) if array.any() else None


def without_singles(shape: Sequence[int]) -> tuple[int, ...]:
    """The lengths that are not 1."""
    return tuple(n for n in shape if n != 1)


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]
