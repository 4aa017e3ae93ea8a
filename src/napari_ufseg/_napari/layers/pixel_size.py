"""The size of a pixel of an image: read from its layer, told in words, and set anew for all that lies over it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isclose
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Layer
from napari.utils.transforms import Affine

from napari_ufseg._napari.layers.layer_steps import layer_steps, world_steps
from napari_ufseg._napari.layers.result_layer import is_made_for
from napari_ufseg.io import unit_name

_SPACE = "ZYX"
_PIXEL = "pixel"
TOLD_STEPS = (
    "napari_ufseg_told_steps"  # in the metadata of an image: what its file tells of T and Z, [size, unit] by letter
)
_SET = "napari_ufseg_pixel_size"  # in the metadata of an image: what was set in the dock


@dataclass(frozen=True)
class PixelSize:
    """Steps along the axes of space.

    Parameters
    ----------
    steps : dict of str to float or None
        By the letter of the axis; None along one of which it is not known, or not in that unit.
    unit : str
        Of all of them, by its whole name, for example ``"micrometer"``.
    notes : tuple of str
        What had to be left out or assumed, a sentence each.
    """

    steps: Mapping[str, float | None]
    unit: str
    notes: tuple[str, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether anybody has told it; 1 pixel is what napari takes where nobody has."""
        return any(step is not None for step in self.steps.values())

    @property
    def words(self) -> str:
        """In words, for example ``pixel 0.325 µm, planes 2 µm apart``."""
        if not self.is_known:
            return "pixel size unknown"
        unit = "" if self.unit == _PIXEL else f" {_symbol(self.unit)}"
        sides = [step for letter in "YX" if (step := self.steps.get(letter)) is not None]
        if len(sides) == 2 and isclose(*sides, rel_tol=1e-6):
            sides = sides[:1]
        told = [
            f"pixel {' x '.join(f'{side:.6g}' for side in sides) if sides else 'size unknown'}{unit if sides else ''}"
        ]
        if "Z" in self.steps:
            depth = self.steps["Z"]
            told.append("step between planes unknown" if depth is None else f"planes {depth:.6g}{unit} apart")
        return ", ".join(told if unit else [*told, "unit unknown"])


def pixel_size(layer: Image, axes: str) -> PixelSize:
    """The pixel of the full resolution of a layer, in the unit of its last axis that has one.

    Parameters
    ----------
    layer : napari.layers.Image
    axes : str
        A letter for each axis of its data.
    """
    steps = layer_steps(layer, axes)
    sizes = {
        letter: steps[letter].size if steps[letter].unit == steps.unit else None for letter, _ in _space(layer, axes)
    }
    return PixelSize(sizes, unit_name(steps.unit) or _PIXEL, steps.notes)


def told_by(layer: Image) -> str:
    """Who has told the pixel size of a layer: the dock, the file, or whoever has made the layer."""
    if layer.metadata.get(_SET) == _told(layer):
        return "set here"
    return "file" if layer.source.path else "layer"


def set_pixel_size(viewer: Any, images: Sequence[tuple[Image, str]], size: PixelSize) -> None:
    """Let pixels of images have that size, and with them all that this plugin has made for them, which stays in its place.

    The view stays on the same pixels of the last one.

    Parameters
    ----------
    viewer : napari.Viewer
    images : sequence of (napari.layers.Image, str)
        Each with a letter for each axis of its data.
    size : PixelSize
        Steps along axes that an image has not got are left out; those that it does not tell stay as they are.
    """
    _set_steps(viewer, images, size)
    for image, _ in images:
        image.metadata = {**image.metadata, _SET: _told(image)}


def take_told_step(viewer: Any, image: Image, axes: str, axis: int) -> None:
    """Give an axis that has got another name the step that its file tells of such an axis, if its own can be none of it.

    Parameters
    ----------
    viewer : napari.Viewer
    image : napari.layers.Image
        With the metadata that the reader of this plugin gives it.
    axes : str
        A letter for each axis of its data, as they are called now.
    axis : int
        Which one has got another name.
    """
    letter, told = axes[axis], image.metadata.get(TOLD_STEPS, {})
    if letter in told and layer_steps(image, axes)[letter].size is None:
        size, unit = told[letter]
        _set_steps(viewer, [(image, axes)], PixelSize({letter: size}, unit))


def _set_steps(viewer: Any, images: Sequence[tuple[Image, str]], size: PixelSize) -> None:
    over = [[layer for layer in viewer.layers if is_made_for(layer, image)] for image, _ in images]
    resized = [image for image, _ in images] + [layer for layers in over for layer in layers]
    size = _in_unit_of(size, [layer for layer in viewer.layers if layer not in resized])
    with _same_view(viewer, images[-1][0]):
        for (image, axes), layers in zip(images, over, strict=True):
            _resize(image, axes, size, layers)


