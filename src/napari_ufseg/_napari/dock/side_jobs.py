"""What computes beside runs - a model that is applied, confidence, variations - shown in the same bar and words."""

from collections.abc import Callable, Iterable
from typing import Any

from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject

from napari_ufseg._napari.apply.apply_model import ModelApplication
from napari_ufseg._napari.background import Busy
from napari_ufseg._napari.method.estimate_line import EstimateLine
from napari_ufseg._napari.method.variations_panel import VariationsPanel
from napari_ufseg._napari.result.confidence_panel import ConfidencePanel
from napari_ufseg._napari.run.run_panel import RunPanel


class SideJobs(QObject):
    """Follows them, keeps them apart from each other and from runs, and ends them.

    Parameters
    ----------
    panel : RunPanel
        Shows how far they are.
    estimate : EstimateLine
        Waits meanwhile.
    images : callable
        The Image layers that are chosen.
    busy : Busy
        Learns of them.
    """

    def __init__(
        self,
        panel: RunPanel,
        estimate: EstimateLine,
        images: Callable[[], Iterable[Image]],
        busy: Busy,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._panel, self._estimate, self._images, self._busy = panel, estimate, images, busy
        self._stops: list[tuple[Any, Callable[[], None]]] = []
        self._closes: list[Callable[[], None]] = []

    def add_application(self, application: ModelApplication) -> None:
        """A model that is applied."""
        self._add(application, "A model is being applied", lambda: application.close("the dock was closed"))
        application.began.connect(lambda name: self._begin(f"Applying the model to {name}"))
        application.failed.connect(self._end)
        application.failed.connect(show_error)
        application.progressed.connect(self._panel.show_applied)

    def add_confidence(self, confidence: ConfidencePanel) -> None:
        """The measuring of margins."""
        self._add(confidence, "Confidence is being measured", confidence.close_run)
        confidence.began.connect(lambda name: self._begin(f"Measuring the confidence of {name}", "confidence"))
        confidence.progressed.connect(self._panel.show_applied)
        confidence.told.connect(self._panel.status.setText)

    def add_variations(self, variations: VariationsPanel) -> None:
        """Six quick runs."""
        self._add(variations, "Variations are being tried", variations.close_run)
        variations.began.connect(lambda: self._begin("Trying six variations at low resolution"))

    def stop(self) -> None:
        """End what is under way, and say so."""
        for job, stop in self._stops:
            if job.is_running:
                self._panel.stop_applying()
                stop()

    def close(self) -> None:
        """Drop all of them and wait until their threads have let go."""
        for close in self._closes:
            close()

    def _add(self, job: Any, words: str, close: Callable[[], None]) -> None:
        self._busy.add(lambda: job.is_running, words, "Stop (F7)")
        self._stops.append((job, job.stop))
        self._closes.append(close)
        job.ended.connect(self._end)

    def _begin(self, words: str, what: str = "labels") -> None:
        self._panel.speak_of(self._images())
        self._panel.begin_applying(words, what)
        self._estimate.refresh()  # its figure is for Segment
        self._estimate.hold(True)

    def _end(self, words: str) -> None:
        self._panel.end_applying(words)
        self._estimate.hold(False)
