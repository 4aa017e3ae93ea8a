"""A small line without axes: the loss of a run over its epochs, and where the epoch that is shown lies on it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QMouseEvent, QPainter, QPainterPath, QPaintEvent, QPalette, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from napari_ufseg.engine.training.results import EpochRecord

_WIDTH = 72  # pixels
_LINE, _DOT = 1.3, 2.5  # pixels: width, and radius
_SIDE = _DOT + 0.5


class LossLine(QWidget):
    """One row high, and hidden while there are no epochs; a click asks for an epoch.

    Attributes
    ----------
    losses : list of float
        The total loss of each epoch.
    shown : int
        The epoch, counted from 1, that is marked.

    Signals
    -------
    clicked(int)
        The user has pointed at that epoch.
    """

    clicked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("ufseg.loss")
        self.setAccessibleName("Loss over the epochs of the run")
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Ignored)  # as high as the row is without it
        self.losses: list[float] = []
        self.shown = 0
        self.hide()

    def show_epochs(self, epochs: "Sequence[EpochRecord]", shown: int) -> None:
        """Draw the loss of these epochs, and mark one.

        Parameters
        ----------
        epochs : sequence of EpochRecord
            From the first one.
        shown : int
            The one to mark, counted from 1.
        """
        losses = [record.losses["total"] for record in epochs]
        shown = min(max(shown, 1), len(losses))
        self.setVisible(bool(losses))
        if (losses, shown) != (self.losses, self.shown):
            self.losses, self.shown = losses, shown
            self.update()

    @property
    def words(self) -> str:
        """What it shows, in one sentence; empty if that is nothing."""
        if not self.losses:
            return ""
        loss = self.losses[self.shown - 1]
        return f"Loss {loss:.3f} at epoch {self.shown} of {len(self.losses)}; a lower one fits better."

    # -- Qt ---------------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        """Of one width, whatever there is to draw."""
        return QSize(_WIDTH, 0)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Tell which epoch lies under the mouse."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton and self.losses:
            self.clicked.emit(self._epoch_at(event.position().x()))

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw it in the colours of the theme."""
        if not self.losses:
            return
        ink, light = (
            self.palette().color(role) for role in (QPalette.ColorRole.WindowText, QPalette.ColorRole.Highlight)
        )
        mark, *line = self._points([self.shown, *self._drawn_epochs])
        path = QPainterPath(line[0])
        for point in line[1:]:
            path.lineTo(point)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(light, 2))
        painter.drawLine(QPointF(mark.x(), 0), QPointF(mark.x(), self.height()))
        painter.setPen(QPen(ink, _LINE))
        painter.drawPath(path)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(ink)
        painter.drawEllipse(mark, _DOT, _DOT)
        painter.end()

    # -- where things lie --------------------------------------------------------------------------

    @property
    def _frame(self) -> QRectF:
        """Where the line lies."""
        return QRectF(self.rect()).adjusted(_SIDE, _SIDE, -_SIDE, -_SIDE)

    @property
    def _drawn_epochs(self) -> list[int]:
        """No more than can be told apart, with the marked one among them."""
        n = len(self.losses)
        return sorted({*range(1, n + 1, max(1, n // (2 * _WIDTH))), self.shown, n})

    def _points(self, epochs: Sequence[int]) -> list[QPointF]:
        frame, n, low, high = self._frame, len(self.losses), min(self.losses), max(self.losses)
        across, up = frame.width() / max(1, n - 1), frame.height() / ((high - low) or 1)
        left = frame.left() if n > 1 else frame.right()  # a single one is at the end, where the next will be
        return [
            QPointF(left + (epoch - 1) * across, frame.bottom() - (self.losses[epoch - 1] - low) * up)
            for epoch in epochs
        ]

    def _epoch_at(self, x: float) -> int:
        frame = self._frame
        across = min(max((x - frame.left()) / frame.width(), 0.0), 1.0)
        return 1 + round(across * (len(self.losses) - 1))
