"""PNG and JPEG files."""

from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt

from napari_ufseg.io.paths import PNG_SUFFIX
from napari_ufseg.io.reading.image_file import ImageFile
from napari_ufseg.io.reading.known_labels import CLASSES_KEY, LABELS_SOFTWARE, classes_in_json


def open_picture(file: Path, *, numbers: bool = False) -> ImageFile:
    """A PNG or JPEG file, read whole.

    Parameters
    ----------
    file : Path
    numbers : bool
        Of a PNG with a palette, take the numbers of the pixels and not the
        colours of the palette. That is done in any case if it says that these are labels.
    """
    opened: Any = iio.imopen(file, "r", plugin="pillow")
    with opened as picture:
        told = picture.metadata(index=0)
        is_labels = told.get("Software") == LABELS_SOFTWARE
        mode = "RGB" if told.get("mode") == "CMYK" else None
        if told.get("mode") == "P" and (numbers or is_labels):
            mode = "P"
        data = _one_layout(file, _deep_colour(file) if _is_deep_colour(file) else picture.read(index=0, mode=mode))
    axes = "YX" if data.ndim == 2 else "YXC"
    is_rgb = axes == "YXC" and data.shape[-1] in (3, 4)
    about: dict[str, Any] = {"is_rgb": is_rgb, "is_labels": is_labels and axes == "YX"}
    if about["is_labels"]:
        about["classes"] = classes_in_json(told.get(CLASSES_KEY))
    return ImageFile(file, data, axes, (1.0,) * data.ndim, (0.0,) * data.ndim, **about)


def _is_deep_colour(file: Path) -> bool:
    """Whether a file is a PNG with 16 bits for each of several samples, which Pillow cuts to 8."""
    with file.open("rb") as stream:
        head = stream.read(26)
    is_png = head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR" and len(head) == 26
    return is_png and head[24] == 16 and head[25] != 0  # depth, and kind of colour: 0 is grey


def _deep_colour(file: Path) -> npt.NDArray[Any]:
    from imagecodecs import png_decode

    return np.asarray(png_decode(file.read_bytes()))


def _one_layout(file: Path, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(Y, X) or (Y, X, C) pixels, without the alpha of a PNG."""
    if file.suffix.lower() == PNG_SUFFIX and array.ndim == 3 and array.shape[-1] in (2, 4):
        array = array[..., :-1]
    return np.ascontiguousarray(array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array)
