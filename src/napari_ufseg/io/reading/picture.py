"""PNG and JPEG files."""

from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt

from napari_ufseg.io.reading.image_file import ImageFile


def open_picture(file: Path) -> ImageFile:
    """A PNG or JPEG file, read whole."""
    data = read_picture(file)
    axes = "YX" if data.ndim == 2 else "YXC"
    is_rgb = axes == "YXC" and data.shape[-1] in (3, 4)
    return ImageFile(file, data, axes, (1.0,) * data.ndim, (0.0,) * data.ndim, is_rgb=is_rgb)


def read_picture(file: Path) -> npt.NDArray[Any]:
    """(Y, X) or (Y, X, C) pixels of a PNG or JPEG file; a palette is looked up, the alpha of a PNG dropped."""
    opened: Any = iio.imopen(file, "r", plugin="pillow")
    with opened as picture:
        mode = picture.metadata(index=0).get("mode")
        array: npt.NDArray[Any] = picture.read(index=0, mode="RGB" if mode == "CMYK" else None)
    if file.suffix.lower() == ".png" and array.ndim == 3 and array.shape[-1] in (2, 4):
        array = array[..., :-1]
    return np.ascontiguousarray(array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array)
