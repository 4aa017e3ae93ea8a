"""Back and forth through what a run has shown: a slider over its moments, and a button to keep one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSlider, QVBoxLayout, QWidget

from napari_ufseg.engine.errors import counted
from napari_ufseg.engine.labels.edits import Packed

if TYPE_CHECKING:
    from napari_ufseg._napari.layers.region import ImageRegion
    from napari_ufseg.engine.training.timeline import Keyframe, Timeline

_NONE = "Time machine: after a run, the slider goes back to what it has shown"
_NOW = "now"


class TimePanel(QWidget):
    """The slider; its right end is what the layers hold now, which comes back untouched.

    Signals
    -------
    scrubbing(bool)
        The layers are about to show an earlier moment, or what they hold is back.
    moved()
        Another moment is shown.
    keep_clicked(Keyframe)
        The user wants labels and weights of that moment.
    """

    scrubbing = Signal(bool)
    moved = Signal()
    keep_clicked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._moments: Timeline | None = None
        self._targets: list[tuple[Labels, ImageRegion]] = []
        self._now: dict[tuple[int, Any], Packed] = {}
        self.about = QLabel(_NONE)
        self.about.setObjectName("ufseg.moment")
        self.about.setWordWrap(True)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setObjectName("ufseg.time")
        self.slider.setAccessibleName("Moments of the run")
        self.slider.setToolTip("Go back to what the run has shown (arrow keys); the right end is what you have now.")
        self.slider.valueChanged.connect(self._on_moved)
        self.keep = QPushButton("Keep this moment")
        self.keep.setObjectName("ufseg.keep_moment")
        self.keep.setToolTip("Take the labels and the network of this moment; Continue goes on from there.")
        self.keep.clicked.connect(self._on_keep)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.about)
        row = QHBoxLayout()
        row.addWidget(self.slider, 1)
        row.addWidget(self.keep)
        column.addLayout(row)
        self.show_moments(None, [])

    @property
    def moments(self) -> "Timeline | None":
        """Those that can be shown."""
        return self._moments

    @property
    def moment(self) -> "Keyframe | None":
        """The one that is shown; None for now."""
        items = self._moments.items if self._moments is not None else []
        return items[self.slider.value()] if self.slider.value() < len(items) else None

    def show_moments(self, moments: "Timeline | None", targets: "Sequence[tuple[Labels, ImageRegion]]") -> None:
        """Offer the moments of a run that has ended, in these layers."""
        self.leave()
        self._moments, self._targets = moments, list(targets)
        n = len(moments.items) if moments is not None else 0
        self.slider.blockSignals(True)
        self.slider.setRange(0, n)
        self.slider.setValue(n)
        self.slider.blockSignals(False)
        self.setEnabled(n > 0)
        self._tell()

    def leave(self) -> None:
        """Bring back what the layers hold now."""
        self.slider.setValue(self.slider.maximum())

    def allow(self, is_allowed: bool) -> None:
        """Whether it can be used now."""
        self.setEnabled(is_allowed and self._moments is not None and bool(self._moments.items))

    def on_removed(self, event: Any) -> None:
        """A layer has left the viewer."""
        if any(target == event.value for target, _ in self._targets):
            self._now.clear()
            self._targets = []
            self.show_moments(None, [])

    def _on_moved(self) -> None:
        moment = self.moment
        if moment is not None and not self._now:
            self.scrubbing.emit(True)
        for key, packed in self._now.items():  # moments may hold different parts
            self._put(*key, packed.array())
        if moment is None:
            was_scrubbed = bool(self._now)
            self._now.clear()
            if was_scrubbed:
                self.scrubbing.emit(False)
        else:
            for number, index, packed in moment.labels:
                self._show(number, index, packed.array())
        for layer, _ in self._targets:
            layer.refresh(extent=False, thumbnail=False, highlight=False)
        self._tell()
        self.moved.emit()

    def _show(self, number: int, index: Any, labels: Any) -> None:
        key = number, tuple((part.start, part.stop) if isinstance(part, slice) else part for part in index)
        if key not in self._now:
            layer, part = self._targets[number]
            self._now[key] = Packed(np.asarray(part.target(layer.data)[index]))
        self._put(*key, labels)

    def _put(self, number: int, where: Any, labels: Any) -> None:
        layer, part = self._targets[number]
        index = tuple(slice(*bounds) if isinstance(bounds, tuple) else bounds for bounds in where)
        part.target(layer.data)[index] = labels

    def _on_keep(self) -> None:
        moment = self.moment
        if moment is not None:
            self.leave()
            self.keep_clicked.emit(moment)

    def _tell(self) -> None:
        moment = self.moment
        self.keep.setEnabled(moment is not None)
        if self._moments is None or not self._moments.items:
            self.about.setText(_NONE)
        elif moment is None:
            n, megabytes = len(self._moments.items), self._moments.n_bytes / 2**20
            self.about.setText(f"Time machine: {_NOW} ({counted(n, 'moment')}, {megabytes:.1f} MB)")
        else:
            self.about.setText(f"Time machine: epoch {moment.epoch}, {counted(moment.n_classes, 'class')}")
