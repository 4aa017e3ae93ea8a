"""What can be done with a result: save labels, save and load the model, apply it to another image."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QGridLayout, QMessageBox, QWidget

from napari_ufseg._napari.apply.apply_model import ModelApplication
from napari_ufseg._napari.background import Job, Jobs
from napari_ufseg._napari.image.image_panel import NO_IMAGE, ImagePanel
from napari_ufseg._napari.image.scribbles import is_scribbles
from napari_ufseg._napari.layers.places import Destination, folder_of, last_folder, place_of_labels, place_of_model
from napari_ufseg._napari.layers.saving import LabelsFile, background_note, paths_for, write_files
from napari_ufseg._napari.method.preferences import Settings
from napari_ufseg._napari.parts import named_button, plain, show_error, show_info, show_warning
from napari_ufseg.engine.errors import ImageError, UfsegError, counted, engine_errors
from napari_ufseg.io import TIFF, label_dialog_filters

if TYPE_CHECKING:
    from napari_ufseg.engine.network.model import SegmentationModel

SAVED_AT_ONCE = 2**24  # pixels; more of them are saved in a thread
_SWITCH = {2: "choose Volume (3D) beside Label", 3: "choose Current plane or All planes beside Label"}
_SAVE_LABELS = (
    "Write the selected Labels layers, or else the result that is shown, with their scale; several go into a folder."
)
_SAVE_MODEL = "Keep the trained network for other images."
_APPLY = "Label the chosen image with the network."
_NO_LABELS = "There are no labels to save yet: press Segment, or select a Labels layer."
_NO_MODEL = "There is no network yet: press Segment, or take a saved one with Load model."
_APPLYING = "A model is being applied: wait until it has ended, or press Stop (F7)."
_MODEL_IN_USE = "What Save model, Apply model and the tab Folder take."
_MODEL_FILES = "napari-ufseg model (*.safetensors)"
_MODEL_ENDING = ".safetensors"


class ModelPanel(QWidget):
    """Buttons for labels and model.

    Parameters
    ----------
    viewer : napari.Viewer
    source : ImagePanel
        Says what the model is applied to.
    jobs : Jobs
    settings : Settings

    Attributes
    ----------
    application : ModelApplication
        Of the model to images.
    about_model, about_model_more : str
        What model there is, in a few words; and what it is for and how long it stays.
    model : SegmentationModel or None
        Of the result that is active or was active last, or loaded since.

    Signals
    -------
    model_changed()
        There is another model, or none any more.
    saving()
        Labels or a model are about to be written, or applied: layers should hold what is to stay.
    holding(Job, list of Labels)
        The layers are being saved, and must not change until the job has ended.
    folder_wanted()
        The model is to be used on a folder of images.
    refused(str)
        The model cannot be applied; says why in one sentence, which the user has seen.
    """

    model_changed = Signal()
    saving = Signal()
    holding = Signal(object, object)
    folder_wanted = Signal()
    refused = Signal(str)

    def __init__(self, viewer: Any, source: ImagePanel, jobs: Jobs, settings: Settings, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._source = source
        self._jobs = jobs
        self.application = ModelApplication(viewer, jobs, settings, self)
        self.application.ended.connect(self._enable)
        self._layers: Sequence[Labels] = ()
        self._model: SegmentationModel | None = None
        self._as_shown: Callable[[], SegmentationModel | None] | None = None
        self._offered: SegmentationModel | None = None  # by the result that is looked at
        source.changed.connect(self._enable)
        viewer.layers.events.removed.connect(self._enable)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        self._save_labels = named_button("Save labels...", "save_labels", _SAVE_LABELS)
        self._save_model = named_button("Save model...", "save_model", _SAVE_MODEL)
        self._load_model = named_button("Load model...", "load_model", "Take a saved network.")
        self._apply_model = named_button("Apply model", "apply_model", _APPLY)
        others = named_button(
            "Use on other images...", "use_on_others", "Label every image of a folder: opens the tab Folder."
        )
        others.clicked.connect(lambda _: self.folder_wanted.emit())
        for i, button in enumerate((self._save_labels, self._save_model, self._load_model)):
            grid.addWidget(button, 0, i)
        grid.addWidget(self._apply_model, 1, 0)
        grid.addWidget(others, 1, 1, 1, 2)
        for button, action in (
            (self._save_labels, self.save_labels),
            (self._save_model, self.save_model),
            (self._load_model, self.load_model),
            (self._apply_model, self.apply_model),
        ):
            button.clicked.connect(lambda _, action=action: action())
        self.model = None

    @property
    def model(self) -> "SegmentationModel | None":
        """The network, as it was trained."""
        return self._model

    @model.setter
    def model(self, model: "SegmentationModel | None") -> None:
        self._take(model, None, "", Destination(None, "model"))

    @property
    def model_as_shown(self) -> "SegmentationModel | None":
        """What is saved and applied: the model with the merges, names and colours that the user has given to its classes."""
        return self._model if self._as_shown is None else self._as_shown()

    def look_at(
        self,
        layers: "Sequence[Labels]",
        model: "SegmentationModel | None",
        as_shown: "Callable[[], SegmentationModel | None] | None" = None,
    ) -> None:
        """Be about another result, or the same one anew; one without a model leaves the model as it is.

        A model that was loaded stays until another result, or another model of this one, is offered.

        Parameters
        ----------
        layers : sequence of Labels
            Of the result; none if there is no result.
        model : SegmentationModel or None
            What has made its labels.
        as_shown : callable, optional
            Gives that model with what the user has made of its classes, at any time.
        """
        self._layers = layers
        is_new, self._offered = model is not self._offered, model
        if model is not None and is_new:
            title = ", ".join(layer.name for layer in layers)
            place = place_of_model(layers, self._viewer.layers)
            self._take(
                model, as_shown, title, place, "It stays until another result is selected, or a model is loaded."
            )
        elif self._as_shown is not None and model is None:  # its result may go: it is what it was when it was left
            self._model, self._as_shown = self._as_shown() or self._model, None
        self._enable()

    def _take(
        self,
        model: "SegmentationModel | None",
        as_shown: "Callable[[], SegmentationModel | None] | None",
        title: str,
        place: Destination,
        stays: str = "",
    ) -> None:
        self._model, self._as_shown, self._place = model, as_shown, place
        if model is None:
            self.about_model, size = "no model yet", ""
        else:
            self.about_model = f"model of {title}" if title else "a model"
            size = f"{counted(model.n_channels, 'channel')}, {model.config.n_features} features. "
        self.about_model_more = f"{size}{_MODEL_IN_USE} {stays}".strip()
        self._enable()
        self.model_changed.emit()

    def save_labels(self, path: str | Path | None = None) -> None:
        """Write the selected Labels layers, or those of the result that is shown, as uint16 with their scale.

        Parameters
        ----------
        path : path-like, optional
            The file; of several layers the folder, in which each gets a TIFF that is named after it. Asked for without.
        """
        layers = self._layers_to_save()
        self.saving.emit()
        if not layers:
            show_warning(_NO_LABELS)
        elif len(layers) == 1:
            self._save_one(layers[0], path)
        else:
            self._save_all(layers, path)

    def save_model(self, path: str | Path | None = None) -> None:
        """Write the model; asks for a file name if there is none."""
        from napari_ufseg.engine.network.model_file import save_model

        self.saving.emit()
        model = self.model_as_shown
        if model is None:
            show_warning("There is no model to save yet: press Segment first.")
            return
        chosen = path or self._ask_to_save("Save model", self._place.offered(_MODEL_ENDING), _MODEL_FILES)
        if chosen:
            self._reported(lambda: save_model(model, chosen), f"Saved {chosen}")

    def load_model(self, path: str | Path | None = None) -> None:
        """Read a model; asks for a file name if there is none."""
        from napari_ufseg.engine.network.model_file import fingerprint, labels_with, load_model
        from napari_ufseg.io import mixture_words

        chosen = path or self._ask_to_load()
        if chosen:

            def load() -> None:
                file = Path(chosen).absolute()
                stays = f"Loaded from {file}; it stays until another result is selected, or a run has ended."
                model = load_model(chosen)
                self._take(model, None, file.name, Destination(file.parent, file.stem), stays)
                if words := mixture_words(file, fingerprint(model), labels_with(file)):
                    show_warning(words)

            self._reported(load, f"Loaded {chosen}")

    def apply_model(self) -> None:
        """Label what is chosen (plane, planes or volume) with the model, in the background."""
        model = self.model_as_shown
        if model is None:
            return
        if busy := self._jobs.busy:
            show_info(busy)
            return
        try:
            dims = self._source.what.spatial_dims
            if dims == 2 and model.config.spatial_dims == 3 and self._source.is_flat:
                raise ImageError("The model was trained on volumes and the chosen image is flat: choose a stack.")
            if dims != model.config.spatial_dims:
                raise ImageError(f"The model was trained with {model.config.spatial_dims} dimensions: {_SWITCH[dims]}.")
            self.application.start(model, self._source.parts())
            self._enable()
        except UfsegError as error:
            self.refused.emit(str(error))
            show_warning(str(error))

    def _enable(self, *_: object) -> None:
        """Allow what makes sense now; what does not says why in its tooltip."""
        has_model, is_running = self.model is not None, self.application.is_running
        no_model = "" if has_model else _NO_MODEL
        no_image = "" if self._source.layers else NO_IMAGE
        for button, tip, lack in (
            (self._save_labels, _SAVE_LABELS, "" if self._layers_to_save() else _NO_LABELS),
            (self._save_model, _SAVE_MODEL, no_model),
            (self._apply_model, _APPLY, no_image or no_model or (_APPLYING if is_running else "")),
        ):
            button.setEnabled(not lack)
            button.setToolTip(plain(lack or tip))
        self._apply_model.setText("Applying..." if is_running else "Apply model")

    def _layers_to_save(self) -> list[Labels]:
        """The Labels layers that are selected, or else those of the active result; scribbles at last."""
        layers, selection = list(self._viewer.layers), self._viewer.layers.selection
        selected = [layer for layer in layers if isinstance(layer, Labels) and layer in selection]
        results = [layer for layer in selected if not is_scribbles(layer)]
        return results or [layer for layer in self._layers if layer in layers] or selected

    def _save_one(self, layer: Labels, path: str | Path | None) -> None:
        offered = place_of_labels(layer, self._viewer.layers).offered(TIFF.ending)
        chosen = path or self._ask_to_save("Save labels", offered, label_dialog_filters())
        if chosen:
            self._write([layer], [Path(chosen)], f"{background_note([layer])}Saved {layer.name} as {chosen}")

    def _save_all(self, layers: list[Labels], folder: str | Path | None) -> None:
        chosen = folder or self._ask_for_folder(layers)
        if chosen:
            self._write(
                layers,
                paths_for(layers, Path(chosen)),
                f"{background_note(layers)}Saved {len(layers)} Labels layers in {chosen}",
            )

    def _write(self, layers: Sequence[Labels], paths: Sequence[Path], told: str) -> None:
        """Write layers at once, or in a thread if they are large."""
        n_pixels = sum(prod(layer.data.shape) for layer in layers)
        if n_pixels <= SAVED_AT_ONCE:
            self._reported(
                lambda: write_files([LabelsFile.of(*both) for both in zip(layers, paths, strict=True)], told)
            )
            return
        if busy := self._jobs.busy:
            show_info(busy)
            return
        try:
            files = [LabelsFile.of(*both) for both in zip(layers, paths, strict=True)]
        except UfsegError as error:
            show_error(str(error))
            return
        names = ", ".join(layer.name for layer in layers)
        job = Job(
            partial(write_files, files, told),
            self,
            what="Saving the labels",
            title="Labels are being saved",
            about=f"Saving {names}",
            gives="saved",
        )
        job.ended.connect(lambda words: self._on_written(job, words))
        job.failed.connect(show_error)
        self.holding.emit(job, list(layers))
        self._jobs.start(job)

    def _on_written(self, job: Job, words: str | None) -> None:
        job.conclusion = words or "Stopped; what was not written yet is not."
        show_info(job.conclusion)

    def _ask_for_folder(self, layers: list[Labels]) -> str:
        """Where the user wants the files of several layers; empty after Cancel, or if files there shall be kept."""
        title = f"Save {len(layers)} Labels layers into a folder"
        beside = folder_of(layers, self._viewer.layers) or last_folder
        chosen = str(QFileDialog.getExistingDirectory(self, title, str(beside)))
        if chosen:
            last_folder.note(Path(chosen))
        there = [path.name for path in paths_for(layers, Path(chosen)) if path.exists()] if chosen else []
        return "" if there and not self._may_overwrite(title, f"{', '.join(there)} in {chosen}") else chosen

    def _ask_to_load(self) -> str:
        """The file that the user chooses; empty after Cancel."""
        kinds = f"{_MODEL_FILES};;All files (*)"
        chosen = str(QFileDialog.getOpenFileName(self, "Load model", str(last_folder), kinds)[0])
        if chosen:
            last_folder.note(Path(chosen).parent)
        return chosen

    def _ask_to_save(self, title: str, name: str, kinds: str) -> str:
        """The file name that the user gives, with the (first) suffix of its kind if it has none; empty after Cancel."""
        chosen, kind = map(str, QFileDialog.getSaveFileName(self, title, name, kinds))
        if not chosen:
            return ""
        last_folder.note(Path(chosen).parent)
        if Path(chosen).suffix:
            return chosen
        named = chosen + re.findall(r"\*(\.\w+)", kind or kinds)[0]
        return named if not Path(named).exists() or self._may_overwrite(title, named) else ""

    def _may_overwrite(self, title: str, what: str) -> bool:
        yes = QMessageBox.StandardButton.Yes
        both = yes | QMessageBox.StandardButton.No
        answer = QMessageBox.question(
            self, title, plain(f"There is {what} already. Overwrite?"), both, QMessageBox.StandardButton.No
        )
        return bool(answer == yes)

    def _reported(self, action: Callable[[], str | None], success: str = "") -> None:
        """Do it, and tell what came of it: what it gives, or else the words for its success."""
        try:
            with engine_errors("Saving or loading"):
                words = action() or success
        except UfsegError as error:
            show_error(str(error))
        else:
            show_info(words)
