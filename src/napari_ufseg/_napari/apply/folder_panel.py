"""A folder of images labelled with the model of the dock: what is chosen for it."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_ufseg._napari.apply.file_table import FileTable
from napari_ufseg._napari.apply.folder_run import label_folder
from napari_ufseg._napari.apply.model_panel import ModelPanel
from napari_ufseg._napari.background import Job, Jobs, JobState
from napari_ufseg._napari.layers.places import last_folder
from napari_ufseg._napari.method.preferences import Settings
from napari_ufseg._napari.parts import labelled_choice, name_widget, show_error, show_info
from napari_ufseg.engine.errors import UfsegError
from napari_ufseg.io import LABEL_FORMATS, TIFF, label_formats_told

if TYPE_CHECKING:
    from napari_ufseg.batch.folder import BatchPlan, BatchSummary, FileDone, FileProgress
    from napari_ufseg.engine.network.model import SegmentationModel

_EXISTING = [("Keep them, skip the image", "skip"), ("Overwrite them", "overwrite")]


class FolderPanel(QWidget):
    """Label every image of a folder with the model of the dock.

    Parameters
    ----------
    results : ModelPanel
        Has the model.
    jobs : Jobs
    settings : Settings
    parent : QWidget

    Attributes
    ----------
    folder, output : QLineEdit
        Where the images are, and where the labels go.

    Signals
    -------
    finished(BatchSummary)
        At the end of every run that has found images, also after Cancel.
    failed(str)
        A run could not begin; one sentence, which the user has seen as a notification.
    """

    finished = Signal(object)
    failed = Signal(str)

    def __init__(self, results: ModelPanel, jobs: Jobs, settings: Settings, parent: QWidget) -> None:
        super().__init__(parent)
        self._results, self._jobs, self._settings = results, jobs, settings
        self._job: Job | None = None
        self._proposed = ""
        self._build()
        self.folder.textChanged.connect(self._propose_output)
        self.output.textChanged.connect(self._enable)
        self._start.clicked.connect(self.start)
        self._cancel.clicked.connect(self.cancel)
        results.model_changed.connect(self._enable)
        self._enable()

    @property
    def is_running(self) -> bool:
        """Whether a folder is being labelled."""
        return self._job is not None

    def start(self, *_: object) -> None:
        """Label what is chosen, as the button does."""
        model = self._results.model_as_shown
        if model is None:
            return
        if busy := self._jobs.busy:
            show_info(busy)
            return
        try:
            plan = self._plan(model)
        except UfsegError as error:
            self._refuse(str(error))
            return
        job = self._job = Job(
            partial(label_folder, plan),
            self,
            what="Labelling the folder",
            threads=self._settings.threads,
            keeps_all=True,
            title="A folder is being labelled",
            button="Cancel in the tab Folder",
        )
        job.progressed.connect(self._show)
        job.ended.connect(self._on_ended)
        job.failed.connect(self._on_failed)
        job.state_changed.connect(self._on_state)
        self._files.begin(plan.folder)
        self._enable()
        self._jobs.start(job)

    def _plan(self, model: "SegmentationModel") -> "BatchPlan":
        """What is chosen; a UfsegError if it can't be meant."""
        from napari_ufseg.batch.folder import BatchPlan

        return BatchPlan(
            model,
            Path(self.folder.text().strip()).expanduser(),
            Path(self.output.text().strip()).expanduser(),
            recursive=self._recursive.isChecked(),
            existing=self._existing.value,
            format=self._format.value,
            axes=self._axes.text().strip() or None,
            device=self._settings.device,
        )

    def cancel(self, *_: object) -> None:
        """Drop the image under way and keep the labels that are written; does not wait."""
        if self._job is not None:
            self._job.stop()
            self._cancel.setEnabled(False)
            self._files.status.setText("Cancelling: the image under way is dropped")

    # -- assembly ----------------------------------------------------------------------------------

    def _build(self) -> None:
        form = QFormLayout()
        self.folder = self._path_row(form, "Images in", "path", "The folder of the images to label.")
        self.output = self._path_row(
            form, "Labels to", "output", "The folder of the labels; it gets the same folders in it."
        )
        self._recursive = QCheckBox("Also the folders in it")
        self._recursive.setChecked(True)
        name_widget(
            self._recursive, "recursive", "Also the folders in it", "Take the images in the folders of the folder too."
        )
        self._existing = labelled_choice("Existing labels", "ufseg.folder.existing", value="skip", choices=_EXISTING,
                               tip="What becomes of label files that are there already, as after Cancel.")  # fmt: skip
        formats = [(known.title, known.name) for known in LABEL_FORMATS]
        self._format = labelled_choice("Format", "ufseg.folder.format", value=TIFF.name, choices=formats,
                               tip=f"Of the label files; {label_formats_told()}.")  # fmt: skip
        self._axes = QLineEdit()
        self._axes.setPlaceholderText("as the files say")
        name_widget(self._axes, "axes", "Axes", "What each axis of the files is, one letter for each: T time, Z depth, C channel, "
              "Y row, X column, Q other; for example TZCYX.")  # fmt: skip
        form.addRow("", self._recursive)
        for title, control in (
            ("Existing labels", self._existing.native),
            ("Format", self._format.native),
            ("Axes", self._axes),
        ):
            form.addRow(title, control)
        self._start, self._cancel = QPushButton("Label the folder"), QPushButton("Cancel")
        name_widget(
            self._start,
            "start",
            "Label the folder",
            "Label every image of the folder with the model, at the detail that is shown (a loaded model: that it suggests).",
        )
        name_widget(
            self._cancel, "cancel", "Cancel", "End the run; what is written stays, and a later run does the rest."
        )
        row = QHBoxLayout()
        row.addWidget(self._start)
        row.addWidget(self._cancel)
        self._files = FileTable(self)
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addLayout(row)
        column.addWidget(self._files, 1)

    def _path_row(self, form: QFormLayout, title: str, name: str, tip: str) -> QLineEdit:
        """A line for a folder, with a button that asks for it."""
        line, button = QLineEdit(), QPushButton("Choose...")
        name_widget(line, name, title, tip)
        name_widget(button, f"choose_{name}", f"Choose: {title}", tip)

        def choose() -> None:
            chosen = QFileDialog.getExistingDirectory(self, title, _nearest_folder(line.text()))
            if chosen:
                last_folder.note(Path(chosen))
                line.setText(chosen)

        button.clicked.connect(lambda: choose())
        row = QHBoxLayout()
        row.addWidget(line, 1)
        row.addWidget(button)
        form.addRow(title, row)
        return line

    def _propose_output(self, text: str) -> None:
        """Put the labels beside the images, as long as the user has named no other folder."""
        if self.output.text() == self._proposed:
            folder = Path(text.strip())
            self._proposed = str(folder.with_name(f"{folder.name}_labels")) if folder.name else ""
            self.output.setText(self._proposed)
        self._enable()

    def _enable(self, *_: object) -> None:
        """Allow what makes sense now; before the first run say what is missing."""
        running, has_model = self.is_running, self._results.model is not None
        is_chosen = bool(self.folder.text().strip() and self.output.text().strip())
        self._start.setEnabled(has_model and is_chosen and not running)
        self._cancel.setEnabled(running)
        for part in (self.folder, self.output, self._recursive, self._existing.native, self._format.native, self._axes):
            part.setEnabled(not running)
        if not running and not (has_model and self._files.table.rowCount()):
            missing = "Ready" if is_chosen else "Choose the folder with the images"
            self._files.status.setText(missing if has_model else "Segment an image or load a model first")

    # -- the run -----------------------------------------------------------------------------------

    def _show(self, event: "FileProgress | FileDone") -> None:
        from napari_ufseg.batch.folder import FileDone

        if isinstance(event, FileDone):
            self._files.show_done(event)
        else:
            self._files.show_progress(event)

    def _on_ended(self, summary: "BatchSummary | None") -> None:
        self._job = None
        self._enable()
        if summary is None:  # before its turn had come
            self._files.end(None, "Cancelled before the first image.", cancelled=True)
            return
        self._files.end(summary, "", cancelled=bool(summary.left and not summary.reason))
        self.finished.emit(summary)

    def _on_failed(self, error: str) -> None:
        self._job = None
        self._enable()
        self._files.end(None, error, cancelled=False)
        self._refuse(error)

    def _on_state(self, state: JobState) -> None:
        if state is JobState.CLOSED:
            self._job = None
            self._enable()
            self._files.end(None, "The run was cancelled because the dock was closed.", cancelled=True)

    def _refuse(self, message: str) -> None:
        self._files.status.setText(message)
        show_error(message)
        self.failed.emit(message)


def _nearest_folder(text: str) -> str:
    """The folder that was typed, or the one that it would lie in; the last one used if nothing was."""
    folder = Path(text.strip()).expanduser().absolute() if text.strip() else None
    near = [] if folder is None else [path for path in (folder, folder.parent) if path.is_dir()]
    return str(near[0] if near else last_folder)
