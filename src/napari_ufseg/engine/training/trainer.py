"""Trainer: gradient descent on images in memory, epoch by epoch, with the rules that end it.

A map of one training step, in the order in which it is made:

1. training_set.py has read the images, and network/input_channels.py has made what the network sees of them.
2. network/cluster_start.py, or warm_start.py, has given the network its first weights.
3. `Trainer.batches` draws the images of each step.
4. network/feature_net.py gives the response of every pixel.
5. network/losses.py takes the labels (the largest response) as targets, and sums the terms of the loss.
6. torch goes back to the gradients, and SGD changes the weights (`Trainer.descend`).
7. After the last batch `Trainer._finish_epoch` writes the record (results.py) and asks the guard;
   `Trainer.reason_to_stop` has the rules that end a training.

For planes on the CPU, 4 to 6 up to the gradients are computed by cpu_step/, the twin of network/: the same numbers
in less time. There step.py is what the trainer calls, passes.py goes forward and back through the layers, layers.py
and strips.py have their arithmetic, and loss.py is the twin of losses.py: a new term of the loss goes into both, and
tests/engine/cpu_step/test_step.py compares them.
"""

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.cpu_step.step import FastStep
from napari_ufseg.engine.device import place_on
from napari_ufseg.engine.errors import TrainingError, engine_errors
from napari_ufseg.engine.labels.hierarchy import COLOUR, GREY, ClassHierarchy, build_hierarchy
from napari_ufseg.engine.network.cluster_start import start_from_clusters
from napari_ufseg.engine.network.feature_net import FeatureNet, recompute_batchnorm
from napari_ufseg.engine.network.losses import ClassTargets, TotalLoss, total_loss
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.training.results import EpochRecord, StopReason
from napari_ufseg.engine.training.training_set import TrainingSet
from napari_ufseg.engine.training.warm_start import WarmStart

_PIECE = 2**20
_MOST_RANGES = 16  # of training images, which a model remembers


@dataclass(frozen=True)
class _Step:
    """Losses and time of one batch of an epoch that is under way."""

    losses: dict[str, float]
    n_images: int
    seconds: float


@dataclass(frozen=True)
class _State:
    """Weights and labels of an epoch that the guard may go back to."""

    weights: dict[str, Any]
    labels: list[Tensor]
    epoch: int


