"""Reading images and label images, whatever kind of file they are in."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.errors import FileError, warn
from napari_ufseg.engine.leftovers import restore
from napari_ufseg.io.paths import IMAGE_SUFFIXES, TIFF_SUFFIXES, is_zarr, require_no_address
from napari_ufseg.io.quiet import without_log
from napari_ufseg.io.reading.claims import check_fits
from napari_ufseg.io.reading.image_file import ImageFile
from napari_ufseg.io.reading.ome_zarr import label_folders, open_zarr, series_of_zarr
from napari_ufseg.io.reading.picture import open_picture
from napari_ufseg.io.reading.series import Series, choose_series
from napari_ufseg.io.reading.tiff.image import open_tiff, series_of_tiff
from napari_ufseg.io.reading.zarr_pixels import missing_words


def open_image(
    path: str | os.PathLike[str], level: int = 0, *, series: int | str | None = None, partial: bool = False
) -> ImageFile:
    """Open an image without reading its pixels.

    Parameters
    ----------
    path : path-like
        A TIFF, PNG or JPEG file, or a Zarr folder: OME-Zarr 0.4 or 0.5, one
        that holds several (bioformats2raw), or a plain array.
    level : int
        Resolution level; 0 is the full one.
    series : int or str, optional
        Of several images in the file the one with this number, from 0, or name; see
        `images_in`. By default the first of the largest, reduced copies and masks left aside.
    partial : bool
        Take the planes that are there, if the file is a whole part of an image that
        is spread among several files, of which others are missing.

    Returns
    -------
    ImageFile
        With the axes as the file tells them, and what was assumed as its ``note``.
        Only a PNG or JPEG is read whole.

    Raises
    ------
    FileError
        If there is no such image, series or level, or it is damaged. Damage among the
        pixels shows only when these are read from ``data``: see `readable`.
    """
    file = Path(path)
    check_is_image(file)
    with readable(file):
        if file.is_dir():
            image = open_zarr(file, level, series)
        elif file.suffix.lower() in TIFF_SUFFIXES:
            image = open_tiff(file, level, series, partial=partial)
        else:
            image = _one_picture(file, series)
    if not 0 <= level < image.n_levels:
        there = "only one, level 0" if image.n_levels == 1 else f"{image.n_levels} levels, 0 to {image.n_levels - 1}"
        raise FileError(f"{file} has no resolution level {level}: it has {there}.")
    return image


def _one_picture(file: Path, series: int | str | None, *, numbers: bool = False) -> ImageFile:
    """A PNG or JPEG file, which is one image; FileError if another one was asked for."""
    image = open_picture(file, numbers=numbers)
    choose_series(file, [Series("", image.data.shape, image.axes)], series)
    return image


def images_in(path: str | os.PathLike[str]) -> list[Series]:
    """What images a file or Zarr folder holds, in their order; for `series` of `open_image`.

    Raises
    ------
    FileError
        If there is no such image, or it is damaged.
    """
    file = Path(path)
    check_is_image(file)
    with readable(file):
        if file.is_dir():
            return series_of_zarr(file)
        if file.suffix.lower() in TIFF_SUFFIXES:
            return series_of_tiff(file)
        image = open_picture(file)
        return [Series("", image.data.shape, image.axes)]


def label_images_of(path: str | os.PathLike[str], *, series: int | str | None = None) -> list[Path]:
    """The label images that an OME-Zarr image brings along, each for `open_image`; none for any other file.

    Parameters
    ----------
    path, series
        As in `open_image`.

    Raises
    ------
    FileError
        If there is no such image, or it is damaged.
    """
    folder = Path(path)
    check_is_image(folder)
    with readable(folder):
        return label_folders(folder, series) if folder.is_dir() else []


def read_image(
    path: str | os.PathLike[str], *, series: int | str | None = None, partial: bool = False
) -> npt.NDArray[Any]:
    """All pixels of an image; what was assumed in reading it is a UfsegWarning.

    Parameters
    ----------
    path, series, partial
        As in `open_image`.

    Returns
    -------
    (Y, X) or (Y, X, C) array; for a TIFF or Zarr any axes, as stored
        Axes of length 1 beside Y and X are dropped, and so is the opacity of a PNG or
        TIFF; a palette is looked up, except that of labels of this program, and in
        TIFF that of ImageJ and of microscopes, which only says how numbers are shown.

    Raises
    ------
    FileError
        If the file is missing, cannot be read or is no such image.
    """
    return _all_pixels(Path(path), series, partial=partial)


def read_label_numbers(path: str | os.PathLike[str], *, series: int | str | None = None) -> npt.NDArray[Any]:
    """All pixels of a label image of any axes, as `read_image`; of one with a palette the numbers, not the colours."""
    return _all_pixels(Path(path), series, numbers=True)


def _all_pixels(
    file: Path, series: int | str | None, *, numbers: bool = False, partial: bool = False
) -> npt.NDArray[Any]:
    check_is_image(file)
    missing = ""
    with readable(file):
        if file.is_dir():
            image = open_zarr(file, 0, series)
            missing = missing_words(image)
        elif file.suffix.lower() in TIFF_SUFFIXES:
            image = open_tiff(file, 0, series, numbers=numbers, partial=partial)
        else:
            image = _one_picture(file, series, numbers=numbers)
        check_fits(file, prod(image.data.shape) * image.data.dtype.itemsize)
        pixels = np.asarray(image.data[...])
        if file.suffix.lower() in TIFF_SUFFIXES or file.is_dir():
            pixels = without_single(pixels, image.axes)
    if image.is_labels or numbers:
        missing = ""  # nothing is stored where nothing is labelled
    for words in filter(None, (image.note, missing)):
        warn(words, stacklevel=3)
    return pixels


def without_single(array: npt.NDArray[Any], axes: str) -> npt.NDArray[Any]:
    """The array without axes of length 1 that are not Y or X; two axes stay in any case."""
    single = [i for i, (axis, size) in enumerate(zip(axes, array.shape, strict=True)) if size == 1 and axis not in "YX"]
    return array.squeeze(tuple(single[: max(0, array.ndim - 2)]))


def check_is_image(file: Path) -> None:
    """Raise FileError if there is no file or Zarr folder, or its name is of no image."""
    require_no_address(file)
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


def read_labels(path: str | os.PathLike[str], *, series: int | str | None = None) -> npt.NDArray[Any]:
    """A label image, such as scribbles, from a file.

    Parameters
    ----------
    path : path-like
        A TIFF or PNG file, or a Zarr folder, with one channel of whole numbers; it
        may have a palette, of which the numbers count.
    series : int or str, optional
        As in `open_image`.

    Returns
    -------
    (Y, X) array of integers

    Raises
    ------
    FileError
        If it cannot be read, has channels, or holds other than whole numbers.
    """
    array = read_label_numbers(path, series=series)
    if array.ndim != 2:
        raise FileError(f"{path} has shape {array.shape}, but a label image has one channel: (Y, X).")
    if array.dtype.kind not in "bui":
        raise FileError(f"{path} holds values of type {array.dtype}, but labels are whole numbers.")
    return array
