"""The pixels of a Zarr array: what may be read at all."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ufseg.engine.errors import FileError

if TYPE_CHECKING:
    import zarr

_NUMBERS = "buif"
_RUNS_CODE = "pickle"  # a codec that runs whatever a chunk tells it to
_CODECS = ("filters", "compressor", "codecs")  # where the metadata name them, in formats 2 and 3


def pixels_of(path: Path, array: "zarr.Array[Any]") -> "zarr.Array[Any]":
    """An array of a Zarr folder whose pixels may be read; the one way by which they leave this package.

    Zarr can store any Python object, and one that is stored as a pickle runs a
    program when its chunk is read. So this decides by the metadata alone.

    Parameters
    ----------
    path : Path
        How messages call the image.
    array : zarr.Array
        Open, but not read.

    Raises
    ------
    FileError
        If it holds other than bool, integers and real numbers, or is stored as pickles.
    """
    if array.dtype.kind not in _NUMBERS:
        raise FileError(f"{path} holds values of type {array.dtype}, but an image has whole or real numbers.")
    metadata = array.metadata.to_dict()
    if any(name.lower().rpartition(".")[2] == _RUNS_CODE for part in _CODECS for name in _names(metadata.get(part))):
        raise FileError(f"{path} is stored as pickles, which may run any program when they are read: it is not opened.")
    return array


def _names(codecs: Any) -> Iterator[str]:
    """The names of all codecs, those inside of others too."""
    if isinstance(codecs, dict):
        for key, value in codecs.items():
            if key in ("id", "name"):
                yield str(value)
            yield from _names(value)
    elif isinstance(codecs, list | tuple):
        for codec in codecs:
            yield from _names(codec)
