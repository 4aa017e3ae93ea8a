"""Loss and gradient of a `FeatureNet` on planes on the CPU: the same as torch's own layers give, in less time and memory."""

from math import prod
from typing import Any

import torch
from torch import Tensor

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.cpu_step.layers import Buffers, in_zeros
from napari_ufseg.engine.cpu_step.loss import StripLoss
from napari_ufseg.engine.cpu_step.passes import BackwardPass, forward
from napari_ufseg.engine.cpu_step.strips import lanes_of
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.network.losses import ClassTargets, TotalLoss, term_weights


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

    def loss(
        self, images: Tensor, scribbles: Tensor | None = None, class_targets: ClassTargets | None = None
    ) -> TotalLoss:
        """As `total_loss` of the network's response; ``total.backward()`` gives the gradients of the parameters.

        Parameters
        ----------
        images : (B, C, Y, X) float tensor
        scribbles : (B, Y, X) integer tensor, optional
        class_targets : ClassTargets, optional
        """
        parameters = list(self._network.parameters())
        total, labels, terms = _Step.apply(self, images, scribbles, class_targets, *parameters)  # type: ignore[no-untyped-call]
        return TotalLoss(total, {name: images.new_tensor(value) for name, value in terms.items()}, labels)

    def release_memory(self) -> None:
        """Give the buffers back until the next step."""
        self._buffers.clear()

    def computed(
        self, images: Tensor, scribbles: Tensor | None, class_targets: ClassTargets | None
    ) -> tuple[Tensor, Tensor, dict[str, float], list[Tensor]]:
        """Total, labels, terms and the gradients in the order of the network's parameters."""
        n_images, _, n_rows, _ = images.shape
        lanes = lanes_of(n_images, n_rows)
        pixels = images.permute(0, 2, 3, 1).contiguous()
        layers = forward(self._network, pixels, lanes, self._buffers)
        last = layers[-1]
        labels = torch.empty(pixels.shape[:3], dtype=torch.int64)
        room = max(prod(in_zeros(layer.values.shape)) for layer in layers[:-1])
        gradient = self._buffers.get("outer gradient", last.values.shape, pixels, room=room)
        loss = StripLoss(self._config, last.values, last.normalised, labels, scribbles, class_targets)
        told = loss.gradient(lanes, gradient)
        back = BackwardPass(pixels, layers, lanes, self._buffers)
        gradients = back.gradients(gradient, (told.sum_gradient, told.sum_product))
        weights = term_weights(self._config)
        total = sum(weights[name] * value for name, value in told.terms.items())
        return pixels.new_tensor(total), labels, told.terms, gradients


class _Step(torch.autograd.Function):
    """One value of the loss as torch's autograd sees it; the gradients are found on the way forward."""

    @staticmethod
    def forward(
        ctx: Any,
        step: FastStep,
        images: Tensor,
        scribbles: Tensor | None,
        class_targets: ClassTargets | None,
        *parameters: Tensor,
    ) -> Any:
        total, labels, terms, gradients = step.computed(images, scribbles, class_targets)
        ctx.gradients = gradients
        ctx.mark_non_differentiable(labels)
        return total, labels, terms

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> Any:
        return None, None, None, None, *(outer[0] * gradient for gradient in ctx.gradients)
