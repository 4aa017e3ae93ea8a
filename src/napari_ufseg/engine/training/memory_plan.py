"""Memory of a training: whether images are trained on whole or by tiles; nothing is read for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import psutil
import torch

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.device import free_gpu_bytes
from napari_ufseg.engine.errors import MemoryShortageError
from napari_ufseg.engine.images.source import ImageSource

CPU = torch.device("cpu")
DEFAULT_SHARE = 0.5
_GPU_SHARE = 0.8  # of what is free there: the rest is for workspaces of the convolutions
TILED_BUDGET = 2 * 10**9
_FIXED = 350 * 2**20  # buffers of torch's layers that do not grow with the image
_FIXED_STRIPS = 200 * 2**20  # those of a step by strips, and of labelling afterwards
_PER_VALUE = 14.5  # bytes that torch's layers hold per value: itself, its gradient and what autograd keeps
_PER_PIXEL = 16  # bytes of a step by strips beside its layers: labels, weights of pixels


def step_bytes(config: SegmentationConfig, n_channels: int, pixels: int, device: torch.device = CPU) -> int:
    """Memory that one training step on so many pixels takes beyond that of the idle process, in bytes; on a GPU its own."""
    layers = config.n_convolutions * config.n_features + config.n_classes
    if config.spatial_dims == 3 or device.type != "cpu":  # see FastStep.is_for
        copies = 0 if config.is_plain_network else n_channels + config.n_features  # padded, or beside the image
        return int(_FIXED + (_PER_VALUE * (n_channels + layers) + 4 * copies) * pixels)
    gradients = max(config.n_classes, config.n_features) + config.n_features  # see cpu_step
    return int(_FIXED_STRIPS + (4 * (2 * n_channels + layers + gradients) + _PER_PIXEL) * pixels)


def affordable_pixels(config: SegmentationConfig, n_channels: int, room: float, device: torch.device = CPU) -> int:
    """The most pixels whose training step fits into so many bytes."""
    fixed = step_bytes(config, n_channels, 0, device)
    return int(max(0.0, room - fixed) / (step_bytes(config, n_channels, 1, device) - fixed))


def resident_bytes() -> int:
    """Memory of this process now."""
    return int(psutil.Process().memory_info().rss)


def free_bytes(device: torch.device = CPU) -> int:
    """Memory that is free now: of a GPU with memory of its own, or of this machine."""
    return free_gpu_bytes(device) if device.type == "cuda" else int(psutil.virtual_memory().available)


def room_for_all(budget: int | None, device: torch.device = CPU) -> int:
    """Bytes that a run may add so that whole images can be trained: the rest of the budget, or half of what is free.

    On a GPU with memory of its own they are those of the GPU: most of what is free there, and no more than the budget.
    """
    if device.type == "cuda":
        free = int(_GPU_SHARE * free_bytes(device))
        return free if budget is None else min(budget, free)
    if budget is not None:
        return max(0, budget - resident_bytes())
    return int(DEFAULT_SHARE * free_bytes())


def room_for_tiles(budget: int | None, device: torch.device = CPU) -> int:
    """Bytes that a run on tiles may add; without a budget, what keeps the process at 2 GB, since more gains nothing."""
    taken = resident_bytes() if device.type != "cuda" else 0
    return min(room_for_all(budget, device), max(0, (budget or TILED_BUDGET) - taken))


SAMPLED_PIXELS = 2**20
_EDGES_2D, _EDGES_3D = range(256, 31, -32), range(64, 15, -8)
_WORTH_SAMPLING = 2  # how many times as large as a sample the images must be
_KEPT_PER_PIXEL = 4  # two copies of the labels, 16 bit each


@dataclass(frozen=True)
class TrainingPlan:
    """How a run trains: on whole images or on random tiles, and the memory that it takes.

    Parameters
    ----------
    tile_edge : int or None
        Edge of the random tiles; None if whole images are trained on.
    batch_pixels, epoch_pixels : int
        Pixels of the largest step, and of an epoch.
    run_bytes : int
        Memory that the training adds to the process, estimated from above.
    whole_bytes : int
        What training on whole images would add. On a GPU with memory of its own both are what is added there.
    is_short : bool
        Whether there is too little memory for whole images.
    """

    tile_edge: int | None
    batch_pixels: int
    epoch_pixels: int
    run_bytes: int
    whole_bytes: int
    is_short: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether every pixel is trained on."""
        return self.tile_edge is None


def plan_training(
    sources: Sequence[ImageSource],
    config: SegmentationConfig,
    memory_budget: int | None = None,
    device: torch.device = CPU,
) -> TrainingPlan:
    """Choose between whole images and tiles.

    Everything is trained on if that fits into the budget (see
    `build_training_set`), unless the images are much larger than
    `epoch_megapixels`; else tiles are, of the largest edge, up to 256, of
    which `batch_size` can be trained in one step. On a GPU a step must fit into
    its free memory, and the images into that of the process, too.

    Raises
    ------
    MemoryShortageError
        If not even a batch of the smallest tiles fits.
    """
    n_channels, dims = config.n_inputs(sources[0].n_channels), config.spatial_dims
    pixels, batch = sum(source.n_pixels for source in sources), _largest_batch(sources, config)
    kept = 4 * n_channels + _KEPT_PER_PIXEL
    whole = step_bytes(config, n_channels, batch, device) + kept * pixels
    is_short = whole > room_for_all(memory_budget, device) or kept * pixels > room_for_all(memory_budget)
    wanted = int(config.epoch_megapixels * 1e6)
    if not is_short and not (wanted and pixels >= _WORTH_SAMPLING * wanted):
        return TrainingPlan(None, batch, pixels, whole, whole)
    sampled = min(pixels, wanted or SAMPLED_PIXELS)
    room = room_for_tiles(memory_budget, device) - kept * sampled
    affordable = affordable_pixels(config, n_channels, room, device)
    for edge in _EDGES_2D if dims == 2 else _EDGES_3D:
        batch = min(config.batch_size * edge**dims, pixels)
        if batch <= affordable:
            run = step_bytes(config, n_channels, batch, device) + kept * sampled
            return TrainingPlan(edge, batch, sampled, run, whole, is_short)
    taken, where = (0, "on the GPU ") if device.type == "cuda" else (resident_bytes(), "")
    least = taken + step_bytes(config, n_channels, batch, device) + kept * sampled
    raise MemoryShortageError(
        f"There is too little memory {where}to train even on small tiles, which takes {_in_gb(least)} in all: use fewer features "
        "(n_features) and classes (n_classes), a smaller batch_size, or a larger memory budget."
    )


def _in_gb(n_bytes: int) -> str:
    """Bytes in words, rounded up."""
    return f"{ceil(n_bytes / 1e8) / 10:g}GB"


def _largest_batch(sources: Sequence[ImageSource], config: SegmentationConfig) -> int:
    """Pixels of the largest batch; only items of equal size share one."""
    items: dict[tuple[int, ...], int] = {}
    for source in sources:
        items[source.item_shape] = items.get(source.item_shape, 0) + source.n_items
    sizes = {source.item_shape: source.whole.size for source in sources}
    return max(min(config.batch_size, n) * sizes[shape] for shape, n in items.items())
