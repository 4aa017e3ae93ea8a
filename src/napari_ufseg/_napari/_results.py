"""What can be done with a result: save labels, save and load the model, apply it to another image."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from napari.qt.threading import FunctionWorker
from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QGridLayout, QLabel, QPushButton, QWidget

from napari_ufseg._napari._classes_layer import METADATA_KEY, ClassesLayer
from napari_ufseg._napari._layers import Part, sliced
from napari_ufseg._napari._source_panel import SourcePanel
from napari_ufseg.engine.errors import ImageError, UfsegError, engine_errors

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

    Attributes
    ----------
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

    def __init__(self, viewer: Any, source: SourcePanel, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._source = source
        self._worker: Any = None
        self._gone = threading.Event()
        self.destroyed.connect(self._gone.set)
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
            channels = "1 channel" if model.n_channels == 1 else f"{model.n_channels} channels"
            self._about_model.setText(f"Model: {channels}, {model.config.n_features} features")
        self._save_model.setEnabled(model is not None)
        self._apply_model.setEnabled(model is not None)
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
        if model is None or self._worker is not None:
            return
        try:
            dims = self._source.what.spatial_dims
            if dims != model.config.spatial_dims:
                raise ImageError(f"The model was trained with {model.config.spatial_dims} dimensions: {_SWITCH[dims]}.")
            parts = self._source.parts()
            for part in parts:
                model.require_channels(part.source)
            targets = [ClassesLayer(self._viewer, part) for part in parts]
        except UfsegError as error:
            show_warning(str(error))
            return

        def done(outcome: str) -> None:
            if self._gone.is_set():  # the window was closed in the meantime
                return
            self._worker = None
            self._apply_model.setText("Apply model")
            self._apply_model.setEnabled(True)
            if outcome:
                show_error(outcome)
                return
            for target in targets:
                target.show()
                target.release({"model": model.config.to_dict()})
            self.labels_layer = targets[0].layer

        self._apply_model.setEnabled(False)
        self._apply_model.setText("Applying...")
        worker: list[Any] = []
        gone = self._gone

        def is_over() -> bool:  # napari asks its workers to end before it goes
            return gone.is_set() or bool(worker and worker[0].abort_requested)

        self._worker = FunctionWorker(_apply, model, parts, [target.out for target in targets], is_over)
        worker.append(self._worker)
        self._worker.returned.connect(done)
        self._worker.start()

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
        write_labels(path, data, axes=axes, scale=scale, unit=str(layer.units[-1]))

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


def _apply(model: "SegmentationModel", parts: Sequence[Part], outs: Sequence[Any], is_over: Callable[[], bool]) -> str:
    """The work of the thread; an error comes back as its sentence."""
    from napari_ufseg.engine.device import resolve_device
    from napari_ufseg.engine.labelling import Job, label_images, scan

    try:
        with engine_errors("Prediction"):
            sources = [part.source for part in parts]
            jobs = [
                Job(source, scan(source, model.config.scaling), out) for source, out in zip(sources, outs, strict=True)
            ]
            for _ in label_images(model, jobs, resolve_device("auto"), stopped=is_over):
                pass
    except UfsegError as error:
        return str(error)
    return ""
