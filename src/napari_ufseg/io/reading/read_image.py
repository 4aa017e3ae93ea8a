"""Reading images and label images, whatever kind of file they are in."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.leftovers import restore
from napari_ufseg.io.paths import IMAGE_SUFFIXES, TIFF_SUFFIXES, is_zarr
from napari_ufseg.io.quiet import without_log
from napari_ufseg.io.reading.claims import check_fits
from napari_ufseg.io.reading.image_file import ImageFile
from napari_ufseg.io.reading.ome_zarr import label_folders, open_zarr
from napari_ufseg.io.reading.picture import open_picture
from napari_ufseg.io.reading.tiff import open_tiff, read_tiff


def open_image(path: str | os.PathLike[str], level: int = 0) -> ImageFile:
    """Open an image without reading its pixels.

    Parameters
    ----------
    path : path-like
        A TIFF, PNG or JPEG file, or a Zarr folder: OME-Zarr 0.4 or 0.5, one
        whose first image is series 0 (bioformats2raw), or a plain array.
    level : int
        Resolution level; 0 is the full one.

    Returns
    -------
    ImageFile
        With the axes as the file tells them. Only a PNG or JPEG is read whole.

    Raises
    ------
    FileError
        If there is no such image or level, or it is damaged. Damage among the
        pixels shows only when these are read from ``data``: see `readable`.
    """
    file = Path(path)
    check_is_image(file)
    with readable(file):
        if file.is_dir():
            image = open_zarr(file, level)
        elif file.suffix.lower() in TIFF_SUFFIXES:
            image = open_tiff(file, level)
        else:
            image = open_picture(file)
    if not 0 <= level < image.n_levels:
        there = "only one, level 0" if image.n_levels == 1 else f"{image.n_levels} levels, 0 to {image.n_levels - 1}"
        raise FileError(f"{file} has no resolution level {level}: it has {there}.")
    return image


def label_images_of(path: str | os.PathLike[str]) -> list[Path]:
    """The label images that an OME-Zarr image brings along, each for `open_image`; none for any other file.

    Raises
    ------
    FileError
        If there is no such image, or it is damaged.
    """
    folder = Path(path)
    check_is_image(folder)
    with readable(folder):
        return label_folders(folder) if folder.is_dir() else []


def read_image(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """All pixels of an image.

    Parameters
    ----------
    path : path-like
        As in `open_image`.

    Returns
    -------
    (Y, X) or (Y, X, C) array; for a TIFF or Zarr any axes, as stored
        Axes of length 1 beside Y and X are dropped, and so is the alpha
        channel of a PNG; a palette is looked up, except that of labels of this program.

    Raises
    ------
    FileError
        If the file is missing, cannot be read or is no such image.
    """
    return _all_pixels(Path(path))


def read_label_numbers(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """All pixels of a label image of any axes, as `read_image`; of a PNG with a palette the numbers, not the colours."""
    return _all_pixels(Path(path), numbers=True)


def _all_pixels(file: Path, *, numbers: bool = False) -> npt.NDArray[Any]:
    check_is_image(file)
    with readable(file):
        if file.is_dir():
            image = open_zarr(file, 0)
            check_fits(file, prod(image.data.shape) * image.data.dtype.itemsize)
            return without_single(np.asarray(image.data[...]), image.axes)
        if file.suffix.lower() in TIFF_SUFFIXES:
            return without_single(*read_tiff(file))
        return np.asarray(open_picture(file, numbers=numbers).data)


def without_single(array: npt.NDArray[Any], axes: str) -> npt.NDArray[Any]:
    """The array without axes of length 1 that are not Y or X; two axes stay in any case."""
    single = [i for i, (axis, size) in enumerate(zip(axes, array.shape, strict=True)) if size == 1 and axis not in "YX"]
    return array.squeeze(tuple(single[: max(0, array.ndim - 2)]))


def check_is_image(file: Path) -> None:
    """Raise FileError if there is no file or Zarr folder, or its name is of no image."""
    restore(file)
    try:
        _check_is_image(file)
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise FileError(f"Cannot read {file}: {error.strerror or error}.") from error


def _check_is_image(file: Path) -> None:
    if file.exists() and not os.access(file, os.R_OK | (os.X_OK if file.is_dir() else 0)):
        raise FileError(f"Cannot read {file}: permission denied.")
    if file.is_dir():
        if not is_zarr(file):
            raise FileError(f"{file} is a folder, but no Zarr image.")
    elif not file.is_file():
        raise FileError(f"There is no image file {file}.")
    elif file.suffix.lower() not in IMAGE_SUFFIXES:
        raise FileError(f"{file} has no name of a TIFF, PNG or JPEG image ({', '.join(IMAGE_SUFFIXES)}).")


@contextmanager
def readable(file: str | os.PathLike[str]) -> Iterator[None]:
    """Turn whatever the readers raise into FileError, and keep back what they log.

    For those who read regions of an open image: damage among its pixels comes
    up only then.
    """
    try:
        with without_log():
            yield
    except FileError:
        raise
    except PermissionError as error:
        raise FileError(f"Cannot read {file}: {error.strerror}.") from error
    except MemoryError as error:
        raise FileError(f"{file} does not fit into memory.") from error
    except Exception as error:  # the readers raise anything from struct.error to SyntaxError
        raise FileError(f"{file} is not an image that can be read, or it is damaged.") from error


def read_labels(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """A label image, such as scribbles, from a file.

    Parameters
    ----------
    path : path-like
        A TIFF or PNG file, or a Zarr folder, with one channel of whole numbers; a
        PNG may have a palette, of which the numbers count.

    Returns
    -------
    (Y, X) array of integers

    Raises
    ------
    FileError
        If it cannot be read, has channels, or holds other than whole numbers.
    """
    array = read_label_numbers(path)
    if array.ndim != 2:
        raise FileError(f"{path} has shape {array.shape}, but a label image has one channel: (Y, X).")
    if array.dtype.kind not in "bui":
        raise FileError(f"{path} holds values of type {array.dtype}, but labels are whole numbers.")
    return array
