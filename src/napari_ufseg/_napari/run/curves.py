"""Live curves of loss and number of classes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from napari_ufseg.engine.training.results import EpochRecord

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
        self._classes = self._curve(column, "classes", _CLASSES, whole=True)
        self._records: list[EpochRecord] = []

    @property
    def epochs(self) -> list[int]:
        """The epochs that are drawn."""
        return [record.epoch for record in self._records]

    @property
    def losses(self) -> list[float]:
        """The total loss of each."""
        return [record.losses["total"] for record in self._records]

    def show_epochs(self, records: "Sequence[EpochRecord]") -> None:
        """Draw these epochs in place of those that are drawn."""
        now = list(records)  # the thread of a run may add to them meanwhile
        if now == self._records:
            return
        self._records = now
        symbol = "o" if len(now) == 1 else None  # a line of one point cannot be seen
        self._loss.setData(self.epochs, self.losses, symbol=symbol)
        self._classes.setData(self.epochs, [record.n_classes for record in now], symbol=symbol)

    def _curve(self, column: QVBoxLayout, title: str, colour: str, *, whole: bool = False) -> pg.PlotDataItem:
        axes = {"bottom": _WholeNumbers("bottom"), **({"left": _WholeNumbers("left")} if whole else {})}
        plot = pg.PlotWidget(background=None, axisItems=axes)
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
        plot.getPlotItem().setContentsMargins(0, 6, 4, 0)  # half of the topmost number stands above the axis
        plot.setAccessibleName(f"Curve of {title} over epochs")
        column.addWidget(plot)
        return plot.plot(pen=pg.mkPen(colour, width=2), symbolSize=6, symbolBrush=colour, symbolPen=None)


class _WholeNumbers(pg.AxisItem):  # type: ignore[misc]
    """An axis of things that are counted."""

    def tickSpacing(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, float]]:
        """Levels of ticks as (spacing, offset), none between two whole numbers."""
        levels = super().tickSpacing(minVal, maxVal, size)
        return [(round(spacing), 0) for spacing, _ in levels if round(spacing, 6) >= 1] or [(1, 0)]
