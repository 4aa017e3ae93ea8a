"""Live curves of loss and number of classes."""

import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

_LOSS, _CLASSES = "#e8a33d", "#4fa3e0"


class CurvesPlot(QWidget):
    """Two small plots over the epochs, one above the other: loss and number of classes."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("ufseg.plot")
        self.setFixedHeight(220)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self._loss = self._curve(column, "loss", _LOSS)
        self._classes = self._curve(column, "classes", _CLASSES)
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.epochs: list[int] = []
        self.losses: list[float] = []
        self.n_classes: list[int] = []
        self._draw()

    def add(self, epoch: int, loss: float, n_classes: int) -> None:
        """Add one point to each curve."""
        self.epochs.append(epoch)
        self.losses.append(loss)
        self.n_classes.append(n_classes)
        self._draw()

    def _draw(self) -> None:
        self._loss.setData(self.epochs, self.losses)
        self._classes.setData(self.epochs, self.n_classes)

    def _curve(self, column: QVBoxLayout, title: str, colour: str) -> pg.PlotDataItem:
        plot = pg.PlotWidget(background=None)
        plot.setLabel("left", title)
        plot.setMenuEnabled(False)
        plot.setMouseEnabled(False, False)
        plot.hideButtons()
        plot.setStyleSheet("background: transparent; border: none")  # or it keeps the theme that it was made in
        plot.setMinimumSize(0, 0)
        plot.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)  # its own wish is 640 x 480
        plot.setToolTip(f"{title} over epochs")
        plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        plot.getAxis("left").setWidth(46)
        plot.setAccessibleName(f"Curve of {title} over epochs")
        column.addWidget(plot)
        return plot.plot(pen=pg.mkPen(colour, width=2))
