"""The way forward and the way back of a step by strips: what each layer holds, and the gradients of all weights."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_ufseg.engine.cpu_step.layers import (
    CACHED,
    LARGE,
    Buffers,
    ChannelMoments,
    FusedBatchNorm,
    convolved,
    framed,
    in_zeros,
    input_gradient,
    kernel_gradient,
    pixelwise,
    pixelwise_gradients,
)
from napari_ufseg.engine.cpu_step.strips import Rows, map_lanes, strips_of
from napari_ufseg.engine.network.feature_net import FeatureNet, kernel_of


@dataclass
class Layer:
    """A convolution with its BatchNorm, and the values that a step keeps of it."""

    conv: nn.Conv2d
    weight: Tensor  # as it is used: a symmetric kernel is symmetrised
    values: Tensor  # (B, Y, X, F), before the BatchNorm
    normalised: FusedBatchNorm


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
        parts = map_lanes(work(pixels, layers[-1] if layers else None, conv, weight, values), lanes)
        layers.append(Layer(conv, weight, values, FusedBatchNorm(norm, sum(parts[1:], parts[0]))))
    return layers


def _rectified(
    pixels: Tensor, before: Layer | None, conv: nn.Conv2d, weight: Tensor, out: Tensor
) -> Callable[[list[Rows]], ChannelMoments]:
    """Work on a lane: a 3x3 convolution and ReLU, and the moments of the result."""
    width, n_out = out.shape[2:]
    values, norm = (pixels, None) if before is None else (before.values, before.normalised)
    kernel = weight.contiguous(memory_format=torch.channels_last)
    bias, replicate = _bias_of(conv), replicates(conv)

    def work(lane: list[Rows]) -> ChannelMoments:
        found: list[ChannelMoments] = []
        for rows in strips_of(lane, width * max(n_out, values.shape[3]), LARGE):
            result = convolved(framed(values, rows, norm, replicate=replicate), kernel, bias)
            for part in strips_of([rows], width * n_out, CACHED):
                target = out[part.slices]
                inside = slice(part.start - rows.start, part.stop - rows.start)
                torch.clamp_min(result[inside], 0, out=target)
                found.append(ChannelMoments.of(target.view(-1, n_out)))
        return sum(found[1:], found[0])

    return work


def _classified(
    pixels: Tensor, before: Layer | None, conv: nn.Conv2d, weight: Tensor, out: Tensor
) -> Callable[[list[Rows]], ChannelMoments]:
    """Work on a lane: the 1x1 convolution; the BatchNorm before it is part of its weights."""
    assert before is not None
    width, n_out = out.shape[2:]
    n_in, norm = before.values.shape[3], before.normalised
    of_pixels, of_features = classifier_parts(weight, n_in)
    scaled, offset = (of_features * norm.scale)[:, :, None, None], _bias_of(conv) + of_features @ norm.shift
    kernel = scaled.contiguous(memory_format=torch.channels_last)
    direct = of_pixels.t().contiguous()

    def work(lane: list[Rows]) -> ChannelMoments:
        found: list[ChannelMoments] = []
        for rows in strips_of(lane, width * max(n_out, n_in), CACHED):
            target = out[rows.slices].view(-1, n_out)
            pixelwise(before.values[rows.slices].view(-1, n_in), kernel, offset, target)
            if len(direct):
                target.addmm_(pixels[rows.slices].view(-1, len(direct)), direct)
            found.append(ChannelMoments.of(target))
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


class BackwardPass:
    """Goes back through the layers that `forward` gave.

    Parameters
    ----------
    pixels, lanes, buffers
        As for `forward`.
    layers : list of Layer
        What it gave.
    """

    def __init__(self, pixels: Tensor, layers: list[Layer], lanes: list[list[Rows]], buffers: Buffers) -> None:
        self._pixels, self._layers, self._lanes, self._buffers = pixels, layers, lanes, buffers

    def gradients(self, gradient: Tensor, sums: tuple[Tensor, Tensor]) -> list[Tensor]:
        """Those of weight, bias, gain and offset of every layer, in their order.

        Parameters
        ----------
        gradient : (B, Y, X, K) float tensor
            Of the response.
        sums : two (K,) tensors
            As `FusedBatchNorm.back` takes them.
        """
        found: list[list[Tensor]] = []
        for depth in range(len(self._layers) - 1, -1, -1):
            layer, before = self._layers[depth], self._layers[depth - 1] if depth else None
            gain, offset, passed = layer.normalised.back(*sums)
            if depth == len(self._layers) - 1:
                assert before is not None
                weight, bias, gradient, sums = self._through_classifier(layer, before, gradient, passed)
            else:
                inner, bias = self._through_relu(layer, gradient, passed)
                weight = kernel_of(layer.conv, self._of_kernel(layer, before, inner))
                if before is not None:
                    gradient, sums = self._through_kernel(layer, before, inner)
            found.append([weight, bias, gain, offset])
        return [one for of_layer in reversed(found) for one in of_layer]

    def _through_classifier(
        self, layer: Layer, before: Layer, gradient: Tensor, passed: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Gradients of the 1x1 weights and bias, and of the layer before, with its sums."""
        steep, slope, constant = passed
        n_in = before.values.shape[3]
        of_pixels, flat = classifier_parts(layer.weight, n_in)
        n_out, n_direct = of_pixels.shape
        kernel = flat[:, :, None, None].contiguous(memory_format=torch.channels_last)
        width = gradient.shape[2]
        result = self._buffers.get("gradient", before.values.shape, gradient)

        def work(lane: list[Rows]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            direct, weight = flat.new_zeros(n_out, n_direct), flat.new_zeros(n_out, n_in)
            bias, sums = flat.new_zeros(n_out), _sums(n_in)
            for rows in strips_of(lane, width * max(n_out, n_in), CACHED):
                raw = torch.addcmul(constant, layer.values[rows.slices].view(-1, n_out), slope)
                raw.addcmul_(gradient[rows.slices].view(-1, n_out), steep)
                inputs, target = before.values[rows.slices].view(-1, n_in), result[rows.slices].view(-1, n_in)
                weight += pixelwise_gradients(inputs, raw, kernel, target)
                if n_direct:
                    direct.addmm_(raw.t(), self._pixels[rows.slices].view(-1, n_direct))
                bias += raw.sum(0)
                _add_sums(sums, target, inputs)
            return direct.double(), weight.double(), bias.double(), sums

        direct, weight, bias, sums = _added(map_lanes(work, self._lanes))
        norm = before.normalised
        weight = weight * norm.scale.double() + bias[:, None] * norm.shift.double()
        both, kind = torch.cat([direct, weight], 1), flat.dtype
        return both.to(kind).view_as(layer.weight), bias.to(kind), result, (sums[0], sums[1])

    def _through_relu(self, layer: Layer, gradient: Tensor, passed: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """The gradient of the convolution, in a frame of zeros (B, Y + 4, X + 2, F), and that of its bias."""
        steep, slope, constant = passed
        width, n_out = layer.values.shape[2:]
        inner = self._buffers.get("outer gradient", in_zeros(layer.values.shape), gradient)
        inner[:, :2], inner[:, -2:], inner[:, :, 0], inner[:, :, -1] = 0, 0, 0, 0

        def work(lane: list[Rows]) -> Tensor:
            bias = _sums(n_out)[0]
            for rows in strips_of(lane, width * n_out, CACHED):
                values = layer.values[rows.slices]
                raw = torch.addcmul(constant, values, slope).addcmul_(gradient[rows.slices], steep)
                raw = torch.ops.aten.threshold_backward(raw, values, 0)
                bias += raw.view(-1, n_out).sum(0)
                inner[rows.image, rows.start + 2 : rows.stop + 2, 1:-1] = raw
            return bias

        bias = torch.stack(map_lanes(work, self._lanes)).sum(0)
        return inner, bias.to(gradient.dtype)

    def _of_kernel(self, layer: Layer, before: Layer | None, inner: Tensor) -> Tensor:
        """The gradient of the 3x3 weights."""
        width = self._pixels.shape[2]
        values, norm = (self._pixels, None) if before is None else (before.values, before.normalised)
        kernel = layer.weight.contiguous(memory_format=torch.channels_last)
        replicate = replicates(layer.conv)

        def work(lane: list[Rows]) -> Tensor:
            total = torch.zeros_like(kernel, dtype=torch.float64)
            for rows in strips_of(lane, width * max(kernel.shape[:2]), LARGE):
                frame = framed(values, rows, norm, replicate=replicate)
                total += kernel_gradient(frame, inner[rows.image, rows.start + 2 : rows.stop + 2, 1:-1], kernel)
            return total

        total = torch.stack(map_lanes(work, self._lanes)).sum(0)
        return total.to(values.dtype).contiguous()

    def _through_kernel(self, layer: Layer, before: Layer, inner: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The gradient of the layer before, with its sums: a convolution with the kernel turned round."""
        n_out, n_in = layer.weight.shape[:2]
        width = before.values.shape[2]
        turned = layer.weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)
        result = self._buffers.get("gradient", before.values.shape, inner)
        replicate = replicates(layer.conv)

        def work(lane: list[Rows]) -> Tensor:
            sums = _sums(n_in)
            for rows in strips_of(lane, width * max(n_in, n_out), LARGE):
                found = input_gradient(inner[rows.image], rows, turned, replicate=replicate)
                for part in strips_of([rows], width * n_in, CACHED):
                    target = result[part.slices]
                    target.copy_(found[part.start - rows.start : part.stop - rows.start])
                    _add_sums(sums, target.view(-1, n_in), before.values[part.slices].view(-1, n_in))
            return sums

        sums = torch.stack(map_lanes(work, self._lanes)).sum(0)
        return result, (sums[0], sums[1])


def _sums(channels: int) -> Tensor:
    """Two zeros for every channel."""
    return torch.zeros(2, channels, dtype=torch.float64)


def _add_sums(sums: Tensor, gradient: Tensor, values: Tensor) -> None:
    """Add what `FusedBatchNorm.back` needs of (n, F) tensors."""
    sums[0] += gradient.sum(0)
    sums[1] += (gradient * values).sum(0)


def _added(parts: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return tuple(torch.stack(some).sum(0) for some in zip(*parts, strict=True))
