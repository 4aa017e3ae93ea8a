"""Images and label images in files: TIFF, PNG and JPEG in, label TIFFs out."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
import tifffile

from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.files import written_whole

TIFF_SUFFIXES = (".tif", ".tiff")
IMAGE_SUFFIXES = (*TIFF_SUFFIXES, ".png", ".jpg", ".jpeg")
LABELS_ENDING = "_labels"


def find_images(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The image files that some files and folders stand for, each once.

    Parameters
    ----------
    paths : iterable of path-like
        Files are taken as they are. Of a folder all TIFF, PNG and JPEG files
        that lie directly in it are taken, in order of their names, except
        hidden ones and label images of an earlier run (``*_labels.tif``).

    Raises
    ------
    FileError
        If a path does not exist, or a folder holds no image.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        for file in _images_in(path) if path.is_dir() else [path]:
            if not file.exists():
                raise FileError(f"There is no file or folder {path}.")
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _images_in(folder: Path) -> list[Path]:
    try:
        files = sorted(folder.iterdir(), key=lambda file: file.name)
    except OSError as error:
        raise FileError(f"Cannot read the folder {folder}: {error.strerror or error}.") from error
    images = [file for file in files if file.is_file() and _is_wanted(file)]
    if not images:
        raise FileError(f"The folder {folder} holds no image (TIFF, PNG or JPEG).")
    return images


def _is_wanted(file: Path) -> bool:
    suffix = file.suffix.lower()
    is_result = suffix in TIFF_SUFFIXES and file.stem.endswith(LABELS_ENDING)
    return suffix in IMAGE_SUFFIXES and not file.name.startswith(".") and not is_result


def read_image(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """The pixels of an image file.

    Parameters
    ----------
    path : path-like
        A TIFF, PNG or JPEG file.

    Returns
    -------
    (Y, X) or (Y, X, C) array; for a TIFF any axes, as stored
        Axes of length 1 beside Y and X are dropped, and so is the alpha
        channel of a PNG; a palette is looked up.

    Raises
    ------
    FileError
        If the file is missing, cannot be read or is no such image.
    """
    file = Path(path)
    if not file.is_file():
        raise FileError(f"There is no image file {file}.")
    if file.suffix.lower() not in IMAGE_SUFFIXES:
        raise FileError(f"{file} has no name of a TIFF, PNG or JPEG image ({', '.join(IMAGE_SUFFIXES)}).")
    try:
        return _read_tiff(file) if file.suffix.lower() in TIFF_SUFFIXES else _read_picture(file)
    except PermissionError as error:
        raise FileError(f"Cannot read {file}: {error.strerror}.") from error
    except MemoryError as error:
        raise FileError(f"{file} does not fit into memory.") from error
    except Exception as error:  # the readers raise anything from struct.error to SyntaxError
        raise FileError(f"{file} is not an image that can be read, or it is damaged.") from error


def _read_tiff(file: Path) -> npt.NDArray[Any]:
    with tifffile.TiffFile(file) as tiff:
        series = tiff.series[0]
        array = np.asarray(series.asarray())
    axes = series.axes if len(series.axes) == array.ndim else "?" * array.ndim
    single = [i for i, (axis, size) in enumerate(zip(axes, array.shape, strict=True)) if size == 1 and axis not in "YX"]
    return array.squeeze(tuple(single[: max(0, array.ndim - 2)]))


def _read_picture(file: Path) -> npt.NDArray[Any]:
    opened: Any = iio.imopen(file, "r", plugin="pillow")
    with opened as picture:
        mode = picture.metadata(index=0).get("mode")
        array: npt.NDArray[Any] = picture.read(index=0, mode="RGB" if mode == "CMYK" else None)
    if file.suffix.lower() == ".png" and array.ndim == 3 and array.shape[-1] in (2, 4):
        array = array[..., :-1]
    return np.ascontiguousarray(array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array)


def read_labels(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """A label image, such as scribbles, from a file.

    Parameters
    ----------
    path : path-like
        A TIFF or PNG file with one channel of whole numbers.

    Returns
    -------
    (Y, X) array of integers

    Raises
    ------
    FileError
        If it cannot be read, has channels, or holds other than whole numbers.
    """
    array = read_image(path)
    if array.ndim != 2:
        raise FileError(f"{path} has shape {array.shape}, but a label image has one channel: (Y, X).")
    if array.dtype.kind not in "bui":
        raise FileError(f"{path} holds values of type {array.dtype}, but labels are whole numbers.")
    return array


def write_labels(
    path: str | os.PathLike[str],
    label_image: npt.ArrayLike,
    *,
    scale: tuple[float, float] | None = None,
    unit: str | None = None,
) -> None:
    """Write a label image as a compressed uint16 TIFF, whole or not at all.

    Parameters
    ----------
    path : path-like
        Name of the file; its folder is made if it is missing.
    label_image : (Y, X) array of integers
        0 to 65535.
    scale : (float, float), optional
        Size of a pixel along y and x. It is stored as ImageJ does, so that
        ImageJ, QuPath and napari readers show the right scale.
    unit : str, optional
        Unit of `scale`, for example ``"µm"``.

    Raises
    ------
    FileError
        If the labels do not fit into uint16, or the system refuses to write.
    """
    labels = np.asarray(label_image)
    if labels.ndim != 2 or labels.dtype.kind not in "bui":
        raise FileError(f"Cannot write {path}: labels of shape {labels.shape} and type {labels.dtype} are no (Y, X).")
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) <= np.iinfo(np.uint16).max:
        raise FileError(f"Cannot write {path}: labels from {labels.min()} to {labels.max()} do not fit into uint16.")
    options: dict[str, Any] = {"photometric": "minisblack", "metadata": {"axes": "YX"}}
    if scale is not None and min(scale) > 0:
        options["imagej"] = True
        options["resolution"] = (1 / float(scale[1]), 1 / float(scale[0]))
        options["metadata"]["unit"] = _escaped(unit or "pixel")
    with written_whole(path) as temporary:
        tifffile.imwrite(temporary, labels.astype(np.uint16), compression="zlib", **options)


def _escaped(unit: str) -> str:
    """The unit in ASCII, as ImageJ writes it: the letter µ becomes ``\\u00B5``."""
    return "".join(letter if letter.isascii() else f"\\u{ord(letter):04X}" for letter in unit)
