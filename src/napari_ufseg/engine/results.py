"""What a run tells: records of epochs, snapshots on the way, and the result."""

from dataclasses import dataclass
from enum import StrEnum

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.inference import LabelImage, SegmentationModel


class StopReason(StrEnum):
    """Why a run ended."""

    MIN_CLASSES = "min_classes"
    EPOCHS = "epochs"
    SETTLED = "settled"
    STOPPED = "stopped"


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch did.

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
    """The state of a run at one moment; nobody writes into it again.

    Parameters
    ----------
    epoch, epochs : int
        Epochs done, and how many the run will do at most.
    labels : (Y, X) array of uint16, or list of them
        Labels 1 to K, read-only, on the CPU; a list if the session got a list.
    n_classes : int
        Classes present.
    losses : dict of str to float
        As in `EpochRecord`.
    elapsed, seconds_left : float
        Seconds of computation so far, and an estimate of what is left at most.
    """

    epoch: int
    epochs: int
    labels: LabelImage | list[LabelImage]
    n_classes: int
    losses: dict[str, float]
    elapsed: float
    seconds_left: float


@dataclass(frozen=True)
class Segmentation:
    """The result of a run.

    Parameters
    ----------
    labels : (Y, X) array of uint16, or list of them
        Labels 1 to K; the same as `predict(model, image)` gives.
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
    """

    labels: LabelImage | list[LabelImage]
    model: SegmentationModel
    config: SegmentationConfig
    stop_reason: StopReason
    history: tuple[EpochRecord, ...]
    device: str
