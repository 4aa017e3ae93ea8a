"""An Image layer -> the plane to segment and where it lies in the world."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Layer
from napari.utils.transforms import Affine

from napari_ufseg.engine.errors import ImageError


@dataclass(frozen=True)
class Plane:
    """The plane of an Image layer that the user looks at.

    Parameters
    ----------
    data : (Y, X) or (Y, X, C) array
        Its pixels, and nothing else of the layer, are in memory.
    channel_axis : int or None
        2 for a colour layer.
    index : tuple of int
        Position of the plane along the leading axes (T, Z, ...) of the layer.
    """

    data: npt.NDArray[Any]
    channel_axis: int | None
    index: tuple[int, ...]

    @property
    def labels_shape(self) -> tuple[int, ...]:
        """(1, ..., 1, Y, X): as many axes as the layer has."""
        return (1,) * len(self.index) + self.data.shape[:2]

    @property
    def channels_last(self) -> npt.NDArray[Any]:
        """(Y, X, C), also for one channel: grey and colour are told apart by number, never by guess."""
        return self.data if self.channel_axis is not None else self.data[..., np.newaxis]


def current_plane(layer: Image, point: tuple[float, ...]) -> Plane:
    """Read the plane of a layer that is shown at a world position.

    Parameters
    ----------
    layer : napari.layers.Image
        Lazy and multiscale layers are read at full resolution, one plane only.
    point : tuple of float
        ``viewer.dims.point``.

    Raises
    ------
    ImageError
        If its data can't be read.
    """
    full = layer.data[0] if layer.multiscale else layer.data
    leading = layer.ndim - 2
    position = np.round(layer.world_to_data(point[-layer.ndim :])).astype(int)[:leading]
    index = tuple(int(i) for i in np.clip(position, 0, np.array(full.shape[:leading], int) - 1))
    try:
        data = np.array(full[index])
    except (OSError, ValueError, TypeError, IndexError) as error:
        raise ImageError(f"The data of the layer {layer.name!r} can't be read: {error}.") from error
    if layer.rgb:
        return Plane(data[..., :3], 2, index)  # the fourth channel is opacity
    return Plane(data, None, index)


def title_of(layer: Layer, plane: Plane) -> str:
    """The name of the layer, and in a stack which plane of it."""
    return f"{layer.name}, plane {', '.join(map(str, plane.index))}" if plane.index else str(layer.name)


def geometry_of(layer: Layer, index: tuple[int, ...]) -> dict[str, Any]:
    """The arguments that put a Labels layer exactly over one plane of an Image layer.

    Scale, rotation, shear, affine, units and axis labels are the image's; the
    translation leads to the plane.
    """
    placed = Affine(scale=layer.scale, rotate=layer.rotate, shear=layer.shear, translate=layer.translate)
    return {
        "scale": layer.scale,
        "translate": placed((*index, 0, 0)),
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine.affine_matrix,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }
