"""A few quick runs at low resolution, side by side to choose from: other seeds, other smoothness."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.transform import downscale_local_mean

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import go_on
from napari_ufseg.engine.images.source import ImageSource
from napari_ufseg.engine.images.tiling import Box, iter_tiles, tile_edges
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.prediction.labelling import LabelImage
from napari_ufseg.engine.training.results import run_to_end
from napari_ufseg.engine.training.session import TrainingSession

_EDGE_2D, _EDGE_3D = 160, 40  # pixels along the longest side, at most
_SMOOTHNESS = (0.25, 1.0, 4.0)  # times that of the config
_LEAST = 0.1  # for a config without smoothness
_SEEDS = 2
_RANGE_NU = (0.0, 100.0)
_LEAST_CONTRAST = 2.0  # pixels
_MOST_READ = 2**22  # values of an image, about
_SECONDS = 0.2  # between looks at whether it is stopped


@dataclass(frozen=True)
class Variation:
    """A quick run at low resolution: its config and what came of it.

    Parameters
    ----------
    config : SegmentationConfig
        For the image at its full size.
    image : (C, Y, X) array
        What it was trained on, at low resolution; of a volume the middle plane.
    labels : (Y, X) array of uint16
        All classes of that.
    model : SegmentationModel
        Has made them, and knows which of them are shown at each detail and in which colours.
    """

    config: SegmentationConfig
    image: npt.NDArray[Any]
    labels: LabelImage
    model: SegmentationModel


def varied(config: SegmentationConfig) -> list[SegmentationConfig]:
    """Six configs: two seeds, each with less smoothness (nu), as much, and more."""
    base = config.nu or _LEAST
    smooth = [min(_RANGE_NU[1], round(base * times, 3)) for times in _SMOOTHNESS]
    return [config.replace(seed=config.seed + seed, nu=nu) for seed in range(_SEEDS) for nu in smooth]


def iter_variations(
    source: ImageSource,
    item: int,
    config: SegmentationConfig,
    device: str = "auto",
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Variation]:
    """Train each of `varied` on a small copy of one plane or volume, and yield it when it is done.

    Parameters
    ----------
    source : ImageSource
    item : int
        The plane, or volume.
    config : SegmentationConfig
        What is varied.
    device : str
        As in `segment`.
    stopped : callable, optional
        Whether they are no longer wanted; asked before every tile that is read, and often while they are trained.

    Raises
    ------
    StoppedError
        If it was stopped.
    """
    image, factor = small_copy(source, item, stopped)
    is_volume = config.spatial_dims == 3
    small = replace(source, data=image, axes="CZYX" if is_volume else "CYX", squeezed=False, is_rgb=source.is_picture)
    for chosen in varied(config):
        size = chosen.local_contrast_size
        quick = chosen.replace(local_contrast_size=max(_LEAST_CONTRAST, size / factor) if size else size)
        session = TrainingSession(small, quick, device=device, stopped=stopped)
        result = run_to_end(session.run(_SECONDS), stopped)
        seen = (len(result.labels) // 2,) if is_volume else ()
        yield Variation(chosen, image[(slice(None), *seen)], result.labels[seen], result.model)


def small_copy(
    source: ImageSource, item: int, stopped: Callable[[], bool] = lambda: False
) -> tuple[npt.NDArray[Any], int]:
    """(C, Y, X) or (C, Z, Y, X) means of blocks of pixels, and the edge of a block in pixels of Y and X.

    Of an item with more than `_MOST_READ` values every n-th pixel is taken, tile by tile, so that about so many are
    read; `stopped` is asked before every tile.
    """
    most = _EDGE_2D if source.spatial_dims == 2 else _EDGE_3D
    blocks = [max(1, ceil(n / most)) for n in source.item_shape]
    cells = source.n_channels * prod(ceil(n / block) for n, block in zip(source.item_shape, blocks, strict=True))
    if source.n_channels * source.whole.size <= _MOST_READ:
        steps = [1] * len(blocks)
    else:
        per_edge = max(1, int((_MOST_READ / cells) ** (1 / len(blocks))))
        steps = [ceil(block / per_edge) for block in blocks]
    taken = [ceil(block / step) for block, step in zip(blocks, steps, strict=True)]  # pixels along the edge of a block
    values = _every_nth_pixel(source, item, steps, stopped)
    small = downscale_local_mean(values, (1, *taken))  # type: ignore[no-untyped-call]
    return small.astype(np.float32), taken[-1] * steps[-1]


def _every_nth_pixel(
    source: ImageSource, item: int, steps: Sequence[int], stopped: Callable[[], bool]
) -> npt.NDArray[np.float32]:
    """(C, ...) every n-th pixel of an item along each axis, read tile by tile; tiles without one are not read."""
    shape = [ceil(n / step) for n, step in zip(source.item_shape, steps, strict=True)]
    values = np.empty((source.n_channels, *shape), np.float32)
    for tile in iter_tiles(source.whole, tile_edges(source.item_shape, source.chunks)):
        first = [ceil(a / step) for a, step in zip(tile.start, steps, strict=True)]
        beyond = [ceil(b / step) for b, step in zip(tile.stop, steps, strict=True)]
        if all(a < b for a, b in zip(first, beyond, strict=True)):
            go_on(stopped)
            seen = Box(tuple(a * step for a, step in zip(first, steps, strict=True)), tile.stop)
            values[(slice(None), *Box(tuple(first), tuple(beyond)).slices)] = source.read(item, seen, steps)
    return values
