"""Input channels of the network: those of the image, perhaps as colours even to the eye, their local contrast and threshold."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter, uniform_filter
from torch import Tensor

from napari_ufseg.engine.config import NOISE_WINDOW, SegmentationConfig
from napari_ufseg.engine.images.intensity import IntensityRange, as_seen, light_of
from napari_ufseg.engine.images.odd_pixels import REACH
from napari_ufseg.engine.images.threshold import Levels
from napari_ufseg.engine.images.tiling import Box

_FLAT = 0.1  # a standard deviation of the surroundings below which contrast counts as noise; brightness is 0 to 1
_LEAN = 0.003  # share of the surroundings below which the levels of the whole image stand for a side that is not there
_STEEP, _LEAST = 8.0, 0.01
_HARDLY_ANY = 1e-6  # share of the surroundings that hold data


def seen_box(box: Box, shape: Sequence[int], config: SegmentationConfig) -> Box:
    """The part of an item that must be read for the input channels of a box; nothing more is needed along depth."""
    around = config.denoise_reach + (REACH if config.scaling == "robust" else 0)
    return _compared_box(box, shape, config).grown(_in_plane(around, shape), shape)


def _compared_box(box: Box, shape: Sequence[int], config: SegmentationConfig) -> Box:
    """What surroundings are taken from: whole cells, which are counted from the corner of the item."""
    if not config.sees_surroundings:
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

    The channels, scaled by `brightness`, come first; what that leaves out is replaced by what lies around it. With `denoise` they are
    `smoothed`; with ``colour="lab"`` three of them are turned into CIE L*, a*
    and b*, divided by 100. With local contrast there follow as many channels

        local_contrast * (x - mean) / sqrt(variance + 0.1^2)

    with mean and variance of the surroundings in the plane: the average over
    cells of about a quarter of `local_contrast_size`, blurred by a Gaussian
    whose standard deviation is that size, and interpolated. (Local contrast
    normalisation, Jarrett et al. 2009, https://doi.org/10.1109/ICCV.2009.5459469.)

    With a local threshold there follows for each kind of `light_of`

        local_threshold / 2 * tanh((x - (above + below) / 2) / ((above - below) / 8 + 2 * noise + 0.01))

    with the mean light of the pixels of the same surroundings that lie above the
    `half_height` of the whole image, and of those below. Where there are
    none on a side, its mean over the whole image stands for it: each mean leans
    on that with the weight of 0.3 % of the surroundings. Pixels that hold no data are no surroundings.

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
    scaled = brightness.scaled(brightness.without_odd(values))
    noise = brightness.scaled_noise(len(values))
    if config.denoise > 0:
        scaled = smoothed(scaled, [config.denoise * its for its in noise])
    compared = _compared_box(box, shape, config)
    channels = as_seen(scaled[(slice(None), *compared.within(seen).slices)], config)
    inputs = [torch.from_numpy(channels)]
    data = None
    if brightness.leaves_no_data and config.sees_surroundings:
        seen_values = values[(slice(None), *compared.within(seen).slices)]
        data = torch.from_numpy(~brightness.where_no_data(seen_values)).double()
    if config.sees_local_contrast:
        inputs.append(_plane_by_plane(partial(_contrast_of, config=config), inputs[0], data))
    if config.sees_local_threshold:
        lights = light_of(channels, config)
        of_lights = noise if len(lights) == len(noise) else [float(np.mean(noise))]
        for kind, levels, its in zip(lights, brightness.levels, of_lights, strict=True):
            sides = partial(_sides_of, levels=levels, noise=its, config=config)
            inputs.append(_plane_by_plane(sides, torch.from_numpy(kind)[None], data))
    inside = (slice(None), *box.within(compared).slices)
    return torch.cat([part[inside] for part in inputs])


def smoothed(scaled: npt.NDArray[np.float32], noise: Sequence[float]) -> npt.NDArray[np.float32]:
    """Every plane after the local Wiener filter: flat parts become their mean, edges stay.

    ``mean + max(0, variance - noise^2) / variance * (x - mean)`` with mean and
    variance over 5 x 5 pixels (Lee 1980, https://doi.org/10.1109/TPAMI.1980.4766994).

    Parameters
    ----------
    scaled : (C, ..., Y, X) array
    noise : sequence of float
        Standard deviation of what is to be removed from each channel; a larger value smooths more, 0 nothing.
    """
    smooth = scaled.copy()
    for place in np.ndindex(scaled.shape[:-2]):
        if noise[place[0]] <= 0:
            continue
        values = scaled[place].astype(np.float64)
        mean = uniform_filter(values, NOISE_WINDOW, mode="nearest")
        variance = (uniform_filter(values**2, NOISE_WINDOW, mode="nearest") - mean**2).clip(1e-12)
        smooth[place] = mean + (variance - noise[place[0]] ** 2).clip(0) / variance * (values - mean)
    return smooth


def _plane_by_plane(work: Callable[[Tensor, Tensor | None], Tensor], channels: Tensor, data: Tensor | None) -> Tensor:
    """Every plane of every channel by itself, also along depth, as a (1, 1, Y, X) tensor; with 1 where it holds data, or None."""
    shape = (-1, 1, 1, *channels.shape[-2:])
    planes = channels.reshape(shape)
    held = [None] * len(planes) if data is None else [*data.reshape(shape)] * len(channels)
    return torch.cat([work(plane, its) for plane, its in zip(planes, held, strict=True)]).reshape(channels.shape)


def _contrast_of(plane: Tensor, data: Tensor | None, config: SegmentationConfig) -> Tensor:
    """Local contrast of a (1, 1, Y, X) plane."""
    mean, square = _around(torch.cat([plane, plane**2], 1), data, config)
    variance = (square - mean**2).clip(0)
    mean_here, gain = _interpolated(np.stack([mean, 1 / np.sqrt(variance + _FLAT**2)]), plane, config)
    return config.local_contrast * (plane - mean_here) * gain


def _sides_of(plane: Tensor, data: Tensor | None, levels: Levels, noise: float, config: SegmentationConfig) -> Tensor:
    """On which side of its local threshold a pixel of a (1, 1, Y, X) plane of light is."""
    is_above = (plane > levels.threshold).double()
    share, above, below = _around(torch.cat([is_above, is_above * plane, (1 - is_above) * plane], 1), data, config)
    above = (above + _LEAN * levels.above) / (share + _LEAN)
    below = (below + _LEAN * levels.below) / (1 - share + _LEAN)
    blur = (above - below) / _STEEP + 2 * noise + _LEAST
    middle, sharpness = _interpolated(np.stack([(above + below) / 2, 1 / blur]), plane, config)
    return config.local_threshold / 2 * torch.tanh((plane.float() - middle) * sharpness)


def _around(moments: Tensor, data: Tensor | None, config: SegmentationConfig) -> npt.NDArray[np.float64]:
    """The surroundings of every cell: of (1, M, Y, X) moments their means over what holds data, blurred by the Gaussian."""
    if data is not None:
        *weighted, weight = _around(torch.cat([moments * data, data], 1), None, config)
        means: npt.NDArray[np.float64] = np.stack(weighted) / np.maximum(weight, _HARDLY_ANY)
        return means
    cells = F.avg_pool2d(moments.double(), config.contrast_cell, ceil_mode=True, count_include_pad=False)[0].numpy()
    sigma = config.local_contrast_size / config.contrast_cell
    blurred: npt.NDArray[np.float64] = gaussian_filter(
        cells, sigma, mode="nearest", radius=config.contrast_radius, axes=(1, 2)
    )
    return blurred


def _interpolated(of_cells: npt.NDArray[np.float64], plane: Tensor, config: SegmentationConfig) -> tuple[Tensor, ...]:
    """(M, y, x) values of cells at every pixel of a plane, as M tensors (1, 1, Y, X)."""
    coarse, cell = torch.from_numpy(of_cells).float()[None], config.contrast_cell
    wide = F.interpolate(coarse, scale_factor=cell, mode="bilinear", align_corners=False) if cell > 1 else coarse
    return torch.split(wide[..., : plane.shape[-2], : plane.shape[-1]], 1, 1)
