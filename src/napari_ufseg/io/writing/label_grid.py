"""The shape, axes and place of a label image that is to be written."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from napari_ufseg.engine.errors import FileError, counted
from napari_ufseg.io.axis_steps import AxisSteps, Step, ToldSteps

_AXES = ("YX", "ZYX", "TYX", "TZYX")


@dataclass(frozen=True)
class LabelGrid:
    """Where the pixels of a label image lie.

    Parameters
    ----------
    shape : tuple of int
        Length of each axis.
    axes : str
        ``"YX"``, ``"ZYX"``, ``"TYX"`` or ``"TZYX"``.
    steps : AxisSteps
        Those along the axes, and where the middle of the first pixel lies.
    """

    shape: tuple[int, ...]
    axes: str
    steps: AxisSteps = field(default_factory=AxisSteps)


def label_file_axes(path: Path, axes: str) -> str:
    """The axes that a label file gets: those of the labels, with other series (Q) called T or Z.

    Parameters
    ----------
    path : Path
        For the message.
    axes : str
        A letter for each axis of the labels: T, Z, Y, X or Q.

    Raises
    ------
    FileError
        If they are then none of those that label files have.
    """
    # A series of which nothing is known is seldom one of depths, and a wrong T does no harm: Z would be taken for a
    # volume, with a depth of its voxels. So Q becomes T where that is free, and Z only beside a T.
    named = axes
    for free in "TZ":
        if free not in named:
            named = named.replace("Q", free, 1)
    if named not in _AXES:
        raise FileError(
            f"Cannot write {path}: labels with the axes {axes} have no place in a label file ({', '.join(_AXES)}); "
            "bring the image into the order TZCYX first."
        )
    return named


def label_grid(
    path: Path,
    shape: tuple[int, ...],
    axes: str | None,
    scale: Sequence[float | None] | None,
    unit: str | Sequence[str | None] | None,
    translate: Sequence[float] | None = None,
) -> LabelGrid:
    """The grid of a label image, checked.

    Parameters
    ----------
    path : Path
        For the messages.
    shape : tuple of int
        Of the label image.
    axes : str, optional
        As in `LabelGrid`; by default as many of the last ones of TZYX as there are.
    scale : sequence of float or None, optional
        For each axis, or for the last ones, such as (Y, X). A step that is None, 0
        or no finite number is not known; of the others the sign is left out.
    unit : str, or sequence of str or None, optional
        By any name: that of all axes of space, with seconds along T (of which 1
        then counts as not known); or one for each number of `scale`.
    translate : sequence of float, optional
        For each axis, or for the last ones. One that is not finite everywhere
        counts as not known.

    Raises
    ------
    FileError
        If the axes are others, or do not belong to the shape.
    """
    axes = axes or "TZYX"[-len(shape) :]
    if axes not in _AXES or len(axes) != len(shape):
        raise FileError(f"Cannot write {path}: labels of shape {shape} and axes {axes} are none of {', '.join(_AXES)}.")
    if translate is not None and not all(map(isfinite, translate)):
        translate = None
    sizes = _for_all_axes(path, "scale", scale or (), axes, None)
    starts = _for_all_axes(path, "translate", translate or (), axes, 0.0)
    if unit is None or isinstance(unit, str):
        units: list[str | None] = ["s" if letter == "T" else unit for letter in axes]
        sizes = [None if letter == "T" and size == 1 else size for letter, size in zip(axes, sizes, strict=True)]
    else:
        units = _for_all_axes(path, "unit", unit, axes, None)
    told = ToldSteps([Step.told(*step) for step in zip(sizes, units, starts, strict=True)])
    return LabelGrid(shape, axes, told.along(axes))


def _for_all_axes(path: Path, name: str, told: Sequence[Any], axes: str, default: Any) -> list[Any]:
    if len(told) > len(axes):
        raise FileError(
            f"Cannot write {path}: a {name} of {counted(len(told), 'number')} does not fit the axes {axes}."
        )
    return [default] * (len(axes) - len(told)) + list(told)
