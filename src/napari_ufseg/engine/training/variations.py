"""A few quick runs at low resolution, side by side to choose from: other seeds, other smoothness."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.transform import downscale_local_mean

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.images.source import ImageSource
from napari_ufseg.engine.labels.edits import renaming
from napari_ufseg.engine.labels.matching import count_pairs, match_labels
from napari_ufseg.engine.prediction.labelling import LabelImage
from napari_ufseg.engine.training.results import Segmentation
from napari_ufseg.engine.training.session import TrainingSession

_EDGE_2D, _EDGE_3D = 160, 40  # pixels along the longest side, at most
_SMOOTHNESS = (0.25, 1.0, 4.0)  # times that of the config
_LEAST = 0.1  # for a config without smoothness
_SEEDS = 2
_RANGE_NU = (0.0, 100.0)
_LEAST_CONTRAST = 2.0  # pixels


@dataclass(frozen=True)
class Variation:
    """One of the runs.

    Parameters
    ----------
    config : SegmentationConfig
        For the image at its full size.
    labels : (Y, X) array of uint16
        What came of it at low resolution; of a volume the middle plane.
    n_classes : int
    """

    config: SegmentationConfig
    labels: LabelImage
    n_classes: int


def varied(config: SegmentationConfig) -> list[SegmentationConfig]:
    """Six configs: two seeds, each with less smoothness (nu), as much, and more."""
    base = config.nu or _LEAST
    smooth = [min(_RANGE_NU[1], round(base * times, 3)) for times in _SMOOTHNESS]
    return [config.replace(seed=config.seed + seed, nu=nu) for seed in range(_SEEDS) for nu in smooth]


def iter_variations(
    source: ImageSource, item: int, config: SegmentationConfig, device: str = "auto"
) -> Iterator[Variation]:
    """Train each of `varied` on a small copy of one plane or volume, and yield it when it is done.

    Classes of all of them are called as those of the first that they lie on.

    Parameters
    ----------
    source : ImageSource
    item : int
        The plane, or volume.
    config : SegmentationConfig
        What is varied.
    device : str
        As in `segment`.
    """
    image, factor = small_copy(source, item)
    first: LabelImage | None = None
    for chosen in varied(config):
        size = chosen.local_contrast_size
        quick = chosen.replace(local_contrast_size=max(_LEAST_CONTRAST, size / factor) if size else size)
        axes = "CZYX" if config.spatial_dims == 3 else "CYX"
        result = _result(TrainingSession(image, quick, axes=axes, device=device))
        labels = result.labels[len(result.labels) // 2] if config.spatial_dims == 3 else result.labels
        if first is None:
            first = labels
        labels = renaming(match_labels(count_pairs(first, labels)))(labels)
        yield Variation(chosen, labels, len(result.areas))


def small_copy(source: ImageSource, item: int) -> tuple[npt.NDArray[Any], int]:
    """(C, Y, X) or (C, Z, Y, X) means of blocks of pixels, and the edge of a block in pixels of Y and X."""
    most = _EDGE_2D if source.spatial_dims == 2 else _EDGE_3D
    values = np.asarray(source.read(item, source.whole), np.float32)
    factors = [max(1, ceil(n / most)) for n in source.item_shape]
    small = downscale_local_mean(values, (1, *factors))  # type: ignore[no-untyped-call]
    return small.astype(np.float32), factors[-1]


def _result(session: TrainingSession) -> Segmentation:
    run = session.run(float("inf"))
    while True:
        try:
            next(run)
        except StopIteration as end:
            segmentation: Segmentation = end.value
            return segmentation
