"""TrainingSession: the state of one training, step by step."""

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.device import resolve_device
from napari_ufseg.engine.errors import ConfigError, engine_errors, go_on, warn
from napari_ufseg.engine.images.source import as_list, check_scribbles, open_sources, require_same_channels
from napari_ufseg.engine.network.cluster_start import require_skip
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.network.losses import require_a_term
from napari_ufseg.engine.prediction.labelling import LabellingJob, Progress, label_images, outputs_for
from napari_ufseg.engine.training.pace import Network, paces
from napari_ufseg.engine.training.results import EpochRecord, Segmentation, Snapshot, StopReason, run_to_end
from napari_ufseg.engine.training.snapshots import DRAWING, SnapshotMaker
from napari_ufseg.engine.training.trainer import Trainer
from napari_ufseg.engine.training.training_set import build_training_set
from napari_ufseg.engine.training.warm_start import WarmStart


class TrainingSession:
    """Train one network on one image, or on several of any sizes, and look at the labels at any time.

    Every plane of a stack (every volume of a series, with 3 spatial
    dimensions) is an image of the training; what does not fit into memory is
    trained on random tiles.

    Parameters
    ----------
    image : array or list of arrays
        As in `napari_ufseg.segment`.
    config : SegmentationConfig, optional
        Default: the preset ``fast``.
    axes : str, optional
        One letter per axis of the images, for example ``"TZCYX"``.
    channel_axis : int, optional
        Which axis of the images holds the channels.
    nodata, intensity_range
        As in `napari_ufseg.segment`.
    scribbles : integer array of the image's shape without channels, or list of them (or None), optional
        0 for none, s trains the class that is shown as label s.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
    memory_budget : int, optional
        Bytes that the process may take; see `build_training_set`.
    out : array-like of uint16, or list of them, optional
        Takes the labels at the end, for example a zarr array.
    warm_start : WarmStart, optional
        A model to train on from, with a user's corrections of its labels, which
        take the place of scribbles; its config is the default.
    stopped : callable, optional
        Whether the training is no longer wanted; asked while the images are
        read, before every tile. From then on `stop` does it.

    Attributes
    ----------
    trainer : Trainer
        The network, its training images and what became of them.
    stop_reason : StopReason or None
        None before the first run and during one.
    sources : list of ImageSource
        The images, with their axes.
    is_whole : bool
        Whether every pixel is trained on, or random tiles.
    corrections : Corrections or None
        What is learnt from, and kept.

    Raises
    ------
    ImageError, ConfigError, DeviceError, MemoryShortageError
    StoppedError
        If it was stopped while the images were read.
    """

    def __init__(
        self,
        image: Any,
        config: SegmentationConfig | None = None,
        *,
        axes: str | None = None,
        channel_axis: int | None = None,
        nodata: float | str = "auto",
        intensity_range: tuple[float, float] | None = None,
        scribbles: Any = None,
        device: str = "auto",
        memory_budget: int | None = None,
        out: Any = None,
        warm_start: WarmStart | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        if config is not None and not isinstance(config, SegmentationConfig):
            raise ConfigError(
                f"config is {config!r}: give a SegmentationConfig, such as SegmentationConfig.preset('fast')."
            )
        self.corrections = None if warm_start is None else warm_start.corrections
        fitted = None if warm_start is None else warm_start.fitted(config)
        self.config = c = fitted or config or SegmentationConfig.preset()
        images, self._single = as_list(image)
        self.device = resolve_device(device)
        with engine_errors("Preparing the image"):
            light = {"nodata": nodata, "intensity_range": intensity_range}
            self.sources = open_sources(
                images, axes=axes, channel_axis=channel_axis, spatial_dims=c.spatial_dims, **light
            )
            require_same_channels(self.sources)
            self._given_outs = None if out is None else outputs_for(self.sources, [out] if self._single else out)
            marks = None if scribbles is None else check_scribbles(as_list(scribbles)[0], self.sources, c.n_classes)
            if marks is not None and all(item is None for item in marks):
                marks = None
            if self.corrections is not None:
                self.corrections.require_shapes(self.sources)
            require_skip(c)
            require_a_term(c, has_scribbles=marks is not None)
            chosen = build_training_set(
                self.sources, c, marks, memory_budget, self.corrections, device=self.device, stopped=stopped
            )
            go_on(stopped)
        self.is_whole = chosen.is_whole
        self._brightness = chosen.brightness
        self.stop_reason: StopReason | None = None
        self._stop_asked = threading.Event()
        self._epochs_wanted = c.epochs
        with engine_errors("Preparing the run"):
            self.trainer = Trainer(chosen, c, self.sources[0].n_channels, self.device, warm_start)
        shown = self.sources, self._brightness, self.trainer, self.corrections
        self._snapshots = SnapshotMaker(*shown, is_whole=self.is_whole, is_single=self._single)
        self._warn_of_constant_images()

    def look_at(self, number: int, item: int, centre: Sequence[float] | None = None) -> None:
        """Show another plane (or volume) of image `number` from the next snapshot on; any thread may call this.

        Parameters
        ----------
        number : int
            Of the image in the list, 0 for a single one.
        item : int
            ``session.sources[number].item_at(position)``.
        centre : sequence of float, optional
            The pixel (Y, X) or (Z, Y, X) in the middle of what is seen, for images too large to show whole.
        """
        self._snapshots.look_at(number, item, centre)

    @property
    def network(self) -> FeatureNet:
        """The weights after the last step."""
        return self.trainer.network

    @property
    def history(self) -> list[EpochRecord]:
        """One record per epoch."""
        return self.trainer.history

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return self.trainer.epoch

    def stop(self) -> None:
        """Ask a run, perhaps in another thread, to end after its present step."""
        self._stop_asked.set()

    def step(self) -> dict[str, float]:
        """One step of gradient descent, on one batch; for a single image this is one epoch.

        Returns
        -------
        dict of str to float
            ``total`` and each active term of the loss, before the update.

        Raises
        ------
        TrainingError
            If the loss is no longer finite, or torch fails.
        MemoryShortageError
        """
        return self.trainer.step()

    def snapshot(self) -> Snapshot:
        """The labels of the last step, as class index + 1, with what is known of the run.

        Raises
        ------
        TrainingError
            If no step was made yet.
        """
        self.trainer.require_a_step()
        return self._snapshots.of_training(self._epochs_wanted, goes_on=self.stop_reason is None)

    def run(self, every: float = 0.1, epochs: int | None = None) -> Generator[Snapshot, None, Segmentation]:
        """Train until a stop rule holds; a session that has ended can be run on.

        Parameters
        ----------
        every : float
            Seconds between snapshots, at least. The first comes after the
            first step, the last (with the labels of the result) at the end.
            They take at most a quarter of the time, unless `every` is 0. If there is an `out`, one
            more comes before anything is written into it; its ``labelled`` is 0.
        epochs : int, optional
            At most so many more. Default: what is left of ``config.epochs``,
            or as many again if nothing is left.

        Yields
        ------
        Snapshot

        Returns
        -------
        Segmentation
        """
        if epochs is not None and epochs < 1:
            raise ConfigError(f"epochs is {epochs}, but a run needs at least 1.")
        left = self.config.epochs - self.epoch
        self._epochs_wanted = self.epoch + (epochs or (left if left > 0 else self.config.epochs))
        self.stop_reason = None
        next_picture = -float("inf")
        reason = None
        try:
            while reason is None:
                self.step()
                stopped = StopReason.STOPPED if self._stop_asked.is_set() else None
                reason = stopped or self.trainer.reason_to_stop(self._epochs_wanted)
                if reason is None and (start := time.perf_counter()) >= next_picture:
                    snapshot = self.snapshot()
                    drawn = time.perf_counter()
                    self._snapshots.add_drawing(drawn - start)
                    next_picture = drawn + (max(every, (drawn - start) / DRAWING) if every else 0)
                    yield snapshot
            self.stop_reason = reason
            self._stop_asked.clear()  # from now on it ends the labelling
            return (yield from self._to_the_end(every))
        finally:  # also when the caller drops the generator, or an error ends the run
            self._stop_asked.clear()  # one that came while the result was made must not end the next run
            self.stop_reason = reason or StopReason.STOPPED
            self._note_pace()

    def label(self, every: float = 0.1) -> Generator[Snapshot, None, Segmentation]:
        """Label every pixel with the network as it is, also before the first step; snapshots as at the end of `run`."""
        self._epochs_wanted = self.epoch
        self.stop_reason = self.stop_reason or StopReason.STOPPED
        return self._to_the_end(every)

    def result(self) -> Segmentation:
        """What the session has come to: labels, model and history; the session can go on afterwards.

        The model holds the weights that made the labels shown last, with
        BatchNorm statistics recomputed over all training images.
        """
        self.trainer.require_a_step()
        return run_to_end(self._labelled(float("inf"), stoppable=False))

    def _to_the_end(self, every: float) -> Generator[Snapshot, None, Segmentation]:
        segmentation = yield from self._labelled(every)
        share = sum(segmentation.areas.values()) / sum(source.n_pixels for source in self.sources)
        yield self._snapshots.of_result(segmentation, self._epochs_wanted, share)
        return segmentation

    def _labelled(self, every: float, *, stoppable: bool = True) -> Generator[Snapshot, None, Segmentation]:
        """Label every pixel, what is in view first, with a snapshot at most every so many seconds."""
        with engine_errors("Finishing the run"):
            model = self.trainer.model()
            outs = self._given_outs or outputs_for(self.sources)
            kept = None if self.corrections is None else self.corrections.kept_of_box
            jobs = [
                LabellingJob(source, brightness, out, None if kept is None else partial(kept, i, source))
                for i, (source, brightness, out) in enumerate(zip(self.sources, self._brightness, outs, strict=True))
            ]
        segmentation = Segmentation(
            labels=outs[0] if self._single else outs,
            model=model,
            config=self.config,
            stop_reason=self.stop_reason or StopReason.STOPPED,
            history=tuple(self.history),
            device=str(self.device),
            kept_epoch=self.trainer.kept_epoch,
        )
        if self._given_outs is not None:
            yield self._snapshots.of_result(segmentation, self._epochs_wanted, 0.0)
        start = last_shown = time.perf_counter()
        stopped = self._stop_asked.is_set if stoppable else lambda: False
        with closing(
            label_images(model, jobs, self.device, first=self._snapshots.latest_view, stopped=stopped)
        ) as passes:
            while True:
                with engine_errors("Labelling"):
                    progress: Progress | None = next(passes, None)
                if progress is None:
                    return segmentation
                whole = progress.pixels == progress.total
                segmentation = replace(segmentation, areas=progress.present, is_complete=whole)
                now = time.perf_counter()
                if now - last_shown >= every and not whole:
                    last_shown = now
                    share = progress.pixels / progress.total
                    left = (now - start) * (1 / share - 1)
                    yield self._snapshots.of_result(segmentation, self._epochs_wanted, share, left)

    def _note_pace(self) -> None:
        """Let the next estimate know what the epochs that are done have taken."""
        if not self.epoch:
            return
        network = Network.of(self.config, self.sources[0].n_channels, str(self.device), torch.get_num_threads())
        seconds, pixels = self._snapshots.seconds_per_epoch(), self._snapshots.epoch_pixels
        paces.note_run(network, round(pixels / self.trainer.n_batches), seconds / pixels)

    def _warn_of_constant_images(self) -> None:
        for source, brightness in zip(self.sources, self._brightness, strict=True):
            if doubt := brightness.doubt(source.name):
                warn(doubt, stacklevel=4)
