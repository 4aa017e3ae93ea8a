"""What is computed for a tile, in this process or on a worker: everything here can be done twice without harm."""

import copy
import os
import platform
import socket
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from napari_ufseg._version import __version__
from napari_ufseg.engine.device import place_on, resolve_device
from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.images.intensity import IntensityRange, IntensitySummary
from napari_ufseg.engine.images.source import ImageSource
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.prediction.labelling import label_box
from napari_ufseg.io import open_image

_WRITING = threading.Lock()
_ENDED: set[str] = set()  # names of works that nobody may write for any more


@dataclass(frozen=True)
class TilePlan:
    """All that must be known to compute a tile; it travels to each worker once.

    Parameters
    ----------
    name : str
        Differs from that of every other work.
    model : SegmentationModel
    source : ImageSource
        Without its data.
    image : Path
        Where `open_image` finds them.
    labels : Path
        A Zarr array for the labels, in chunks as `label_chunks` says.
    device : str
        As for `resolve_device`.
    level : int
        Which resolution level of the image it is.
    """

    name: str
    model: SegmentationModel = field(compare=False)
    source: ImageSource = field(compare=False)
    image: Path = field(compare=False)
    labels: Path = field(compare=False)
    device: str = field(compare=False, default="auto")
    level: int = field(compare=False, default=0)

    @classmethod
    def of(
        cls, model: SegmentationModel, source: ImageSource, image: Path, labels: Any, device: str, level: int = 0
    ) -> Self:
        """The work of labelling an image file into a Zarr array on disk."""
        folder = Path(labels.store.root).absolute() / labels.path
        return cls(uuid.uuid4().hex, model, replace(source, data=None), image.absolute(), folder, device, level)


def the_plan(work: TilePlan) -> TilePlan:
    """A node of the graph that holds the work, so that it travels to each worker once."""
    return work


def done_reading(summary: IntensitySummary) -> None:
    """Tell that a summary is there, without sending it."""


def scanned(work: TilePlan, tiles: Sequence[Any]) -> IntensitySummary:
    """What some tiles tell of the brightness."""
    _, source, _ = _opened(work)
    summary = IntensitySummary.of(source, work.model.config.scaling)
    for tile in tiles:
        summary.add(source.read(tile.item, tile.box), tile.box)
    return summary


def merged(summaries: Sequence[IntensitySummary]) -> IntensitySummary:
    """What they tell together."""
    whole = copy.deepcopy(summaries[0])  # what dask gives to a task stays as it is
    for summary in summaries[1:]:
        whole.merge(summary)
    return whole


def learnt(summary: IntensitySummary, name: str) -> IntensityRange:
    """The brightness of the image of that name."""
    return summary.brightness(name)


def labelled(work: TilePlan, brightness: IntensityRange, tile: Any) -> dict[int, int]:
    """Label a tile and write it; the pixels of each label."""
    torch.set_num_threads(1)  # of this thread: sums may depend on how many share them
    network, source, out = _opened(work)
    config, class_labels = work.model.config, work.model.class_labels
    labels = label_box(network, config, class_labels, source, brightness, tile.item, tile.box)
    with _WRITING:
        if work.name not in _ENDED:
            source.write(out, tile.item, tile.box, labels)
    present, pixels = np.unique(labels, return_counts=True)
    return dict(zip(present.tolist(), pixels.tolist(), strict=True))


@lru_cache(maxsize=4)
def _opened(work: TilePlan) -> tuple[FeatureNet, ImageSource, Any]:
    """The network on its device, the image and the array for its labels; once per process."""
    import zarr

    require_files(work.image, work.labels)
    network = place_on(copy.deepcopy(work.model.network), resolve_device(work.device)).eval()
    data = open_image(work.image, work.level).data
    return network, replace(work.source, data=data), zarr.open_array(work.labels, mode="r+")


def require_files(image: Path, labels: Path) -> None:
    """Raise FileError unless this process can read the image and write the labels."""
    if not os.access(image, os.R_OK):
        raise FileError(f"A worker on {socket.gethostname()} cannot read {image}: all workers must share its folder.")
    if not os.access(labels, os.W_OK):
        folder = labels.parent.parent
        raise FileError(f"A worker on {socket.gethostname()} cannot write in {folder}: all workers must share it.")


def end_writing(name: str) -> None:
    """Wait until this process has written what it is writing, and let it write nothing more for a work."""
    with _WRITING:
        _ENDED.add(name)
    _opened.cache_clear()


def versions_here() -> dict[str, str]:
    """What shapes the numbers in this process."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"napari-ufseg": __version__, "torch": str(torch.__version__), "Python": python}
