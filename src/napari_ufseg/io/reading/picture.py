"""PNG and JPEG files: their pixels, whatever else they say."""

from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_ufseg.io.paths import PNG_SUFFIX
from napari_ufseg.io.reading.image_file import ImageFile
from napari_ufseg.io.reading.known_labels import CLASSES_KEY, LABELS_SOFTWARE, classes_in_json

_GREY, _PALETTE = 0, 3  # kinds of colour of a PNG


def open_picture(file: Path, *, numbers: bool = False) -> ImageFile:
    """A PNG or JPEG file, read whole.

    Parameters
    ----------
    file : Path
    numbers : bool
        Of a PNG with a palette, take the numbers of the pixels and not the
        colours of the palette. That is done in any case if it says that these are labels.
    """
    note = ""
    try:
        pixels, told, is_understood = _by_pillow(file, numbers=numbers)
    except Exception as error:  # Pillow refuses a PNG for what it says beside its pixels, too
        if not _is_png(file) or _head(file)[25] == _PALETTE or _is_too_large(error):
            raise
        pixels, told, is_understood = _by_libpng(file), {}, False
    if not is_understood:
        note = f"What {file} says beside its pixels cannot be understood: it is left out."
    data = _one_layout(file, pixels)
    is_labels = told.get("Software") == LABELS_SOFTWARE
    axes = "YX" if data.ndim == 2 else "YXC"
    is_rgb = axes == "YXC" and data.shape[-1] in (3, 4)
    about: dict[str, Any] = {"is_rgb": is_rgb, "is_labels": is_labels and axes == "YX", "note": note}
    if about["is_labels"]:
        about["classes"] = classes_in_json(told.get(CLASSES_KEY))
    return ImageFile(file, data, axes, **about)


def _by_pillow(file: Path, *, numbers: bool) -> tuple[npt.NDArray[Any], dict[str, Any], bool]:
    """The pixels, what the file says beside them, and whether that can be understood."""
    is_understood = True
    opened: Any = iio.imopen(file, "r", plugin="pillow")
    with opened as picture:
        try:
            told: dict[str, Any] = picture.metadata(index=0)
        except Exception:  # such as an EXIF that is none
            with Image.open(file) as image:
                told, is_understood = {"mode": image.mode} | {str(k): v for k, v in image.info.items()}, False
        mode = "RGB" if told.get("mode") == "CMYK" else None
        if told.get("mode") == "P" and (numbers or told.get("Software") == LABELS_SOFTWARE):
            mode = "P"
        pixels = _by_libpng(file) if _is_deep_colour(file) else picture.read(index=0, mode=mode)
    return pixels, told, is_understood


def _is_too_large(error: BaseException | None) -> bool:
    """Whether Pillow has refused a file since it would take too much memory."""
    while error is not None:
        if isinstance(error, Image.DecompressionBombError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_deep_colour(file: Path) -> bool:
    """Whether a file is a PNG with 16 bits for each of several samples, which Pillow cuts to 8."""
    return _is_png(file) and _head(file)[24] == 16 and _head(file)[25] != _GREY


def _is_png(file: Path) -> bool:
    head = _head(file)
    return head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR" and len(head) == 26


def _head(file: Path) -> bytes:
    """The first bytes; of a PNG the last two are the bits of a sample, and the kind of colour."""
    with file.open("rb") as stream:
        return stream.read(26)


def _by_libpng(file: Path) -> npt.NDArray[Any]:
    from imagecodecs import png_decode

    return np.asarray(png_decode(file.read_bytes()))


def _one_layout(file: Path, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(Y, X) or (Y, X, C) pixels, without the alpha of a PNG."""
    if file.suffix.lower() == PNG_SUFFIX and array.ndim == 3 and array.shape[-1] in (2, 4):
        array = array[..., :-1]
    return np.ascontiguousarray(array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array)
