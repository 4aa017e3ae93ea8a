"""Six quick runs as thumbnails; a click takes the settings of one."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QObject, QSize, Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QGridLayout, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_ufseg._napari.background import Lifeline, WatchedWork, processor
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import UfsegError, counted, engine_errors
from napari_ufseg.engine.labels.class_table import N_COLOURS, class_colours

if TYPE_CHECKING:
    from napari_ufseg.engine.images.source import ImageSource
    from napari_ufseg.engine.training.variations import Variation

_COLUMNS, _SIDE = 3, 88


class VariationsPanel(QWidget):
    """A button, and below it the thumbnails once there are some.

    Parameters
    ----------
    wanted : callable
        Gives (layer, source, item, config, device, threads) of what is to be varied, or None if there is no image.
    under_way : callable
        Says what is being computed, in one sentence; empty if nothing is.

    Attributes
    ----------
    of : napari.layers.Image or None
        What the thumbnails show.

    Signals
    -------
    began(), ended(str)
        With what came of it, in one sentence.
    chosen(SegmentationConfig)
        The user wants a run with these settings.
    """

    began = Signal()
    ended = Signal(str)
    chosen = Signal(object)

    def __init__(self, wanted: Callable[[], Any], under_way: Callable[[], str], parent: QWidget) -> None:
        super().__init__(parent)
        self._wanted, self._under_way = wanted, under_way
        self._lifeline = Lifeline[VariationsRun]()
        parent.destroyed.connect(self._lifeline.cut)
        self.button = QPushButton("Try 6")
        self.button.setObjectName("ufseg.try")
        self.button.setToolTip(
            "Six quick runs on a small copy of what is in view, with other seeds and other smoothness, to choose from."
        )
        self.button.clicked.connect(self.start)
        self._grid = QGridLayout()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.button)
        column.addLayout(self._grid)
        self.thumbnails: list[QToolButton] = []
        self.of: Image | None = None

    @property
    def is_running(self) -> bool:
        """Whether variations are being made."""
        return self._lifeline.run is not None

    def start(self) -> None:
        """Make six variations of what the dock says."""
        if busy := self._under_way():
            show_info(busy)
            return
        wanted = self._wanted()
        if wanted is None:
            return
        self.clear()
        self.of, *plan = wanted
        run = VariationsRun(self, *plan)
        self._lifeline.run = run
        run.made.connect(self._add)
        run.ended.connect(self._on_ended)
        self.button.setEnabled(False)
        self.began.emit()
        run.start()

    def stop(self) -> None:
        """End it after the present one; those that are there stay."""
        if self._lifeline.run is not None:
            self._lifeline.run.abandon()

    def close_run(self) -> None:
        """Drop it, and wait until the thread has let go."""
        run = self._lifeline.run
        if run is not None:
            self._lifeline.cut()
            run.deleteLater()

    def clear(self) -> None:
        """Take the thumbnails away."""
        for thumbnail in self.thumbnails:
            self._grid.removeWidget(thumbnail)
            thumbnail.deleteLater()
        self.thumbnails = []

    def allow(self, is_allowed: bool) -> None:
        """Whether one may be chosen now."""
        for part in (self.button, *self.thumbnails):
            part.setEnabled(is_allowed and not self.is_running)

    def _add(self, variation: "Variation") -> None:
        config = variation.config
        button = QToolButton()
        button.setObjectName(f"ufseg.variation{len(self.thumbnails) + 1}")
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        button.setIcon(QIcon(_pixmap(variation.labels)))
        button.setIconSize(QSize(_SIDE, _SIDE))
        button.setText(f"nu {config.nu:g}, seed {config.seed}")
        classes = counted(variation.n_classes, "class")
        button.setToolTip(f"Smoothness {config.nu:g}, seed {config.seed}: {classes}. Click to run this at full size.")
        button.setAccessibleName(f"Variation with smoothness {config.nu:g} and seed {config.seed}, {classes}")
        button.clicked.connect(partial(self.chosen.emit, config))
        self._grid.addWidget(button, *divmod(len(self.thumbnails), _COLUMNS))
        self.thumbnails.append(button)

    def _on_ended(self, error: str) -> None:
        run, self._lifeline.run = self._lifeline.run, None
        if run is not None:
            run.deleteLater()
        self.allow(True)
        if error:
            show_error(error)
        made = counted(len(self.thumbnails), "variation")
        self.ended.emit(error or f"{made} to choose from: a click runs that one at full size.")


class VariationsRun(WatchedWork):
    """Makes variations in a thread.

    Signals
    -------
    made(Variation)
    ended(str)
        A sentence if something went wrong.
    """

    made = Signal(object)
    ended = Signal(str)

    def __init__(
        self, parent: QObject, source: "ImageSource", item: int, config: SegmentationConfig, device: str, threads: int
    ) -> None:
        self._box: list[Variation] = []
        self._error = ""
        self._plan = source, item, config, device
        self._threads = threads
        super().__init__(self._make, parent)

    def tell(self) -> bool:
        """Signal those that are ready."""
        while self._box:
            self.made.emit(self._box.pop(0))
        return True

    def conclude(self) -> None:
        """Signal the end."""
        self.ended.emit(self._error)

    def _make(self, is_over: Callable[[], bool]) -> None:
        try:
            with engine_errors("Trying variations"), processor(self._threads, is_over) as is_free:
                if is_free:
                    from napari_ufseg.engine.training.variations import iter_variations

                    for variation in iter_variations(*self._plan):
                        self._box.append(variation)
                        if is_over():
                            return
        except UfsegError as error:
            self._error = str(error)


def _pixmap(labels: "np.ndarray[Any, Any]") -> QPixmap:
    """Labels in their colours."""
    colours = np.round(255 * class_colours()).astype(np.uint8)
    picture = np.ascontiguousarray(colours[(labels.astype(int) - 1) % N_COLOURS])
    height, width = labels.shape
    image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image).scaled(_SIDE, _SIDE, Qt.AspectRatioMode.KeepAspectRatio)
