"""TrainingSession: the state of one training, step by step."""

import copy
import threading
import time
import warnings
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.device import resolve_device
from napari_ufseg.engine.errors import ConfigError, TrainingError, UfsegWarning, engine_errors
from napari_ufseg.engine.image import as_list, check_scribbles, open_sources, require_same_channels
from napari_ufseg.engine.inference import LabelImage, SegmentationModel, to_label_image
from napari_ufseg.engine.labelling import Job, Progress, label_images, outputs_for
from napari_ufseg.engine.losses import total_loss
from napari_ufseg.engine.network import FeatureNet, recompute_batchnorm
from napari_ufseg.engine.preview import Preview
from napari_ufseg.engine.results import EpochRecord, Segmentation, Snapshot, StopReason
from napari_ufseg.engine.tiling import Box
from napari_ufseg.engine.training_set import build_training_set


@dataclass(frozen=True)
class _Step:
    """One batch of an epoch that is under way."""

    losses: dict[str, float]
    n_images: int
    seconds: float


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
    scribbles : integer array of the image's shape without channels, or list of them (or None), optional
        0 for none, s trains the class that is shown as label s.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
    memory_budget : int, optional
        Bytes that the process may take; see `build_training_set`.
    out : array-like of uint16, or list of them, optional
        Takes the labels at the end, for example a zarr array.

    Attributes
    ----------
    network : FeatureNet
        The weights after the last step.
    history : list of EpochRecord
    stop_reason : StopReason or None
        None before the first run and during one.
    sources : list of ImageSource
        The images, with their axes.
    is_whole : bool
        Whether every pixel is trained on, or random tiles.

    Raises
    ------
    ImageError, ConfigError, DeviceError, MemoryShortageError
    """

    def __init__(
        self,
        image: Any,
        config: SegmentationConfig | None = None,
        *,
        axes: str | None = None,
        channel_axis: int | None = None,
        scribbles: Any = None,
        device: str = "auto",
        memory_budget: int | None = None,
        out: Any = None,
    ) -> None:
        self.config = c = config or SegmentationConfig.preset()
        images, self._single = as_list(image)
        self.device = resolve_device(device)
        with engine_errors("Preparing the image"):
            self.sources = open_sources(images, axes=axes, channel_axis=channel_axis, spatial_dims=c.spatial_dims)
            require_same_channels(self.sources)
            self._given_outs = None if out is None else outputs_for(self.sources, [out] if self._single else out)
            marks = None if scribbles is None else check_scribbles(as_list(scribbles)[0], self.sources, c.n_classes)
            if marks is not None and all(item is None for item in marks):
                marks = None
            self._check_weights(has_scribbles=marks is not None)
            chosen = build_training_set(self.sources, c, marks, memory_budget)
        self.is_whole = chosen.is_whole
        self._places, self._brightness, self._trained = chosen.places, chosen.brightness, chosen.trained
        self.history: list[EpochRecord] = []
        self.stop_reason: StopReason | None = None
        self._stop_asked = threading.Event()
        self._epochs_wanted = c.epochs
        self._labels: list[Tensor] = [torch.zeros(item.shape[1:], dtype=torch.int16) for item in chosen.images]
        with engine_errors("Preparing the run"):
            self._images = [item.to(self.device) for item in chosen.images]
            self._scribbles = None if chosen.scribbles is None else [s.to(self.device) for s in chosen.scribbles]
            self.network = FeatureNet.of_config(c, self.sources[0].n_channels).to(self.device)
            self._optimiser = torch.optim.SGD(self.network.parameters(), lr=c.learning_rate, momentum=c.momentum)
        self._shown_weights = copy.deepcopy(self.network.state_dict())
        self._preview = Preview(self.sources, self._brightness)
        self._order = np.random.default_rng(c.seed)
        self._pending: list[list[int]] = []
        self._epoch_steps: list[_Step] = []
        self._n_batches, self._n_steps = 1, 0
        self._epoch_start_labels = list(self._labels)
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
        self._preview.look_at(number, item, centre)

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

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
        start = time.perf_counter()
        if not self._trained:
            self._finish_epoch([_Step({"total": 0.0}, 1, 0.0)])
            return {"total": 0.0}
        if not self._pending:
            self._pending = self._batches()
            self._n_batches = len(self._pending)
            self._epoch_start_labels = list(self._labels)
        with engine_errors("Training"):
            losses = self._descend(self._pending[0])
        batch = self._pending.pop(0)
        self._epoch_steps.append(_Step(losses, len(batch), time.perf_counter() - start))
        if not self._pending:
            self._finish_epoch(self._epoch_steps)
            self._epoch_steps = []
        return losses

    def snapshot(self) -> Snapshot:
        """The labels of the last step, as class index + 1, with what is known of the run.

        Raises
        ------
        TrainingError
            If no step was made yet.
        """
        if not self.history and not self._epoch_steps:
            raise TrainingError("Nothing was trained yet: make at least one step first.")
        places = self._preview.places()
        if self.is_whole and self._n_batches == 1:
            labels = self._last_labels(places)
        else:
            with engine_errors("Showing the labels"):
                labels = self._preview.labels(self.network, self.config, places)
        return self._snapshot_of(labels, places)

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
                reason = self._reason_to_stop()
                if reason is None and (start := time.perf_counter()) >= next_picture:
                    snapshot = self.snapshot()
                    drawn = time.perf_counter()
                    next_picture = drawn + (max(every, 3 * (drawn - start)) if every else 0)
                    yield snapshot
            self.stop_reason = reason
            self._stop_asked.clear()  # from now on it ends the labelling
            segmentation = yield from self._labelled(every)
            share = sum(segmentation.areas.values()) / sum(source.n_pixels for source in self.sources)
            yield self._snapshot_of_result(segmentation, share)
            return segmentation
        finally:  # also when the caller drops the generator, or an error ends the run
            self._stop_asked.clear()  # one that came while the result was made must not end the next run
            self.stop_reason = reason or StopReason.STOPPED

    def result(self) -> Segmentation:
        """What the session has come to: labels, model and history; the session can go on afterwards.

        The model holds the weights that made the labels shown last, with
        BatchNorm statistics recomputed over all training images.
        """
        if not self.history and not self._epoch_steps:
            raise TrainingError("Nothing was trained yet: make at least one step first.")
        labelling = self._labelled(float("inf"), stoppable=False)
        while True:
            try:
                next(labelling)
            except StopIteration as end:
                segmentation: Segmentation = end.value
                return segmentation

    # -- one step -----------------------------------------------------------------------------

    def _descend(self, batch: list[int]) -> dict[str, float]:
        self.network.train()
        self._n_steps += 1
        for norm in self.network.norms:  # the mean over about an epoch, for pictures of what is not in the batch
            norm.momentum = 1 / min(self._n_steps, self._n_batches)
        before = copy.deepcopy(self.network.state_dict())
        images = torch.stack([self._images[i] for i in batch])
        scribbles = None if self._scribbles is None else torch.stack([self._scribbles[i] for i in batch])
        loss = total_loss(self.network(images), self.config, scribbles)
        losses = {name: float(value) for name, value in {"total": loss.total.detach(), **loss.terms}.items()}
        if not np.isfinite(losses["total"]):
            raise TrainingError(
                f"Training diverged in epoch {self.epoch + 1} (the loss is not finite): use a smaller learning_rate."
            )
        self._optimiser.zero_grad(set_to_none=True)
        loss.total.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        self._shown_weights = before
        for position, i in enumerate(batch):
            self._labels[i] = loss.labels[position].to(torch.int16)
        return losses

    def _batches(self) -> list[list[int]]:
        """The images of one epoch, in batches of equal size; drawn anew for every epoch."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        for i in self._order.permutation(self._trained).tolist():
            by_size.setdefault(tuple(self._images[i].shape), []).append(i)
        size = self.config.batch_size
        batches = [sorted(group[k : k + size]) for group in by_size.values() for k in range(0, len(group), size)]
        return [batches[i] for i in self._order.permutation(len(batches))]

    def _finish_epoch(self, steps: list[_Step]) -> None:
        images = [step.n_images for step in steps]
        losses = {name: float(np.average([s.losses[name] for s in steps], weights=images)) for name in steps[0].losses}
        pairs = list(zip(self._labels, self._epoch_start_labels, strict=True))
        changed = sum(int((new.to(self.device) != old.to(self.device)).sum()) for new, old in pairs)
        total = sum(new.numel() for new, _ in pairs)
        share = changed / total if self.history else 1.0
        seconds = sum(step.seconds for step in steps)
        self.history.append(EpochRecord(self.epoch + 1, self._count_classes(), losses, share, seconds))

    def _count_classes(self) -> int:
        trained = [self._labels[i] for i in self._trained] or self._labels
        counts = sum(torch.bincount(item.flatten(), minlength=self.config.n_classes) for item in trained)
        return int((torch.as_tensor(counts) > 0).sum())

    def _reason_to_stop(self) -> StopReason | None:
        if self._stop_asked.is_set():
            return StopReason.STOPPED
        if self._pending or not self.history:
            return None
        c = self.config
        if self.history[-1].n_classes <= min(c.min_classes, c.n_classes - 1):
            return StopReason.MIN_CLASSES
        recent = self.history[-c.settle_epochs :]
        if c.settle_fraction and len(recent) == c.settle_epochs and all(r.changed < c.settle_fraction for r in recent):
            return StopReason.SETTLED
        return StopReason.EPOCHS if self.epoch >= self._epochs_wanted else None

    # -- what is shown and kept ---------------------------------------------------------------

    def _last_labels(self, places: Sequence[tuple[int, Box]]) -> list[LabelImage]:
        """What the last step made of the places, all of which it has seen."""
        first = [0, *np.cumsum([source.n_items for source in self.sources])]
        names = range(1, self.config.n_classes + 1)
        return [
            to_label_image(self._labels[start + item][box.slices], names)
            for start, (item, box) in zip(first, places, strict=False)
        ]

    def _snapshot_of(self, labels: list[LabelImage], places: Sequence[tuple[int, Box]]) -> Snapshot:
        """A snapshot of labels in the order Z, Y, X."""
        shown = [source.turned(item) for source, item in zip(self.sources, labels, strict=True)]
        for item in shown:
            item.flags.writeable = False
        index = [source.label_index(*place) for source, place in zip(self.sources, places, strict=True)]
        elapsed = sum(r.seconds for r in self.history) + sum(step.seconds for step in self._epoch_steps)
        recent = [r.seconds for r in self.history[-20:]] or [elapsed]
        left = max(0, self._epochs_wanted - self.epoch) * float(np.median(recent)) if self.stop_reason is None else 0.0
        last = self.history[-1].losses if self.history else self._epoch_steps[-1].losses
        return Snapshot(
            epoch=self.epoch,
            epochs=self._epochs_wanted,
            labels=shown[0] if self._single else shown,
            n_classes=self._count_classes(),
            losses=dict(last),
            elapsed=elapsed,
            seconds_left=left,
            index=index[0] if self._single else index,
        )

    def _snapshot_of_result(self, segmentation: Segmentation, labelled: float, seconds_left: float = 0.0) -> Snapshot:
        places = self._preview.places()
        outs = [segmentation.labels] if self._single else segmentation.labels
        seen = [
            source.unturned(np.array(out[source.label_index(*place)]))
            for source, out, place in zip(self.sources, outs, places, strict=True)
        ]
        snapshot = self._snapshot_of(seen, places)
        n_classes = len(segmentation.areas) or snapshot.n_classes
        return replace(snapshot, n_classes=n_classes, labelled=labelled, seconds_left=seconds_left)

    def _labelled(self, every: float, *, stoppable: bool = True) -> Generator[Snapshot, None, Segmentation]:
        """Label every pixel, what is in view first, with a snapshot at most every so many seconds."""
        with engine_errors("Finishing the run"):
            model = self._model()
            outs = self._given_outs or outputs_for(self.sources)
            jobs = [Job(*job) for job in zip(self.sources, self._brightness, outs, strict=True)]
        segmentation = Segmentation(
            labels=outs[0] if self._single else outs,
            model=model,
            config=self.config,
            stop_reason=self.stop_reason or StopReason.STOPPED,
            history=tuple(self.history),
            device=str(self.device),
        )
        if self._given_outs is not None:
            yield self._snapshot_of_result(segmentation, 0.0)
        start = last_shown = time.perf_counter()
        stopped = self._stop_asked.is_set if stoppable else lambda: False
        passes = label_images(model, jobs, self.device, first=self._preview.latest, stopped=stopped)
        progress: Progress | None = None
        while True:
            with engine_errors("Labelling"):
                progress = next(passes, None)
            if progress is None:
                break
            segmentation = replace(segmentation, areas=progress.present, is_complete=progress.pixels == progress.total)
            now = time.perf_counter()
            if now - last_shown >= every and not segmentation.is_complete:
                last_shown = now
                share = progress.pixels / progress.total
                yield self._snapshot_of_result(segmentation, share, (now - start) * (1 / share - 1))
        return segmentation

    def _model(self) -> SegmentationModel:
        network = copy.deepcopy(self.network)
        network.load_state_dict(self._shown_weights)
        if self._trained:
            recompute_batchnorm(network, [self._images[i] for i in self._trained])
        return SegmentationModel(network.cpu().eval(), self.config, self.sources[0].n_channels)

    # -- checks at the start ------------------------------------------------------------------

    def _check_weights(self, *, has_scribbles: bool) -> None:
        c = self.config
        neighbours = c.nu_x or c.nu_y or (c.nu_z and c.spatial_dims == 3)
        if c.mu or (c.nu and neighbours) or c.M or c.m or (has_scribbles and c.scribble_weight):
            return
        raise ConfigError("The weights mu, nu, M and m are all 0: give at least one of them a value above 0.")

    def _warn_of_constant_images(self) -> None:
        for source, brightness in zip(self.sources, self._brightness, strict=True):
            if brightness.is_constant:
                warnings.warn(f"{source.name} is constant: all of it is one class.", UfsegWarning, stacklevel=4)
