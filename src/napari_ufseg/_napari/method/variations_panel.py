"""Six quick runs as thumbnails; a click takes the settings of one."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QGridLayout, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_ufseg._napari.background import Job, Jobs, JobState, JobThread
from napari_ufseg._napari.layers.class_metadata import OPACITY
from napari_ufseg._napari.method.preferences import Settings
from napari_ufseg._napari.parts import show_error, show_info
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import counted

if TYPE_CHECKING:
    from napari_ufseg.engine.images.source import ImageSource
    from napari_ufseg.engine.training.variations import Variation

_COLUMNS, _SIDE = 3, 88


class VariationsPanel(QWidget):
    """A button, and below it the thumbnails once there are some.

    Parameters
    ----------
    wanted : callable
        Gives (layer, source, item, config) of what is to be varied, or None if there is no image.
    detail : callable
        Gives the detail at which a new result is shown.
    jobs : Jobs
    settings : Settings

    Attributes
    ----------
    of : napari.layers.Image or None
        What the thumbnails show.

    Signals
    -------
    ended(str)
        What came of it, in one sentence.
    chosen(SegmentationConfig)
        The user wants a run with these settings.
    """

    ended = Signal(str)
    chosen = Signal(object)

    def __init__(
        self,
        wanted: Callable[[], Any],
        detail: Callable[[], int | str],
        jobs: Jobs,
        settings: Settings,
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._wanted, self._detail, self._jobs, self._settings = wanted, detail, jobs, settings
        self._job: Job | None = None
        self.button = QPushButton("Try 6 variations")
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
        return self._job is not None

    def start(self) -> None:
        """Make six variations of what the dock says."""
        if busy := self._jobs.busy:
            show_info(busy)
            return
        wanted = self._wanted()
        if wanted is None:
            return
        self.clear()
        self.of, source, item, config = wanted
        job = self._job = Job(
            partial(make_variations, source, item, config, self._settings.device),
            self,
            what="Trying variations",
            threads=self._settings.threads,
            keeps_all=True,
            title="Variations are being tried",
            about="Trying six variations at low resolution",
            gives="",
        )
        job.progressed.connect(self._add)
        job.failed.connect(show_error)
        job.state_changed.connect(lambda state: self._on_state(job, state))
        self.button.setEnabled(False)
        self._jobs.start(job)

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
        assert self.of is not None
        config, tree, detail = variation.config, variation.model.hierarchy, self._detail()
        button = QToolButton()
        button.setObjectName(f"ufseg.variation{len(self.thumbnails) + 1}")
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        button.setIcon(QIcon(_pixmap(_picture(variation, self.of, detail))))
        button.setIconSize(QSize(_SIDE, _SIDE))
        button.setText(f"nu {config.nu:g}, seed {config.seed}")
        classes = f"{counted(tree.n_classes, 'class')}, {tree.number_at(detail)} shown"
        button.setToolTip(f"Smoothness {config.nu:g}, seed {config.seed}: {classes}. Click to run this at full size.")
        button.setAccessibleName(f"Variation with smoothness {config.nu:g} and seed {config.seed}, {classes}")
        button.clicked.connect(partial(self.chosen.emit, config))
        self._grid.addWidget(button, *divmod(len(self.thumbnails), _COLUMNS))
        self.thumbnails.append(button)

    def _on_state(self, job: Job, state: JobState) -> None:
        if not state.is_final:
            return
        self._job = None
        self.allow(True)
        if state is JobState.ENDED:
            made = counted(len(self.thumbnails), "variation")
            job.conclusion = f"{made} to choose from: a click runs that one at full size."
        self.ended.emit(job.conclusion)


def make_variations(source: "ImageSource", item: int, config: SegmentationConfig, device: str, hand: JobThread) -> None:
    """Tell variations one by one, in the thread of a job."""
    from napari_ufseg.engine.training.variations import iter_variations

    for variation in iter_variations(source, item, config, device, hand.is_stopped):
        hand.tell(variation)


def _picture(variation: "Variation", layer: Image, detail: int | str) -> npt.NDArray[np.uint8]:
    """(Y, X, 3): the classes that a result would show at that detail, over the image, as bright as its layer shows it."""
    tree, classes = variation.model.hierarchy, variation.model.classes_at(detail)
    coloured = classes.coloured(tree.labels_at(tree.number_at(detail), variation.labels))
    image, (low, high) = variation.image, layer.contrast_limits
    seen = image if layer.rgb else image.mean(axis=0, keepdims=True)
    light = np.nan_to_num((seen - low) / ((high - low) or 1)).clip(0, 1)
    below = np.moveaxis(np.broadcast_to(light, (3, *variation.labels.shape)), 0, -1)
    opacity = OPACITY * coloured[..., 3:] / 255
    picture: npt.NDArray[np.uint8] = np.rint((1 - opacity) * 255 * below + opacity * coloured[..., :3]).astype(np.uint8)
    return picture


def _pixmap(picture: npt.NDArray[np.uint8]) -> QPixmap:
    height, width, _ = picture.shape
    image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    how = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    return QPixmap.fromImage(image).scaled(_SIDE, _SIDE, *how)
