"""Ctrl-C and whatever else asks a run to end: as a wish to stop, and at last as an end."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_LIKE_CTRL_C = ("SIGTERM", "SIGHUP", "SIGBREAK")  # a system knows some of them
_asked: list[str] = []


class CtrlC:
    """Whether Ctrl-C was pressed, or a signal has come that asks for the same."""

    pressed = False


def asked_by() -> str:
    """What has asked the program to end last, for a message: Ctrl-C, or the name of a signal."""
    return _asked[-1] if _asked else "Ctrl-C"


@contextmanager
def signals_like_ctrl_c() -> Iterator[None]:
    """Within the block SIGTERM, and SIGHUP of a terminal that is closed, do what Ctrl-C does at that time."""
    _asked.clear()
    before: dict[signal.Signals, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        _asked.append(signal.Signals(number).name)
        as_ctrl_c = signal.getsignal(signal.SIGINT)
        if not callable(as_ctrl_c):  # Ctrl-C is ignored, as in the background of a shell
            raise KeyboardInterrupt
        as_ctrl_c(number, frame)

    if threading.current_thread() is threading.main_thread():  # only the main thread may have a handler
        known = (getattr(signal, name) for name in _LIKE_CTRL_C if hasattr(signal, name))
        before = {number: signal.SIG_DFL for number in known if signal.getsignal(number) == signal.SIG_DFL}
    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, its in before.items():
            signal.signal(number, its)


@contextmanager
def stops_on_ctrl_c(stop: Callable[[], Any] = lambda: None) -> Iterator[CtrlC]:
    """Within the block the first Ctrl-C calls `stop`, which asks the work to end soon; a second one aborts."""
    state = CtrlC()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may have a handler
        yield state
        return
    before = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: FrameType | None) -> None:
        state.pressed = True
        stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, handle)
    try:
        yield state
    finally:
        signal.signal(signal.SIGINT, before)
