"""Writing files whole or not at all: the one way in which everything is written."""

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.leftovers import claim_name, clear_litter, drop_temporary, keep_name, temporary_beside

_SHOWN = 20  # letters of a name that is too long
_LONGEST_NAME = 255  # bytes of a name, where the system does not say it


@dataclass(frozen=True)
class _Written:
    """Something whole under a temporary name: how it takes its place, and what then remains to be removed."""

    place: Callable[[], None]
    drop: Callable[[], None]


_together: ContextVar[list[_Written] | None] = ContextVar("together", default=None)


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` that is moved into place when the block ends well.

    The folder is made if it is missing. On an error the temporary file is
    removed and whatever stood at `path` before stays untouched. The suffix is
    kept, since writers choose their format by it. A link is followed: the file
    that it leads to is written. Permissions of a file that was there are kept.

    Raises
    ------
    FileError
        If the system refuses (no permission, disk full, a folder of that name).
    """
    with placed_whole(path) as (target, temporary):
        before = _existing_file(Path(path), target)
        mode = 0o666 if before is None else stat.S_IMODE(before.st_mode) | stat.S_IWUSR
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # or else a power cut leaves an empty file under the name
        if before is not None:
            _take_permissions(target, temporary, before)


@contextmanager
def placed_whole(
    path: str | os.PathLike[str], place: Callable[[Path, Path], None] = os.replace
) -> Iterator[tuple[Path, Path]]:
    """What is to be written, and a temporary path beside it that takes its place when the block ends well.

    Parameters
    ----------
    path : path-like
        As it was asked for, and as messages call it; if it is a link, where that leads to is written.
    place : callable
        Moves the temporary path (its first argument) to the target.

    Raises
    ------
    FileError
        If the system refuses, in the block too.
    """
    asked = Path(path)
    written: _Written | None = None
    try:
        with _told_as(asked):
            target, temporary = _make_room(asked)
            written = _Written(_told_as(asked)(partial(place, temporary, target)), partial(drop_temporary, temporary))
            yield target, temporary
            waiting = _together.get()
            if waiting is None:
                written.place()
            else:
                waiting.append(written)
                written = None
    finally:
        if written is not None:
            written.drop()


def _make_room(asked: Path) -> tuple[Path, Path]:
    """What is written if a path is asked for, whose folder is there then, and a temporary path beside it."""
    target = target_of(asked)
    target.parent.mkdir(parents=True, exist_ok=True)
    clear_litter(target.parent)
    return target, temporary_beside(target)


@contextmanager
def written_together() -> Iterator[None]:
    """What is written whole within the block takes its place only when all of it is there: in that order, at once.

    If the block fails none does, and whatever stood there before stays. Nested blocks are one.
    """
    if _together.get() is not None:
        yield
        return
    written: list[_Written] = []
    token = _together.set(written)
    try:
        try:
            yield
        finally:
            _together.reset(token)
        for one in written:
            one.place()
    finally:
        for one in written:
            one.drop()


@contextmanager
def _told_as(path: Path) -> Iterator[None]:
    """Let errors of the system name the file that was asked for."""
    try:
        yield
    except OSError as error:
        raise FileError(f"Cannot write {path}: {error.strerror or error}.") from error


def target_of(path: Path) -> Path:
    """Where a path leads to, if it is a link or lies behind one; FileError if it leads nowhere."""
    try:
        if not path.is_symlink():
            return path
    except OSError:  # a name that is too long
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise FileError(f"Cannot write {path}: it is a link that leads to itself.")
    return target


def check_writable(path: Path, *, is_folder: bool = False) -> None:
    """Raise FileError now if a file could not be written to `path` later.

    Parameters
    ----------
    path : Path
    is_folder : bool
        It becomes a folder, as a Zarr is one.
    """
    with _told_as(path):
        target = target_of(path)
        nearest = next(parent for parent in target.absolute().parents if os.access(parent, os.F_OK))
        if not nearest.is_dir():
            raise FileError(f"Cannot write {path}: {nearest} is not a folder.")
        longest = _longest_name(nearest)
        for name in target.absolute().relative_to(nearest).parts:
            if len(os.fsencode(name)) > longest:
                raise FileError(
                    f"Cannot write {path}: the name {name[:_SHOWN]}... is too long, it has {len(os.fsencode(name))} bytes and may "
                    f"have {longest}."
                )
        if not is_folder:
            _existing_file(path, target)
        elif os.access(target, os.F_OK) and not os.access(target, os.W_OK):
            raise FileError(f"Cannot write {path}: the folder that is there is read-only.")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise FileError(f"Cannot write {path}: there is no permission to write in {nearest}.")


def _longest_name(folder: Path) -> int:
    """How many bytes a name in a folder may have."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):
        return _LONGEST_NAME


def _existing_file(path: Path, target: Path) -> os.stat_result | None:
    """What is known of the file that is written anew, None if there is none; FileError if it may not be written."""
    try:
        there = target.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(there.st_mode):
        raise FileError(f"Cannot write {path}: it is a folder.")
    if not stat.S_ISREG(there.st_mode):
        raise FileError(f"Cannot write {path}: there is something of that name that is no file (a device or a pipe).")
    writable = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
    if not there.st_mode & writable or not os.access(target, os.W_OK):
        raise FileError(f"Cannot write {path}: the file that is there is read-only.")
    return there


def _take_permissions(old: Path, new: Path, before: os.stat_result) -> None:
    """Give a file the owner, the mode and the access list of another."""
    if hasattr(os, "chown"):
        now = new.stat()
        if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
            with suppress(OSError):  # only the superuser may give files away
                os.chown(new, before.st_uid, before.st_gid)
    new.chmod(stat.S_IMODE(before.st_mode))
    if hasattr(os, "listxattr"):
        with suppress(OSError):  # not every file system has them
            for name in os.listxattr(old):
                os.setxattr(new, name, os.getxattr(old, name))


@contextmanager
def temporary_folder(beside: Path) -> Iterator[Path]:
    """A hidden folder in the same folder as `beside`, that is there during the block only.

    Raises
    ------
    FileError
        If the system refuses, in the block too.
    """
    folder: Path | None = None
    try:
        with _told_as(beside):
            folder = _make_room(beside)[1].with_suffix("")
            keep_name(folder.name)
            folder.mkdir()
            yield folder
    finally:
        if folder is not None:
            drop_temporary(folder)


def make_temporary_folder() -> Path:
    """A new folder for what is at work, in the system's place for such; whoever asks for it gives it to `drop_temporary`.

    What programs that are dead have left there is removed.

    Raises
    ------
    FileError
        If the system refuses.
    """
    place = Path(tempfile.gettempdir())
    folder = place / claim_name("")
    with _told_as(folder):
        clear_litter(place)
        folder.mkdir(mode=0o700)
    return folder
