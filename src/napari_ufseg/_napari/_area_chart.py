"""Bars of the areas of the classes, in their colours."""

from collections.abc import Mapping, Sequence

import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QSizePolicy

from napari_ufseg.engine.labels.class_table import ClassTable

_HEIGHT = 80
_MOST = 60  # bars


class AreaChart(pg.PlotWidget):  # type: ignore[misc]
    """A bar for every class, in the order of the table; its height is the share of the area in percent."""

    def __init__(self) -> None:
        super().__init__(background=None)
        self.setObjectName("ufseg.areas")
        self.setAccessibleName("Areas of the classes")
        self.setToolTip("Share of the area of every class, in the order of the table.")
        self.setFixedHeight(_HEIGHT)
        self.setMenuEnabled(False)
        self.setMouseEnabled(False, False)
        self.hideButtons()
        self.hideAxis("bottom")
        self.setLabel("left", "%")
        self.getAxis("left").setWidth(46)
        self.getPlotItem().setContentsMargins(0, 6, 4, 6)  # half of the outer numbers stands beyond the axis
        self.setStyleSheet("background: transparent; border: none")
        self.setMinimumWidth(0)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._bars = pg.BarGraphItem(x=[], height=[], width=0.8)
        self.addItem(self._bars)
        self.heights: list[float] = []

    def show_areas(self, table: ClassTable, areas: Mapping[int, int], order: Sequence[int]) -> None:
        """Draw the areas of these labels, from left to right."""
        shown = order[:_MOST]
        total = max(1, sum(areas.values()))
        self.heights = [100 * areas[label] / total for label in shown]
        brushes = [QColor.fromRgbF(*table[label].rgb) for label in shown]
        self._bars.setOpts(x=list(range(len(shown))), height=self.heights, width=0.8, brushes=brushes, pen=None)
