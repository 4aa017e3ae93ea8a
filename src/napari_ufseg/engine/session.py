"""TrainingSession: the state of one training, step by step."""

import copy
import threading
import time
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.device import resolve_device
from napari_ufseg.engine.errors import ConfigError, TrainingError, UfsegWarning, engine_errors
from napari_ufseg.engine.image import as_list, prepare_images, prepare_scribbles
from napari_ufseg.engine.inference import LabelImage, SegmentationModel, predict_prepared, to_label_image
from napari_ufseg.engine.labels import class_areas
from napari_ufseg.engine.losses import total_loss
from napari_ufseg.engine.network import FeatureNet, recompute_batchnorm
from napari_ufseg.engine.results import EpochRecord, Segmentation, Snapshot, StopReason


@dataclass(frozen=True)
class _Step:
    """One batch of an epoch that is under way."""

    losses: dict[str, float]
    n_images: int
    seconds: float


class TrainingSession:
    """Train one network on one image, or on several of any sizes, and look at the labels at any time.

    Parameters
    ----------
    image : array or list of arrays
        As in `napari_ufseg.segment`.
    config : SegmentationConfig, optional
        Default: the preset ``fast``.
    channel_axis : int, optional
        Which axis of the images holds the channels.
    scribbles : (Y, X) integer array, or list of them (or None), optional
        0 for none, s trains the class that is shown as label s.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.

    Attributes
    ----------
    network : FeatureNet
        The weights after the last step.
    history : list of EpochRecord
    stop_reason : StopReason or None
        None before the first run and during one.

    Raises
    ------
    ImageError, ConfigError, DeviceError, MemoryShortageError
    """

    def __init__(
        self,
        image: Any,
        config: SegmentationConfig | None = None,
        *,
        channel_axis: int | None = None,
        scribbles: Any = None,
        device: str = "auto",
    ) -> None:
        self.config = config or SegmentationConfig.preset()
        images, self._single = as_list(image)
        with engine_errors("Preparing the image"):
            self._prepared = prepare_images(images, channel_axis=channel_axis, scaling=self.config.scaling)
        self.device = resolve_device(device)
        self.history: list[EpochRecord] = []
        self.stop_reason: StopReason | None = None
        self._stop_asked = threading.Event()
        self._epochs_wanted = self.config.epochs
        self._labels: list[Tensor] = [torch.zeros(item.plane_shape, dtype=torch.int64) for item in self._prepared]
        self._trained = [i for i, item in enumerate(self._prepared) if not item.is_constant]
        with engine_errors("Preparing the run"):
            self._images = [torch.from_numpy(item.data).to(self.device) for item in self._prepared]
            self._scribbles = self._prepared_scribbles(scribbles)
            c = self.config
            self.network = FeatureNet(
                self._prepared[0].n_channels, c.n_features, c.n_classes, c.n_convolutions, c.seed
            ).to(self.device)
            self._optimiser = torch.optim.SGD(self.network.parameters(), lr=c.learning_rate, momentum=c.momentum)
        self._shown_weights = copy.deepcopy(self.network.state_dict())
        self._order = np.random.default_rng(c.seed)
        self._pending: list[list[int]] = []
        self._epoch_steps: list[_Step] = []
        self._epoch_start_labels = list(self._labels)
        self._check_weights()
        self._warn_of_constant_images()

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
        return self._snapshot_of([to_label_image(item, range(1, self.config.n_classes + 1)) for item in self._labels])

    def run(self, every: float = 0.1, epochs: int | None = None) -> Generator[Snapshot, None, Segmentation]:
        """Train until a stop rule holds; a session that has ended can be run on.

        Parameters
        ----------
        every : float
            Seconds between snapshots, at least. The first comes after the
            first step, the last (with the labels of the result) at the end.
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
        last_shown = -float("inf")
        reason = None
        try:
            while reason is None:
                self.step()
                reason = self._reason_to_stop()
                if reason is None and time.perf_counter() - last_shown >= every:
                    last_shown = time.perf_counter()
                    yield self.snapshot()
            self.stop_reason = reason
            segmentation = self.result()
            labels = segmentation.labels
            yield self._snapshot_of([item.copy() for item in (labels if isinstance(labels, list) else [labels])])
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
        with engine_errors("Finishing the run"):
            model = self._model()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UfsegWarning)  # said at the start already
                labels = predict_prepared(model, self._prepared, self.device)
        return Segmentation(
            labels=labels[0] if self._single else labels,
            model=model,
            config=self.config,
            stop_reason=self.stop_reason or StopReason.STOPPED,
            history=tuple(self.history),
            device=str(self.device),
        )

    # -- one step -----------------------------------------------------------------------------

    def _descend(self, batch: list[int]) -> dict[str, float]:
        self.network.train()
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
            self._labels[i] = loss.labels[position]
        return losses

    def _batches(self) -> list[list[int]]:
        """The images of one epoch, in batches of equal size; drawn anew for every epoch."""
        by_size: dict[tuple[int, int], list[int]] = {}
        for i in self._order.permutation(self._trained).tolist():
            by_size.setdefault(self._prepared[i].plane_shape, []).append(i)
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

    def _snapshot_of(self, labels: list[LabelImage]) -> Snapshot:
        if not self.history and not self._epoch_steps:
            raise TrainingError("Nothing was trained yet: make at least one step first.")
        for item in labels:
            item.flags.writeable = False
        elapsed = sum(r.seconds for r in self.history) + sum(step.seconds for step in self._epoch_steps)
        recent = [r.seconds for r in self.history[-20:]] or [elapsed]
        running = self.stop_reason is None
        left = max(0, self._epochs_wanted - self.epoch) * float(np.median(recent)) if running else 0.0
        last = self.history[-1].losses if self.history else self._epoch_steps[-1].losses
        present = len(class_areas(labels))
        shown = labels[0] if self._single else labels
        return Snapshot(self.epoch, self._epochs_wanted, shown, present, dict(last), elapsed, left)

    def _model(self) -> SegmentationModel:
        network = copy.deepcopy(self.network)
        network.load_state_dict(self._shown_weights)
        if self._trained:
            recompute_batchnorm(network, [self._images[i] for i in self._trained])
        return SegmentationModel(network.cpu().eval(), self.config, self._prepared[0].n_channels)

    # -- checks at the start ------------------------------------------------------------------

    def _prepared_scribbles(self, scribbles: Any) -> list[Tensor] | None:
        if scribbles is None:
            return None
        given, _ = as_list(scribbles)
        checked = prepare_scribbles(given, self._prepared, self.config.n_classes)
        if not any(item.any() for item in checked):
            return None
        return [torch.from_numpy(item).to(self.device) for item in checked]

    def _check_weights(self) -> None:
        c = self.config
        trains = c.mu or (c.nu and (c.nu_x or c.nu_y)) or c.M or c.m
        if not trains and not (self._scribbles and c.scribble_weight):
            raise ConfigError("The weights mu, nu, M and m are all 0: give at least one of them a value above 0.")

    def _warn_of_constant_images(self) -> None:
        for i, item in enumerate(self._prepared, start=1):
            if item.is_constant:
                which = "The image" if self._single else f"Image {i}"
                warnings.warn(f"{which} is constant: all of it is one class.", UfsegWarning, stacklevel=4)
