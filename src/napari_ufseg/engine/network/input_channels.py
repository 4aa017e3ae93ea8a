"""Input channels of the network: those of the image, perhaps as colours even to the eye, and their local contrast."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter, uniform_filter
from torch import Tensor

from napari_ufseg.engine.config import NOISE_WINDOW, SegmentationConfig
from napari_ufseg.engine.images.intensity import IntensityRange
from napari_ufseg.engine.images.tiling import Box

_FLAT = 0.1  # a standard deviation of the surroundings below which contrast counts as noise; brightness is 0 to 1
_LAB_RANGE = 100.0


def seen_box(box: Box, shape: Sequence[int], config: SegmentationConfig) -> Box:
    """The part of an item that must be read for the input channels of a box; nothing more is needed along depth."""
    return _compared_box(box, shape, config).grown(_in_plane(config.denoise_reach, shape), shape)


def _compared_box(box: Box, shape: Sequence[int], config: SegmentationConfig) -> Box:
    """What local contrast looks at: whole cells, which are counted from the corner of the item."""
    if not config.sees_local_contrast:
        return box
    cells = (1,) * (len(shape) - 2) + (config.contrast_cell,) * 2
    return box.grown(_in_plane(config.contrast_reach, shape), shape).snapped(cells, shape)


def _in_plane(reach: int, shape: Sequence[int]) -> tuple[int, ...]:
    return (0,) * (len(shape) - 2) + (reach,) * 2


def input_channels(
    values: npt.NDArray[Any],
    seen: Box,
    box: Box,
    shape: Sequence[int],
    brightness: IntensityRange,
    config: SegmentationConfig,
) -> Tensor:
    """The input of the network for a box.

    The channels, scaled by `brightness`, come first. With `denoise` they are
    `smoothed`; with ``colour="lab"`` three of them are turned into CIE L*, a*
    and b*, divided by 100. With local contrast there follow as many channels

        local_contrast * (x - mean) / sqrt(variance + 0.1^2)

    with mean and variance of the surroundings in the plane: the average over
    cells of about a quarter of `local_contrast_size`, blurred by a Gaussian
    whose standard deviation is that size, and interpolated. (Local contrast
    normalisation, Jarrett et al. 2009, https://doi.org/10.1109/ICCV.2009.5459469.)

    Parameters
    ----------
    values : (C, *seen) array
        As read.
    seen : Box
        Of `seen_box`.
    box : Box
        The part that is wanted.
    shape : sequence of int
        Of the item.
    brightness : IntensityRange
        Of the whole image.
    config : SegmentationConfig

    Returns
    -------
    (D, *box) float32 tensor
        D is ``config.n_inputs(C)``.
    """
    scaled = brightness.scaled(values)
    if config.denoise > 0:
        scaled = smoothed(scaled, config.denoise * brightness.scaled_noise)
    compared = _compared_box(box, shape, config)
    channels = torch.from_numpy(as_seen(scaled[(slice(None), *compared.within(seen).slices)], config))
    inside = (slice(None), *box.within(compared).slices)
    if not config.sees_local_contrast:
        return channels[inside].contiguous()
    return torch.cat([channels[inside], _local_contrast(channels, config)[inside]])


def smoothed(scaled: npt.NDArray[np.float32], noise: float) -> npt.NDArray[np.float32]:
    """Every plane after the local Wiener filter: flat parts become their mean, edges stay.

    ``mean + max(0, variance - noise^2) / variance * (x - mean)`` with mean and
    variance over 5 x 5 pixels (Lee 1980, https://doi.org/10.1109/TPAMI.1980.4766994).

    Parameters
    ----------
    scaled : (C, ..., Y, X) array
    noise : float
        Standard deviation of what is to be removed; a larger value smooths more, 0 nothing.
    """
    if noise <= 0:
        return scaled
    smooth = np.empty_like(scaled)
    for place in np.ndindex(scaled.shape[:-2]):
        values = scaled[place].astype(np.float64)
        mean = uniform_filter(values, NOISE_WINDOW, mode="nearest")
        variance = (uniform_filter(values**2, NOISE_WINDOW, mode="nearest") - mean**2).clip(1e-12)
        smooth[place] = mean + (variance - noise**2).clip(0) / variance * (values - mean)
    return smooth


def as_seen(scaled: npt.NDArray[np.float32], config: SegmentationConfig) -> npt.NDArray[np.float32]:
    """The scaled channels in the colours of the config."""
    if not config.sees_lab(len(scaled)):
        return scaled
    from skimage.color import rgb2lab

    return np.ascontiguousarray(rgb2lab(scaled, channel_axis=0), np.float32) / np.float32(_LAB_RANGE)


def _local_contrast(channels: Tensor, config: SegmentationConfig) -> Tensor:
    planes = channels.reshape(-1, 1, *channels.shape[-2:])  # along depth each plane stands for itself
    contrast = torch.cat([_contrast_of(plane[None], config)[0] for plane in planes])
    return contrast.reshape(channels.shape)


def _contrast_of(plane: Tensor, config: SegmentationConfig) -> Tensor:
    """Of a (1, 1, Y, X) plane."""
    cell = config.contrast_cell
    moments = torch.cat([plane, plane**2], 1).double()
    cells = F.avg_pool2d(moments, cell, ceil_mode=True, count_include_pad=False)[0].numpy()
    sigma = config.local_contrast_size / cell
    blurred = gaussian_filter(cells, sigma, mode="nearest", radius=config.contrast_radius, axes=(1, 2))
    mean, variance = blurred[0], (blurred[1] - blurred[0] ** 2).clip(0)
    coarse = torch.from_numpy(np.stack([mean, 1 / np.sqrt(variance + _FLAT**2)])).float()[None]
    wide = F.interpolate(coarse, scale_factor=cell, mode="bilinear", align_corners=False) if cell > 1 else coarse
    mean_here, gain = torch.tensor_split(wide[..., : plane.shape[-2], : plane.shape[-1]], 2, 1)
    return config.local_contrast * (plane - mean_here) * gain
