"""An Image layer -> what of it is segmented, and where that lies in the world."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image
from napari.utils.transforms import Affine

from napari_ufseg._napari.layers.layer_steps import layer_steps
from napari_ufseg._napari.layers.levels import in_full, in_level, pixels_of, ratio_of
from napari_ufseg.engine.errors import ImageError
from napari_ufseg.engine.images.axes import UNKNOWN, describe
from napari_ufseg.engine.images.source import ImageSource, open_source

_LETTERS = {
    "t": "T", "time": "T", "frame": "T", "z": "Z", "depth": "Z", "plane": "Z", "slice": "Z",
    "c": "C", "ch": "C", "channel": "C", "channels": "C", "y": "Y", "row": "Y", "x": "X", "column": "X",
    "q": "Q", "other": "Q",
}  # fmt: skip

BRIGHTNESS = (
    "napari_ufseg_brightness"  # in the metadata of an image: nodata and intensity_range, as in `napari_ufseg.segment`
)


class Extent(StrEnum):
    """What of a layer is segmented."""

    PLANE = "Current plane"
    PLANES = "All planes"
    VOLUME = "Volume (3D)"

    @property
    def spatial_dims(self) -> int:
        """Dimensions of the network."""
        return 3 if self is Extent.VOLUME else 2


@dataclass(frozen=True)
class ImageRegion:
    """The part of an Image layer that is segmented, and the Labels layer that goes with it.

    Parameters
    ----------
    layer : napari.layers.Image
        The image.
    source : ImageSource
        Its pixels; none is read before they are needed.
    index : tuple of int
        Position of the plane along the axes of the layer before Y and X; empty if all planes are meant.
    singles : tuple of int
        Axes of the Labels layer that have length 1 there and are not in the labels of `source`.
    place : Placement
        Where the Labels layer begins on the image.
    level : int
        The resolution of the image; 0 is the full one.
    plane : str
        Which plane of a stack it is, as napari's sliders count, for example ``t=3, z=1``.
    """

    layer: Image
    source: ImageSource
    index: tuple[int, ...]
    singles: tuple[int, ...]
    place: "Placement"
    level: int = 0
    plane: str = ""

    @property
    def geometry(self) -> dict[str, Any]:
        """The arguments that put the Labels layer exactly over the image, wherever that lies by now."""
        return self.place.geometry(self.layer, self.level)

    @property
    def labels_shape(self) -> tuple[int, ...]:
        """Shape of the Labels layer."""
        shape = list(self.source.labels_shape)
        for axis in self.singles:
            shape.insert(axis, 1)
        return tuple(shape)

    @property
    def title(self) -> str:
        """The name of the layer, and in a stack which plane of it."""
        return f"{self.layer.name}, {self.plane}" if self.plane else str(self.layer.name)

    @property
    def is_lazy(self) -> bool:
        """Whether the pixels are not in memory."""
        return not isinstance(pixels_of(self.layer, self.level), np.ndarray)

    def target(self, labels: Any) -> Any:
        """The data of the Labels layer as an array of the shape of the labels of `source`."""
        if isinstance(labels, np.ndarray):
            return labels.reshape(self.source.labels_shape)
        return _WithoutSingles(labels, self.singles) if self.singles else labels

    def view(self, point: Sequence[float], centre: Sequence[float]) -> tuple[int, tuple[float, ...]]:
        """The item that is shown at a world position, and the pixel at the centre of the canvas."""
        middle = [*point[: len(point) - 2], *centre[-2:]]
        pixel = in_level(self.layer.world_to_data(middle[-self.layer.ndim :]), ratio_of(self.layer, self.level))
        if self.index:
            return 0, (float(pixel[-2]), float(pixel[-1]))
        sizes = zip(self.source.series_axes, self.source.series_shape, strict=True)
        item = self.source.item_at([int(np.clip(round(pixel[axis]), 0, n - 1)) for axis, n in sizes])
        of_letter = dict(zip(self.source.axes, pixel, strict=False))
        return item, tuple(float(of_letter[letter]) for letter in "ZYX" if letter in self.source.spatial)


@dataclass(frozen=True)
class Placement:
    """Where a Labels layer begins on an Image layer.

    Parameters
    ----------
    kept : sequence of int
        The axes of the image that the labels have.
    stretched : int or None
        The one of them that has one entry as long as all channels.
    start : sequence of float
        The pixel of the level, along every axis of the image.
    then : dict
        The geometry when this was made; stands if the image gets other pixels, with other axes.
    """

    kept: Sequence[int]
    stretched: int | None
    start: Sequence[float]
    then: dict[str, Any]

    @classmethod
    def on(cls, layer: Image, kept: list[int], stretched: int | None, start: list[float], level: int) -> "Placement":
        """Where that is now."""
        return cls(kept, stretched, start, _geometry(layer, kept, stretched, start, level))

    def geometry(self, layer: Image, level: int) -> dict[str, Any]:
        """The arguments of a Labels layer there."""
        if layer.ndim != len(self.start):
            return self.then
        return _geometry(layer, list(self.kept), self.stretched, list(self.start), level)


@dataclass(frozen=True)
class _WithoutSingles:
    """An array that is indexed as if it had not got some axes of length 1."""

    data: Any
    singles: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self._left(self.data.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> Any:
        return self.data.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        return self._left(self.data.chunks)

    def _left(self, lengths: Sequence[int]) -> tuple[int, ...]:
        return tuple(n for i, n in enumerate(lengths) if i not in self.singles)

    def _index(self, index: Any) -> tuple[Any, ...]:
        full = list(index)
        for axis in self.singles:
            full.insert(axis, 0)
        return tuple(full)

    def __getitem__(self, index: Any) -> Any:
        return self.data[self._index(index)]

    def __setitem__(self, index: Any, values: npt.NDArray[Any]) -> None:
        self.data[self._index(index)] = values


def letter_of(name: Any) -> str | None:
    """The role that a name of an axis says, as a letter; None if it says none."""
    return _LETTERS.get(str(name).lower())


def axes_of(layer: Image) -> str:
    """A letter for each axis of the data of a layer, ``?`` for those that nothing is known of.

    Known are the colour axis (`layer.rgb`), axes that the layer's axis labels
    name, and the last two, which napari shows as rows and columns.
    """
    letters = [letter_of(name) or UNKNOWN for name in layer.axis_labels]
    if letters[-2:] == [UNKNOWN, UNKNOWN]:
        letters[-2:] = ["Y", "X"]
    shape = pixels_of(layer).shape
    letters = ["Q" if letter == UNKNOWN and n == 1 else letter for letter, n in zip(letters, shape, strict=False)]
    return "".join(letters) + ("C" if layer.rgb else "")


def row_of_axis(axis: int, size: int) -> str:
    """What the dock calls an axis of a layer."""
    return f"Axis {axis} ({size})"


def words_of(layer: Image, axes: str, what: Extent, level: int = 0) -> str:
    """A level of the layer in words, for example ``48 time points of 130 x 130, 1 channel``."""
    shape = list(pixels_of(layer, level).shape)
    if layer.rgb:
        shape[-1] = 3
    return describe(shape, axes, what.spatial_dims)


def part_of(layer: Image, axes: str, what: Extent, point: Sequence[float], level: int = 0) -> ImageRegion:
    """What of a layer is to be segmented.

    Parameters
    ----------
    layer : napari.layers.Image
        In memory or lazy.
    axes : str
        A letter for each axis of its data; ``?`` is allowed for the current plane.
    what : Extent
        One plane, every plane, or volumes.
    point : sequence of float
        ``viewer.dims.point``; says which plane is the current one.
    level : int
        The resolution, if the layer is a multiscale one.

    Raises
    ------
    ImageError
        If an axis is not known, or the layer can't be used.
    """
    data = pixels_of(layer, level)
    if layer.rgb and data.shape[-1] > 3:
        data = sliced(data, (..., slice(0, 3)))  # the fourth is opacity
    name = f"The layer {str(layer.name)!r}"
    index: tuple[int, ...] = ()
    letters = axes
    if what is Extent.PLANE:
        position = np.clip(_position(layer, point, level), 0, np.array(data.shape[: layer.ndim]) - 1)
        series = [i for i, letter in enumerate(axes) if letter not in "CYX"]
        index = tuple(int(position[i]) for i in series)
        data = sliced(data, tuple(int(position[i]) if i in series else slice(None) for i in range(data.ndim)))
        letters = "".join(letter for letter in axes if letter in "CYX")
    elif UNKNOWN in axes:
        axis = axes.index(UNKNOWN)
        size = data.shape[axis]
        raise ImageError(
            f"{name} has an axis of length {size} and it is not known what it is: choose it beside "
            f"{row_of_axis(axis, size)}, or segment the current plane."
        )
    light = layer.metadata.get(BRIGHTNESS, {})
    source = open_source(data, axes=letters, spatial_dims=what.spatial_dims, name=name, **light)
    source = replace(source, is_rgb=bool(layer.rgb))
    kept, stretched = _label_axes(axes, layer.ndim)
    singles = tuple(
        place
        for place, axis in enumerate(kept)
        if axis == stretched or (what is Extent.PLANE and axes[axis] not in "YX")
    )
    start = data_index(axes, layer.ndim, index)
    place = Placement.on(layer, kept, stretched, start, level)
    plane = _plane_words(layer, axes, start, level) if what is Extent.PLANE else ""
    return ImageRegion(layer, source, index, singles, place, level, plane)


def region_of(layer: Image, source: ImageSource) -> ImageRegion:
    """The whole of a layer, with the axes and the label image that a source of the same pixels has."""
    kept, stretched = _label_axes(source.axes, layer.ndim)
    shown = set(zip(source.labels_axes, source.labels_shape, strict=True))
    singles = tuple(
        place
        for place, axis in enumerate(kept)
        if axis == stretched or (source.axes[axis], source.data.shape[axis]) not in shown
    )
    place = Placement.on(layer, kept, stretched, data_index(source.axes, layer.ndim, ()), 0)
    return ImageRegion(layer, source, (), singles, place)


def _plane_words(layer: Image, axes: str, start: Sequence[float], level: int) -> str:
    """Where along time, depth and others a plane lies, in pixels of the full resolution; nothing if there is but one."""
    known, others = [], []
    for axis, at in enumerate(in_full(start, ratio_of(layer, level))):
        if axes[axis] not in "CYX" and pixels_of(layer).shape[axis] > 1:
            if axes[axis] in "TZ":
                known.append(f"{axes[axis].lower()}={int(at)}")
            else:
                others.append(str(int(at)))
    return ", ".join([*known, f"plane {', '.join(others)}"] if others else known)


def data_index(axes: str, ndim: int, index: tuple[int, ...]) -> list[float]:
    """The pixel of a level, along every axis of a layer, where the labels begin."""
    steps = iter(index)
    return [float(next(steps, 0)) if axes[i] not in "CYX" else 0.0 for i in range(ndim)]


def anisotropy_of(layer: Image, axes: str, level: int = 0) -> float:
    """Step along Z divided by the size of a pixel of a level; 1 without a Z axis, or if the layer does not tell it."""
    return layer_steps(layer, axes, ratio_of(layer, level)).anisotropy or 1.0


def _position(layer: Image, point: Sequence[float], level: int) -> npt.NDArray[np.int64]:
    pixel = in_level(layer.world_to_data(tuple(point)[-layer.ndim :]), ratio_of(layer, level))
    return np.round(pixel).astype(np.int64)


def sliced(data: Any, index: tuple[Any, ...]) -> Any:
    """A part of an array; of a lazy one nothing is read."""
    if isinstance(data, np.ndarray) or hasattr(data, "dask"):
        return data[index]
    import dask.array as da

    lazy: Any = da.from_array(data, chunks=getattr(data, "chunks", None) or "auto")  # type: ignore[no-untyped-call]
    return lazy[index]


def _label_axes(axes: str, ndim: int) -> tuple[list[int], int | None]:
    """The axes of a layer that its Labels layer has, and which of them is that of the channels.

    A channel axis at the front is left out, since napari lines layers up at
    the last axis. One further back stays, with one entry as long as all channels.
    """
    channel = axes[:ndim].find("C")
    if channel < 0:
        return list(range(ndim)), None
    return ([i for i in range(ndim) if i != 0], None) if channel == 0 else (list(range(ndim)), channel)


def _geometry(layer: Image, kept: list[int], stretched: int | None, start: list[float], level: int) -> dict[str, Any]:
    ratio = ratio_of(layer, level)
    turned: dict[str, Any] = {"rotate": layer.rotate, "shear": layer.shear}
    scale = layer.scale * ratio
    linear = Affine(scale=scale, **turned).linear_matrix
    if stretched is not None:
        n = pixels_of(layer, level).shape[stretched]
        start = [(n - 1) / 2 if axis == stretched else at for axis, at in enumerate(start)]
        scale[stretched] *= n
    placed = Affine(scale=layer.scale, translate=layer.translate, **turned)
    corner = np.asarray(placed(in_full(start, ratio)))[kept]
    affine = layer.affine.affine_matrix
    if len(kept) < layer.ndim:
        inner = Affine(linear_matrix=linear[np.ix_(kept, kept)], translate=corner)
        rows = [*kept, layer.ndim]
        n_shears = len(kept) * (len(kept) - 1) // 2
        shear = inner.shear if len(inner.shear) == n_shears else np.zeros(n_shears)  # napari 0.9.2, without any shear
        turned = {"rotate": inner.rotate, "shear": shear}
        scale = inner.scale
        affine = affine[np.ix_(rows, rows)]
    return {
        **turned,
        "scale": scale,
        "translate": corner,
        "affine": affine,
        "units": tuple(layer.units[i] for i in kept),
        "axis_labels": tuple(layer.axis_labels[i] for i in kept),
    }
