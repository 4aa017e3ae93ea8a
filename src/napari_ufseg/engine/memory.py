"""How much memory a run needs and may have."""

import psutil

from napari_ufseg.engine.config import SegmentationConfig

DEFAULT_SHARE = 0.5
TILED_BUDGET = 2 * 10**9

_FIXED = 350 * 2**20  # buffers of torch that do not grow with the image
_PER_VALUE = 14.5  # bytes that a step holds per value of a layer: itself, its gradient and what autograd keeps


def step_bytes(config: SegmentationConfig, n_channels: int, pixels: int) -> int:
    """Memory that one training step on so many pixels takes beyond that of the idle process, in bytes."""
    values = n_channels + config.n_convolutions * config.n_features + config.n_classes
    return int(_FIXED + _PER_VALUE * values * pixels)


def affordable_pixels(config: SegmentationConfig, n_channels: int, room: float) -> int:
    """The most pixels whose training step fits into so many bytes."""
    return int(max(0.0, room - _FIXED) / (step_bytes(config, n_channels, 1) - step_bytes(config, n_channels, 0)))


def resident_bytes() -> int:
    """Memory of this process now."""
    return int(psutil.Process().memory_info().rss)


def room_for_all(budget: int | None) -> int:
    """Bytes that a run may add so that whole images can be trained: the rest of the budget, or half of what is free."""
    if budget is not None:
        return max(0, budget - resident_bytes())
    return int(DEFAULT_SHARE * psutil.virtual_memory().available)


def room_for_tiles(budget: int | None) -> int:
    """Bytes that a run on tiles may add; without a budget, what keeps the process at 2 GB, since more gains nothing."""
    return min(room_for_all(budget), max(0, (budget or TILED_BUDGET) - resident_bytes()))
