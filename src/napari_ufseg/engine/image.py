"""An array as users have it -> the float32 (C, Y, X) in [0, 1] that the network sees."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.errors import ConfigError, ImageError

MAX_CHANNELS = 512
MAX_COLOUR_CHANNELS = 4


@dataclass(frozen=True)
class PreparedImage:
    """One image, ready for the network.

    Parameters
    ----------
    data : (C, Y, X) array of float32
        Scaled to [0, 1] over all its pixels and channels.
    is_constant : bool
        True if every value was the same; there is nothing to segment then.
    """

    data: npt.NDArray[np.float32]
    is_constant: bool

    @property
    def n_channels(self) -> int:
        """Number of channels C."""
        return int(self.data.shape[0])

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(Y, X)."""
        return self.data.shape[1], self.data.shape[2]


def as_list(image: Any) -> tuple[list[Any], bool]:
    """The images as a list, and whether it was a single one (not a list or tuple)."""
    if isinstance(image, list | tuple):
        if not image:
            raise ImageError("The list of images is empty: give at least one image.")
        return list(image), False
    return [image], True


def prepare_images(
    images: Sequence[Any], *, channel_axis: int | None = None, scaling: str = "minmax"
) -> list[PreparedImage]:
    """Prepare images that are trained together; ImageError if their channels differ in number."""
    prepared = prepare_each(images, channel_axis=channel_axis, scaling=scaling)
    for i, item in enumerate(prepared, start=1):
        if item.n_channels != prepared[0].n_channels:
            raise ImageError(
                f"Image {i} has {item.n_channels} channels but image 1 has {prepared[0].n_channels}: "
                "images that are trained together need the same channels."
            )
    return prepared


def prepare_each(
    images: Sequence[Any], *, channel_axis: int | None = None, scaling: str = "minmax"
) -> list[PreparedImage]:
    """Prepare images by themselves; messages number them if there are several."""
    several = len(images) > 1
    return [
        prepare(image, channel_axis=channel_axis, scaling=scaling, name=f"Image {i}" if several else "The image")
        for i, image in enumerate(images, start=1)
    ]


def prepare(
    image: npt.ArrayLike, *, channel_axis: int | None = None, scaling: str = "minmax", name: str = "The image"
) -> PreparedImage:
    """Check one image, bring it to (C, Y, X) and scale it to [0, 1].

    Parameters
    ----------
    image : (Y, X), (Y, X, C) or, with `channel_axis`, any order of three axes
        bool, integers or floats of any width. Three axes without
        `channel_axis` are taken as colour if the last has at most 4 entries
        and both others have more.
    channel_axis : int, optional
        Which axis holds the channels; negative values count from the end.
    scaling : {"minmax", "percentile"}
        Which values become 0 and 1: the extremes, or the 0.1 and 99.9
        percentiles (values beyond are clipped). One pair for all channels.
    name : str
        How messages call the image.

    Raises
    ------
    ImageError
        If the image cannot be used; the message says why and what to do.
    """
    array = _as_array(image, name)
    if array.dtype.kind not in "buif":
        raise ImageError(f"{name} has values of type {array.dtype}: convert it to integers or real numbers.")
    if array.size == 0:
        raise ImageError(f"{name} is empty (shape {array.shape}): choose an image with pixels.")
    channels_first = _channels_first(array, channel_axis, name)
    n_channels, height, width = channels_first.shape
    if n_channels > MAX_CHANNELS:
        raise ImageError(
            f"{name} has {n_channels} channels, more than {MAX_CHANNELS}: check channel_axis, or choose channels."
        )
    if height * width < 2:
        raise ImageError(f"{name} has a single pixel: there is nothing to tell apart.")
    low, high = _extremes(channels_first, scaling, name)
    return PreparedImage(_scaled(channels_first, low, high), is_constant=bool(low == high))


