"""Temporary names beside files that are written, and what killed programs have left under them.

A name tells its writer, so that the next one knows whether that is alive. A folder
takes the place of another in one step, or hides it under such a name.
"""

import ctypes
import os
import re
import shutil
import socket
import stat
import sys
import time
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

_PREFIX = ".ufseg-"
_HIDING = ".was"  # ends the name of a folder that holds what gives way to something else of its name
_OF_WRITER = re.compile(r"\.ufseg-(\w+)-(\d+)-[0-9a-f]{8}(?:\.|$)")
_LONGEST_SUFFIX = 20  # bytes
_STRANGERS_TIME = 60  # seconds after which what a writer of another machine has hidden is put back
_REST = 100  # times as long as a folder took to look through it is left alone
_active: set[str] = set()  # temporary names of this process
_looked_through: dict[Path, float] = {}  # when each folder may be looked through again


@cache
def _machine() -> str:
    """The machine, and whose numbers of processes are meant, as a part of the name of a file."""
    name = re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())[:40]
    with suppress(OSError):  # a container counts its processes anew, and may have the name of its host
        name += f"_{Path('/proc/self/ns/pid').stat().st_ino}"
    return name


def temporary_beside(target: Path) -> Path:
    """A hidden path in the same folder, by whose name it can be told who writes it."""
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= _LONGEST_SUFFIX else ""
    return target.parent / claim_name(suffix)


def claim_name(suffix: str) -> str:
    """A new temporary name of this process; `drop_temporary` gives it free."""
    name = f"{_PREFIX}{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}{suffix}"
    keep_name(name)
    return name


def keep_name(name: str) -> None:
    """Count a temporary name as one that this process uses."""
    _active.add(name)


def drop_temporary(path: Path) -> None:
    """Remove a temporary file or folder, if it is there, and give its name free."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    _active.discard(path.name)


def clear_litter(folder: Path) -> None:
    """Remove what writers that are dead have left in a folder, and put back what they had hidden there.

    Those of other machines are not touched, since nobody here knows whether they are alive.
    """
    folder = folder.absolute()
    begun = time.monotonic()
    if begun < _looked_through.get(folder, 0.0):
        return
    with suppress(OSError):
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(_PREFIX)]
        for name in filter(_is_left, names):
            if name.endswith(_HIDING):
                _put_back(folder / name)
            drop_temporary(folder / name)
    if len(_looked_through) > 1000:
        _looked_through.clear()
    now = time.monotonic()
    _looked_through[folder] = now + _REST * (now - begun)


def _is_left(name: str) -> bool:
    """Whether a temporary name is of a process of this machine that is not there any more."""
    found = _OF_WRITER.match(name)
    if found is None or found[1] != _machine():
        return False
    pid = int(found[2])
    return name not in _active if pid == os.getpid() else not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return True


# -- a folder in the place of another -----------------------------------------------------------------


def exchange(new: Path, target: Path) -> None:
    """Move a folder to the place of another, which is removed: in one step, if the system can."""
    if not target.exists():
        new.rename(target)
        return
    new.chmod(stat.S_IMODE(target.stat().st_mode))
    if not _swapped(new, target):
        _replace_in_two_steps(new, target)
    # after a swap it is the old one that has the temporary name, and goes with it


def _swapped(new: Path, target: Path) -> bool:
    """Let two paths change their names at once; False if the system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):  # a C library without it
        return False
    at_cwd, swap = -100, 2
    return bool(rename(at_cwd, os.fsencode(new), at_cwd, os.fsencode(target), swap) == 0)


def _replace_in_two_steps(new: Path, target: Path) -> None:
    """Hide the old folder, then move the new one: who is killed between leaves what `restore` and `clear_litter` mend."""
    hiding = target.parent / claim_name(_HIDING)
    hiding.mkdir()
    try:
        target.rename(hiding / target.name)
        new.rename(target)
    finally:
        _put_back(hiding)  # if the second step has failed
        drop_temporary(hiding)


def _put_back(hiding: Path) -> None:
    """Give what is hidden in a folder its place again, unless that is taken."""
    with suppress(OSError):
        for hidden in list(hiding.iterdir()):
            place = hiding.parent / hidden.name
            if not place.exists():
                hidden.rename(place)


def restore(path: Path) -> None:
    """If nothing is at a path, put back what a writer has hidden that was killed before it had put another in place."""
    with suppress(OSError):
        if path.exists():
            return
        for hiding in path.parent.glob(f"{_PREFIX}*{_HIDING}"):
            is_old = time.time() - hiding.stat().st_mtime > _STRANGERS_TIME
            if (hiding / path.name).exists() and (is_old or _is_left(hiding.name)):
                _put_back(hiding)
                drop_temporary(hiding)
