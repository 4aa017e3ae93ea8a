"""A folder of images labelled with the model of the dock: what is chosen for it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QEvent, QObject, Signal
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

from napari_ufseg._napari.apply.file_table import FolderFiles
from napari_ufseg._napari.apply.folder_run import FolderRun
from napari_ufseg._napari.apply.model_panel import ResultsPanel
from napari_ufseg._napari.background import Lifeline
from napari_ufseg._napari.method.preferences import user_defaults
from napari_ufseg._napari.parts import labelled_choice, name_widget
from napari_ufseg.engine.errors import UfsegError
from napari_ufseg.io import LABEL_FORMATS, TIFF, label_formats_told

if TYPE_CHECKING:
    from napari_ufseg.batch.folder import BatchPlan, BatchSummary
    from napari_ufseg.engine.network.model import SegmentationModel

_EXISTING = [("Keep them, skip the image", "skip"), ("Overwrite them", "overwrite")]


class FolderPanel(QWidget):
    """Label every image of a folder with the model of the dock.

    Parameters
    ----------
    results : ResultsPanel
        Has the model.
    parent : QWidget
        The widget of the dock; when it is taken out of the window the run is cancelled.
    under_way : callable
        Says what else is being computed, in one sentence; empty if nothing is.

    Attributes
    ----------
    device : str
        Where to compute, as in `napari_ufseg.segment`.
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

    def __init__(self, results: ResultsPanel, parent: QWidget, under_way: Callable[[], str]) -> None:
        super().__init__(parent)
        self.device = "auto"
        self._results = results
        self._under_way = under_way
        self._lifeline = Lifeline[FolderRun]()
        self._proposed = ""
        self._cancelled = False
        self._build()
        self.folder.textChanged.connect(self._propose_output)
        self.output.textChanged.connect(self._enable)
        self._start.clicked.connect(self.start)
        self._cancel.clicked.connect(self.cancel)
        results.model_changed.connect(self._enable)
        parent.installEventFilter(self)
        self.destroyed.connect(self._lifeline.cut)
        self._enable()

    @property
    def is_running(self) -> bool:
        """Whether a folder is being labelled."""
        return self._lifeline.run is not None

    def start(self, *_: object) -> None:
        """Label what is chosen, as the button does."""
        model = self._results.model_as_shown
        if model is None:
            return
        if busy := self._under_way():
            show_info(busy)
            return
        try:
            plan = self._plan(model)
        except UfsegError as error:
            self._refuse(str(error))
            return
        run = self._lifeline.run = FolderRun(plan, user_defaults().thread_limit, self)
        run.progressed.connect(self._files.show_progress)
        run.file_done.connect(self._files.show_done)
        run.ended.connect(self._on_ended)
        self._cancelled = False
        self._files.begin(plan.folder)
        self._enable()
        run.start()

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
            device=self.device,
        )

    def cancel(self, *_: object) -> None:
        """Drop the image under way and keep the labels that are written; does not wait."""
        if self._lifeline.run is not None:
            self._cancelled = True
            self._lifeline.run.abandon()
            self._cancel.setEnabled(False)
            self._files.status.setText("Cancelling: the image under way is dropped")

    def shut_down(self) -> None:
        """Cancel and wait until the thread has let go, as when the dock is closed."""
        run = self._lifeline.run
        if run is not None:
            self._lifeline.cut()
            run.deleteLater()
            self._enable()
            self._files.end(None, "The run was cancelled because the dock was closed.", cancelled=True)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Notice that the dock was closed: its widget loses its parent, and is never told in another way."""
        is_moved = event is not None and event.type() == QEvent.Type.ParentChange
        if is_moved and watched is not None and watched.parent() is None:
            self.shut_down()
        return bool(super().eventFilter(watched, event))

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
        name_widget(self._start, "start", "Label the folder", "Label every image of the folder with the model.")
        name_widget(
            self._cancel, "cancel", "Cancel", "End the run; what is written stays, and a later run does the rest."
        )
        row = QHBoxLayout()
        row.addWidget(self._start)
        row.addWidget(self._cancel)
        self._files = FolderFiles(self)
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
            chosen = QFileDialog.getExistingDirectory(self, title, line.text())
            if chosen:
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

    def _on_ended(self, summary: "BatchSummary | None", error: str) -> None:
        run, self._lifeline.run = self._lifeline.run, None
        if run is None:  # the dock was closed
            return
        run.deleteLater()
        self._enable()
        self._files.end(summary, error, cancelled=self._cancelled and bool(summary and summary.left))
        if summary is None:
            self._refuse(error)
        else:
            self.finished.emit(summary)

    def _refuse(self, message: str) -> None:
        self._files.status.setText(message)
        show_error(message)
        self.failed.emit(message)
