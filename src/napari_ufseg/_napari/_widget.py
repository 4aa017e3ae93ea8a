"""SegmentationWidget: assembles the parts, forwards clicks, mirrors the state of the run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtWidgets import QFormLayout, QFrame, QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from napari_ufseg._napari._classes_layer import ClassesLayer
from napari_ufseg._napari._controls import ConfigControls, labelled_choice
from napari_ufseg._napari._layers import Plane, current_plane, title_of
from napari_ufseg._napari._results import ResultsPanel
from napari_ufseg._napari._run_panel import RunPanel
from napari_ufseg._napari._settings import user_defaults
from napari_ufseg._napari._worker import Lifeline, RunPlan, RunState, TrainingRun, load_heavy_parts
from napari_ufseg.engine.config import PRESETS, SegmentationConfig
from napari_ufseg.engine.errors import ImageError, UfsegError
from napari_ufseg.engine.labels import class_areas
from napari_ufseg.engine.threads import DEVICES

if TYPE_CHECKING:
    from napari_ufseg.engine.results import Segmentation, Snapshot


class SegmentationWidget(QWidget):
    """The dock widget.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Injected by napari.

    Signals
    -------
    run_finished(Segmentation)
        At the end of every run that has a result, also after Stop; its labels are in the layers.
    run_failed(str)
        One sentence, which the user has seen as a notification.
    """

    run_finished = Signal(object)
    run_failed = Signal(str)

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._defaults = user_defaults()
        self._lifeline = Lifeline()
        self._layers: list[ClassesLayer] = []
        self._build()
        self._connect()
        self.reset_choices()
        self._follow_active_layer()
        load_heavy_parts()

    # -- for scripts and for the command line ----------------------------------------------------

    @property
    def config(self) -> SegmentationConfig:
        """All options, as the controls show them."""
        return self._controls.config

    @config.setter
    def config(self, config: SegmentationConfig) -> None:
        self._controls.config = config

    @property
    def device(self) -> str:
        """The device that is asked for; the one in use is told in the status."""
        return str(self._device.value)

    @device.setter
    def device(self, name: str) -> None:
        self._device.value = name

    @property
    def is_running(self) -> bool:
        """Whether a run is under way (paused ones count)."""
        run = self._lifeline.run
        return run is not None and not run.state.is_final

    def segment(self) -> None:
        """Start a run on the current plane of the chosen image, as the button does."""
        image = self._image.value
        if image is None:
            show_warning("There is no image to segment: open one first (File > Open Sample has some).")
            return
        self.segment_layers([image])

    def segment_layers(
        self,
        layers: Sequence[Image],
        *,
        images: Sequence[Any] | None = None,
        channel_axis: int | None = None,
        scribbles: Sequence[Any] | None = None,
    ) -> None:
        """Start one run on several Image layers jointly.

        Parameters
        ----------
        layers : sequence of napari.layers.Image
            Each gets a Labels layer ``<name> classes``.
        images : sequence of arrays, optional
            The pixels to train on, one per layer; default: the current plane of each layer.
        channel_axis : int, optional
            Which axis of `images` holds the channels.
        scribbles : sequence of (Y, X) integer arrays, optional
            0 for none, s trains the class that is shown as label s.
        """
        if self.is_running:
            show_info("A run is under way: stop it before you start another one.")
            return
        try:
            planes = [current_plane(layer, tuple(self._viewer.dims.point)) for layer in layers]
            config = self._controls.config
        except UfsegError as error:
            self._report_failure(str(error))
            return
        self._layers = [ClassesLayer(self._viewer, layer, plane) for layer, plane in zip(layers, planes, strict=True)]
        if images is None:
            images, channel_axis = [plane.channels_last for plane in planes], 2
        plan = RunPlan(
            images=images,
            config=config,
            channel_axis=channel_axis,
            scribbles=scribbles,
            device=self.device,
            threads=self._defaults.thread_limit,
            every=1 / self._defaults.pictures_per_second,
        )
        self._start(plan, ", ".join(title_of(layer, plane) for layer, plane in zip(layers, planes, strict=True)))

    def pause_or_resume(self) -> None:
        """Hold the run, or let it go on."""
        run = self._lifeline.run
        if run is None:
            return
        if run.state is RunState.PAUSED:
            run.resume()
        else:
            run.pause()

    def stop(self) -> None:
        """End the run and keep its labels."""
        if self._lifeline.run is not None:
            self._lifeline.run.stop()

    def reset_choices(self, event: Any = None) -> None:
        """Read the list of images anew; napari calls this when layers come, go or are renamed."""
        self._image.reset_choices(event)

    # -- assembly ----------------------------------------------------------------------------------

    def _build(self) -> None:
        preset = self._defaults.preset
        self._image = labelled_choice(
            "Image", "ufseg.image", annotation=Image, tip="The image to segment; follows the active layer."
        )
        self._preset = labelled_choice("Preset", "ufseg.preset", value=preset, choices=tuple(PRESETS),
                               tip="Starting point for all options.")  # fmt: skip
        self._device = labelled_choice("Device", "ufseg.device", value=self._defaults.device, choices=DEVICES,
                               tip="Where to compute; auto takes a GPU if there is one.")  # fmt: skip
        self._reset = QPushButton("Reset to preset")
        self._reset.setObjectName("ufseg.reset")
        self._reset.setToolTip("Undo your changes to the options.")
        self._controls = ConfigControls(SegmentationConfig.preset(preset), self)
        self._run_panel = RunPanel(self)
        self.results = ResultsPanel(self._viewer, self._chosen_plane, self)

        form = QFormLayout()
        form.addRow("Image", self._image.native)
        preset_row = QHBoxLayout()
        preset_row.addWidget(self._preset.native, 1)
        preset_row.addWidget(self._reset)
        form.addRow("Preset", preset_row)
        device_form = QFormLayout()
        device_form.addRow("Device", self._device.native)

        content = QWidget()
        column = QVBoxLayout(content)
        for layout in (form, self._controls.basic, device_form):
            column.addLayout(layout)
        for part in (self._controls.advanced, self._run_panel.curves, self.results):
            column.addWidget(part)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidget(content)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll = scroll
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll, 1)
        outer.addWidget(self._run_panel)  # below what scrolls, so that it is always in sight

    def _connect(self) -> None:
        self._preset.changed.connect(self._reset_to_preset)
        self._reset.clicked.connect(self._reset_to_preset)
        self._controls.changed.connect(self._mark_changes)
        self._run_panel.segment_clicked.connect(self.segment)
        self._run_panel.pause_clicked.connect(self.pause_or_resume)
        self._run_panel.stop_clicked.connect(self.stop)
        self._viewer.layers.selection.events.active.connect(self._follow_active_layer)
        self._viewer.layers.events.removed.connect(self._on_layer_removed)
        self._controls.advanced.toggled.connect(self._fit_width)
        self.destroyed.connect(self._lifeline.cut)
        self._mark_changes()

    def event(self, event: QEvent | None) -> bool:
        """Notice that the dock was closed: the widget loses its parent, and is never told in another way."""
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None and self.is_running:
            self._close_run("the dock was closed")
        elif event is not None and event.type() == QEvent.Type.Show:
            self._fit_width()
        return bool(super().event(event))

    def _fit_width(self, *_: object) -> None:
        """Be as wide as what is unfolded needs, so that nothing must be scrolled sideways."""
        content, bar = self._scroll.widget(), self._scroll.verticalScrollBar()
        if content is not None and bar is not None:
            self._scroll.setMinimumWidth(content.minimumSizeHint().width() + bar.sizeHint().width())

    # -- options -----------------------------------------------------------------------------------

    def _reset_to_preset(self, *_: object) -> None:
        self._controls.config = SegmentationConfig.preset(self._preset.value)

    def _mark_changes(self) -> None:
        self._reset.setEnabled(self._controls.config != SegmentationConfig.preset(self._preset.value))

    def _follow_active_layer(self, _: Any = None) -> None:
        active = self._viewer.layers.selection.active
        if isinstance(active, Image) and active in self._image.choices:
            self._image.value = active

    def _chosen_plane(self) -> tuple[Image, Plane]:
        image = self._image.value
        if image is None:
            raise ImageError("There is no image to work on: open one first.")
        return image, current_plane(image, tuple(self._viewer.dims.point))

    # -- the run -----------------------------------------------------------------------------------

    def _start(self, plan: RunPlan, name: str) -> None:
        run = self._lifeline.run = TrainingRun(plan, self)
        run.state_changed.connect(self._on_state)
        run.updated.connect(self._on_snapshot)
        run.finished.connect(self._on_finished)
        run.failed.connect(self._on_failed)
        run.warned.connect(show_warning)
        self._run_panel.begin(name)
        self._run_panel.follow(run.state)
        self._controls.set_enabled(False)
        run.start()

    def _on_state(self, state: RunState) -> None:
        self._run_panel.follow(state)
        if state.is_final:
            self._controls.set_enabled(True)

    def _on_snapshot(self, snapshot: "Snapshot") -> None:
        for layer, labels in zip(self._layers, snapshot.labels, strict=True):
            layer.show(labels)
        assert self._lifeline.run is not None
        self._run_panel.update_from(snapshot, self._lifeline.run.device)

    def _on_finished(self, segmentation: "Segmentation") -> None:
        for layer, labels in zip(self._layers, segmentation.labels, strict=True):
            layer.show(labels)
        self._release(
            stop_reason=str(segmentation.stop_reason), epochs=len(segmentation.history), device=segmentation.device
        )
        self.results.model = segmentation.model
        self.results.labels_layer = self._layers[0].layer
        n_classes = len(class_areas(list(segmentation.labels)))
        assert self._lifeline.run is not None
        self._run_panel.end(segmentation, n_classes, self._lifeline.run.device)
        self.run_finished.emit(segmentation)

    def _on_failed(self, message: str) -> None:
        self._release(stop_reason="failed")
        self._report_failure(message)

    def _report_failure(self, message: str) -> None:
        self._run_panel.fail(message)
        show_error(message)
        self.run_failed.emit(message)

    def _on_layer_removed(self, event: Any) -> None:
        if not self.is_running:
            return
        for layer in self._layers:
            layer.notice_removal()
        if any(layer.layer == event.value for layer in self._layers):
            self._close_run("its Labels layer was removed", wait=False)

    def _close_run(self, why: str, *, wait: bool = True) -> None:
        run = self._lifeline.run
        assert run is not None
        run.abandon()
        if wait:
            run.wait()
        self._release(stop_reason="stopped")
        self._run_panel.fail(f"The run was stopped because {why}.")

    def _release(self, **about: Any) -> None:
        """Make the Labels layers ordinary ones, with a record of how they came about."""
        from napari_ufseg.engine.provenance import versions

        config = self._lifeline.run.plan.config if self._lifeline.run else self._controls.config
        record = {"config": config.to_dict(), "preset": self._preset.value, "seed": config.seed, "versions": versions()}
        for layer in self._layers:
            layer.release({**record, **about})
