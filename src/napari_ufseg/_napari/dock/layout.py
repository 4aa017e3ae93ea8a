"""Where the parts of the dock stand, and the column in which they are scrolled."""

from collections.abc import Sequence

from qtpy.QtCore import QEvent, QObject, QSettings, Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QFrame,
    QGraphicsView,
    QScrollArea,
    QSlider,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_ufseg._napari.parts import Section

_SIDE = 6  # pixels
_WIDEST = 420  # pixels that the dock takes from the image; with larger letters it is scrolled sideways
_TURNED = (QSlider, QAbstractSpinBox, QComboBox)  # the wheel changes their value; scroll bars of tables are left to it


class WheelGuard(QObject):
    """Lets the wheel scroll the column, whatever lies under the mouse, but for a control that has the focus."""

    def guard(self, column: QWidget) -> None:
        """Take care of all that stands in a column."""
        for part in column.findChildren(QWidget):
            if isinstance(part, _TURNED):
                part.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # the wheel gives no focus
                part.installEventFilter(self)
            elif isinstance(part, QGraphicsView) and (canvas := part.viewport()) is not None:
                canvas.installEventFilter(self)

    def eventFilter(self, part: QObject | None, event: QEvent | None) -> bool:
        """Leave a turn of the wheel to what lies below."""
        if event is None or event.type() != QEvent.Type.Wheel:
            return False
        if isinstance(part, _TURNED) and part.hasFocus():
            return False
        event.ignore()
        return True


class ScrollColumn(QScrollArea):
    """A column of widgets; `fit_width` makes it as wide as what is unfolded needs, unless letters are so large that the image would have no room."""

    def __init__(self, parts: Sequence[QWidget]) -> None:
        super().__init__()
        content = QWidget()
        column = QVBoxLayout(content)
        column.setSpacing(4)
        for part in parts:
            column.addWidget(part)
        column.addStretch(1)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidget(content)
        WheelGuard(self).guard(content)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        bar = self.verticalScrollBar()
        assert bar is not None
        bar.rangeChanged.connect(self._keep_room)
        self._keep_room(0, 0)

    def _keep_room(self, _: int, most: int) -> None:
        """Leave the room of the scroll bar empty while there is none, so that no words wrap when it comes."""
        content, bar = self.widget(), self.verticalScrollBar()
        column = content.layout() if content is not None else None
        if column is not None and bar is not None:
            column.setContentsMargins(_SIDE, 2, _SIDE + (0 if most else bar.sizeHint().width()), 2)

    def fit_width(self, *_: object) -> None:
        """Be wide enough that nothing must be scrolled sideways, if there is room for it."""
        content, bar = self.widget(), self.verticalScrollBar()
        if content is not None and bar is not None:
            wanted = content.minimumSizeHint().width() + (bar.sizeHint().width() if bar.maximum() > 0 else 0)
            self.setMinimumWidth(min(wanted, _WIDEST))
            off, on = Qt.ScrollBarPolicy.ScrollBarAlwaysOff, Qt.ScrollBarPolicy.ScrollBarAsNeeded
            self.setHorizontalScrollBarPolicy(off if wanted <= _WIDEST else on)


class Foldings(QObject):
    """Which sections are unfolded: as the user has left each, in earlier sessions too; one that was never clicked follows the work.

    Parameters
    ----------
    sections : sequence of Section
    parent : QObject
    """

    def __init__(self, sections: Sequence[Section], parent: QObject) -> None:
        super().__init__(parent)
        self._sections = {section.name: section for section in sections}
        self._kept = QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-ufseg", "dock")
        for section in sections:
            section.clicked.connect(lambda is_unfolded, name=section.name: self._keep(name, is_unfolded))

    def show(self, *unfolded: str) -> None:
        """Unfold these sections and fold the others, but for those that the user sees to."""
        for name, section in self._sections.items():
            wanted = self._kept.value(f"unfolded/{name}", name in unfolded, type=bool)
            section.unfold(bool(wanted))

    def open(self, name: str) -> None:
        """Unfold a section, unless the user keeps it folded."""
        self._sections[name].unfold(bool(self._kept.value(f"unfolded/{name}", True, type=bool)))

    def close(self, name: str) -> None:
        """Fold a section, unless the user keeps it unfolded."""
        self._sections[name].unfold(bool(self._kept.value(f"unfolded/{name}", False, type=bool)))

    def _keep(self, name: str, is_unfolded: bool) -> None:
        self._kept.setValue(f"unfolded/{name}", is_unfolded)


def lay_out(dock: QWidget, sections: Sequence[Section], folder: QWidget) -> tuple[ScrollColumn, QTabWidget]:
    """Two tabs: the sections for an image, one below the other, and what is for a folder.

    Parameters
    ----------
    dock : QWidget
        Has no layout yet.
    sections : sequence of Section
        In the order of the work.
    folder : QWidget
        The other tab.

    Returns
    -------
    ScrollColumn
        What the sections stand in.
    QTabWidget
    """
    column = ScrollColumn(sections)
    tabs = QTabWidget()
    tabs.setObjectName("ufseg.tabs")
    tabs.addTab(column, "Image")
    tabs.addTab(folder, "Folder")
    tabs.setTabToolTip(1, "Label every image of a folder with the model.")
    outer = QVBoxLayout(dock)
    outer.setContentsMargins(0, 0, 0, 0)
    outer.addWidget(tabs)
    return column, tabs
