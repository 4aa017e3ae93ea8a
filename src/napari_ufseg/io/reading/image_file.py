"""What is known of an image file before its pixels are read."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.io.axis_steps import AxisSteps, ToldSteps


class LazyArray(Protocol):
    """What numpy, memory-mapped, zarr and dask arrays have in common."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    @property
    def ndim(self) -> int:
        """Number of axes."""

    def __getitem__(self, region: Any, /) -> Any:
        """The values of a region, given by slices and whole numbers."""


class MissingLevelError(FileError):
    """A resolution level that the metadata of an image name is not there.

    Parameters
    ----------
    message : str
    others : list of int
        The levels that are there; at least one.
    """

    def __init__(self, message: str, others: list[int]) -> None:
        super().__init__(message)
        self.others = others


@dataclass(frozen=True, eq=False)
class ImageFile:
    """An open image, or one resolution level of it.

    Parameters
    ----------
    path : Path
        As it was given.
    data : array-like
        Pixels of a TIFF or Zarr are read when a region of it is asked for, and
        no more than the tiles, strips or chunks which that region touches.
    axes : str
        A letter for each axis of `data`: T, Z, C, Y, X, or ``?`` if not known.
    steps : ToldSteps
        What it tells of the steps along its axes, and of where the first pixel
        lies. The levels of a pyramid that do not say the latter cover the area of
        the full one.
    n_levels : int
        Resolution levels in the file; 1 if it holds no pyramid.
    level : int
        Which of them `data` is; 0 is the full one.
    is_rgb : bool
        The file says that its channels are red, green and blue, and perhaps opacity.
    is_labels : bool
        The file says that its values are labels.
    classes : ClassTable
        Names and colours of labels that the file tells.
    series : int
        Which of the images in the file it is, from 0.
    says_axes : bool
        Something of the axes is known; False for a plain array, where Y and X are assumed.
    note : str
        What was assumed in reading it, as sentences for the user; empty if nothing was.
    """

    path: Path
    data: LazyArray
    axes: str
    steps: ToldSteps = field(default_factory=ToldSteps)
    n_levels: int = 1
    level: int = 0
    is_rgb: bool = False
    is_labels: bool = False
    classes: ClassTable = field(default_factory=ClassTable)
    series: int = 0
    says_axes: bool = True
    note: str = ""

    @cached_property
    def axis_steps(self) -> AxisSteps:
        """The steps along the axes as the file names them."""
        return self.steps.along(self.axes)

    @property
    def unit(self) -> str | None:
        """Unit of the axes of space, as ``"µm"``; None if not known."""
        return self.axis_steps.unit

    @property
    def scale(self) -> tuple[float, ...]:
        """Size of a step along each axis: in `unit` along Z, Y and X, in seconds along T; 1.0 where it is not known so."""
        units = {letter: "s" if letter == "T" else self.unit for letter in "TZYX"}
        steps = [(self.axis_steps[letter], units.get(letter)) for letter in self.axes]
        return tuple(step.size if step.size and step.unit == unit else 1.0 for step, unit in steps)

    @property
    def translate(self) -> tuple[float, ...]:
        """Where the middle of the first pixel lies along each axis, as `scale`; 0.0 where it is not known."""
        return self.axis_steps.starts(self.axes)
