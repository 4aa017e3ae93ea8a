"""What a batch shows of itself: a bar with the time left, and a table of the files."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QProgressBar,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)
from tqdm import tqdm

from napari_ufseg._napari.parts import PlainLabel, name_widget, plain

if TYPE_CHECKING:
    from napari_ufseg.batch.folder import BatchSummary, FileDone, FileProgress

_FILE_PIXELS, _MARGIN_PIXELS = 96, 18
_STATUSES = ("written", "skipped", "failed", "dropped", "100%")
_STEPS = 10**6  # of the bar; the files are of any number


class FileTable(QWidget):
    """The bar, one sentence, and a row for each file."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._folder = Path()
        self._rows: dict[int, int] = {}  # number of a file: its row
        self._begun = 0.0
        self._n_skipped = 0
        self.progress = QProgressBar()
        self.progress.setFormat("")
        self.status = PlainLabel()
        self.status.setWordWrap(True)
        self.table = QTableWidget(0, 3)
        self.table.setHorizontalHeaderLabels(["File", "Status", "Message"])
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setMinimumHeight(160)
        header, numbers = self.table.horizontalHeader(), self.table.verticalHeader()
        assert header is not None
        assert numbers is not None
        header.setMinimumSectionSize(40)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        header.resizeSection(0, _FILE_PIXELS)
        widest = max(map(self.fontMetrics().horizontalAdvance, (*_STATUSES, "Status")))
        header.resizeSection(1, widest + _MARGIN_PIXELS)
        self.table.setWordWrap(False)
        self.table.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.table.setItemDelegateForColumn(0, _ElidedInTheMiddle(self.table))
        numbers.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        name_widget(self.progress, "progress", "Progress of the folder", "Files that are done, and the time left.")
        name_widget(self.status, "status", "State of the folder", "")
        name_widget(self.table, "table", "Files of the folder", "What became of each image.")
        column.addWidget(self.progress)
        column.addWidget(self.status)
        column.addWidget(self.table, 1)

    def begin(self, folder: Path) -> None:
        """Show that the images of a folder are looked for."""
        self._folder, self._rows, self._begun, self._n_skipped = folder, {}, 0.0, 0
        self.table.setRowCount(0)
        self.progress.setRange(0, 0)
        self.progress.setFormat("")
        self.status.setText(f"Looking for images in {folder}")

    def show_progress(self, event: "FileProgress") -> None:
        """Show that a file is under way."""
        if not self._begun:
            self._begun, self._n_skipped = time.monotonic(), event.number - 1
        self._fill(event.number, event.path, f"{event.share:.0%}", "")
        self._show_share(event.number - 1, event.total, event.share)
        self.status.setText(f"Labelling {event.path.name}")

    def show_done(self, event: "FileDone") -> None:
        """Show what became of a file."""
        self._n_skipped += event.status == "skipped" and bool(self._begun)
        self._fill(event.number, event.path, event.status, event.message, event.output)
        self._show_share(event.number, event.total, 0.0)

    def end(self, summary: "BatchSummary | None", error: str, *, cancelled: bool) -> None:
        """Show how it ended."""
        status = self.table.item(self.table.rowCount() - 1, 1)
        if status is not None and status.text().endswith("%"):  # it was under way
            status.setText("dropped")
        if self.progress.maximum() == 0:
            self.progress.setRange(0, _STEPS)
        self.progress.setFormat("cancelled" if cancelled else "" if summary is None else "done")
        if summary is None:
            self.status.setText(error)
        elif cancelled:
            self.status.setText(f"Cancelled: {summary}. Start again to do the rest.")
        elif summary.reason:
            self.status.setText(f"Given up, since no more labels can be written: {summary}.")
        else:
            how = " (Overwrite them, under Existing labels, does the skipped anew)" if summary.skipped else ""
            self.status.setText(f"Done: {summary}{how}.")

    def _show_share(self, n_done: int, total: int, share: float) -> None:
        self.progress.setRange(0, _STEPS)
        self.progress.setValue(int(_STEPS * (n_done + share) / total))
        worked = n_done + share - self._n_skipped
        words = f"{n_done} of {total} files"
        if self._begun and worked > 0:
            left = (time.monotonic() - self._begun) / worked * (total - n_done - share)
            words += f", about {tqdm.format_interval(left)} left"
        self.progress.setFormat(words)

    def _fill(self, number: int, path: Path, status: str, message: str, output: Path | None = None) -> None:
        bar = self.table.verticalScrollBar()
        at_end = bar is None or bar.value() == bar.maximum()
        if number not in self._rows:
            row = self._rows[number] = self.table.rowCount()
            self.table.insertRow(row)
            for column in range(3):
                self.table.setItem(row, column, QTableWidgetItem())
        row = self._rows[number]
        tip = f"{path}\n{output}" if output else str(path)
        texts = ((str(path.relative_to(self._folder)), tip), (status, tip), (_about_it(message, path, output), message))
        for column, (text, its_tip) in enumerate(texts):
            item = self.table.item(row, column)
            assert item is not None
            item.setText(text)
            item.setToolTip(plain(its_tip))
        if at_end:
            self.table.scrollToBottom()


class _ElidedInTheMiddle(QStyledItemDelegate):
    """Cells whose text, where it is too long, keeps its beginning and its end: of a file what tells it from its neighbours."""

    def initStyleOption(self, option: QStyleOptionViewItem | None, index: QModelIndex) -> None:
        """Say so to whoever paints the cell."""
        super().initStyleOption(option, index)
        if option is not None:
            option.textElideMode = Qt.TextElideMode.ElideMiddle


def _about_it(message: str, path: Path, output: Path | None) -> str:
    """The message in the row of an image, where its path needn't be said again."""
    name = str(path)
    for way in (f"The image {name}", f"the image {name}", name, name[0].lower() + name[1:]):
        message = message.replace(way, "it")
    if output is not None:
        message = message.replace(str(output), output.name)
    return message[:1].upper() + message[1:]
