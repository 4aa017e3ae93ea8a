"""The pixels of a file that stays open while they are read, and may be cut short meanwhile.

A memory map would end the whole program then: a page of it that is not in the file any more is a bus error.
"""

import os
import threading
import weakref
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.errors import FileError

_AT_ONCE = 2**20  # bytes that are read in one piece, even if few of them are wanted
_WASTE = 4  # times as many bytes as are wanted that are read in one piece


def cut_short(path: Path) -> FileError:
    """What to tell of a file that has become shorter."""
    return FileError(
        f"The image {path} has become shorter while it was read: bring the whole file back and start again."
    )


class FilePixels:
    """Pixels that lie in a file in one piece and not compressed, read region by region.

    Parameters
    ----------
    path : Path
        The file.
    offset : int
        Where the first pixel begins.
    shape : tuple of int
    dtype : numpy dtype
        As they are stored; the values come in the byte order of this machine.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self._path, self._offset, self._stored = path, offset, np.dtype(dtype)
        self.shape, self.ndim, self.size = tuple(shape), len(shape), prod(shape)
        self.dtype = self._stored.newbyteorder("=")
        self._file: BinaryIO = path.open("rb")
        self._reading = threading.Lock()
        weakref.finalize(self, self._file.close)
        if os.fstat(self._file.fileno()).st_size < offset + self.size * self._stored.itemsize:
            raise cut_short(path)

    def __getitem__(self, region: Any) -> npt.NDArray[Any]:
        """The values of a region, given by slices and whole numbers."""
        picks, dropped = _picks(region, self.shape)
        values = self._read(picks, self.shape, self._offset)
        return values[tuple(0 if i in dropped else slice(None) for i in range(self.ndim))]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[...], dtype)

    def _read(self, picks: list[range], shape: tuple[int, ...], offset: int) -> npt.NDArray[Any]:
        """What is picked of an array that begins at an offset: at once, or part by part along its first axis."""
        lengths = tuple(map(len, picks))
        if not all(lengths):
            return np.empty(lengths, self.dtype)
        first, last = min(picks[0][0], picks[0][-1]), max(picks[0][0], picks[0][-1])
        step = prod(shape[1:]) * self._stored.itemsize  # bytes from one part to the next
        wanted = prod(lengths) * self._stored.itemsize
        if len(shape) == 1 or (last - first + 1) * step <= max(_AT_ONCE, _WASTE * wanted):
            block = self._block((last - first + 1, *shape[1:]), offset + first * step)
            rows = range(picks[0].start - first, picks[0].stop - first, picks[0].step)
            return np.asarray(block[tuple(_as_slice(pick) for pick in (rows, *picks[1:]))], self.dtype)
        values = np.empty(lengths, self.dtype)
        for i, index in enumerate(picks[0]):
            values[i] = self._read(picks[1:], shape[1:], offset + index * step)
        return values

    def _block(self, shape: tuple[int, ...], offset: int) -> npt.NDArray[Any]:
        block = np.empty(shape, self._stored)
        room = memoryview(block.reshape(-1).view(np.uint8).data)
        try:
            with self._reading:
                self._file.seek(offset)
                n_read = self._file.readinto(room)  # type: ignore[attr-defined]
        except OSError as error:  # as of a share that does not answer
            raise FileError(f"Cannot read {self._path}: {error.strerror or error}.") from error
        if n_read < room.nbytes:
            raise cut_short(self._path)
        return block


def _picks(region: Any, shape: tuple[int, ...]) -> tuple[list[range], set[int]]:
    """What a region takes of each axis, and the axes that are dropped since one number was given for them."""
    parts = list(region) if isinstance(region, tuple) else [region]
    if any(part is Ellipsis for part in parts):
        place = next(i for i, part in enumerate(parts) if part is Ellipsis)
        parts[place : place + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    if len(parts) > len(shape):
        raise IndexError(f"{len(parts)} indices for {len(shape)} axes")
    parts += [slice(None)] * (len(shape) - len(parts))
    picks, dropped = [], set()
    for axis, (part, size) in enumerate(zip(parts, shape, strict=True)):
        if isinstance(part, slice):
            picks.append(range(size)[part])
            continue
        index = range(size)[part]
        picks.append(range(index, index + 1))
        dropped.add(axis)
    return picks, dropped


def _as_slice(pick: range) -> slice:
    return slice(pick.start, None if pick.stop < 0 else pick.stop, pick.step)


class WatchedPixels:
    """Pixels of a compressed file, of which a region is only given if the file is as long then as it was at first.

    Parameters
    ----------
    path : Path
        How messages call the image.
    array : zarr.Array
        Its values.
    files : dict of Path to int
        The length of each file that they are in.
    """

    def __init__(self, path: Path, array: Any, files: dict[Path, int]) -> None:
        self._path, self._array, self._files = path, array, files
        self.shape, self.dtype, self.ndim, self.size = array.shape, array.dtype, array.ndim, array.size
        self.chunks = array.chunks

    def __getitem__(self, region: Any) -> Any:
        """The values of a region; FileError if a file has become shorter meanwhile."""
        try:
            return self._array[region]
        finally:
            for file, size in self._files.items():
                if _size(file) < size:
                    raise cut_short(self._path)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[...], dtype)


def _size(file: Path) -> float:
    """How long a file is; infinite if it is not there any more, since what is open can still be read."""
    try:
        return file.stat().st_size
    except OSError:
        return float("inf")
