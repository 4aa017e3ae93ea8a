"""The history of a run for the time slider: labels and weights of a bounded number of epochs, dense at first."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.labels.corrections import Corrections
from napari_ufseg.engine.labels.edits import Packed
from napari_ufseg.engine.labels.hierarchy import ClassHierarchy
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.prediction.labelling import to_label_image
from napari_ufseg.engine.training.results import EpochRecord, Snapshot
from napari_ufseg.engine.training.warm_start import WarmStart

if TYPE_CHECKING:
    from napari_ufseg.engine.training.session import TrainingSession

MOST_MOMENTS, MOST_BYTES = 64, 2**28
_ALL = 2**24  # pixels; of more only those in view are kept


@dataclass(frozen=True)
class Keyframe:
    """Labels and weights of one epoch of a run.

    Parameters
    ----------
    epoch, n_classes : int
        As in `Snapshot`.
    labels : tuple of (int, tuple, Packed)
        Number of the image, where its labels lie in its label image, and the
        labels: of all images, or of what was in view.
    weights : dict
        The state of the network that made them.
    hierarchy : ClassHierarchy
        As in `Snapshot`.
    """

    epoch: int
    n_classes: int
    labels: tuple[tuple[int, tuple[Any, ...], Packed], ...]
    weights: dict[str, Any]
    hierarchy: ClassHierarchy = field(default_factory=ClassHierarchy)

    @property
    def n_bytes(self) -> int:
        """What it takes in memory."""
        tensors = sum(int(tensor.numel() * tensor.element_size()) for tensor in self.weights.values())
        return tensors + sum(packed.n_bytes for _, _, packed in self.labels)


class Timeline:
    """The keyframes of one run; where there would be too many, those closest to each other on a logarithmic scale go.

    Parameters
    ----------
    session : TrainingSession
        The run.
    most, most_bytes : int
        How many moments, and what they may take in memory together; the first and the last always stay.

    Attributes
    ----------
    config : SegmentationConfig
        Of the run.
    history : sequence of EpochRecord
        One per epoch that is done, whether there is a keyframe of it or not; it grows while the run goes on.
    items : list of Keyframe
        From the first to the last.
    """

    def __init__(self, session: "TrainingSession", most: int = MOST_MOMENTS, most_bytes: int = MOST_BYTES) -> None:
        self._session: TrainingSession | None = session
        self._most, self._most_bytes = most, most_bytes
        self.config: SegmentationConfig = session.config
        self.history: Sequence[EpochRecord] = session.history
        self._n_channels = session.sources[0].n_channels
        self._class_labels = session.trainer.class_labels
        self._corrections: Corrections | None = session.corrections
        self.items: list[Keyframe] = []

    @property
    def n_bytes(self) -> int:
        """What all of them take in memory."""
        return sum(moment.n_bytes for moment in self.items)

    def add(self, snapshot: Snapshot) -> None:
        """Keep what the session has just shown, unless it was the same epoch."""
        if self._session is None or (self.items and self.items[-1].epoch == snapshot.epoch):
            return
        weights = {name: tensor.cpu() for name, tensor in self._session.trainer.shown_weights.items()}
        labels = tuple(_labels_of(self._session, snapshot))
        self.items.append(Keyframe(snapshot.epoch, snapshot.n_classes, labels, weights, snapshot.hierarchy))
        while len(self.items) > 2 and (len(self.items) > self._most or self.n_bytes > self._most_bytes):
            del self.items[_least_missed([moment.epoch for moment in self.items])]

    def without(self, number: int) -> "Timeline":
        """The same, but for the image of that number; the images after it move up."""
        rest = copy(self)
        rest.items = [
            replace(
                item, labels=tuple((n - (n > number), where, packed) for n, where, packed in item.labels if n != number)
            )
            for item in self.items
        ]
        if self._corrections is not None:
            rest._corrections = self._corrections.without(number)
        return rest

    def close(self) -> None:
        """Let the session go."""
        self._session = None

    def warm_start(self, moment: Keyframe) -> WarmStart:
        """What a session needs to go on from that moment, or to label with its network."""
        network = FeatureNet.of_config(self.config, self._n_channels)
        network.load_state_dict(moment.weights)
        model = SegmentationModel(
            network.eval(), self.config, self._n_channels, self._class_labels, hierarchy=moment.hierarchy
        )
        return WarmStart(model, self._corrections)


def _least_missed(epochs: Sequence[int]) -> int:
    """The inner one whose neighbours are closest to each other on a logarithmic scale."""
    return min(range(1, len(epochs) - 1), key=lambda i: log(epochs[i + 1] + 1) - log(epochs[i - 1] + 1))


def _labels_of(session: "TrainingSession", snapshot: Snapshot) -> Any:
    """Labels of everything, if it is in memory and not too much, or else of what is in view."""
    sources = session.sources
    if not session.is_whole or sum(source.n_pixels for source in sources) > _ALL:
        shown = (
            [(snapshot.labels, snapshot.index)]
            if isinstance(snapshot.labels, np.ndarray)
            else zip(snapshot.labels, snapshot.index, strict=True)
        )
        for number, (labels, index) in enumerate(shown):
            yield number, index, Packed(labels)
        return
    classes = iter(session.trainer.labels)
    for number, source in enumerate(sources):
        out = np.empty(source.labels_shape, np.uint16)
        for item in range(source.n_items):
            source.write(out, item, source.whole, to_label_image(next(classes), session.trainer.class_labels))
        whole = (slice(None),) * out.ndim
        if session.corrections is not None:
            out = session.corrections.kept(number, out, whole).astype(np.uint16)
        yield number, whole, Packed(out)
