"""PNG and JPEG files."""

from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt

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
        data = _one_layout(file, picture.read(index=0, mode=mode))
    axes = "YX" if data.ndim == 2 else "YXC"
    is_rgb = axes == "YXC" and data.shape[-1] in (3, 4)
    about: dict[str, Any] = {"is_rgb": is_rgb, "is_labels": is_labels and axes == "YX"}
    if about["is_labels"]:
        about["classes"] = classes_in_json(told.get(CLASSES_KEY))
    return ImageFile(file, data, axes, **about)


def _one_layout(file: Path, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(Y, X) or (Y, X, C) pixels, without the alpha of a PNG."""
    if file.suffix.lower() == ".png" and array.ndim == 3 and array.shape[-1] in (2, 4):
        array = array[..., :-1]
    return np.ascontiguousarray(array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array)
