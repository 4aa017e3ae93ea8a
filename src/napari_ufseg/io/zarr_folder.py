"""Zarr folders, written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_ufseg.engine.files import placed_whole
from napari_ufseg.engine.leftovers import exchange
from napari_ufseg.io.replaceable import check_replaceable


@contextmanager
def folder_written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`, for a Zarr folder that is moved into place when the block ends well.

    The folder around it is made if it is missing; making the temporary folder
    itself is up to the block. On an error the temporary folder is removed and
    whatever stood at `path` before stays untouched.

    Raises
    ------
    FileError
        If the system refuses (no permission, disk full), or something other
        than labels has that name.
    """
    with placed_whole(path, exchange) as (_, temporary):
        check_replaceable(Path(path))
        yield temporary
        check_replaceable(Path(path))  # it may have come meanwhile
