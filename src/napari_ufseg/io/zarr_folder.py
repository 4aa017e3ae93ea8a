"""Zarr folders, written whole or not at all."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_ufseg.engine.errors import FileError
from napari_ufseg.io.paths import is_marked


def check_replaceable(folder: Path) -> None:
    """Raise FileError if a Zarr must not take the place of what stands at `folder`.

    Another Zarr and an empty folder may be replaced; a file, and a folder of
    other things, may not.
    """
    if folder.is_dir():
        if any(folder.iterdir()) and not is_marked(folder):
            raise FileError(f"Cannot write {folder}: there is a folder of that name that is no Zarr.")
    elif folder.exists():
        raise FileError(f"Cannot write {folder}: there is a file of that name.")


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
        than a Zarr has that name.
    """
    target = Path(path)
    number = uuid.uuid4().hex[:8]
    temporary, old = (target.parent / f".ufseg-{number}{end}{target.suffix}" for end in ("", "-old"))
    try:
        check_replaceable(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _swap(temporary, target, old)
    except OSError as error:
        raise FileError(f"Cannot write {target}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap(new: Path, target: Path, old: Path) -> None:
    """Move `new` to `target`; what stands there gives way by the name `old`, and comes back if that fails."""
    if not target.exists():
        new.rename(target)
        return
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
