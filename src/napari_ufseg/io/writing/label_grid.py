"""The shape, axes and place of a label image that is to be written."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from napari_ufseg.engine.errors import FileError, counted
from napari_ufseg.io.units import length_unit

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
    scale : tuple of float, optional
        Size of a step along each axis, all above 0: in `unit` along Z, Y and
        X, in seconds along T. None if it is not known.
    unit : str, optional
        Symbol of the unit of space, as ``"µm"``; None for pixels.
    translate : tuple of float, optional
        Where the middle of the first pixel lies along each axis, as `scale`.
        None if it is not known.
    """

    shape: tuple[int, ...]
    axes: str
    scale: tuple[float, ...] | None = None
    unit: str | None = None
    translate: tuple[float, ...] | None = None

    @property
    def steps(self) -> dict[str, float]:
        """Size of a step by the letter of its axis; empty if the scale is not known."""
        return dict(zip(self.axes, self.scale, strict=True)) if self.scale else {}


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
    scale: Sequence[float] | None,
    unit: str | None,
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
    scale : sequence of float, optional
        For each axis, or for the last ones, such as (Y, X). A scale that is
        not above 0 everywhere counts as not known.
    unit : str, optional
        By any name.
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
    if scale is not None and not all(isfinite(step) and step > 0 for step in scale):
        scale = None
    if translate is not None and not all(map(isfinite, translate)):
        translate = None
    steps = None if scale is None else _for_all_axes(path, "scale", scale, axes, 1.0)
    start = None if translate is None else _for_all_axes(path, "translate", translate, axes, 0.0)
    return LabelGrid(shape, axes, steps, length_unit(unit), start)


def _for_all_axes(path: Path, name: str, numbers: Sequence[float], axes: str, default: float) -> tuple[float, ...]:
    if len(numbers) > len(axes):
        raise FileError(
            f"Cannot write {path}: a {name} of {counted(len(numbers), 'number')} does not fit the axes {axes}."
        )
    return (default,) * (len(axes) - len(numbers)) + tuple(map(float, numbers))
