"""Images of any axes, lazy or not: checked, read piece by piece and in one order of axes, with their scribbles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.errors import ConfigError, ImageError, UfsegError, counted
from napari_ufseg.engine.images.axes import checked_axes, describe, known_axes, resolved_axes, spatial_axes
from napari_ufseg.engine.images.tiling import Box

MAX_CHANNELS = 512


@dataclass(frozen=True)
class ImageSource:
    """One image, series or volume, seen as items of equal size that a network takes one by one.

    With 2 spatial dimensions an item is a plane (C, Y, X) and there is one for
    every position along the other axes (T, Z, Q); with 3 it is a volume
    (C, Z, Y, X) and there is one for every position along T and Q. Nothing is
    read but what `read` is asked for.

    Parameters
    ----------
    data : array-like
        Anything with shape, dtype and slicing: numpy, dask, zarr, a memory map.
    axes : str
        One letter per axis of `data` (see `napari_ufseg.engine.images.axes`).
    spatial_dims : {2, 3}
        Whether items are planes or volumes.
    name : str
        How messages call the image.
    squeezed : bool
        Whether label images go without the axes of length 1 that are not spatial.
    is_rgb : bool, optional
        Whether three channels are red, green and blue. Default: if they are the last axis.
    nodata : float or {"auto", "none"}
        The value of pixels that hold no data, in every channel; found by itself; or there is none.
    intensity_range : (float, float), optional
        The values that become 0 and 1 in every channel. Default: they are learnt.
    """

    data: Any
    axes: str
    spatial_dims: int = 2
    name: str = "The image"
    squeezed: bool = False
    is_rgb: bool | None = None
    nodata: float | str = "auto"
    intensity_range: tuple[float, float] | None = None

    @property
    def is_picture(self) -> bool:
        """Whether the channels are red, green and blue: it was said, or there are three that come last, as pictures have them."""
        is_rgb = self.axes.endswith("C") if self.is_rgb is None else self.is_rgb
        return self.n_channels == 3 and is_rgb

    @cached_property
    def _sizes(self) -> dict[str, int]:
        return {letter: int(size) for letter, size in zip(self.axes, self.data.shape, strict=True)}

    @cached_property
    def spatial(self) -> str:
        """The spatial letters in the order of `data`; items have them in the order Z, Y, X."""
        return spatial_axes(self.axes, self.spatial_dims)

    @property
    def n_channels(self) -> int:
        """Number of channels C."""
        return self._sizes.get("C", 1)

    @cached_property
    def item_shape(self) -> tuple[int, ...]:
        """(Y, X) or (Z, Y, X)."""
        return tuple(self._sizes[letter] for letter in sorted(self.spatial, key="ZYX".index))

    @cached_property
    def series_axes(self) -> tuple[int, ...]:
        """The axes of `data` along which items are counted."""
        return tuple(i for i, letter in enumerate(self.axes) if letter not in "C" + self.spatial)

    @cached_property
    def series_shape(self) -> tuple[int, ...]:
        """Their lengths."""
        return tuple(int(self.data.shape[i]) for i in self.series_axes)

    @property
    def n_items(self) -> int:
        """Number of planes or volumes."""
        return prod(self.series_shape)

    @cached_property
    def _kept(self) -> tuple[int, ...]:
        """The axes of `data` that a label image has."""
        return tuple(
            i
            for i, (letter, n) in enumerate(zip(self.axes, self.data.shape, strict=True))
            if letter != "C" and not (self.squeezed and n == 1 and letter not in self.spatial)
        )

    @cached_property
    def labels_axes(self) -> str:
        """The letters of a label image: those of `data` without the channels."""
        return "".join(self.axes[i] for i in self._kept)

    @cached_property
    def labels_shape(self) -> tuple[int, ...]:
        """Shape of a label image."""
        return tuple(int(self.data.shape[i]) for i in self._kept)

    @property
    def n_pixels(self) -> int:
        """Pixels of all items."""
        return self.n_items * prod(self.item_shape)

    @property
    def whole(self) -> Box:
        """The box that holds an item."""
        return Box.of_shape(self.item_shape)

    @property
    def summary(self) -> str:
        """What it is, for people."""
        return describe(self.data.shape, self.axes, self.spatial_dims)

    def item_at(self, position: Sequence[int]) -> int:
        """The number of the item at a position along the series axes."""
        return int(np.ravel_multi_index(tuple(position), self.series_shape)) if self.series_shape else 0

    def read(self, item: int, box: Box, steps: Sequence[int] | None = None) -> npt.NDArray[Any]:
        """The pixels of a box of one item, (C, *box), with the type of `data`; with steps every n-th along each axis.

        Raises
        ------
        ImageError
            If `data` cannot be read there; an error of ours that `data` raises stays as it is.
        """
        index = self._index(item, box, steps)
        try:
            piece = np.asarray(self.data[index])
        except (MemoryError, UfsegError):  # as of a file that has gone
            raise
        except Exception as error:  # a lazy array may raise anything when it reads
            first_line = (str(error).splitlines() or ["no further message"])[0]
            raise ImageError(f"{self.name} cannot be read: {type(error).__name__}: {first_line}") from error
        letters = [letter for letter in self.axes if letter in "C" + self.spatial]
        if "C" not in letters:
            piece, letters = piece[np.newaxis], ["C", *letters]
        return piece.transpose([letters.index(letter) for letter in "CZYX" if letter in letters])

    def write(self, label_image: Any, item: int, box: Box, labels: npt.NDArray[Any]) -> None:
        """Put the labels of a box, (Y, X) or (Z, Y, X), where they belong in a label image of `labels_shape`."""
        label_image[self.label_index(item, box)] = self.turned(labels)

    def turned(self, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Labels of a box from the order Z, Y, X into that of `data`."""
        return labels.transpose(self._turn)

    def unturned(self, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Labels of a box from the order of `data` into Z, Y, X."""
        return labels.transpose(np.argsort(self._turn))

    @cached_property
    def _turn(self) -> list[int]:
        order = sorted(self.spatial, key="ZYX".index)
        return [order.index(letter) for letter in self.spatial]

    def label_index(self, item: int, box: Box) -> tuple[int | slice, ...]:
        """Where the labels of a box lie in a label image of `labels_shape`."""
        index = self._index(item, box)
        return tuple(index[i] for i in self._kept)

    def _index(self, item: int, box: Box, steps: Sequence[int] | None = None) -> tuple[int | slice, ...]:
        position = iter(np.unravel_index(item, self.series_shape)) if self.series_shape else iter(())
        slices = box.slices
        if steps is not None and any(step > 1 for step in steps):
            slices = tuple(slice(s.start, s.stop, step) for s, step in zip(slices, steps, strict=True))
        spatial = dict(zip(sorted(self.spatial, key="ZYX".index), slices, strict=True))
        index: list[int | slice] = []
        for letter in self.axes:
            if letter == "C":
                index.append(slice(None))
            else:
                index.append(spatial[letter] if letter in spatial else int(next(position)))
        return tuple(index)

    @cached_property
    def chunks(self) -> tuple[int, ...]:
        """How many pixels along each spatial axis (Z, Y, X) are stored together; 1 if that is not known."""
        told = getattr(self.data, "chunksize", None) or getattr(self.data, "chunks", None)
        sizes = dict(zip(self.axes, told, strict=True)) if told and len(told) == len(self.axes) else {}
        sizes = {letter: max(size) if isinstance(size, tuple) else size for letter, size in sizes.items()}
        return tuple(int(sizes.get(letter, 1)) for letter in sorted(self.spatial, key="ZYX".index))


def open_source(
    image: Any,
    *,
    axes: str | None = None,
    channel_axis: int | None = None,
    spatial_dims: int = 2,
    name: str = "The image",
    squeezed: bool = False,
    nodata: float | str = "auto",
    intensity_range: Sequence[float] | None = None,
) -> ImageSource:
    """Check an array and learn its axes; reads nothing of a lazy one.

    Parameters
    ----------
    image : array-like or ImageSource
        A source is returned as it is.
    axes : str, optional
        One letter per axis, ``?`` for unknown. Default: see `known_axes`.
    channel_axis : int, optional
        Which axis holds the channels; negative values count from the end.
    spatial_dims : {2, 3}
        Whether planes or volumes are segmented.
    name, squeezed, nodata, intensity_range
        As in `ImageSource`.

    Raises
    ------
    ConfigError
        If `nodata` or `intensity_range` can be none.
    ImageError
        If the image cannot be used or an axis is not known; the message says what to do.
    """
    if isinstance(image, ImageSource):
        return image
    data = _with_gaps(_as_array(image, name))
    shape = tuple(int(n) for n in data.shape)
    if np.dtype(data.dtype).kind not in "buif":
        raise ImageError(f"{name} has values of type {data.dtype}: convert it to integers or real numbers.")
    if 0 in shape:
        raise ImageError(f"{name} is empty (shape {shape}): choose an image with pixels.")
    if len(shape) < 2:
        raise ImageError(f"{name} has shape {shape}; (Y, X) or (Y, X, C) is needed, or a stack of such.")
    axis = _checked_axis(channel_axis, len(shape), name)
    if axes is not None and ("?" not in axes or len(axes) != len(shape)):
        letters = checked_axes(axes, len(shape), name)
        if axis is not None and letters.find("C") != axis:
            raise ImageError(f"channel_axis is {channel_axis}, but the axes {axes!r} say otherwise: give one of them.")
    else:
        letters = resolved_axes(known_axes(shape, axes and axes.upper(), axis), shape, name)
    if spatial_dims == 3 and "Z" not in letters:
        raise ImageError(f"{name} ({describe(shape, letters)}) has no depth axis Z: a volume needs one, name the axes.")
    source = ImageSource(
        data,
        letters,
        spatial_dims,
        name,
        squeezed,
        nodata=checked_nodata(nodata),
        intensity_range=checked_intensity_range(intensity_range),
    )
    if source.n_channels > MAX_CHANNELS:
        raise ImageError(
            f"{name} has {source.n_channels} channels, more than {MAX_CHANNELS}: check channel_axis, or choose channels."
        )
    if prod(source.item_shape) < 2:
        raise ImageError(f"{name} has a single pixel: there is nothing to tell apart.")
    return source


def checked_nodata(given: Any) -> float | str:
    """The value that stands for no data as somebody has given it, ``"auto"`` or ``"none"``; ConfigError if it is none of these."""
    if given in ("auto", "none"):
        return str(given)
    try:
        value = float(given)
    except (TypeError, ValueError):
        raise ConfigError(f"nodata is {given!r}: give a number, 'auto' or 'none'.") from None
    return "auto" if np.isnan(value) else value  # NaN holds no data anyway


def checked_intensity_range(given: Any, name: str = "intensity_range", shown: Any = None) -> tuple[float, float] | None:
    """The values that become 0 and 1 as somebody has given them; ConfigError if they can be none.

    The sentence calls them by `name`, and shows them as they were `shown`, if that is another way.
    """
    if given is None:
        return None
    try:
        low, high = (float(value) for value in given)
    except (TypeError, ValueError):
        raise ConfigError(
            f"{name} is {given if shown is None else shown!r}: give two numbers, the dark end and the bright end."
        ) from None
    if not (np.isfinite([low, high]).all() and low < high):
        raise ConfigError(f"{name} is {low:g} to {high:g}: the second number must be larger, and both finite.")
    return low, high


def _as_array(image: Any, name: str) -> Any:
    try:
        kind = np.dtype(getattr(image, "dtype", "O")).kind
    except TypeError:  # a type that numpy does not know, such as torch's
        kind = "O"
    if kind != "O" and hasattr(image, "shape") and hasattr(image, "__getitem__"):
        return image
    try:
        return np.asarray(image)
    except MemoryError:
        raise
    except Exception as error:  # a ragged list, or whatever an unknown object meets
        first_line = (str(error).splitlines() or ["no further message"])[0]
        raise ImageError(f"{name} cannot be read as an array: {type(error).__name__}: {first_line}") from error


def _with_gaps(data: Any) -> Any:
    """Real numbers with NaN in place of what is masked, if something is."""
    if not isinstance(data, np.ma.MaskedArray):
        return data
    if not np.ma.is_masked(data) or data.dtype.kind not in "buif":
        return data.data
    real = data.dtype if data.dtype.kind == "f" else np.float32 if data.dtype.itemsize <= 2 else np.float64
    return np.ma.filled(data.astype(real), np.nan)


def _checked_axis(axis: Any, ndim: int, name: str) -> int | None:
    if axis is None:
        return None
    try:
        index = int(range(ndim)[axis])
    except (TypeError, IndexError):
        raise ImageError(
            f"channel_axis is {axis!r}, but {name[0].lower()}{name[1:]} has axes 0 to {ndim - 1} (or {-ndim} to -1)."
        ) from None
    if ndim == 2:
        raise ImageError(f"{name} has two axes, (Y, X), and so no axis for channels: leave channel_axis out.")
    return index


def items_of(sources: Sequence[ImageSource]) -> Iterator[tuple[int, int]]:
    """Every item of every source, as (number of the source, number of the item)."""
    for number, source in enumerate(sources):
        for item in range(source.n_items):
            yield number, item


def as_list(image: Any) -> tuple[list[Any], bool]:
    """The images as a list, and whether it was a single one (not a list or tuple)."""
    if isinstance(image, list | tuple):
        if not image:
            raise ImageError("The list of images is empty: give at least one image.")
        return list(image), False
    return [image], True


def open_sources(
    images: Sequence[Any],
    *,
    axes: str | None = None,
    channel_axis: int | None = None,
    spatial_dims: int = 2,
    **light: Any,
) -> list[ImageSource]:
    """The images of one list; messages number them if there are several.

    Parameters
    ----------
    images : sequence
    axes, channel_axis, spatial_dims, **light
        As in `open_source`, for all of them; `light` are `nodata` and `intensity_range`.

    Raises
    ------
    ConfigError, ImageError
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
            **light,
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
