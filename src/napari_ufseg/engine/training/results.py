"""Results of a run: records of epochs, snapshots on the way, and the result with the versions that made it."""

import platform
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib.metadata import version
from typing import Any

from napari_ufseg._version import __version__
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import go_on
from napari_ufseg.engine.labels.hierarchy import ClassHierarchy
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.prediction.labelling import LabelImage


class StopReason(StrEnum):
    """Why a run ended."""

    MIN_CLASSES = "min_classes"
    EPOCHS = "epochs"
    SETTLED = "settled"
    STOPPED = "stopped"


@dataclass(frozen=True)
class EpochRecord:
    """Losses, classes and time of one epoch.

    Parameters
    ----------
    epoch : int
        Counted from 1.
    n_classes : int
        Classes present over all images.
    losses : dict of str to float
        ``total`` (weighted) and each active term (unweighted), means over the batches.
    changed : float
        Share of pixels whose class differs from the epoch before, in [0, 1]; 1 in the first.
    seconds : float
        Time of computation.
    """

    epoch: int
    n_classes: int
    losses: dict[str, float]
    changed: float
    seconds: float


@dataclass(frozen=True)
class Snapshot:
    """Labels, losses and time left of a run at one moment; nobody writes into it again.

    Parameters
    ----------
    epoch, epochs : int
        Epochs done, and how many the run will do at most.
    labels : (Y, X) or (Z, Y, X) array of uint16, or list of them
        Labels 1 to K, read-only, on the CPU, of what is in view: a plane or volume of
        the image, or a part of a very large one; a list if the session got a list.
    index : tuple of int and slice, or list of them
        Where they lie: ``label_image[snapshot.index] = snapshot.labels``.
    n_classes : int
        Classes present.
    losses : dict of str to float
        As in `EpochRecord`.
    elapsed, seconds_left : float
        Seconds of computation so far, and an estimate of what is left at most.
    labelled : float or None
        None while the network is trained; after that the share of all pixels
        that have their final labels, in [0, 1].
    hierarchy : ClassHierarchy
        The tree of the classes as they are at the moment, by a sample of the pixels while the network is trained.
    """

    epoch: int
    epochs: int
    labels: LabelImage | list[LabelImage]
    n_classes: int
    losses: dict[str, float]
    elapsed: float
    seconds_left: float
    index: Any = ()
    labelled: float | None = None
    hierarchy: ClassHierarchy = field(default_factory=ClassHierarchy)


@dataclass(frozen=True)
class Segmentation:
    """The result of a run: labels, model, history and why it ended.

    Parameters
    ----------
    labels : array of uint16, or list of them
        Labels 1 to K, with the axes of the image but for the channels; the same as
        `predict(model, image)` gives. The array passed as `out`, if there was one.
    model : SegmentationModel
        Ready to save or to predict with.
    config : SegmentationConfig
        What was asked for.
    stop_reason : StopReason
        Why the run ended.
    history : tuple of EpochRecord
        One per epoch.
    device : str
        Where it was computed, for example ``"cpu"``.
    areas : dict of int to int
        Pixels of every label that is present, over all images.
    is_complete : bool
        False if the run was stopped before every pixel had its label; the others are 0.
    kept_epoch : int or None
        The epoch whose picture was kept, since the count fell below the target after it; see the option `guard`.
    """

    labels: Any
    model: SegmentationModel
    config: SegmentationConfig
    stop_reason: StopReason
    history: tuple[EpochRecord, ...]
    device: str
    areas: dict[int, int] = field(default_factory=dict)
    is_complete: bool = True
    kept_epoch: int | None = None

    @property
    def hierarchy(self) -> ClassHierarchy:
        """The tree of the classes: ``hierarchy.labels_at(k)`` are the labels with k classes shown."""
        return replace(self.model.hierarchy, label_image=self.labels)

    @property
    def count_note(self) -> str:
        """What a user should know of a count that fell past the target, as a part of a sentence; empty if it did not."""
        if not self.history or self.stop_reason is not StopReason.MIN_CLASSES:
            return ""
        left, wanted = self.history[-1].n_classes, min(self.config.min_classes, self.config.n_classes)
        if left >= wanted:
            return ""
        if self.kept_epoch is not None:
            return f"then {left} were left, so epoch {self.kept_epoch} is kept"
        if self.config.guard:
            return f"only {left} from the beginning"
        return f"only {left} are left; the option Guard would keep the last picture with {wanted}"


def versions() -> dict[str, str]:
    """Versions of this package, of Python and of the libraries that shape the numbers."""
    libraries = ("torch", "numpy", "scipy", "scikit-image")
    return {
        "napari-ufseg": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in libraries},
    }


def run_to_end(run: Generator[Any, None, Segmentation], stopped: Callable[[], bool] = lambda: False) -> Segmentation:
    """What a run gives, without what it shows on the way; StoppedError if `stopped`, asked at every picture, is true."""
    with closing(run):
        while True:
            go_on(stopped)
            try:
                next(run)
            except StopIteration as end:
                segmentation: Segmentation = end.value
                return segmentation
