"""What a worker of a cluster computes for a tile: everything here can be done twice without harm."""

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
from napari_ufseg.engine.prediction.tile_pool import Tile
from napari_ufseg.io import are_claims_believed, believe_claims, open_image

_WRITING = threading.Lock()
_ENDED: set[str] = set()  # names of plans that nobody may write for any more


@dataclass(frozen=True)
class TilePlan:
    """All that must be known to compute a tile; it travels to each worker once.

    Parameters
    ----------
    name : str
        Differs from that of every other plan.
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
    series : int, optional
        Which of the images in the file it is.
    partial : bool
        As for `open_image`.
    is_believed : bool
        The image is opened whatever size it claims.
    """

    name: str
    model: SegmentationModel = field(compare=False)
    source: ImageSource = field(compare=False)
    image: Path = field(compare=False)
    labels: Path = field(compare=False)
    device: str = field(compare=False, default="auto")
    level: int = field(compare=False, default=0)
    series: int | None = field(compare=False, default=None)
    partial: bool = field(compare=False, default=False)
    is_believed: bool = field(compare=False, default=False)

    @classmethod
    def of(
        cls,
        model: SegmentationModel,
        source: ImageSource,
        image: Path,
        labels: Any,
        device: str,
        level: int = 0,
        series: int | None = None,
        partial: bool = False,
    ) -> Self:
        """The plan of labelling an image file into a Zarr array on disk."""
        folder = Path(labels.store.root).absolute() / labels.path
        about = (series, partial, are_claims_believed())
        without = replace(source, data=None)
        return cls(uuid.uuid4().hex, model, without, image.absolute(), folder, device, level, *about)


def hand_on(plan: TilePlan) -> TilePlan:
    """A task whose result is the plan, so that it travels to each worker once."""
    return plan


def summarise_tiles(tiles: Sequence[Tile], plan: TilePlan) -> tuple[IntensitySummary, int]:
    """What some tiles tell of the brightness, and how many pixels they have."""
    _, source, _ = _opened(plan)
    summary = IntensitySummary(source, plan.model.config)
    for tile in tiles:
        summary.add(source.read(tile.item, tile.box), tile.box)
    return summary, sum(tile.box.size for tile in tiles)


def label_tile(tile: Tile, plan: TilePlan, brightness: IntensityRange) -> dict[int, int]:
    """Label a tile and write it; the pixels of each label."""
    torch.set_num_threads(1)  # of this thread: sums may depend on how many share them
    network, source, out = _opened(plan)
    config, class_labels = plan.model.config, plan.model.class_labels
    labels = label_box(network, config, class_labels, source, brightness, tile.item, tile.box)
    with _WRITING:
        if plan.name not in _ENDED:
            source.write(out, tile.item, tile.box, labels)
    present, pixels = np.unique(labels, return_counts=True)
    return dict(zip(present.tolist(), pixels.tolist(), strict=True))


@lru_cache(maxsize=4)
def _opened(plan: TilePlan) -> tuple[FeatureNet, ImageSource, Any]:
    """The network on its device, the image and the array for its labels; once per process."""
    import zarr

    require_files(plan.image, plan.labels)
    network = place_on(copy.deepcopy(plan.model.network), resolve_device(plan.device)).eval()
    with believe_claims(plan.is_believed):
        data = open_image(plan.image, plan.level, series=plan.series, partial=plan.partial).data
    return network, replace(plan.source, data=data), zarr.open_array(plan.labels, mode="r+")


def require_files(image: Path, labels: Path) -> None:
    """Raise FileError unless this process can read the image and write the labels."""
    if not os.access(image, os.R_OK):
        raise FileError(
            f"A worker on {socket.gethostname()} cannot read {image}: {_why(image, 'all workers must share its folder.')}"
        )
    if not os.access(labels, os.W_OK):
        folder = labels.parent.parent
        raise FileError(
            f"A worker on {socket.gethostname()} cannot write in {folder}: {_why(labels, 'all workers must share it.')}"
        )


def _why(path: Path, if_missing: str) -> str:
    return "permission denied." if os.access(path, os.F_OK) else if_missing


def end_writing(name: str) -> None:
    """Wait until this process has written what it is writing, and let it write nothing more for a plan."""
    with _WRITING:
        _ENDED.add(name)
    _opened.cache_clear()


def versions_here() -> dict[str, str]:
    """What shapes the numbers in this process."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"napari-ufseg": __version__, "torch": str(torch.__version__), "Python": python}
