"""What a run shows of itself: buttons, progress with time left, status and curves."""

import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QVBoxLayout, QWidget
from tqdm import tqdm

from napari_ufseg._napari.background import JobState, Progress
from napari_ufseg._napari.parts import Folding, PlainLabel, allow, named_button, plain
from napari_ufseg._napari.run.curves import CurvesPlot
from napari_ufseg.engine.errors import counted

if TYPE_CHECKING:
    from napari_ufseg.engine.training.results import Segmentation, Snapshot

_READY = "Ready"
_GO_ON = (
    "Train on from the classes that are shown; they become the only ones (Undo brings the others back). "
    "Pixels that you have changed keep their class, and teach it to the rest."
)
_NEXT, _THEN = "Move Detail until you see your objects, then save.", "Correct them if you like, then save."
_QUEUED = (
    "Waiting for another run or job to end, perhaps in another window, where it may be paused. Stop ends the waiting."
)
_BUSY = "Something is under way: wait until it has ended, or press Stop."
_NOTHING_TO_PAUSE, _NOTHING_TO_STOP = "There is no run to hold.", "Nothing is under way."
_NO_PAUSE = "This can't be held now."
_STATUS_LINES = 2
_ENDED = {
    "epochs": "all epochs done",
    "min_classes": "target number of classes reached",
    "settled": "the picture has settled",
    "stopped": "stopped by you",
}


