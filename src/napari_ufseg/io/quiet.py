"""Damage is told in our one sentence: what tifffile logs while we read is kept back."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_OURS = logging.getLogger("napari_ufseg")
_THREAD = threading.local()


class _NotWhileWeRead(logging.Filter):
    """Drops what is logged in a thread that reads for us, unless our own logger is set to DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(_THREAD, "depth", 0) or _OURS.isEnabledFor(logging.DEBUG)


logging.getLogger("tifffile").addFilter(_NotWhileWeRead())  # zarr logs nothing of what it reads


@contextmanager
def without_log() -> Iterator[None]:
    """Within the block tifffile logs nothing in this thread; whoever else uses it is heard as before."""
    _THREAD.depth = getattr(_THREAD, "depth", 0) + 1
    try:
        yield
    finally:
        _THREAD.depth -= 1


@contextmanager
def with_log() -> Iterator[None]:
    """Within the block `without_log` keeps nothing back."""
    before = _OURS.level
    _OURS.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        _OURS.setLevel(before)
