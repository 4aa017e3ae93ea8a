"""The files of a Zarr folder: read if they are files, and nothing else that may have their names."""

import stat
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from napari_ufseg.engine.errors import FileError

if TYPE_CHECKING:
    import zarr

_LARGE = 2**30  # bytes of one file, of which it is asked whether they fit into memory


def open_node(folder: Path) -> "zarr.Array[Any] | zarr.Group":
    """The array or group in a Zarr folder, to be read only.

    A pipe or a device in the place of a file would be waited for, or read without an end.
    """
    import zarr

    return zarr.open(_files_alone()(folder, read_only=True), mode="r")


@cache
def _files_alone() -> Any:
    """The class of such stores; it is made late, since zarr is loaded only where one is read."""
    from zarr.storage import LocalStore

    class FilesAlone(LocalStore):
        """A folder of which nothing is read but files."""

        async def get(self, key: str, *arguments: Any, **options: Any) -> Any:
            _require_file(self.root / key)
            return await super().get(key, *arguments, **options)

        def get_sync(self, key: str, *arguments: Any, **options: Any) -> Any:
            _require_file(self.root / key)
            return super().get_sync(key, *arguments, **options)

        async def get_partial_values(self, prototype: Any, key_ranges: Any) -> Any:
            wanted = list(key_ranges)
            for key, _ in wanted:
                _require_file(self.root / key)
            return await super().get_partial_values(prototype, wanted)

    return FilesAlone


def _require_file(path: Path) -> None:
    try:
        there = path.stat()
    except OSError:  # missing, which Zarr takes for empty
        return
    if not stat.S_ISREG(there.st_mode) and not stat.S_ISDIR(there.st_mode):
        raise FileError(f"{path} is no file, but a device or a pipe: it is not read.")
    if there.st_size > _LARGE and there.st_size > psutil.virtual_memory().available:
        raise FileError(f"{path} does not fit into memory: it has {there.st_size} bytes.")
