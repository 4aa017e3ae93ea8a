"""How much memory a run needs and may have."""

import psutil

from napari_ufseg.engine.config import SegmentationConfig

DEFAULT_SHARE = 0.5
TILED_BUDGET = 2 * 10**9

_FIXED = 350 * 2**20  # buffers of torch's layers that do not grow with the image
_FIXED_STRIPS = 200 * 2**20  # those of a step by strips, and of labelling afterwards
_PER_VALUE = 14.5  # bytes that torch's layers hold per value: itself, its gradient and what autograd keeps
_PER_PIXEL = 16  # bytes of a step by strips beside its layers: labels, weights of pixels


def step_bytes(config: SegmentationConfig, n_channels: int, pixels: int) -> int:
    """Memory that one training step on so many pixels takes beyond that of the idle process, in bytes."""
    layers = config.n_convolutions * config.n_features + config.n_classes
    if config.spatial_dims == 3:  # see FastStep.is_for
        copies = 0 if config.is_plain_network else n_channels + config.n_features  # padded, or beside the image
        return int(_FIXED + (_PER_VALUE * (n_channels + layers) + 4 * copies) * pixels)
    gradients = max(config.n_classes, config.n_features) + config.n_features  # see fast_step
    return int(_FIXED_STRIPS + (4 * (2 * n_channels + layers + gradients) + _PER_PIXEL) * pixels)


def affordable_pixels(config: SegmentationConfig, n_channels: int, room: float) -> int:
    """The most pixels whose training step fits into so many bytes."""
    fixed = step_bytes(config, n_channels, 0)
    return int(max(0.0, room - fixed) / (step_bytes(config, n_channels, 1) - fixed))


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
