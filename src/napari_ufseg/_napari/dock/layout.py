"""Where the parts of the dock stand."""

from collections.abc import Sequence

from qtpy.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from napari_ufseg._napari._scroll_column import ScrollColumn


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
