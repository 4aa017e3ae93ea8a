"""Edits of labels that last: in a thread of their own, with progress and a way to stop them."""

from collections.abc import Callable, Iterator

from qtpy.QtCore import QObject, Signal

from napari_ufseg._napari.background import WatchedWork
from napari_ufseg.engine.errors import UfsegError, engine_errors


class EditWork(WatchedWork):
    """Goes through an iterator of shares that are done.

    Parameters
    ----------
    work : callable
        Gives the iterator; it must touch nothing but arrays.

    Signals
    -------
    progressed(float)
        The share that is done.
    ended(str)
        Empty if all was done, or else why not, in one sentence.
    """

    progressed = Signal(float)
    ended = Signal(str)

    def __init__(self, work: Callable[[], Iterator[float]], parent: QObject) -> None:
        self._share = 0.0
        self._error = ""
        super().__init__(lambda is_over: self._go_through(work, is_over), parent)

    def tell(self) -> bool:
        """Signal how far it is."""
        self.progressed.emit(self._share)
        return True

    def conclude(self) -> None:
        """Signal the end."""
        self.ended.emit(self._error)

    def _go_through(self, work: Callable[[], Iterator[float]], is_over: Callable[[], bool]) -> None:
        self._error = exhausted(work, self._note, is_over)

    def _note(self, share: float) -> None:
        self._share = share


def exhausted(
    work: Callable[[], Iterator[float]],
    note: Callable[[float], None] = lambda share: None,
    is_over: Callable[[], bool] = lambda: False,
) -> str:
    """Do all of it; gives one sentence on what went wrong, or nothing."""
    try:
        with engine_errors("Changing the labels"):
            for share in work():
                note(share)
                if is_over():
                    return "Stopped; the labels are as they were."
    except UfsegError as error:
        return str(error)
    return ""