def _resize(image: Image, axes: str, size: PixelSize, over: Sequence[Layer]) -> None:
    """Set the pixel size of one image and of the layers over it.

    Where the unit becomes another one of the same kind the image keeps its place
    in the world; where pixels become lengths it keeps it in pixels.
    """
    scale, units = np.array(image.scale, float), list(image.units)
    now = np.linalg.norm(world_steps(image), axis=0)  # an affine may stretch it beside its scale
    for axis, letter in enumerate(axes[: image.ndim]):
        if (step := size.steps.get(letter)) is not None:
            scale[axis] *= step / now[axis]
            units[axis] = _unit(size.unit)
    pairs = list(zip(image.units, units, strict=True))
    factors = [_ratio(*pair) for pair in pairs]
    ratio, corner = scale / image.scale, np.array(image.translate)
    to_new = _linear(image, scale) @ np.linalg.inv(_linear(image))
    start = corner * factors if all(_is_same_kind(*pair) for pair in pairs) else to_new @ corner
    for layer in (*over, image):
        n = layer.ndim
        whole = np.concatenate([corner[: image.ndim - n], layer.translate])
        layer.scale = layer.scale * ratio[-n:]
        layer.translate = (start + to_new @ (whole - corner))[-n:]
        layer.affine = _rescaled(layer.affine.affine_matrix, factors[-n:])
        layer.units = units[-n:]


def _space(layer: Image, axes: str) -> list[tuple[str, int]]:
    """The axes of space of a layer: letter and number."""
    return [(letter, axis) for axis, letter in enumerate(axes[: layer.ndim]) if letter in _SPACE]


def _told(layer: Image) -> dict[str, list[Any]]:
    return {"scale": [float(step) for step in layer.scale], "units": [str(unit) for unit in layer.units]}


def _linear(layer: Layer, scale: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
    """Pixels of a layer -> the world, without its shift and without `layer.affine`."""
    matrix = Affine(scale=layer.scale if scale is None else scale, rotate=layer.rotate, shear=layer.shear)
    return np.asarray(matrix.linear_matrix)


def _rescaled(affine: npt.NDArray[Any], factors: Sequence[float]) -> npt.NDArray[Any]:
    """An affine matrix between worlds whose units are other ones."""
    stretch = np.diag([*factors, 1.0])
    return np.asarray(stretch @ affine @ np.linalg.inv(stretch))


def _in_unit_of(size: PixelSize, others: Sequence[Layer]) -> PixelSize:
    """The same size in the unit of length of other layers, if they have one.

    napari 0.9.2 shows layers of one viewer in the smallest of their units of
    length, and its positions (`viewer.dims.point`, the camera) are then in that
    unit, which a layer's own `world_to_data` takes for the layer's. So one viewer
    gets one unit of length. Beside layers in pixels it takes all numbers as they
    are, with a warning, and there is nothing to guard.
    """
    unit = _unit(size.unit)
    lengths = [other for layer in others for other in layer.units if _is_same_kind(other, unit)]
    if not lengths:
        return size
    smallest = min(lengths, key=lambda other: _ratio(other, unit))
    factor = _ratio(unit, smallest)
    steps = {letter: None if step is None else step * factor for letter, step in size.steps.items()}
    return PixelSize(steps, str(smallest))


@contextmanager
def _same_view(viewer: Any, image: Image) -> Iterator[None]:
    """After the block the same pixels of an image are seen, and just as large."""
    dims, camera = viewer.dims, viewer.scene.camera
    shown = list(dims.displayed)
    middle = np.array(dims.point, float)
    middle[shown] = camera.center[-len(shown) :]
    across = max(shown[-1] - dims.ndim, -image.ndim)
    pixel, side = image.world_to_data(middle[-image.ndim :]), abs(image.scale[across])
    yield
    first = dims.ndim - image.ndim
    middle[first:] = image.data_to_world(pixel)
    for axis in dims.not_displayed:
        if axis >= first:
            dims.set_point(axis, middle[axis])
    camera.center = (*camera.center[: -len(shown)], *middle[shown])
    camera.zoom *= side / abs(image.scale[across])


def _unit(name: str) -> Any:
    import pint

    return pint.get_application_registry().Unit(name)  # type: ignore[no-untyped-call]


def _symbol(name: str) -> str:
    return f"{_unit(name):~}"


def _is_same_kind(unit: Any, other: Any) -> bool:
    return bool(unit.is_compatible_with(other))


def _ratio(unit: Any, other: Any) -> float:
    """How many of `other` one `unit` is; 1 if they are not of one kind."""
    return float((1 * unit).to(other).magnitude) if _is_same_kind(unit, other) else 1.0
