"""The forward pass of a step by strips: what each layer holds, and the moments of its BatchNorm."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_ufseg.engine.cpu_step.layers import (
    CACHED,
    LARGE,
    Buffers,
    Moments,
    Normalised,
    convolved,
    framed,
    pixelwise,
)
from napari_ufseg.engine.cpu_step.strips import Rows, side_by_side, strips_of
from napari_ufseg.engine.network.feature_net import FeatureNet, kernel_of


@dataclass
class Layer:
    """A convolution with its BatchNorm, and what a step knows of it."""

    conv: nn.Conv2d
    weight: Tensor  # as it is used: a symmetric kernel is symmetrised
    values: Tensor  # (B, Y, X, F), before the BatchNorm
    normalised: Normalised


def forward(network: FeatureNet, pixels: Tensor, lanes: list[list[Rows]], buffers: Buffers) -> list[Layer]:
    """The layers of a network in training mode after a batch of images.

    Parameters
    ----------
    network : FeatureNet
        The running statistics of its BatchNorms are brought up to date.
    pixels : (B, Y, X, C) float tensor
    lanes : list of list of Rows
        All rows of the batch.
    buffers : Buffers
        Keeps the values of the layers; they are good until the next step.
    """
    layers: list[Layer] = []
    stages = list(network.stages)
    for depth, stage in enumerate(stages):
        conv, norm = stage[0], stage[-1]  # type: ignore[index]
        values = buffers.get(f"layer {depth}", (*pixels.shape[:3], conv.out_channels), pixels)
        work = _rectified if depth < len(stages) - 1 else _classified
        weight = kernel_of(conv).detach()
        parts = side_by_side(work(pixels, layers[-1] if layers else None, conv, weight, values), lanes)
        layers.append(Layer(conv, weight, values, Normalised(norm, sum(parts[1:], parts[0]))))
    return layers


def _rectified(
    pixels: Tensor, before: Layer | None, conv: nn.Conv2d, weight: Tensor, out: Tensor
) -> Callable[[list[Rows]], Moments]:
    """Work on a lane: a 3x3 convolution and ReLU, and the moments of the result."""
    width, n_out = out.shape[2:]
    values, norm = (pixels, None) if before is None else (before.values, before.normalised)
    kernel = weight.contiguous(memory_format=torch.channels_last)
    bias, replicate = _bias_of(conv), replicates(conv)

    def work(lane: list[Rows]) -> Moments:
        found: list[Moments] = []
        for rows in strips_of(lane, width * max(n_out, values.shape[3]), LARGE):
            result = convolved(framed(values, rows, norm, replicate=replicate), kernel, bias)
            for part in strips_of([rows], width * n_out, CACHED):
                target = out[part.slices]
                inside = slice(part.start - rows.start, part.stop - rows.start)
                torch.clamp_min(result[inside], 0, out=target)
                found.append(Moments.of(target.view(-1, n_out)))
        return sum(found[1:], found[0])

    return work


def _classified(
    pixels: Tensor, before: Layer | None, conv: nn.Conv2d, weight: Tensor, out: Tensor
) -> Callable[[list[Rows]], Moments]:
    """Work on a lane: the 1x1 convolution; the BatchNorm before it is part of its weights."""
    assert before is not None
    width, n_out = out.shape[2:]
    n_in, norm = before.values.shape[3], before.normalised
    of_pixels, of_features = classifier_parts(weight, n_in)
    scaled, offset = (of_features * norm.scale)[:, :, None, None], _bias_of(conv) + of_features @ norm.shift
    kernel = scaled.contiguous(memory_format=torch.channels_last)
    direct = of_pixels.t().contiguous()

    def work(lane: list[Rows]) -> Moments:
        found: list[Moments] = []
        for rows in strips_of(lane, width * max(n_out, n_in), CACHED):
            target = out[rows.slices].view(-1, n_out)
            pixelwise(before.values[rows.slices].view(-1, n_in), kernel, offset, target)
            if len(direct):
                target.addmm_(pixels[rows.slices].view(-1, len(direct)), direct)
            found.append(Moments.of(target))
        return sum(found[1:], found[0])

    return work


def _bias_of(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias.detach()


def replicates(conv: nn.Conv2d) -> bool:
    """Whether a convolution sees its border repeated beyond the image, and not 0."""
    return conv.padding_mode == "replicate"


def classifier_parts(weight: Tensor, n_features: int) -> tuple[Tensor, Tensor]:
    """The 1x1 weights (K, C + F, 1, 1) as those of the image's channels (K, C), none without `skip`, and (K, F)."""
    flat = weight.flatten(1)
    return flat[:, :-n_features], flat[:, -n_features:]