class RunPanel(QWidget):
    """Segment, Pause, Stop, and the state of the run in words and bar; `curves`, which show the result that is active, are laid out by their owner.

    A model that is applied is shown in the same bar and words, without curves and without Pause.

    Signals
    -------
    segment_clicked(), continue_clicked(), pause_clicked(), stop_clicked()
    """

    segment_clicked = Signal()
    continue_clicked = Signal()
    pause_clicked = Signal()
    stop_clicked = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._labelled = 0.0  # share of the pixels
        self._what = "labels"  # that the pixels get
        self._is_idle = True
        self._why_not_go_on = ""
        self._was_dropped = False
        self._lacking = ""
        self._images: weakref.WeakSet[Image] = weakref.WeakSet()  # that words and bar are about
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        row = QHBoxLayout()
        column.addLayout(row)
        self.segment = named_button("Segment", "segment", "Train on the chosen image and show its classes live.", "F5")
        self.go_on = named_button("Continue", "continue", _GO_ON, "F8")
        self.pause = named_button("Pause", "pause", "Hold the run after the present step, or let it go on.", "F6")
        self.stop = named_button("Stop", "stop", "End the run and keep the labels that are shown.", "F7")
        for button, signal in (
            (self.segment, self.segment_clicked),
            (self.go_on, self.continue_clicked),
            (self.pause, self.pause_clicked),
            (self.stop, self.stop_clicked),
        ):
            button.clicked.connect(lambda _=False, signal=signal: signal.emit())
            row.addWidget(button)
        self.progress = QProgressBar()
        self.progress.setObjectName("ufseg.progress")
        self.progress.setAccessibleName("Progress of the run")
        self.progress.setFormat("")
        column.addWidget(self.progress)
        self.status = _Status(_READY)
        self.status.setObjectName("ufseg.status")
        column.addWidget(self.status)
        self.curves = Folding("Curves", "curves", "Loss and number of classes over the epochs of the run.")
        self.plot = CurvesPlot()
        self.curves.addWidget(self.plot)
        self.follow(None)

    def lack(self, words: str) -> None:
        """Forbid Segment and say what is needed for it; allow it if nothing is."""
        if self.status.text() in (_READY, self._lacking):
            self.status.setText(words or _READY)
        self._lacking = words
        self._enable(segment=self._is_idle, pause=self.pause.isEnabled(), stop=self.stop.isEnabled())

    def allow_continue(self, why_not: str) -> None:
        """Say why there are no labels whose training can go on; with nothing to say it can."""
        self._why_not_go_on = why_not
        allow(self.go_on, why_not if self._is_idle else _BUSY)

    def speak_of(self, images: Iterable[Image]) -> None:
        """From now on words and bar are about these images."""
        self._images = weakref.WeakSet(images)
        self._was_dropped = False

    def forget(self, chosen: Iterable[Image]) -> None:
        """Let what came of an earlier run not stand there as if it were about the images that are chosen now.

        While something runs, everything is kept. That a run was dropped is
        no result of any image, and is kept until there is another choice.

        Parameters
        ----------
        chosen : iterable of napari.layers.Image
            What the next run would take.
        """
        wanted = set(chosen)
        if not self._is_idle or (wanted and wanted <= set(self._images)) or (not wanted and self._was_dropped):
            return
        self._was_dropped = False
        self.status.setText(self._lacking or _READY)
        self.progress.setRange(0, 1)
        self.progress.setValue(0)
        self.progress.setFormat("")

    def begin(self, name: str) -> None:
        """Show that a run on the image of that name starts."""
        self.status.setToolTip("")
        self._what = "labels"
        self.progress.setRange(0, 0)
        self.progress.setFormat("starting")
        self.status.setText(f"Starting on {name}")

    def follow(self, state: JobState | None) -> None:
        """Enable the buttons that make sense in a state; None before the first run."""
        active = state is not None and not state.is_final
        self._enable(
            segment=not active,
            pause=state in (JobState.RUNNING, JobState.LABELLING, JobState.PAUSED),
            stop=active and state is not JobState.STOPPING,
        )
        self._is_paused = paused = state is JobState.PAUSED
        if self.pause.text() != ("Resume" if paused else "Pause"):
            self.pause.setText("Resume" if paused else "Pause")
            self.pause.setShortcut(QKeySequence("F6"))  # a new text clears it
        if state is JobState.LABELLING:
            self.status.setText("Trained; now every pixel gets its label (Stop leaves the rest empty)")
        if state is JobState.STOPPING:
            self.status.setText("Stopping after the present step")
        if paused:
            self.status.setText(f"Paused. {self.status.text()}")
        if not active:
            self.progress.setRange(0, max(1, self.progress.maximum()))

    def update_from(self, snapshot: "Snapshot", device: str) -> None:
        """Show the numbers of a snapshot."""
        if snapshot.labelled is None:
            left = tqdm.format_interval(snapshot.seconds_left)
            self.progress.setRange(0, snapshot.epochs)
            self.progress.setValue(snapshot.epoch)
            self.progress.setFormat(f"epoch {snapshot.epoch} of {snapshot.epochs}, at most {left} left")
        else:
            self._show_labelled(snapshot.labelled, snapshot.seconds_left)
        loss = snapshot.losses.get("total")  # none where nothing is trained
        told = "" if loss is None else f", loss {loss:.3f}"
        words = f"{counted(snapshot.n_classes, 'class')}{told}, on {device}"
        self.status.setText(f"Paused. {words}" if self._is_paused else words)

    def wait(self) -> None:
        """Show that another job has the processor."""
        self.status.setText(_QUEUED)

    def end(self, segmentation: "Segmentation", n_classes: int, device: str, n_shown: int) -> None:
        """Show how a run ended, and what to do next.

        Parameters
        ----------
        segmentation : Segmentation
        n_classes : int
            That there are.
        device : str
            In words.
        n_shown : int
            Classes that are shown.
        """
        epochs = len(segmentation.history)
        classes = counted(n_classes, "class")
        if not epochs:
            self.progress.setFormat("labels 100%" if segmentation.is_complete else "stopped")
            self.status.setText(f"Done: {classes} of an earlier epoch.")
            self.status.setToolTip(plain(f"On {device}."))
            return
        seconds = tqdm.format_interval(sum(record.seconds for record in segmentation.history))
        self.progress.setRange(0, epochs)
        self.progress.setValue(epochs)
        self.progress.setFormat(f"{counted(epochs, 'epoch')} in {seconds}")
        odd = _odd_end(segmentation, n_classes)
        note = f" ({odd})" if odd else ""
        done, then = ("Done", _NEXT) if n_shown < n_classes else (f"Done: {classes}", _THEN)  # the detail may move
        self.status.setText(f"{done}{note}. {then}")
        ended = _ENDED[segmentation.stop_reason]
        self.status.setToolTip(f"{counted(epochs, 'epoch')} in {seconds} on {device}: {ended}.")

    def begin_applying(self, words: str, what: str = "labels") -> None:
        """Show that a model is being applied, and what it gives to every pixel."""
        self._enable(segment=False, pause=False, stop=True)
        self._labelled, self._what = 0.0, what
        self.progress.setRange(0, 0)
        self.progress.setFormat("starting")
        self.status.setText(words)

    def show_applied(self, progress: Progress) -> None:
        """Show how far a model has been applied."""
        if progress.seconds_left is None:
            self.progress.setFormat("reading the image")
            return
        self._show_labelled(progress.share, progress.seconds_left)

    def stop_applying(self) -> None:
        """Show that it will end soon."""
        self._enable(segment=False, pause=False, stop=False)
        self.status.setText("Stopping after the present tile")

    def end_applying(self, words: str) -> None:
        """Show what came of it."""
        self._enable(segment=True, pause=False, stop=False)
        self.progress.setRange(0, max(1, self.progress.maximum()))
        done = f"{self._what} {self._labelled:.0%}" if self._labelled else ""
        self.progress.setFormat(done)  # as in the words; the bar itself rounds down
        self.status.setText(words)

    def drop(self, why: str) -> None:
        """Show that a run was dropped; why is the end of a sentence."""
        self.fail(f"The run was stopped because {why}.")
        self._was_dropped = True

    def fail(self, message: str) -> None:
        """Show why a run ended without a result."""
        self.progress.setRange(0, max(1, self.progress.maximum()))
        self.progress.setFormat("no result")
        self.status.setText(message)

    def _show_labelled(self, share: float, seconds_left: float) -> None:
        self._labelled = share
        self.progress.setRange(0, 1000)
        self.progress.setValue(round(1000 * share))
        self.progress.setFormat(f"{self._what} {share:.0%}, about {tqdm.format_interval(seconds_left)} left")

    def _enable(self, *, segment: bool, pause: bool, stop: bool) -> None:
        self._is_idle = segment
        allow(self.segment, self._lacking if segment else _BUSY)
        allow(self.go_on, self._why_not_go_on if segment else _BUSY)
        allow(self.pause, "" if pause else _NOTHING_TO_PAUSE if segment else _NO_PAUSE)
        allow(self.stop, "" if stop else _NOTHING_TO_STOP if segment else "It is being stopped.")


def _odd_end(segmentation: "Segmentation", n_classes: int) -> str:
    """How a run ended, if that is not as it should; else nothing."""
    config, reason = segmentation.config, segmentation.stop_reason
    said = []
    if reason == "min_classes":
        is_one = config.min_classes == 1  # as when all is background, or after Continue, which has no target
        said.append("only one class is left" if is_one else _ENDED[reason])
    elif reason == "stopped":
        said.append(_ENDED[reason])
    said.append(segmentation.count_note)
    # classes that begin as clusters seldom merge; there the target only guards
    if config.start == "random" and 1 < config.min_classes < n_classes and reason in ("epochs", "settled"):
        said.append(f"more than the target of {config.min_classes}")
    if not segmentation.is_complete:
        said.append("the rest of the labels left out")
    return ", ".join(filter(None, said))


class _Status(PlainLabel):
    """Words at the top of their room, which has two lines even for one."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.setWordWrap(True)
        self.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)

    def heightForWidth(self, width: int) -> int:
        """Pixels that the words need, and at least those of two lines."""
        return max(super().heightForWidth(width), _STATUS_LINES * self.fontMetrics().lineSpacing())