def _as_array(image: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(image)
    except MemoryError:
        raise
    except Exception as error:  # a ragged list, or whatever a lazy array meets when it reads
        first_line = (str(error).splitlines() or ["no further message"])[0]
        raise ImageError(f"{name} cannot be read as an array: {type(error).__name__}: {first_line}") from error


def _channels_first(array: npt.NDArray[Any], channel_axis: int | None, name: str) -> npt.NDArray[Any]:
    shape = array.shape
    if array.ndim == 2 and channel_axis is None:
        return array[np.newaxis]
    if array.ndim != 3:
        hint = "leave channel_axis out" if array.ndim == 2 else "choose one plane of it"
        raise ImageError(f"{name} has shape {shape}; (Y, X) or (Y, X, C) is needed: {hint}.")
    if channel_axis is None:
        if not (1 <= shape[2] <= MAX_COLOUR_CHANNELS and min(shape[:2]) > MAX_COLOUR_CHANNELS):
            raise ImageError(
                f"{name} has shape {shape} and it is not clear which axis holds the channels: "
                "pass channel_axis, or choose one plane of the stack."
            )
        channel_axis = 2
    if _as_index(channel_axis) not in range(-3, 3):
        raise ImageError(
            f"channel_axis is {channel_axis!r}, but {name[0].lower()}{name[1:]} has axes 0 to 2 (or -3 to -1)."
        )
    return np.moveaxis(array, channel_axis, 0)


def _as_index(axis: Any) -> int | None:
    """The axis as an int, or None if it is no whole number (1.5, "x")."""
    try:
        return operator.index(axis)
    except TypeError:
        return None


def _extremes(array: npt.NDArray[Any], scaling: str, name: str) -> tuple[float, float]:
    """The values that become 0 and 1, in double precision."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        count = array.size - int(np.isfinite(array).sum())
        raise ImageError(
            f"{name} has {count} values that are NaN or infinite: replace them first, for example with numpy.nan_to_num."
        )
    if scaling == "percentile" and array.dtype.kind != "b":
        low, high = (float(v) for v in np.percentile(array.astype(np.float64, copy=False), (0.1, 99.9)))
        if low < high:
            return low, high
    return float(array.min()), float(array.max())


def _scaled(array: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.float32]:
    if low == high:
        return np.zeros(array.shape, np.float32)
    values = array.astype(np.float64)
    if not np.isfinite(high - low):  # huge floats: halve them, so that the difference does not overflow
        values, low, high = values / 2, low / 2, high / 2
    scaled = (values - low) / (high - low)
    return np.ascontiguousarray(np.clip(scaled, 0, 1), dtype=np.float32)


def prepare_scribbles(scribbles: Any, images: Sequence[PreparedImage], n_classes: int) -> list[npt.NDArray[np.int64]]:
    """Check the scribbles of each image.

    Parameters
    ----------
    scribbles : sequence of (Y, X) integer arrays or None
        One per image; 0 means "no scribble here", s trains the class that is shown as label s.
    images : sequence of PreparedImage
        The images that they belong to.
    n_classes : int
        Number of classes of the network, the largest id allowed.

    Returns
    -------
    list of (Y, X) arrays of int64

    Raises
    ------
    ImageError
        If shape or type do not fit.
    ConfigError
        If an id is larger than `n_classes`.
    """
    if len(scribbles) != len(images):
        raise ImageError(f"There are {len(scribbles)} scribble images for {len(images)} images: give one for each.")
    checked = []
    for item, image in zip(scribbles, images, strict=True):
        array = np.zeros(image.plane_shape, np.int64) if item is None else np.asarray(item)
        if array.dtype.kind not in "bui":
            raise ImageError(f"Scribbles have values of type {array.dtype}: whole numbers are needed, 0 for none.")
        if array.shape != image.plane_shape:
            raise ImageError(f"Scribbles of shape {array.shape} do not fit an image of {image.plane_shape} (Y, X).")
        if array.min() < 0:
            raise ImageError("Scribbles contain negative numbers: use 0 for none and 1, 2, ... for classes.")
        if array.max() > n_classes:
            raise ConfigError(
                f"Scribbles use label {array.max()}, but n_classes is {n_classes}: raise n_classes or use smaller labels."
            )
        checked.append(array.astype(np.int64))
    return checked
