"""SegmentationWidget: assembles the parts, forwards clicks, mirrors the state of the run."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.viewer import Viewer
from qtpy.QtCore import QEvent, Signal
from qtpy.QtWidgets import QWidget

from napari_ufseg._napari.apply.folder_panel import FolderPanel
from napari_ufseg._napari.apply.model_panel import ModelPanel
from napari_ufseg._napari.background import Job, Jobs, JobState
from napari_ufseg._napari.dock.layout import Foldings, lay_out
from napari_ufseg._napari.dock.preparation import Preparation
from napari_ufseg._napari.image.image_panel import NO_IMAGE, ImagePanel
from napari_ufseg._napari.layers.region import Extent, ImageRegion, region_of
from napari_ufseg._napari.layers.result_layer import belongs_to
from napari_ufseg._napari.method.device_choice import load_heavy_parts
from napari_ufseg._napari.method.estimate_line import EstimateLine, Question
from napari_ufseg._napari.method.method_panel import MethodPanel
from napari_ufseg._napari.method.preferences import Settings, user_defaults
from napari_ufseg._napari.parts import Folding, Section, show_error, show_info, show_warning
from napari_ufseg._napari.result.controller import ResultController
from napari_ufseg._napari.result.result import Result
from napari_ufseg._napari.run.live_run import LiveRun
from napari_ufseg._napari.run.run_panel import RunPanel
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import UfsegError
from napari_ufseg.engine.images.source import ImageSource

if TYPE_CHECKING:
    from napari_ufseg.engine.training.results import Segmentation


class SegmentationWidget(QWidget):
    """The dock widget.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Injected by napari.

    Signals
    -------
    run_finished(Segmentation)
        At the end of every run that has a result, also after Stop; its labels have all classes. They are the
        data of the layers, and change when somebody paints, where these show all classes.
    run_failed(str)
        One sentence, which the user has seen as a notification.
    """

    run_finished = Signal(object)
    run_failed = Signal(str)

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._jobs = Jobs(self)
        self._settings = Settings(lambda: self.device)
        self._run = LiveRun(napari_viewer, self._jobs, self._settings, self)
        self._build()
        self._connect()
        self.reset_choices()
        self._follow_active_layer()
        load_heavy_parts()

    # -- for scripts and for the command line ----------------------------------------------------

    @property
    def config(self) -> SegmentationConfig:
        """All options, as the controls show them; for a volume the anisotropy is the image's unless another was set."""
        self._method.measure(self._source.anisotropy)
        return self._method.config.replace(spatial_dims=self._source.what.spatial_dims)

    @config.setter
    def config(self, config: SegmentationConfig) -> None:
        if config.spatial_dims != self._source.what.spatial_dims:
            self._source.what = Extent.VOLUME if config.spatial_dims == 3 else Extent.PLANES
        self._method.measure(self._source.anisotropy)  # before it is set: what is set stays
        self._method.config = config
        if config.anisotropy == 1:  # it was not set
            self._method.measure_anew()

    @property
    def preset(self) -> str:
        """The settings that the options began with; to set it sets all of them."""
        return self._method.preset

    @preset.setter
    def preset(self, name: str) -> None:
        self._method.preset = name

    @property
    def device(self) -> str:
        """The device that is asked for; the one in use is told in the status."""
        return self._method.device

    @device.setter
    def device(self, name: str) -> None:
        self._method.device = name

    @property
    def detail(self) -> int | str:
        """How many classes a new result shows at first: ``"auto"`` for what its tree suggests, ``"all"``, or a number."""
        return self._results.opens_at

    @detail.setter
    def detail(self, detail: int | str) -> None:
        self._results.opens_at = detail

    @property
    def is_running(self) -> bool:
        """Whether a run is under way (paused ones count)."""
        return self._run.is_running

    @property
    def what(self) -> str:
        """What of the image is segmented: ``"Current plane"``, ``"All planes"`` or ``"Volume (3D)"``."""
        return str(self._source.what)

    @what.setter
    def what(self, what: str) -> None:
        self._source.what = Extent(what)

    def tell_axes(self, layer: Image, axes: str) -> None:
        """Say what the axes of an image are, one letter for each, for example ``"TZYX"``."""
        self._source.tell_axes(layer, axes)

    def tell_brightness(self, layer: Image, **light: Any) -> None:
        """Say what counts of an image: `nodata` and `intensity_range`, as in `napari_ufseg.segment`."""
        self._source.tell_brightness([layer], light)

    def segment(self) -> None:
        """Start a run on what is chosen, as the button does."""
        if not (self._source.pixels.finish() and self._source.brightness.finish()):
            self._sections["image"].expand()
            return
        layers = self._source.layers
        if not layers:
            show_warning("There is no image to segment: open one first (File > Open Sample has some).")
            return
        self.segment_layers(layers)

    def segment_layers(
        self,
        layers: Sequence[Image],
        *,
        sources: Sequence[ImageSource] | None = None,
        scribbles: Sequence[Any] | None = None,
        config: SegmentationConfig | None = None,
        memory_budget: int | None = None,
    ) -> None:
        """Start one run on several Image layers jointly.

        Parameters
        ----------
        layers : sequence of napari.layers.Image
            Each gets a Labels layer ``<name> classes``.
        sources : sequence of ImageSource, optional
            Their pixels and axes, if they are known better than the layers say: what they hold is segmented.
        scribbles : sequence of integer arrays, optional
            0 for none, s trains the class that is shown as label s. Default: the layer that is chosen in the dock.
        config : SegmentationConfig, optional
            Default: what the controls show.
        memory_budget : int, optional
            Bytes that the process may take, as in `napari_ufseg.segment`.
        """
        if busy := self._jobs.busy:
            show_info(busy)
            return
        self._results.show_now()
        self._run_panel.speak_of(layers)
        try:
            for layer, source in zip(layers, sources or (), strict=False):
                self._source.tell_axes(layer, source.axes)
                if source.spatial_dims == 3:
                    self._source.what = Extent.VOLUME
                elif source.series_shape:
                    self._source.what = Extent.PLANES
            parts = list(map(region_of, layers, sources)) if sources else self._source.parts(layers)
            marks = scribbles if scribbles is not None else self.scribbles.arrays(parts)
            if list(layers) != self._source.layers:  # the estimate was for others
                self._estimate.refresh()
        except UfsegError as error:
            self._report_failure(str(error))
        else:
            self._start(parts, config=config or self.config, scribbles=marks, memory_budget=memory_budget)

    def train_on(self) -> None:
        """Let the training of the classes that are shown go on from what the user has made of them."""
        if busy := self._jobs.busy:
            show_info(busy)
            return
        self._results.train_on(self.config)

    def pause_or_resume(self) -> None:
        """Hold the run, or let it go on."""
        self._run.pause_or_resume()

    def stop(self) -> None:
        """End the run, or the application of a model, and keep the labels that are there."""
        if self._run.is_running:
            self._run.stop()
        elif self._jobs.stop():
            self._run_panel.stop_applying()

    def reset_choices(self, event: Any = None) -> None:
        """Read the list of images anew; napari calls this when layers come, go or are renamed."""
        self._source.reset_choices(event)
        self.scribbles.reset_choices()
        self._run_panel.forget(self._source.layers)

    # -- assembly ----------------------------------------------------------------------------------

    def _build(self) -> None:
        defaults, jobs, settings = user_defaults(), self._jobs, self._settings
        self._source = ImagePanel(self._viewer, self)
        self._method = MethodPanel(defaults.preset, defaults.device, self)
        self._run_panel = RunPanel(self)
        self._estimate = EstimateLine(self._question, settings, self)
        self.results = ModelPanel(self._viewer, self._source, jobs, settings, self)
        self.folder = FolderPanel(self.results, jobs, settings, self)
        self._results = ResultController(self._viewer, self._run, jobs, settings, self)
        self._before = Preparation(
            self._viewer, self._source, lambda: self.config, lambda: self.detail, jobs, settings, self
        )
        self._results.follow(self.results.application)
        self.classes = self._results.panel
        self.scribbles = self._results.scribbles = self._before.scribbles
        self._sections = {section.name: section for section in self._make_sections()}
        self._column, self._tabs = lay_out(self, list(self._sections.values()), self.folder)
        self._foldings = Foldings(list(self._sections.values()), self)
        self._foldings.show("image", "segment", *(("result", "keep") if self._results.active is not None else ()))

    def _make_sections(self) -> Iterator[Section]:
        """The steps of the work, from top to bottom."""
        run, method, results = self._run_panel, self._method, self._results
        yield Section("Image", "image", "Which image is segmented, and what of it.", [self._source])
        more = Folding(
            "More", "more_segment", "Scribbles, variations, smoothness, device, curves and all other options."
        )
        for part in (self.scribbles, self._before.variations, method.more, run.curves):
            more.addWidget(part)
        yield Section("Segment", "segment", "How it is segmented, and the run.", [method, run, self._estimate, more])
        more = Folding("More", "more_result", "Areas, regions, specks, scribbles and confidence.")
        for part in (self.classes.more, results.confidence):
            more.addWidget(part)
        parts = [results.time, self.classes, more]
        yield Section("Result", "result", "What came of it: how many classes are shown, and what they are.", parts)
        yield Section("Keep", "keep", "Labels and model into files, and the model for other images.", [self.results])

    def _connect(self) -> None:
        self._method.changed.connect(self._on_method)
        self._source.changed.connect(self._on_source)
        self._run_panel.segment_clicked.connect(self.segment)
        self._run_panel.continue_clicked.connect(self.train_on)
        self._run_panel.pause_clicked.connect(self.pause_or_resume)
        self._run_panel.stop_clicked.connect(self.stop)
        self._viewer.layers.selection.events.active.connect(self._follow_active_layer)
        run = self._run
        run.state_changed.connect(self._on_state)
        run.updated.connect(lambda snapshot: self._run_panel.update_from(snapshot, run.device))
        self._results.active_changed.connect(self._on_active)
        self.results.saving.connect(self._results.show_now)
        self.results.holding.connect(self._results.hold)
        self._results.start_wanted.connect(self._on_wanted)
        self.classes.failed.connect(show_error)
        run.finished.connect(self._on_finished)
        run.failed.connect(self._report_failure)
        run.warned.connect(show_warning)
        run.closed.connect(self._run_panel.drop)
        run.ended_early.connect(self._run_panel.fail)
        run.queued.connect(self._run_panel.wait)
        self._jobs.began.connect(self._on_job_began)
        self._jobs.ended.connect(self._on_job_ended)
        self._results.confidence.told.connect(self._run_panel.status.setText)
        self._before.chosen.connect(self._on_variation)
        self.results.refused.connect(self._run_panel.fail)
        for folding in self.findChildren(Folding):
            folding.toggled.connect(self._column.fit_width)
        self.results.model_changed.connect(self._tell_model)
        self._tell_model()
        self.results.folder_wanted.connect(lambda: self._tabs.setCurrentWidget(self.folder))
        self._on_method()
        self._on_source()
        self._on_active(self._results.active)

    def event(self, event: QEvent | None) -> bool:
        """Notice that the dock was closed: the widget loses its parent, and is never told in another way."""
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._run.close("the dock was closed")
            self._jobs.close()
            self._estimate.drop()
            self._results.close()
        elif event is not None and event.type() == QEvent.Type.Show:
            self._column.fit_width()
        return bool(super().event(event))

    # -- options -----------------------------------------------------------------------------------

    def _on_method(self) -> None:
        self._sections["segment"].tell(self._method.summary)
        self._estimate.refresh()

    def _on_source(self) -> None:
        layers = self._source.layers
        self._sections["image"].tell(", ".join(layer.name for layer in layers))
        self._method.measure(self._source.anisotropy)
        self._run_panel.lack("" if layers else NO_IMAGE)
        self._run_panel.forget(layers)
        self._estimate.refresh()

    def _follow_active_layer(self, _: Any = None) -> None:
        active = self._viewer.layers.selection.active
        for image in self._source.image.choices:
            if active is not None and (image == active or belongs_to(active, image)):
                self._source.image.value = image

    def _question(self) -> Question | None:
        """What an estimate is asked for; None if there is nothing to run."""
        if not self._source.layers:
            return None
        sources = [part.source for part in self._source.parts()]
        return Question(sources, self.config, self.device)

    def _on_variation(self, config: SegmentationConfig) -> None:
        self._method.config = config
        self.segment()

    # -- the run -----------------------------------------------------------------------------------

    def _on_wanted(self, parts: Sequence[ImageRegion], plan: dict[str, Any]) -> None:
        self._run_panel.speak_of([part.layer for part in parts])
        self._start(parts, **plan)

    def _start(self, parts: Sequence[ImageRegion], **plan: Any) -> None:
        self._run_panel.begin(", ".join(part.title for part in parts))
        try:
            self._run.start(parts, self._method.preset, **plan)
        except UfsegError as error:
            self._results.give_up()
            self._report_failure(str(error))

    def _on_active(self, result: Result | None) -> None:
        self._run_panel.allow_continue(self._results.why_not_train_on)
        self._run_panel.plot.show_epochs(() if result is None else result.epochs)
        self._sections["result"].tell("" if result is None else ", ".join(layer.name for layer in result.layers))
        model = result.origin.model if result is not None and result.origin is not None else None
        as_shown = None if result is None or model is None else lambda: result.model_as_shown
        self.results.look_at(result.layers if result is not None else (), model, as_shown)

    def _tell_model(self) -> None:
        self._sections["keep"].tell(self.results.about_model, self.results.about_model_more)

    def _on_state(self, state: JobState) -> None:
        self._run_panel.follow(state)
        if state is JobState.RUNNING:  # there is a picture
            self._foldings.open("result")
        for panel in (self._method, self._source):
            panel.set_enabled(state.is_final)
        self._before.variations.allow(state.is_final)
        self._estimate.hold(not state.is_final)

    def _on_finished(self, segmentation: "Segmentation", device: str) -> None:
        result = self._results.result_of_run()
        n_shown = len(result.areas) if result is not None else len(segmentation.areas)
        self._run_panel.end(segmentation, len(segmentation.areas), device, n_shown)
        self._foldings.close("image")
        for name in ("result", "keep"):
            self._foldings.open(name)
        self.run_finished.emit(segmentation)

    # -- other jobs --------------------------------------------------------------------------------

    def _on_job_began(self, job: Job) -> None:
        if not job.about:
            return
        self._run_panel.speak_of(self._source.layers)
        self._run_panel.begin_applying(job.about, job.gives)
        if job.gives:
            job.progressed.connect(self._run_panel.show_applied)
        self._estimate.refresh()  # its figure is for Segment
        self._estimate.hold(True)

    def _on_job_ended(self, job: Job) -> None:
        if job.about:
            self._run_panel.end_applying(job.conclusion)
            self._estimate.hold(False)

    def _report_failure(self, message: str) -> None:
        self._run_panel.fail(message)
        show_error(message)
        self.run_failed.emit(message)


def segment_active(viewer: Viewer) -> None:
    """Open the dock and press Segment for the active image."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    widget.segment()
