"""What goes in: image files, their channels, and scribbles."""

import warnings
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.color import rgb2gray

from napari_ufseg.cli.parser import UsageError
from napari_ufseg.engine.errors import ImageError, UfsegWarning
from napari_ufseg.engine.image import prepare
from napari_ufseg.io import find_images, read_image, read_labels


@dataclass(frozen=True)
class InputImage:
    """One image file.

    Parameters
    ----------
    path : Path
        As it was given.
    array : array
        What is trained on; channels along the job's channel axis.
    shape, dtype : tuple of int and str
        Of the file, before `array` was made from it.
    n_channels, plane_shape : int and (int, int)
        Channels of `array`, and its (Y, X).
    is_constant : bool
        True if every value is the same.
    """

    path: Path
    array: npt.NDArray[Any]
    shape: tuple[int, ...]
    dtype: str
    n_channels: int
    plane_shape: tuple[int, int]
    is_constant: bool


@dataclass(frozen=True)
class Inputs:
    """All that one training gets."""

    images: list[InputImage]
    channel_axis: int | None
    scribbles: list[npt.NDArray[Any] | None] | None
    scribble_paths: list[str] | None

    @property
    def arrays(self) -> list[npt.NDArray[Any]]:
        """The images as arrays."""
        return [image.array for image in self.images]


def input_paths(arguments: Namespace) -> list[Path]:
    """The image files named by INPUT or --path; UsageError if there are none or both are given."""
    folder = getattr(arguments, "path", None)
    if folder and arguments.inputs:
        raise UsageError("Give the images either as INPUT or with --path, not both.")
    given = [folder] if folder else arguments.inputs
    if not given:
        raise UsageError("Give at least one image: TIFF, PNG or JPEG files, or folders of them.")
    return find_images(given)


def load_inputs(arguments: Namespace, paths: Sequence[Path]) -> Inputs:
    """Read the images and scribbles of ``ufseg segment``; a UfsegError names the file at fault."""
    n_channels, axis = channel_arguments(arguments)
    images = [load_image(path, n_channels, axis) for path in paths]
    for image in images:
        if image.n_channels != images[0].n_channels:
            raise ImageError(
                f"{image.path} has {image.n_channels} channel(s) but {images[0].path} has {images[0].n_channels}: "
                "images that are trained together need the same (--n_channels 1 or 3 converts colour and grey)."
            )
    scribbles = _load_scribbles(arguments.scribbles, images) if arguments.scribbles else None
    return Inputs(images, axis if n_channels is None else 2, scribbles, arguments.scribbles)


def channel_arguments(arguments: Namespace) -> tuple[int | None, int | None]:
    """--n_channels and --channel_axis, checked."""
    n_channels, axis = arguments.n_channels, arguments.channel_axis
    if n_channels is not None and not (isinstance(n_channels, int) and n_channels >= 1):
        raise UsageError(f"n_channels is {n_channels!r}, but must be a whole number of at least 1.")
    if axis is not None and not isinstance(axis, int):
        raise UsageError(f"channel_axis is {axis!r}, but must be a whole number such as 0 or -1.")
    return n_channels, axis


def load_image(path: Path, n_channels: int | None = None, channel_axis: int | None = None) -> InputImage:
    """Read and check one image; with `n_channels` it becomes (Y, X, n_channels)."""
    array = read_image(path)
    checked = prepare(array, channel_axis=channel_axis, name=f"The image {path}")
    if checked.is_constant:
        warnings.warn(f"{path} is constant: all of it is one class.", UfsegWarning, stacklevel=2)
    shape, dtype = array.shape, str(array.dtype)
    if n_channels is not None:
        axis = channel_axis if channel_axis is not None else 2
        planes = np.moveaxis(array, axis, 2) if array.ndim == 3 else array[..., np.newaxis]
        array = _with_channels(planes, n_channels, path)
    count = n_channels or checked.n_channels
    return InputImage(path, array, shape, dtype, count, checked.plane_shape, checked.is_constant)


def _with_channels(planes: npt.NDArray[Any], n_channels: int, path: Path) -> npt.NDArray[Any]:
    """(Y, X, C) -> (Y, X, n_channels)."""
    there = planes.shape[2]
    if there == n_channels:
        return planes
    if there == 3 and n_channels == 1:
        grey: npt.NDArray[Any] = rgb2gray(planes)[..., np.newaxis]
        return grey
    if there == 1 and n_channels == 3:
        return np.repeat(planes, 3, axis=2)
    raise ImageError(
        f"{path} has {there} channel(s), not {n_channels}: only colour (3) to grey (1) and grey to colour are converted."
    )


def _load_scribbles(files: Sequence[str], images: Sequence[InputImage]) -> list[npt.NDArray[Any] | None]:
    if len(files) != len(images):
        raise UsageError(
            f"There are {len(files)} --scribbles for {len(images)} image(s): give one for each, '-' for an image without."
        )
    scribbles: list[npt.NDArray[Any] | None] = []
    for file, image in zip(files, images, strict=True):
        labels = None if file == "-" else read_labels(file)
        if labels is not None and labels.shape != image.plane_shape:
            raise ImageError(
                f"The scribbles {file} are {labels.shape}, but the image {image.path} is {image.plane_shape} (Y, X)."
            )
        scribbles.append(labels)
    return scribbles