class Trainer:
    """Trains one network on the images of a training set.

    With `guard` an epoch that ends with fewer classes than `min_classes`
    is undone: weights and labels become those of the last epoch with enough,
    and the descent, if it goes on, begins from them without momentum. Where
    there is no such epoch, as at the very beginning, nothing is undone. The
    classes of an epoch are counted in what each of its steps showed; with
    several batches the result, made with one set of weights, may have fewer.

    Parameters
    ----------
    chosen : TrainingSet
        The images.
    config : SegmentationConfig
        The method.
    n_channels : int
        Channels of the images.
    device : torch.device
        Where to compute.
    warm_start : WarmStart, optional
        Weights of an earlier training; default: those of a fresh network.

    Attributes
    ----------
    network : FeatureNet
        The weights after the last step.
    images, scribbles : lists of tensors
        On the device; no scribbles are None.
    labels : list of (Y, X) or (Z, Y, X) int16 tensors
        Class index of every pixel in the last step that saw it.
    no_data : list of (Y, X) or (Z, Y, X) bool tensors, or None
        Where each image holds no data; None where it does everywhere.
    history : list of EpochRecord
    n_batches : int
        Batches of an epoch.
    class_labels : tuple of int
        The label of every class.
    """

    def __init__(
        self,
        chosen: TrainingSet,
        config: SegmentationConfig,
        n_channels: int,
        device: torch.device,
        warm_start: WarmStart | None = None,
    ) -> None:
        self.config = config
        self.device = device
        self.history: list[EpochRecord] = []
        self.n_batches = 1
        self.labels: list[Tensor] = [torch.zeros(item.shape[1:], dtype=torch.int16) for item in chosen.images]
        self.images = [item.to(device) for item in chosen.images]
        self.scribbles = None if chosen.scribbles is None else [item.to(device) for item in chosen.scribbles]
        self._n_channels = n_channels
        self._trained = chosen.trained
        ranges = chosen.brightness[:_MOST_RANGES] if config.scaling == "robust" else []  # else each image by itself
        self._intensity = tuple(replace(its, told=()) for its in ranges)
        self.no_data = [chosen.where_no_data(i) for i in range(len(chosen.images))]
        self._targets = None if chosen.targets is None else [item.to(device) for item in chosen.targets]
        if warm_start is None:
            self.class_labels = tuple(range(1, config.n_classes + 1))
            network = FeatureNet.of_config(config, n_channels)
            if config.start == "clusters" and self._trained:
                marks = None if chosen.scribbles is None else self._with_data(chosen.scribbles)
                start_from_clusters(network, self._with_data(chosen.images), config, marks)
        else:
            self.class_labels = warm_start.class_labels
            network = warm_start.network(chosen, config, n_channels)
        self._first_hierarchy = ClassHierarchy() if warm_start is None else warm_start.model.hierarchy
        groups = np.unique(self.class_labels, return_inverse=True)[1]
        self._groups = torch.from_numpy(groups.astype(np.int64)).to(device)
        self.network = place_on(network, device)
        self._loss_config = config if warm_start is None else warm_start.weighted(config)
        self._fast = FastStep(self.network, self._loss_config) if FastStep.is_for(self.network) else None
        self._optimiser = torch.optim.SGD(self.network.parameters(), lr=config.learning_rate, momentum=config.momentum)
        self._shown_weights = copy.deepcopy(self.network.state_dict())
        self._kept: _State | None = None
        self._order = np.random.default_rng(config.seed)
        self._pending: list[list[int]] = []
        self._epoch_steps: list[_Step] = []
        self._n_steps = 0
        self._epoch_start_labels = list(self.labels)

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    @property
    def losses(self) -> dict[str, float]:
        """Those of the last epoch, or in the first one of the last step; none before."""
        steps = self.history or self._epoch_steps
        return dict(steps[-1].losses) if steps else {}

    @property
    def shown_weights(self) -> dict[str, Any]:
        """The state of the network that made the labels of the last step; it is not changed any more."""
        return self._shown_weights

    @property
    def elapsed(self) -> float:
        """Seconds of computation so far."""
        return sum(r.seconds for r in self.history) + sum(step.seconds for step in self._epoch_steps)

    @property
    def _has_stepped(self) -> bool:
        return bool(self.history or self._epoch_steps)

    def require_a_step(self) -> None:
        """Raise TrainingError if nothing was trained yet."""
        if not self._has_stepped:
            raise TrainingError("Nothing was trained yet: make at least one step first.")

    def step(self) -> dict[str, float]:
        """One step of gradient descent, on one batch; see `TrainingSession.step`."""
        start = time.perf_counter()
        if not self._trained:
            self._finish_epoch([_Step({"total": 0.0}, 1, 0.0)])
            return {"total": 0.0}
        if not self._pending:
            self._pending = self.batches()
            self.n_batches = len(self._pending)
            self._epoch_start_labels = list(self.labels)
        with engine_errors("Training"):
            losses = self.descend(self._pending[0])
        batch = self._pending.pop(0)
        self._epoch_steps.append(_Step(losses, len(batch), time.perf_counter() - start))
        if not self._pending:
            self._finish_epoch(self._epoch_steps)
            self._epoch_steps = []
        return losses

    def descend(self, batch: list[int]) -> dict[str, float]:
        """Go down the gradient of one batch; the losses are those before the step."""
        self.network.train()
        self._n_steps += 1
        for norm in self.network.norms:  # the mean over about an epoch, for pictures of what is not in the batch
            norm.momentum = 1 / min(self._n_steps, self.n_batches)
        before = copy.deepcopy(self.network.state_dict())
        images = torch.stack([self.images[i] for i in batch])
        scribbles = None if self.scribbles is None else torch.stack([self.scribbles[i] for i in batch])
        loss = self._loss(images, scribbles, self._class_targets(batch))
        losses = {name: float(value) for name, value in {"total": loss.total.detach(), **loss.terms}.items()}
        if not np.isfinite(losses["total"]):
            raise TrainingError(
                f"Training diverged in epoch {self.epoch + 1} (the loss is not finite): use a smaller learning_rate."
            )
        for group in self._optimiser.param_groups:
            group["lr"] = self.learning_rate()
        self._optimiser.zero_grad(set_to_none=True)
        loss.total.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        self._shown_weights = before
        for position, i in enumerate(batch):
            self.labels[i] = loss.labels[position].to(torch.int16)
        return losses

    def _with_data(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Those that are trained on, as they are or, where pixels hold no data, as a line of the others."""
        gone = [(images[i], self.no_data[i]) for i in self._trained]
        return [item if mask is None else item[..., ~mask].unsqueeze(-2) for item, mask in gone]

    def _class_targets(self, batch: list[int]) -> ClassTargets | None:
        """What classes and pixels are meant to be, unless every class is one of its own and every pixel free."""
        if self._targets is not None:
            return ClassTargets(self._groups, torch.stack([self._targets[i] for i in batch]))
        return ClassTargets(self._groups) if len(set(self.class_labels)) < len(self.class_labels) else None

    def _loss(self, images: Tensor, scribbles: Tensor | None, class_targets: ClassTargets | None) -> TotalLoss:
        """By strips where that is possible, else by torch's own layers; the numbers are the same."""
        if self._fast is not None:
            return self._fast.loss(images, scribbles, class_targets)
        return total_loss(self.network(images), self._loss_config, scribbles, class_targets)

    def learning_rate(self) -> float:
        """The size of the steps of the present epoch.

        ``learning_rate * (1 - epoch / epochs) ** learning_rate_decay`` with
        the epochs that are done, so that the first epoch has the full rate and
        the one after the last would have 0. A training that is run on beyond
        ``config.epochs`` keeps the rate of the last of them.
        """
        c = self.config
        done = min(self.epoch, c.epochs - 1)
        return float(c.learning_rate * (1 - done / c.epochs) ** c.learning_rate_decay)

    def batches(self) -> list[list[int]]:
        """The images of one epoch, in batches of equal size; drawn anew for every epoch."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        for i in self._order.permutation(self._trained).tolist():
            by_size.setdefault(tuple(self.images[i].shape), []).append(i)
        size = self.config.batch_size
        batches = [sorted(group[k : k + size]) for group in by_size.values() for k in range(0, len(group), size)]
        return [batches[i] for i in self._order.permutation(len(batches))]

    def _finish_epoch(self, steps: list[_Step]) -> None:
        images = [step.n_images for step in steps]
        losses = {name: float(np.average([s.losses[name] for s in steps], weights=images)) for name in steps[0].losses}
        pairs = list(zip(self.labels, self._epoch_start_labels, strict=True))
        changed = sum(int((new.to(self.device) != old.to(self.device)).sum()) for new, old in pairs)
        total = sum(new.numel() for new, _ in pairs)
        share = changed / total if self.history else 1.0
        seconds = sum(step.seconds for step in steps)
        n_classes = self.count_classes()
        self.history.append(EpochRecord(self.epoch + 1, n_classes, losses, share, seconds))
        if self.config.guard:
            self._keep_or_undo(n_classes)

    def _keep_or_undo(self, n_classes: int) -> None:
        """Remember an epoch with enough classes; go back to the last such one from an epoch with too few."""
        if n_classes >= min(self.config.min_classes, self.config.n_classes):
            self._kept = _State(self._shown_weights, list(self.labels), self.epoch)
        elif self._kept is not None:
            self.labels, self._shown_weights = list(self._kept.labels), self._kept.weights
            self.network.load_state_dict(self._kept.weights)
            self._optimiser.state.clear()

    @property
    def kept_epoch(self) -> int | None:
        """The epoch that the guard has gone back to; None if the last one is shown."""
        return self._kept.epoch if self._kept is not None and self._kept.epoch < self.epoch else None

    def count_classes(self) -> int:
        """Classes that are present, over all images that are not constant; those that share a label are one."""
        trained = [self.labels[i] for i in self._trained] or self.labels
        counts = sum(torch.bincount(item.flatten(), minlength=self.config.n_classes) for item in trained)
        present = (torch.as_tensor(counts) > 0).nonzero().flatten().tolist()
        return len({self.class_labels[k] for k in present})

    def reason_to_stop(self, epochs: int) -> StopReason | None:
        """Why training should end after so many epochs at most, or None if it should go on."""
        if self._pending or not self.history:
            return None
        c = self.config
        if self.history[-1].n_classes <= min(c.min_classes, c.n_classes - 1):
            return StopReason.MIN_CLASSES
        recent = self.history[-c.settle_epochs :]
        if c.settle_fraction and len(recent) == c.settle_epochs and all(r.changed < c.settle_fraction for r in recent):
            return StopReason.SETTLED
        return StopReason.EPOCHS if self.epoch >= epochs else None

    def model(self) -> SegmentationModel:
        """The weights that made the labels of the last step, with BatchNorm statistics of all images."""
        if self._fast is not None:
            self._fast.release_memory()
        network = copy.deepcopy(self.network)
        network.load_state_dict(self._shown_weights)
        if self._trained:
            recompute_batchnorm(network, [self.images[i] for i in self._trained])
        network = place_on(network, torch.device("cpu"))
        return SegmentationModel(
            network.eval(),
            self.config,
            self._n_channels,
            self.class_labels,
            hierarchy=self.hierarchy(),
            intensity=self._intensity,
        )

    def hierarchy(self, most: int | None = None) -> ClassHierarchy:
        """The tree of the classes that the last step showed, by the channels of the images as the network sees them.

        Before the first step it is that of the model which the training goes on from.

        Parameters
        ----------
        most : int, optional
            About how many pixels are looked at; default all.
        """
        if not self._has_stepped:
            return self._first_hierarchy
        c, n = self.config, self._n_channels
        step = 1 if most is None else max(1, sum(self.labels[i].numel() for i in self._trained) // most)
        n_sides = c.n_lights(n) if c.sees_local_threshold else 0
        area, mean = self._class_means([*range(n), *range(-n_sides, 0)], step)  # between them lies local contrast
        is_lab, sides = c.sees_lab(n), None
        if n_sides:
            sides = {label: values[n:] / (c.local_threshold / 2) for label, values in mean.items()}
        return build_hierarchy(
            area,
            {label: values[:n] for label, values in mean.items()},
            partial(self._pixels, step),
            sides,
            {label: float(values[0] if is_lab else values[:n].mean()) for label, values in mean.items()},
            COLOUR if is_lab else GREY,
        )

    def _class_means(
        self, channels: Sequence[int], step: int
    ) -> tuple[dict[int, int], dict[int, npt.NDArray[np.float64]]]:
        """Of every label that is there, how many of every so many pixels have it, and their mean of some input channels."""
        k = self.config.n_classes
        areas, sums = np.zeros(k), np.zeros((k, len(channels)))
        for i in self._trained:
            kept = self._sampled(i, step)
            labels = self.labels[i].flatten()[kept].cpu().numpy()
            areas += np.bincount(labels, minlength=k)
            for place, channel in enumerate(channels):
                values = self.images[i][channel].flatten()[kept].cpu().numpy()
                sums[:, place] += np.bincount(labels, values, minlength=k)
        of_label: dict[int, list[int]] = {}
        for index in np.flatnonzero(areas).tolist():
            of_label.setdefault(self.class_labels[index], []).append(index)
        area = {label: int(areas[indices].sum()) for label, indices in of_label.items()}
        return area, {label: sums[indices].sum(0) / areas[indices].sum() for label, indices in of_label.items()}

    def _pixels(self, step: int) -> Iterator[npt.NDArray[np.float32]]:
        """Every so many of the pixels that are trained on, as (n, C) arrays of a bounded size, without local contrast."""
        for i in self._trained:
            for part in torch.split(
                self.images[i][: self._n_channels].flatten(1)[:, self._sampled(i, step)], _PIECE, dim=1
            ):
                yield part.cpu().numpy().T

    def _sampled(self, i: int, step: int) -> slice | Tensor:
        """Every so many of the pixels of image `i`, of those that hold data."""
        gone = self.no_data[i]
        return slice(None, None, step) if gone is None else (~gone).flatten().nonzero()[:, 0][::step]
