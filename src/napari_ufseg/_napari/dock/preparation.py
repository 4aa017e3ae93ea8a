"""What a user may do before a run: paint scribbles, and choose among variations."""

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_ufseg._napari.background import Jobs
from napari_ufseg._napari.image.image_panel import ImagePanel
from napari_ufseg._napari.image.scribbles import ScribbleChoice
from napari_ufseg._napari.method.preferences import Settings
from napari_ufseg._napari.method.variations_panel import VariationsPanel
from napari_ufseg._napari.parts import show_warning
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import UfsegError


class Preparation(QObject):
    """Ties both to the image that is chosen.

    Parameters
    ----------
    viewer : napari.Viewer
    source : ImagePanel
    config : callable
        Gives the config, as the dock says.
    detail : callable
        Gives the detail at which a new result is shown.
    jobs : Jobs
    settings : Settings
    parent : QWidget

    Attributes
    ----------
    scribbles : ScribbleChoice
    variations : VariationsPanel

    Signals
    -------
    chosen(SegmentationConfig)
        The user wants a run with these settings.
    """

    chosen = Signal(object)

    def __init__(
        self,
        viewer: Any,
        source: ImagePanel,
        config: Callable[[], SegmentationConfig],
        detail: Callable[[], int | str],
        jobs: Jobs,
        settings: Settings,
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._source = viewer, source
        self._config, self._jobs = config, jobs
        self.scribbles = ScribbleChoice(viewer, parent)
        self.scribbles.new_clicked.connect(self._on_new_scribbles)
        self.variations = VariationsPanel(self._to_vary, detail, jobs, settings, parent)
        self.variations.chosen.connect(self._on_chosen)
        source.changed.connect(self._on_source)

    def _to_vary(self) -> Any:
        """The image that was chosen last, and what variations are made of, as it is in view; None if there is none."""
        if not self._source.layers:
            return None
        try:
            part = self._source.parts()[-1]
        except UfsegError as error:
            show_warning(str(error))
            return None
        item, _ = part.view(tuple(self._viewer.dims.point), tuple(self._viewer.scene.camera.center))
        return part.layer, part.source, item, self._config()

    def _on_chosen(self, config: SegmentationConfig) -> None:
        if not self._jobs.busy:
            self.chosen.emit(config)

    def _on_source(self) -> None:
        """Take away variations, and let go scribbles, of an image that is not chosen any more."""
        self.scribbles.follow(self._source.layers)
        if self.variations.of not in self._source.layers and not self.variations.is_running:
            self.variations.clear()

    def _on_new_scribbles(self) -> None:
        try:
            self.scribbles.add_layer(self._source.parts()[-1])
        except UfsegError as error:
            show_warning(str(error))
