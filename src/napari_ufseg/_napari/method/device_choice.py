"""Where to compute: a choice of what this machine has, which is known only once torch is loaded."""

import threading
from contextlib import suppress

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from napari_ufseg._napari.parts import labelled_choice
from napari_ufseg.engine.processor import DEVICES

_ALWAYS = ("auto", "cpu")
_LOOK_MILLISECONDS = 200


class DeviceChoice(QObject):
    """A combo box with ``auto`` and the devices of this machine.

    Another one that the Preferences or a script name is offered too: whether it
    can be had is for the run to say.

    Parameters
    ----------
    device : str
        Chosen at first.

    Attributes
    ----------
    native : QComboBox

    Signals
    -------
    changed()
        Another one was chosen.
    """

    changed = Signal()

    def __init__(self, device: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._control = labelled_choice(
            "Device",
            "ufseg.device",
            value=device,
            choices=tuple(dict.fromkeys((*_ALWAYS, device))),
            tip="Where to compute; auto takes a GPU if there is one.",
        )
        self.native = self._control.native
        self._control.changed.connect(lambda _: self.changed.emit())
        self._look = QTimer(self)
        self._look.setInterval(_LOOK_MILLISECONDS)
        self._look.timeout.connect(self._offer_what_is_there)
        self._look.start()
        self._offer_what_is_there()

    @property
    def value(self) -> str:
        """The device that is asked for."""
        return str(self._control.value)

    @value.setter
    def value(self, device: str) -> None:
        if device not in self._control.choices:
            self._offer(*self._control.choices, device)
        self._control.value = device

    def _offer_what_is_there(self) -> None:
        if devices_there and not self.native.view().isVisible():  # not while it is unfolded
            self._look.stop()
            self._offer(*(name for name in DEVICES if name in (*_ALWAYS, *devices_there)), self.value)

    def _offer(self, *devices: str) -> None:
        """Offer these; what is chosen stays so."""
        with self._control.changed.blocked():
            self._control.choices = tuple(dict.fromkeys(devices))


devices_there: list[str] = []  # on this machine; empty until torch is loaded


def load_heavy_parts() -> None:
    """Load torch, and what napari needs for its first Labels layer, so that the first click needn't wait for them.

    It begins a moment later, in a thread of its own that ends by itself, so
    that the dock opens first. If it fails, the run will say why.
    """
    threading.Timer(0.5, _load).start()


def _load() -> None:
    with suppress(Exception):
        import pandas  # noqa: F401

        import napari_ufseg.engine.training.session  # noqa: F401
        from napari_ufseg.engine.device import available_devices

        devices_there[:] = available_devices()  # asked here, since a driver may take its time
