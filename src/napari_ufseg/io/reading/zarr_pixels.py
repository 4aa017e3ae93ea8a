"""The pixels of a Zarr array: what may be read at all, and whether it is still there.

Zarr takes a chunk that is missing for one that is empty. So an image whose
folder goes while it is read (a share that is unmounted) would go on as pixels
of one value; the file of its metadata tells the two apart.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from itertools import islice
from math import ceil, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.errors import FileError
from napari_ufseg.io.reading.claims import check_claim
from napari_ufseg.io.reading.image_file import ImageFile

if TYPE_CHECKING:
    import zarr

_NUMBERS = "buif"
_RUNS_CODE = "pickle"  # a codec that runs whatever a chunk tells it to
_CODECS = ("filters", "compressor", "codecs")  # where the metadata name them, in formats 2 and 3
_METADATA = ("zarr.json", ".zarray")
_CHUNK = re.compile(r"(?:c[./])?(\d+(?:[./]\d+)*)")
_MOST_COUNTED = 200_000  # files of chunks; to list more takes too long on a share
_MOST_PROBED = 1000  # files that are looked at where there are more


class ZarrPixels:
    """A Zarr array that is read only while its folder is there, and the one that was opened.

    Parameters
    ----------
    path : Path
        How messages call the image.
    array : zarr.Array
        Of numbers, in the folder `path` or below.
    """

    def __init__(self, path: Path, array: "zarr.Array[Any]") -> None:
        self._path = path
        self._array = array
        self._folder = path / array.path
        present = [self._folder / name for name in _METADATA if (self._folder / name).is_file()]
        self._watched = present[0] if present else self._folder  # metadata may stand in those of the group alone
        self._opened = self._state()
        self.shape, self.dtype, self.ndim, self.size = array.shape, array.dtype, array.ndim, array.size
        self.chunks = array.chunks

    def __getitem__(self, region: Any) -> Any:
        """The values of a region; FileError if the folder is not that which was opened, or no longer when all is read."""
        self._require_same()
        try:
            return self._array[region]
        finally:
            self._require_same()

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[...], dtype)

    def _state(self) -> tuple[int, ...] | None:
        """What differs if another file has taken the place; None if there is none."""
        try:
            told = self._watched.stat()
        except OSError:  # not there, or on a share that does not answer
            return None
        is_folder = self._watched == self._folder  # its time changes with what is put in
        return () if is_folder else (told.st_mtime_ns, told.st_size)  # not the inode, which some shares make up anew

    def _require_same(self) -> None:
        now = self._state()
        if now is None:
            raise FileError(
                f"The image {self._path} has gone while it was read: bring it back (there is no {self._watched} any more) "
                "and start again."
            )
        if now != self._opened:
            raise FileError(
                f"The image {self._path} has changed while it was read ({self._watched} is another): open it again."
            )

    @cached_property
    def _grid(self) -> tuple[int, ...]:
        """How many files of chunks, or of shards with many chunks in each, there may be along each axis."""
        stored = self._array.shards or self._array.chunks
        return tuple(ceil(size / step) for size, step in zip(self.shape, stored, strict=True))

    def _count_missing(self) -> int | None:
        """How many of the files are missing; None if there are too many to count, or none is there any more."""
        if prod(self._grid) > _MOST_COUNTED:
            return None
        n = sum(key == expected for key, expected in self._chunk_files())
        return prod(self._grid) - n if self._state() == self._opened else None

    def _chunk_files(self, most: int | None = None) -> Iterator[tuple[str, str]]:
        """The files that are called as a chunk of this array may be, and how the metadata call that chunk.

        With `most` only so many files are looked at, and of no folder more than a hundred entries.
        """
        for file in _all_files(self._folder) if most is None else islice(_some_files(self._folder, self.ndim), most):
            key = file.relative_to(self._folder).as_posix()
            index = self._index_of(key)
            if index is not None:
                yield key, self._array.metadata.encode_chunk_key(index)

    def _index_of(self, key: str) -> tuple[int, ...] | None:
        found = _CHUNK.fullmatch(key)
        index = tuple(map(int, re.split("[./]", found[1]))) if found else ()
        fits = len(index) == self.ndim and all(i < n for i, n in zip(index, self._grid, strict=True))
        return index if fits else None

    def require_names(self) -> None:
        """FileError if chunks are missing by the names that the metadata give them, and there by other names."""
        if self.n_missing == 0:
            return
        files = self._chunk_files(_MOST_PROBED if self.n_missing is None else None)
        other = next(((key, expected) for key, expected in files if key != expected), None)
        if other is not None:
            raise FileError(
                f"The metadata of {self._path} do not fit its chunks: one that they call {other[1]} is stored as "
                f"{other[0]}: correct their separator (dimension_separator in .zarray, chunk_key_encoding in zarr.json)."
            )

    @cached_property
    def n_missing(self) -> int | None:
        """How many chunks (or shards) were missing when this was asked first; None if that is not known."""
        return self._count_missing()

    @property
    def missing_words(self) -> str:
        """What to tell of them; nothing if all are there or that is not known."""
        if not self.n_missing:
            return ""
        what, are = "shards" if self._array.shards else "chunks", "is" if self.n_missing == 1 else "are"
        total, value = prod(self._grid), self._array.fill_value
        as_what = 0 if value is None else value
        if self.n_missing == total:
            return f"Of the image {self._path} none of {total} {what} is there: all of it is read as {as_what}."
        return f"Of the image {self._path} {self.n_missing} of {total} {what} {are} missing: {as_what} is read there."

    def require_chunks(self) -> None:
        """FileError if chunks are missing that were there when `n_missing` was asked first."""
        now = self._count_missing() if self.n_missing is not None else None
        if now is not None and self.n_missing is not None and now > self.n_missing:
            raise FileError(
                f"The image {self._path} has lost {now - self.n_missing} of its chunks while it was read: bring it back "
                "and start again."
            )


def _all_files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def _some_files(folder: Path, depth: int) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in islice(entries, 100):
            if not entry.is_dir():
                yield Path(entry.path)
            elif depth:
                yield from _some_files(Path(entry.path), depth - 1)


def pixels_of(path: Path, array: "zarr.Array[Any]", *, is_believed: bool = False) -> ZarrPixels:
    """The pixels of an array in a Zarr folder, if they may be read; the one way by which they leave this package.

    Zarr can store any Python object, and one that is stored as a pickle runs a
    program when its chunk is read. So this decides by the metadata alone.

    Parameters
    ----------
    path : Path
        The folder that was opened.
    array : zarr.Array
        Open, but not read.
    is_believed : bool
        It may be of any size with few chunks or none, as labels may.

    Raises
    ------
    FileError
        If it holds other than bool, integers and real numbers, or is stored as pickles, or claims to be of a size of
        which there is next to nothing.
    """
    if array.dtype.kind not in _NUMBERS:
        raise FileError(f"{path} holds values of type {array.dtype}, but an image has whole or real numbers.")
    metadata = array.metadata.to_dict()
    if any(name.lower().rpartition(".")[2] == _RUNS_CODE for part in _CODECS for name in _names(metadata.get(part))):
        raise FileError(f"{path} is stored as pickles, which may run any program when they are read: it is not opened.")
    if not is_believed:
        check_claim(path, prod(array.shape) * array.dtype.itemsize, _sizes(path / array.path))
    return ZarrPixels(path, array)


def _sizes(folder: Path) -> Iterator[int]:
    """The bytes of every file in a folder and below."""
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                yield (Path(place) / name).stat().st_size


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


def missing_words(image: ImageFile) -> str:
    """What to tell of the chunks that an image lacks; nothing if all are there, or it is no Zarr.

    Chunks may lack rightly: those that are empty need not be written.

    Raises
    ------
    FileError
        If they are there, but by other names than the metadata say.
    """
    if not isinstance(image.data, ZarrPixels):
        return ""
    image.data.require_names()
    return image.data.missing_words


def require_chunks(image: ImageFile) -> None:
    """FileError if chunks of an image have gone since `missing_words` was asked."""
    if isinstance(image.data, ZarrPixels):
        image.data.require_chunks()
