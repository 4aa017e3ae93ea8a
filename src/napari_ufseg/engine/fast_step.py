"""Loss and gradient of a `FeatureNet` on planes on the CPU: the same as torch's own layers give, in less time and memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.fast_layers import (
    CACHED,
    LARGE,
    Buffers,
    Moments,
    Normalised,
    convolved,
    framed,
    kernel_gradient,
    small_kernel_gradient,
)
from napari_ufseg.engine.fast_loss import StripLoss
from napari_ufseg.engine.losses import TotalLoss
from napari_ufseg.engine.network import FeatureNet
from napari_ufseg.engine.strips import Rows, lanes_of, side_by_side, strips_of

_FEW = 8  # channels, below which one gathered product beats nine


@dataclass
class _Layer:
    """A convolution with its BatchNorm, and what a step knows of it."""

    weight: Tensor
    bias: Tensor
    norm: nn.BatchNorm2d
    values: Tensor  # (B, Y, X, F), before the BatchNorm
    normalised: Normalised


class FastStep:
    """Computes steps of one network; keeps its buffers from step to step.

    Parameters
    ----------
    network : FeatureNet
        Of two spatial dimensions, on the CPU, in training mode.
    config : SegmentationConfig
        Weights of the loss.
    """

    def __init__(self, network: FeatureNet, config: SegmentationConfig) -> None:
        self._network, self._config = network, config
        self._buffers = Buffers()

    @staticmethod
    def is_for(network: FeatureNet) -> bool:
        """Whether a network is of the kind that this computes."""
        weight = next(network.parameters())
        return weight.device.type == "cpu" and weight.ndim == 4

    def loss(self, images: Tensor, scribbles: Tensor | None = None) -> TotalLoss:
        """As `total_loss` of the network's response; ``total.backward()`` gives the gradients of the parameters.

        Parameters
        ----------
        images : (B, C, Y, X) float tensor
        scribbles : (B, Y, X) integer tensor, optional
        """
        parameters = list(self._network.parameters())
        total, labels, terms = _Step.apply(self, images, scribbles, *parameters)  # type: ignore[no-untyped-call]
        return TotalLoss(total, {name: images.new_tensor(value) for name, value in terms.items()}, labels)

    def release_memory(self) -> None:
        """Give the buffers back until the next step."""
        self._buffers.clear()

    def computed(
        self, images: Tensor, scribbles: Tensor | None
    ) -> tuple[Tensor, Tensor, dict[str, float], list[Tensor]]:
        """Total, labels, terms and the gradients in the order of the network's parameters."""
        n_images, _, n_rows, _ = images.shape
        lanes = lanes_of(n_images, n_rows)
        pixels = images.permute(0, 2, 3, 1).contiguous()
        layers = self._forward(pixels, lanes)
        last = layers[-1]
        labels = torch.empty(pixels.shape[:3], dtype=torch.int64)
        gradient = self._buffers.get("response gradient", last.values.shape, pixels)
        told = StripLoss(self._config, last.values, last.normalised, labels, scribbles).gradient(lanes, gradient)
        gradients = self._backward(pixels, layers, lanes, gradient, (told.sum_gradient, told.sum_product))
        c = self._config
        weights = {
            "similarity": c.mu,
            "continuity": c.nu,
            "max_area": c.M,
            "min_area": c.m,
            "scribble": c.scribble_weight,
        }
        total = sum(weights[name] * value for name, value in told.terms.items())
        return pixels.new_tensor(total), labels, told.terms, gradients

    # -- forward -----------------------------------------------------------------------------------

    def _forward(self, pixels: Tensor, lanes: list[list[Rows]]) -> list[_Layer]:
        layers: list[_Layer] = []
        stages = list(self._network.stages)
        for depth, stage in enumerate(stages):
            conv, norm = stage[0], stage[-1]  # type: ignore[index]
            shape = (*pixels.shape[:3], conv.out_channels)
            values = self._buffers.get(f"layer {depth}", shape, pixels)
            work = self._rectified if depth < len(stages) - 1 else self._classified
            before = layers[-1] if layers else None
            weight, bias = conv.weight.detach(), conv.bias.detach()
            parts = side_by_side(work(pixels, before, weight, bias, values), lanes)
            moments = sum(parts[1:], parts[0])
            layers.append(_Layer(weight, bias, norm, values, Normalised(norm, moments)))
        return layers

    def _rectified(
        self, pixels: Tensor, before: _Layer | None, weight: Tensor, bias: Tensor, out: Tensor
    ) -> Callable[[list[Rows]], Moments]:
        """Work on a lane: a 3x3 convolution and ReLU, and the moments of the result."""
        width, n_out = out.shape[2:]
        values, norm = (pixels, None) if before is None else (before.values, before.normalised)
        kernel = weight.contiguous(memory_format=torch.channels_last)

        def work(lane: list[Rows]) -> Moments:
            found: list[Moments] = []
            for rows in strips_of(lane, width * max(n_out, values.shape[3]), LARGE):
                result = convolved(framed(values, rows, norm), kernel, bias)
                for part in strips_of([rows], width * n_out, CACHED):
                    target = out[part.slices]
                    inside = slice(part.start - rows.start, part.stop - rows.start)
                    torch.clamp_min(result[inside], 0, out=target)
                    found.append(Moments.of(target.view(-1, n_out)))
            return sum(found[1:], found[0])

        return work

    def _classified(
        self, pixels: Tensor, before: _Layer | None, weight: Tensor, bias: Tensor, out: Tensor
    ) -> Callable[[list[Rows]], Moments]:
        """Work on a lane: the 1x1 convolution; the BatchNorm before it is part of its weights."""
        assert before is not None
        width, n_out = out.shape[2:]
        n_in, norm = before.values.shape[3], before.normalised
        flat = weight.view(n_out, n_in)
        scaled, offset = (flat * norm.scale).t().contiguous(), bias + flat @ norm.shift

        def work(lane: list[Rows]) -> Moments:
            found: list[Moments] = []
            for rows in strips_of(lane, width * max(n_out, n_in), CACHED):
                target = out[rows.slices].view(-1, n_out)
                torch.addmm(offset, before.values[rows.slices].view(-1, n_in), scaled, out=target)
                found.append(Moments.of(target))
            return sum(found[1:], found[0])

        return work

    # -- backward ----------------------------------------------------------------------------------

    def _backward(
        self,
        pixels: Tensor,
        layers: list[_Layer],
        lanes: list[list[Rows]],
        gradient: Tensor,
        sums: tuple[Tensor, Tensor],
    ) -> list[Tensor]:
        """Gradients of weight, bias, gain and offset of every layer; `sums` as `Normalised.back` takes them."""
        gradients: list[list[Tensor]] = []
        for depth in range(len(layers) - 1, -1, -1):
            layer, before = layers[depth], layers[depth - 1] if depth else None
            gain, offset, passed = layer.normalised.back(*sums)
            if depth == len(layers) - 1:
                assert before is not None
                weight, bias, gradient, sums = self._through_classifier(layer, before, lanes, gradient, passed)
            else:
                inner, bias = self._through_relu(layer, lanes, gradient, passed)
                weight = self._of_kernel(layer, before, pixels, lanes, inner)
                if before is not None:
                    gradient, sums = self._through_kernel(layer, before, lanes, inner)
            gradients.append([weight, bias, gain, offset])
        return [one for layer_gradients in reversed(gradients) for one in layer_gradients]

    def _through_classifier(
        self, layer: _Layer, before: _Layer, lanes: list[list[Rows]], gradient: Tensor, passed: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Gradients of the 1x1 weights and bias, and of the layer before, with its sums."""
        steep, slope, constant = passed
        n_out, n_in = layer.weight.shape[:2]
        width = gradient.shape[2]
        flat = layer.weight.view(n_out, n_in).contiguous()
        result = self._buffers.get("gradient", before.values.shape, gradient)

        def work(lane: list[Rows]) -> tuple[Tensor, Tensor, Tensor]:
            weight, bias, sums = flat.new_zeros(n_out, n_in), flat.new_zeros(n_out), _sums(n_in)
            for rows in strips_of(lane, width * max(n_out, n_in), CACHED):
                raw = torch.addcmul(constant, layer.values[rows.slices].view(-1, n_out), slope)
                raw.addcmul_(gradient[rows.slices].view(-1, n_out), steep)
                inputs, target = before.values[rows.slices].view(-1, n_in), result[rows.slices].view(-1, n_in)
                weight.addmm_(raw.t(), inputs)
                bias += raw.sum(0)
                torch.mm(raw, flat, out=target)
                _add_sums(sums, target, inputs)
            return weight.double(), bias.double(), sums

        weight, bias, sums = _added(side_by_side(work, lanes))
        norm = before.normalised
        weight = weight * norm.scale.double() + bias[:, None] * norm.shift.double()
        kind = flat.dtype
        return weight.to(kind).view_as(layer.weight), bias.to(kind), result, (sums[0], sums[1])

    def _through_relu(
        self, layer: _Layer, lanes: list[list[Rows]], gradient: Tensor, passed: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        """The gradient of the convolution, in a frame of zeros (B, Y + 2, X + 2, F), and that of its bias."""
        steep, slope, constant = passed
        n_images, n_rows, width, n_out = layer.values.shape
        inner = self._buffers.get("framed gradient", (n_images, n_rows + 2, width + 2, n_out), gradient)
        inner[:, 0], inner[:, -1], inner[:, :, 0], inner[:, :, -1] = 0, 0, 0, 0

        def work(lane: list[Rows]) -> Tensor:
            bias = _sums(n_out)[0]
            for rows in strips_of(lane, width * n_out, CACHED):
                values = layer.values[rows.slices]
                raw = torch.addcmul(constant, values, slope).addcmul_(gradient[rows.slices], steep)
                raw = torch.ops.aten.threshold_backward(raw, values, 0)
                bias += raw.view(-1, n_out).sum(0)
                inner[rows.image, rows.start + 1 : rows.stop + 1, 1:-1] = raw
            return bias

        bias = torch.stack(side_by_side(work, lanes)).sum(0)
        return inner, bias.to(gradient.dtype)

    def _of_kernel(
        self, layer: _Layer, before: _Layer | None, pixels: Tensor, lanes: list[list[Rows]], inner: Tensor
    ) -> Tensor:
        """The gradient of the 3x3 weights."""
        n_out, n_in = layer.weight.shape[:2]
        width = pixels.shape[2]
        values, norm = (pixels, None) if before is None else (before.values, before.normalised)
        add = kernel_gradient if n_in >= _FEW else small_kernel_gradient

        def work(lane: list[Rows]) -> Tensor:
            total = values.new_zeros(3, 3, n_in, n_out)
            for rows in strips_of(lane, width * max(n_in, n_out), CACHED):
                add(framed(values, rows, norm), inner[rows.image, rows.start + 1 : rows.stop + 1], total)
            return total.double()

        total = torch.stack(side_by_side(work, lanes)).sum(0)
        return total.permute(3, 2, 0, 1).to(values.dtype).contiguous()

    def _through_kernel(
        self, layer: _Layer, before: _Layer, lanes: list[list[Rows]], inner: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The gradient of the layer before, with its sums: a convolution with the kernel turned round."""
        n_out, n_in = layer.weight.shape[:2]
        width = before.values.shape[2]
        turned = layer.weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)
        result = self._buffers.get("gradient", before.values.shape, inner)

        def work(lane: list[Rows]) -> Tensor:
            sums = _sums(n_in)
            for rows in strips_of(lane, width * max(n_in, n_out), LARGE):
                found = convolved(inner[rows.image, rows.start : rows.stop + 2], turned, None)
                for part in strips_of([rows], width * n_in, CACHED):
                    target = result[part.slices]
                    target.copy_(found[part.start - rows.start : part.stop - rows.start])
                    _add_sums(sums, target.view(-1, n_in), before.values[part.slices].view(-1, n_in))
            return sums

        sums = torch.stack(side_by_side(work, lanes)).sum(0)
        return result, (sums[0], sums[1])


class _Step(torch.autograd.Function):
    """One value of the loss as torch's autograd sees it; the gradients are found on the way forward."""

    @staticmethod
    def forward(ctx: Any, step: FastStep, images: Tensor, scribbles: Tensor | None, *parameters: Tensor) -> Any:
        total, labels, terms, gradients = step.computed(images, scribbles)
        ctx.gradients = gradients
        ctx.mark_non_differentiable(labels)
        return total, labels, terms

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> Any:
        return None, None, None, *(outer[0] * gradient for gradient in ctx.gradients)


def _sums(channels: int) -> Tensor:
    """Two zeros for every channel."""
    return torch.zeros(2, channels, dtype=torch.float64)


def _add_sums(sums: Tensor, gradient: Tensor, values: Tensor) -> None:
    """Add what `Normalised.back` needs of (n, F) tensors."""
    sums[0] += gradient.sum(0)
    sums[1] += (gradient * values).sum(0)


def _added(parts: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return tuple(torch.stack(some).sum(0) for some in zip(*parts, strict=True))
