"""The classes as rows of a table, and as bars of their areas."""

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent, QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QSizePolicy, QTableView

from napari_ufseg._napari.layers.class_metadata import title_of
from napari_ufseg._napari.parts import plain
from napari_ufseg.engine.labels.class_table import BACKGROUND, ClassTable

_ROLE = Qt.ItemDataRole
_ROW = 22  # pixels
_FEWEST, _MOST_ROWS = 3, 5  # in sight at once


class Column(IntEnum):
    """What stands where."""

    COLOUR = 0
    NAME = 1
    SHARE = 2
    PIXELS = 3
    SHOWN = 4


_TITLES = ("", "Name", "Area", "Pixels", "On")
_TIPS = (
    "Colour; double-click to choose another.",
    "Name; double-click or F2 to write another.",
    "Share of all pixels.",
    "Number of pixels.",
    "Whether the class is drawn.",
)


class ClassRows(QAbstractTableModel):
    """A row for every class.

    Signals
    -------
    renamed(int, str)
        The user has written a name for that label.
    shown(int, bool)
        The user wants that label drawn, or not.
    """

    renamed = Signal(int, str)
    shown = Signal(int, bool)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.labels: list[int] = []
        self.table = ClassTable()
        self._areas: Mapping[int, int] = {}
        self._background: int | None = None
        self._total = 1

    def show(self, table: ClassTable, areas: Mapping[int, int], background: int | None = None) -> None:
        """Show these classes; rows keep their place, and so what is selected stays selected, if the labels stay.

        Parameters
        ----------
        table : ClassTable
        areas : dict of int to int
            Pixels of each.
        background : int, optional
            The one that is taken for the background and keeps its number.
        """
        self._background = background
        self.table, self._areas, self._total = table, areas, max(1, sum(areas.values()))
        if list(areas) != self.labels:
            self.beginResetModel()
            self.labels = list(areas)
            self.endResetModel()
        elif self.labels:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self.labels) - 1, len(Column) - 1))

    def share(self, label: int) -> float:
        """Share of all pixels, in [0, 1]."""
        return self._areas[label] / self._total

    # -- Qt ---------------------------------------------------------------------------------------

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008 (Qt's own default)
        """A row for each label."""
        return 0 if parent.isValid() else len(self.labels)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """See `Column`."""
        return 0 if parent.isValid() else len(Column)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = _ROLE.DisplayRole) -> Any:
        """Titles of the columns."""
        if orientation == Qt.Orientation.Horizontal:
            return (
                _TITLES[section] if role == _ROLE.DisplayRole else _TIPS[section] if role == _ROLE.ToolTipRole else None
            )
        return None

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Names can be written, shown can be ticked."""
        flags = super().flags(index)
        if index.column() == Column.NAME:
            return flags | Qt.ItemFlag.ItemIsEditable
        return flags | Qt.ItemFlag.ItemIsUserCheckable if index.column() == Column.SHOWN else flags

    def data(self, index: QModelIndex, role: int = _ROLE.DisplayRole) -> Any:
        """What stands in a cell; for sorting, the number behind it."""
        label = self.labels[index.row()]
        info = self.table[label]
        column = Column(index.column())
        if column == Column.COLOUR and role == _ROLE.DecorationRole:
            return QColor.fromRgbF(*info.rgb)
        if column == Column.SHOWN and role == _ROLE.CheckStateRole and label != BACKGROUND:
            return Qt.CheckState.Checked if info.is_visible else Qt.CheckState.Unchecked
        if role == _ROLE.DisplayRole and column == Column.NAME:
            return title_of(self.table, label, self._background)
        if role in (_ROLE.DisplayRole, _ROLE.EditRole):
            return {
                Column.NAME: info.title,
                Column.SHARE: f"{self.share(label):.1%}",
                Column.PIXELS: f"{self._areas[label]:,}",
            }.get(column)
        if role == _ROLE.UserRole:
            return info.title.casefold() if column == Column.NAME else self._areas[label]
        if role == _ROLE.ToolTipRole:
            return plain(f"label {label}: {info.title}, {self._areas[label]:,} pixels")
        if role == _ROLE.TextAlignmentRole and column in (Column.SHARE, Column.PIXELS):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = _ROLE.EditRole) -> bool:
        """Pass on what the user has written or ticked."""
        label = self.labels[index.row()]
        if index.column() == Column.NAME and role == _ROLE.EditRole:
            self.renamed.emit(label, str(value))
            return True
        if index.column() == Column.SHOWN and role == _ROLE.CheckStateRole:
            self.shown.emit(label, Qt.CheckState(value) == Qt.CheckState.Checked)
            return True
        return False


class ClassView(QTableView):
    """The table, sorted by name or area, several rows of which can be selected.

    Signals
    -------
    selected()
        Other rows are.
    colour_wanted(int)
        The user wants another colour for that label.
    """

    selected = Signal()
    colour_wanted = Signal(int)

    def __init__(self, rows: ClassRows) -> None:
        super().__init__()
        self.setObjectName("ufseg.classes")
        self.setAccessibleName("Classes")
        self.keys: list[tuple[QKeySequence, Callable[[], None]]] = []  # what they do while the table has the focus
        self._rows = rows
        self._sorted = QSortFilterProxyModel(self)
        self._sorted.setSourceModel(rows)
        self._sorted.setSortRole(_ROLE.UserRole)
        self.setModel(self._sorted)
        self.setSortingEnabled(True)
        self.sortByColumn(Column.SHARE, Qt.SortOrder.DescendingOrder)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setTabKeyNavigation(False)
        side, header = self.verticalHeader(), self.horizontalHeader()
        assert side is not None
        assert header is not None
        side.hide()
        side.setDefaultSectionSize(_ROW)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(Column.NAME, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(24)
        self._sorted.modelReset.connect(self._fit_height)
        self._fit_height()
        selection = self.selectionModel()
        assert selection is not None
        selection.selectionChanged.connect(lambda *_: self.selected.emit())
        self.doubleClicked.connect(self._on_double_click)

    @property
    def labels(self) -> list[int]:
        """Those of the selected rows, from top to bottom."""
        selection = self.selectionModel()
        rows = sorted(index.row() for index in selection.selectedRows()) if selection is not None else []
        return [self.label_at(row) for row in rows]

    @property
    def order(self) -> list[int]:
        """All labels from top to bottom."""
        return [self.label_at(row) for row in range(self._sorted.rowCount())]

    def label_at(self, row: int) -> int:
        """The label of a row as it is seen."""
        return self._rows.labels[self._sorted.mapToSource(self._sorted.index(row, 0)).row()]

    def select(self, labels: Any) -> None:
        """Select the rows of these labels."""
        selection = self.selectionModel()
        assert selection is not None
        selection.clearSelection()
        for row, label in enumerate(self.order):
            if label in labels:
                index = self._sorted.index(row, Column.NAME)
                selection.setCurrentIndex(index, selection.SelectionFlag.Select | selection.SelectionFlag.Rows)

    def _fit_height(self) -> None:
        """Be as high as the classes need, but neither jump with every step of the detail nor push the rest out of sight."""
        self.setFixedHeight(24 + min(max(self._sorted.rowCount(), _FEWEST), _MOST_ROWS) * _ROW + 6)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Do what a key is for; the others move the selection, or search for a name."""
        if event is None:
            return
        pressed = QKeySequence(event.keyCombination())
        for keys, action in self.keys:
            if pressed.matches(keys) == QKeySequence.SequenceMatch.ExactMatch:
                action()
                return
        super().keyPressEvent(event)

    def _on_double_click(self, index: QModelIndex) -> None:
        if index.column() == Column.COLOUR:
            self.colour_wanted.emit(self.label_at(index.row()))


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
