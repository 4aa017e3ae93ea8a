"""The errors and warnings of the engine, and the gate through which foreign errors become ours.

None of them derives from RuntimeError: a Qt generator worker swallows that
kind without a word, so a run that met one would never be seen to end.
"""

import errno
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class UfsegError(Exception):
    """Base of everything that the engine raises on purpose; the message is one sentence for the user."""


class ConfigError(UfsegError, ValueError):
    """An option is unknown or its value lies outside the allowed range."""


class ImageError(UfsegError, ValueError):
    """An image, or a scribble image, cannot be used as it is."""


class DeviceError(UfsegError):
    """The compute device that was asked for is not available."""


class MemoryShortageError(UfsegError):
    """The machine or the GPU has too little memory for the run."""


class TrainingError(UfsegError):
    """Training could not go on."""


class InternalError(TrainingError):
    """A mistake in a program, ours or a library's, has ended the work: nothing that a user could mend."""


class ModelFileError(UfsegError):
    """A model file cannot be read or written."""


class FileError(UfsegError):
    """An image or label file cannot be read or written."""


class StoppedError(UfsegError):
    """The work is no longer wanted; whoever asked for its end catches this."""


class UfsegWarning(UserWarning):
    """Something worth knowing that does not stop the work."""


_listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


def warn(message: str, stacklevel: int = 1) -> None:
    """Tell the user something that is worth knowing: whoever listens in this thread, or else as a UfsegWarning.

    Parameters
    ----------
    message : str
        One sentence.
    stacklevel : int
        1 for the line that calls this function, 2 for that which calls the caller, and so on.
    """
    listener = _listener.get()
    if listener is not None:
        listener(message)
    else:
        warnings.warn(message, UfsegWarning, stacklevel=stacklevel + 1)


@contextmanager
def hear_warnings(listener: Callable[[str], None]) -> Iterator[None]:
    """Within the block `warn` calls the listener, in this thread alone, which `warnings.catch_warnings` cannot do."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def counted(n: int, noun: str) -> str:
    """A number with its noun for a message: ``1 channel``, ``3 channels``, ``3 classes``."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{n} {noun if n == 1 else plural}"


def go_on(stopped: Callable[[], bool]) -> None:
    """Raise StoppedError if the work is no longer wanted."""
    if stopped():
        raise StoppedError("The work was stopped.")


_OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")
#: what is raised where a program itself is wrong; images, files, devices and torch raise other kinds
_MISTAKES = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError)
_DISK_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Turn whatever torch, numpy or the system raise into a `UfsegError`.

    Parameters
    ----------
    doing : str
        What was going on, as the subject of a sentence, for example ``"Training"``.

    Raises
    ------
    MemoryShortageError
        For MemoryError and for torch's out-of-memory errors (a kind of RuntimeError).
    FileError
        If a disk is full.
    InternalError
        For what only a mistake in a program raises, such as TypeError, KeyError or ZeroDivisionError.
    TrainingError
        For every other exception that is not a `UfsegError` already.
    """
    try:
        yield
    except UfsegError:
        raise
    except Exception as error:
        text = str(error).strip()
        named = type(error).__name__ == "OutOfMemoryError"  # torch's; this floor does not import torch
        if named or isinstance(error, MemoryError) or any(sign in text.lower() for sign in _OUT_OF_MEMORY):
            raise MemoryShortageError(
                f"{doing} ran out of memory: use a smaller image or fewer features (n_features) and classes (n_classes)."
            ) from error
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            raise FileError(f"{doing} stopped because the disk is full: make room, or choose another place.") from error
        first_line = text.splitlines()[0] if text else "no further message"
        kind = InternalError if isinstance(error, _MISTAKES) else TrainingError
        raise kind(f"{doing} failed: {type(error).__name__}: {first_line}") from error
