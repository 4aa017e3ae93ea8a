"""What can be done with a result: save labels, save and load the model, apply it to another image."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QGridLayout, QLabel, QPushButton, QWidget

from napari_ufseg._napari._application import ModelApplication
from napari_ufseg._napari._classes_layer import METADATA_KEY
from napari_ufseg._napari._layers import sliced
from napari_ufseg._napari._settings import user_defaults
from napari_ufseg._napari._source_panel import SourcePanel
from napari_ufseg.engine.errors import ImageError, UfsegError, counted, engine_errors

if TYPE_CHECKING:
    from napari_ufseg.engine.inference import SegmentationModel

_LABEL_FILES = "TIFF (*.tif *.tiff);;OME-Zarr (*.zarr)"
_SWITCH = {2: "choose Volume (3D) under Segment", 3: "choose Current plane or All planes under Segment"}
_MODEL_FILES = "napari-ufseg model (*.safetensors)"


class ResultsPanel(QWidget):
    """Buttons for labels and model.

    Parameters
    ----------
    viewer : napari.Viewer
    source : SourcePanel
        Says what the model is applied to.
    under_way : callable
        Says what else is being computed, in one sentence; empty if nothing is.

    Attributes
    ----------
    application : ModelApplication
        Of the model to images.
    device : str
        Where the model is applied, as in `napari_ufseg.predict`.
    labels_layer : napari.layers.Labels or None
        The newest result; *Save labels* prefers the active layer if it is a Labels layer.
    model : SegmentationModel or None
        From the last run, or loaded.

    Signals
    -------
    model_changed()
        There is another model, or none any more.
    """

    model_changed = Signal()

    def __init__(self, viewer: Any, source: SourcePanel, parent: QWidget, under_way: Callable[[], str]) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._source = source
        self._under_way = under_way
        self.device = "auto"
        self.application = ModelApplication(viewer, self)
        self.application.began.connect(self._enable)
        self.application.ended.connect(self._on_applied)
        self.application.failed.connect(self._enable)
        self.labels_layer: Labels | None = None
        self._model: SegmentationModel | None = None
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        self._save_labels = self._button("Save labels...", "save_labels", "Write the labels as a TIFF with scale.")
        self._save_model = self._button("Save model...", "save_model", "Keep the trained network for other images.")
        self._load_model = self._button("Load model...", "load_model", "Take a saved network.")
        self._apply_model = self._button("Apply model", "apply_model", "Label the chosen image with the network.")
        for i, button in enumerate((self._save_labels, self._save_model, self._load_model, self._apply_model)):
            grid.addWidget(button, i // 2, i % 2)
        self._about_model = QLabel()
        self._about_model.setObjectName("ufseg.model")
        self._about_model.setWordWrap(True)
        grid.addWidget(self._about_model, 2, 0, 1, 2)
        self.model = None

    @property
    def model(self) -> "SegmentationModel | None":
        """The model that is saved and applied."""
        return self._model

    @model.setter
    def model(self, model: "SegmentationModel | None") -> None:
        self._model = model
        if model is None:
            self._about_model.setText("Model: none yet (run Segment, or load one)")
        else:
            self._about_model.setText(
                f"Model: {counted(model.n_channels, 'channel')}, {model.config.n_features} features"
            )
        self._enable()
        self.model_changed.emit()

    def save_labels(self, path: str | Path | None = None) -> None:
        """Write the labels as a uint16 TIFF with their scale; asks for a file name if there is none."""
        layer = self._layer_to_save()
        if layer is None:
            show_warning("There are no labels to save yet: press Segment, or select a Labels layer.")
            return
        chosen = path or self._ask_to_save("Save labels", f"{layer.name}.tif", _LABEL_FILES, ".tif")
        if chosen:
            self._reported(lambda: self._write_labels(layer, Path(chosen)), f"Saved {chosen}")

    def save_model(self, path: str | Path | None = None) -> None:
        """Write the model; asks for a file name if there is none."""
        from napari_ufseg.engine.model_file import save_model

        model = self.model
        if model is None:
            show_warning("There is no model to save yet: press Segment first.")
            return
        chosen = path or self._ask_to_save("Save model", "model.safetensors", _MODEL_FILES, ".safetensors")
        if chosen:
            self._reported(lambda: save_model(model, chosen), f"Saved {chosen}")

    def load_model(self, path: str | Path | None = None) -> None:
        """Read a model; asks for a file name if there is none."""
        from napari_ufseg.engine.model_file import load_model

        chosen = path or QFileDialog.getOpenFileName(self, "Load model", "", f"{_MODEL_FILES};;All files (*)")[0]
        if chosen:

            def load() -> None:
                self.model = load_model(chosen)

            self._reported(load, f"Loaded {chosen}")

    def apply_model(self) -> None:
        """Label what is chosen (plane, planes or volume) with the model, in the background."""
        model = self.model
        if model is None:
            return
        if busy := self._under_way():
            show_info(busy)
            return
        try:
            dims = self._source.what.spatial_dims
            if dims != model.config.spatial_dims:
                raise ImageError(f"The model was trained with {model.config.spatial_dims} dimensions: {_SWITCH[dims]}.")
            self.application.start(model, self._source.parts(), self.device, user_defaults().thread_limit)
        except UfsegError as error:
            show_warning(str(error))

    def _on_applied(self, _: str) -> None:
        self._enable()
        self.labels_layer = self.application.layer or self.labels_layer

    def _enable(self, *_: object) -> None:
        """Allow what makes sense now."""
        has_model, is_running = self.model is not None, self.application.is_running
        self._save_model.setEnabled(has_model)
        self._apply_model.setEnabled(has_model and not is_running)
        self._apply_model.setText("Applying..." if is_running else "Apply model")

    def _write_labels(self, layer: Labels, path: Path) -> None:
        from napari_ufseg.io import write_labels

        known = str(layer.metadata.get(METADATA_KEY, {}).get("axes", ""))
        letters = known if len(known) == layer.ndim else "TZYX"[-layer.ndim :]
        kept = [i for i, n in enumerate(layer.data.shape) if n > 1 or i >= layer.ndim - 2]
        axes = "".join(letters[i] for i in kept)
        for free in "ZT":
            axes = axes if free in axes else axes.replace("Q", free, 1)
        index = tuple(slice(None) if i in kept else 0 for i in range(layer.ndim))
        data = sliced(layer.data, index)
        scale = [float(layer.scale[i]) for i in kept]
        translate = [float(layer.translate[i]) for i in kept]
        write_labels(path, data, axes=axes, scale=scale, unit=str(layer.units[-1]), translate=translate)

    def _layer_to_save(self) -> Labels | None:
        active = self._viewer.layers.selection.active
        if isinstance(active, Labels):
            return active
        return self.labels_layer if self.labels_layer in self._viewer.layers else None

    def _ask_to_save(self, title: str, name: str, kinds: str, suffix: str) -> str:
        """The file name that the user gives, with the suffix if it has none; empty after Cancel."""
        chosen = str(QFileDialog.getSaveFileName(self, title, name, kinds)[0])
        return chosen + suffix if chosen and not Path(chosen).suffix else chosen

    def _reported(self, action: Callable[[], None], success: str) -> None:
        try:
            with engine_errors("Saving or loading"):
                action()
        except UfsegError as error:
            show_error(str(error))
        else:
            show_info(success)

    def _button(self, text: str, method: str, tip: str) -> QPushButton:
        button = QPushButton(text)
        button.setObjectName(f"ufseg.{method}")
        button.setToolTip(tip)
        button.clicked.connect(lambda: getattr(self, method)())
        return button
