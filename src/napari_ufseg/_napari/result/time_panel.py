"""Back and forth through what a run has shown: a slider over the keyframes of a result, the loss beside it, and a button to keep one."""

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QSlider, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_ufseg._napari.parts import PlainLabel, named_button, plain
from napari_ufseg._napari.result.loss_line import LossLine
from napari_ufseg._napari.result.result import Result
from napari_ufseg.engine.errors import counted

if TYPE_CHECKING:
    from napari_ufseg.engine.training.timeline import Keyframe, Timeline

_NONE = "After a run the slider goes back to what it has shown."
_SOME = "Go back to what the run has shown (arrow keys); the right end is what you have now."
_MORE, _CLICK = "The curves are below More in Segment.", "A click shows the nearest epoch that is kept."


class TimePanel(QWidget):
    """Shows the timeline of one result; the right end of the slider is what its layers hold now.

    Signals
    -------
    keep_clicked(Result, Keyframe)
        The user wants labels and weights of that moment.
    """

    keep_clicked = Signal(object, object)

    def __init__(self) -> None:
        super().__init__()
        self._result: Result | None = None
        self._is_allowed = True
        self.about = PlainLabel()
        self.about.setObjectName("ufseg.moment")
        self.about.setWordWrap(True)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setObjectName("ufseg.time")
        self.slider.setAccessibleName("Epochs of the run")
        self.slider.valueChanged.connect(self._on_moved)
        self.back = named_button(
            "Back to now", "back_to_now", "Show again what the layers hold now (End, on the slider)."
        )
        self.back.clicked.connect(lambda _=False: self.slider.setValue(self.slider.maximum()))
        self.keep = named_button(
            "Keep", "keep_moment", "Take the labels and the network of this epoch; Continue goes on from there."
        )
        self.keep.clicked.connect(self._on_keep)
        self.banner = QFrame()
        self.banner.setObjectName("ufseg.banner")
        self.banner.setStyleSheet(
            "#ufseg\\.banner { background: #b36b00; border-radius: 3px } #ufseg\\.moment { color: white }"
        )
        banner = QHBoxLayout(self.banner)
        banner.setContentsMargins(6, 2, 2, 2)
        banner.addWidget(self.about, 1)
        for button in (self.back, self.keep):
            banner.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        row = QHBoxLayout()
        self._title, self._place = PlainLabel("Epochs"), PlainLabel()
        self._title.setBuddy(self.slider)
        row.addWidget(self._title)
        row.addWidget(self.slider, 1)
        row.addWidget(self._place)
        self.loss = LossLine()
        self.loss.clicked.connect(self._on_loss_clicked)
        row.addWidget(self.loss)
        column.addLayout(row)
        column.addWidget(self.banner)  # below, so that slider and loss stay under the mouse
        self.look_at(None)

    @property
    def timeline(self) -> "Timeline | None":
        """What can be shown."""
        return self._result.timeline if self._result is not None else None

    def look_at(self, result: Result | None) -> None:
        """Show the timeline of another result, or of the same one anew; the one before shows what it holds now."""
        if self._result is not None and self._result is not result:
            self._result.show_keyframe(None)
            self._result.changed.disconnect(self._show)
        if result is not None and self._result is not result:
            result.changed.connect(self._show)
        self._result = result
        self._show()

    def allow(self, is_allowed: bool) -> None:
        """Whether it can be used now."""
        self._is_allowed = is_allowed
        self._show()

    @property
    def _keyframes(self) -> "list[Keyframe]":
        return self.timeline.items if self.timeline is not None else []

    def _on_moved(self, value: int) -> None:
        if self._result is not None:
            self._result.show_keyframe(self._keyframes[value] if value < len(self._keyframes) else None)
        self._show()

    def _on_loss_clicked(self, epoch: int) -> None:
        """Show what is nearest to that epoch."""
        if self._result is None or not self.slider.isEnabled():
            return
        epochs = [*(keyframe.epoch for keyframe in self._keyframes), self._result.epoch_of_now]
        self.slider.setValue(min(reversed(range(len(epochs))), key=lambda place: abs(epochs[place] - epoch)))

    def _on_keep(self) -> None:
        if self._result is not None and self._result.keyframe is not None:
            result, keyframe = self._result, self._result.keyframe
            result.show_keyframe(None)
            self.keep_clicked.emit(result, keyframe)

    def _show(self) -> None:
        """Bring everything up to date."""
        keyframes = self._keyframes
        shown = self._result.keyframe if self._result is not None else None
        place = next((i for i, keyframe in enumerate(keyframes) if keyframe is shown), len(keyframes))
        with signals_blocked(self.slider):
            self.slider.setRange(0, len(keyframes))
            self.slider.setValue(place)
        is_free = self._result is not None and (shown is not None or not self._result.is_locked)
        self.slider.setEnabled(self._is_allowed and is_free and bool(keyframes))
        self.banner.setVisible(shown is not None)
        for button in (self.back, self.keep):
            button.setEnabled(self._is_allowed and shown is not None)
        self._place.setText("" if not keyframes else "now" if shown is None else f"epoch {shown.epoch}")
        if self.timeline is None or not keyframes:
            tip = _NONE
        else:
            n, megabytes = len(keyframes), self.timeline.n_bytes / 2**20
            tip = f"{_SOME} {counted(n, 'moment')} are kept ({megabytes:.1f} MB)."
        for part in (self._title, self.slider, self._place):
            part.setToolTip(plain(tip))
        if shown is not None:
            self.about.setText(f"Shown: epoch {shown.epoch}, {counted(shown.n_classes, 'class')}")
        self._show_loss()

    def _show_loss(self) -> None:
        """Draw the loss of all epochs, also of those that no keyframe is of."""
        result, can_click = self._result, self.slider.isEnabled()
        self.loss.show_epochs(() if result is None else result.epochs, 0 if result is None else result.shown_epoch)
        self.loss.setToolTip("\n".join([self.loss.words, _MORE, *([_CLICK] if can_click else [])]))
        self.loss.setCursor(Qt.CursorShape.PointingHandCursor if can_click else Qt.CursorShape.ArrowCursor)
