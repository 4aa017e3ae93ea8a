"""The dock in a viewer, driven as a user does."""

import threading
from typing import Any

from qtpy.QtWidgets import QWidget

from napari_ufseg import SegmentationConfig
from napari_ufseg._napari.background import THREADS

SMALL = {"n_features": 6, "n_classes": 8, "n_convolutions": 1, "settle_fraction": 0.0, "min_classes": 1}
QUICK = SegmentationConfig.preset("fast", **SMALL, epochs=4)
ENDLESS = SegmentationConfig.preset("fast", **SMALL, epochs=100_000, learning_rate=1e-5)
ESTIMATE = f"{THREADS}: The estimate"
WAIT = 60_000  # milliseconds until a signal that never comes fails a test


def threads_alive(*, estimates: bool = False) -> list[threading.Thread]:
    """The threads of jobs that have not ended; those of an estimate, which changes nothing, only where they count."""
    ours = [thread for thread in threading.enumerate() if thread.name.startswith(THREADS)]
    return [thread for thread in ours if estimates or thread.name != ESTIMATE]


class Dock:
    """The dock in a viewer, driven as a user does."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer = viewer
        self.qtbot = qtbot
        self.dock, self.widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
        self.widget.config = QUICK
        self.widget.device = "cpu"
        self.widget.detail = "all"  # labels are those that a script gets; tests of the detail choose "auto"

    def part(self, name: str, kind: type = QWidget) -> Any:
        """The part of that object name."""
        found = self.widget.findChild(kind, f"ufseg.{name}")
        assert found is not None, f"no part ufseg.{name}"
        return found

    def click(self, name: str) -> None:
        """Click the button of that object name."""
        self.part(name).click()

    def segment_to_end(self) -> Any:
        """Click Segment and wait for the result."""
        with self.qtbot.waitSignal(self.widget.run_finished, timeout=WAIT) as signal:
            self.click("segment")
        return signal.args[0]

    def start_endless(self) -> Any:
        """Start a run that only ends when it is told to; gives its Labels layer, with its first labels."""
        self.widget.config = ENDLESS
        before = set(map(id, self.viewer.layers))
        self.click("segment")
        self.qtbot.waitUntil(lambda: self.part("pause").isEnabled(), timeout=WAIT)
        new = [layer for layer in self.viewer.layers if id(layer) not in before]
        return new[0] if new else None

    def stop(self) -> Any:
        """Click Stop and wait for the result."""
        with self.qtbot.waitSignal(self.widget.run_finished, timeout=WAIT) as signal:
            self.click("stop")
        return signal.args[0]
