"""The steps along the axes of a layer: by its scale and units, and by whatever else places it in the world."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Layer
from napari.utils.transforms import Affine

from napari_ufseg.io import AxisSteps, Step, ToldSteps, unit_name, unit_symbol

_NOTHING = 1e-9  # of the largest: what is left of an angle of 90 degrees


def layer_steps(layer: Layer, axes: str, ratio: Sequence[float] | npt.NDArray[np.float64] | None = None) -> AxisSteps:
    """How far neighbouring pixels of a layer are apart, each in the unit of its axis.

    Parameters
    ----------
    layer : napari.layers.Layer
        Mirrored, rotated or placed by an affine, too: a step is as long as it is in the world.
    axes : str
        A letter for each axis of its data.
    ratio : sequence of float, optional
        Pixels of the layer per pixel of a level, along each of its axes.
    """
    columns = world_steps(layer).T
    if ratio is not None:
        columns = columns * np.asarray(ratio)[:, np.newaxis]
    corner = layer.data_to_world((0,) * layer.ndim)
    upright = np.count_nonzero(columns) == layer.ndim and bool((np.diag(columns) > 0).all())
    steps = []
    for axis, column in enumerate(columns):
        size, unit = _length(column, layer.units)
        start = corner[axis] * (_plain(layer.units[axis])[0] if upright else 0.0)
        steps.append(Step.told(size, unit, start))
    return ToldSteps(steps).along(axes[: layer.ndim])


def world_steps(layer: Layer) -> npt.NDArray[np.float64]:
    """(ndim, ndim): along each axis of the world, in its unit, the step from one pixel to the next along each axis of the data."""
    own = Affine(scale=layer.scale, rotate=layer.rotate, shear=layer.shear).linear_matrix
    steps = np.array(layer.affine.linear_matrix @ own, float)
    steps[np.abs(steps) < _NOTHING * np.abs(steps).max(axis=0, keepdims=True)] = 0
    return steps


def _length(column: npt.NDArray[np.float64], units: Sequence[Any]) -> tuple[float | None, str | None]:
    """The length of a step, and its unit; no length if it goes along axes of the world whose units are not of one kind."""
    along = [(float(part), *_plain(unit)) for part, unit in zip(column, units, strict=True) if part]
    if len({unit for _, _, unit in along}) == 1:
        return float(np.hypot.reduce([part * factor for part, factor, _ in along])), along[0][2]
    parts = [Step(abs(part) * factor, unit).in_unit("µm") for part, factor, unit in along]
    if all(part.unit == "µm" for part in parts):
        return float(np.hypot.reduce([part.size or 0.0 for part in parts])), "µm"
    return None, None


def _plain(unit: Any) -> tuple[float, str | None]:
    """How many of a unit that files know one unit of pint is, and the symbol of that unit; none for pixels."""
    symbol = unit_symbol(unit)
    if symbol is None or unit_name(symbol):
        return 1.0, symbol
    for name, plain in (("micrometer", "µm"), ("second", "s")):
        if unit.is_compatible_with(name):
            return float((1 * unit).to(name).magnitude), plain
    return 1.0, symbol
