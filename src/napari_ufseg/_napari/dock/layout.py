"""Where the parts of the dock stand, and the column in which they are scrolled."""

from collections.abc import Sequence

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QFrame,
    QGraphicsView,
    QScrollArea,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

_TURNED = (QAbstractSlider, QAbstractSpinBox, QComboBox)  # the wheel changes their value


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
    """A column of widgets; `fit_width` makes it as wide as what is unfolded needs."""

    def __init__(self, parts: Sequence[QWidget]) -> None:
        super().__init__()
        content = QWidget()
        column = QVBoxLayout(content)
        for part in parts:
            column.addWidget(part)
        column.addStretch(1)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidget(content)
        WheelGuard(self).guard(content)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def fit_width(self, *_: object) -> None:
        """Be wide enough that nothing must be scrolled sideways."""
        content, bar = self.widget(), self.verticalScrollBar()
        if content is not None and bar is not None:
            self.setMinimumWidth(content.minimumSizeHint().width() + bar.sizeHint().width())


def lay_out(dock: QWidget, parts: Sequence[QWidget], footer: QWidget, folder: QWidget) -> ScrollColumn:
    """Two tabs: the parts for an image, one below the other, and what is for a folder.

    Parameters
    ----------
    dock : QWidget
        Has no layout yet.
    parts : sequence of QWidget
        From top to bottom; they are scrolled.
    footer : QWidget
        Below what scrolls, so that it is always in sight.
    folder : QWidget
        The other tab.

    Returns
    -------
    ScrollColumn
        What the parts stand in.
    """
    column = ScrollColumn(parts)
    image = QWidget()
    inner = QVBoxLayout(image)
    inner.setContentsMargins(0, 0, 0, 0)
    inner.addWidget(column, 1)
    inner.addWidget(footer)
    tabs = QTabWidget()
    tabs.setObjectName("ufseg.tabs")
    tabs.addTab(image, "Image")
    tabs.addTab(folder, "Folder")
    tabs.setTabToolTip(1, "Label every image of a folder with the model.")
    outer = QVBoxLayout(dock)
    outer.setContentsMargins(0, 0, 0, 0)
    outer.addWidget(tabs)
    return column
