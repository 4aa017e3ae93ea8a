"""FeatureNet: the small convolutional network of Kim, Kanezaki and Tanaka (2020), section III."""

import math
from collections.abc import Iterator, Sequence
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.images.tiling import Box, block_edges, iter_tiles


class FeatureNet(nn.Module):
    """`n_convolutions` blocks of Conv 3x3, ReLU, BatchNorm, then Conv 1x1 and BatchNorm.

    Maps an image (B, C, Y, X) in [0, 1] to the response (B, K, Y, X); the
    class of a pixel is the channel of its largest response
    (https://doi.org/10.1109/TIP.2020.3011269). With 3 spatial dimensions the
    kernels are 3x3x3 and the shapes (B, C, Z, Y, X) and (B, K, Z, Y, X).

    Parameters
    ----------
    n_channels, n_features, n_classes : int
        Channels of the image (C), of each block, and of the response (K).
    n_convolutions : int
        Number of 3x3 blocks; each widens the view by one pixel on every side.
    seed : int
        Start of the random weights. Only this network's own generator is
        used, so that networks do not disturb each other.
    spatial_dims : {2, 3}
        Planes or volumes.
    n_convolutions_z : int
        How many of the blocks, from the first on, look along depth; the others have kernels 1x3x3.
    symmetric : bool
        Whether the blocks use `symmetrised` kernels.
    padding : {"zeros", "replicate"}
        What the blocks see beyond the border.
    skip : bool
        Whether the classifier (Conv 1x1) sees the image too, in front of the features.
    """

    def __init__(
        self,
        n_channels: int,
        n_features: int,
        n_classes: int,
        n_convolutions: int,
        seed: int = 0,
        *,
        spatial_dims: int = 2,
        n_convolutions_z: int = 0,
        symmetric: bool = False,
        padding: str = "zeros",
        skip: bool = False,
    ) -> None:
        super().__init__()
        self.skip = skip
        generator = torch.Generator().manual_seed(seed)
        stages: list[nn.Sequential] = []
        width = n_channels
        norm = nn.BatchNorm2d if spatial_dims == 2 else nn.BatchNorm3d
        for depth in range(n_convolutions):
            along_z = () if spatial_dims == 2 else (3 if depth < n_convolutions_z else 1,)
            conv = _conv(width, n_features, (*along_z, 3, 3), generator, symmetric=symmetric, padding=padding)
            stages.append(nn.Sequential(conv, nn.ReLU(), norm(n_features)))
            width = n_features
        width += n_channels if skip else 0
        stages.append(nn.Sequential(_conv(width, n_classes, (1,) * spatial_dims, generator), norm(n_classes)))
        self.stages = nn.ModuleList(stages)

    @classmethod
    def of_config(cls, config: SegmentationConfig, n_channels: int) -> Self:
        """A fresh network as a config describes it, for images of `n_channels`."""
        c = config
        return cls(
            c.n_inputs(n_channels),
            c.n_features,
            c.n_classes,
            c.n_convolutions,
            c.seed,
            spatial_dims=c.spatial_dims,
            n_convolutions_z=c.n_convolutions_z,
            symmetric=c.kernels == "symmetric",
            padding=c.padding,
            skip=c.skip,
        )

    @property
    def norms(self) -> "list[nn.BatchNorm2d | nn.BatchNorm3d]":
        """The BatchNorm of every stage, in their order."""
        return [m for m in self.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d)]

    def forward(self, image: Tensor) -> Tensor:
        """The response (B, K, Y, X) of a float image (B, C, Y, X)."""
        hidden = image
        for depth, stage in enumerate(self.stages):
            hidden = cast(Tensor, stage(self.input_of(depth, image, hidden)))
        return hidden

    def input_of(self, depth: int, image: Tensor, hidden: Tensor) -> Tensor:
        """What a stage sees: what the stage before made (`hidden`), and the image with it in the last, if `skip`."""
        return torch.cat([image, hidden], 1) if self.skip and depth == len(self.stages) - 1 else hidden


def symmetrised(kernel: Tensor) -> Tensor:
    """The mean of a kernel (F, C, Y, X) or (F, C, Z, Y, X) over flips of every axis and the exchange of Y and X.

    These are the symmetries of a square (in 2D, the dihedral group of order
    8); a convolution with such a kernel commutes with them (Cohen and Welling
    2016, arXiv:1602.07576: the trivial representation).
    """
    for axis in range(2, kernel.ndim):
        kernel = kernel + kernel.flip(axis)
    return (kernel + kernel.transpose(-1, -2)) / float(2 ** (kernel.ndim - 1))


class _SymmetricConv2d(nn.Conv2d):
    """A convolution with the symmetrised weight; the gradient of the weight is symmetric too."""

    def forward(self, input: Tensor) -> Tensor:
        return cast(Tensor, self._conv_forward(input, symmetrised(self.weight), self.bias))


class _SymmetricConv3d(nn.Conv3d):
    """The same for volumes."""

    def forward(self, input: Tensor) -> Tensor:
        return cast(Tensor, self._conv_forward(input, symmetrised(self.weight), self.bias))


def _conv(
    width_in: int,
    width_out: int,
    size: tuple[int, ...],
    generator: torch.Generator,
    *,
    symmetric: bool = False,
    padding: str = "zeros",
) -> "nn.Conv2d | nn.Conv3d":
    """A convolution with torch's usual start (uniform, He et al. 2015 with a = sqrt 5) from our own generator."""
    free, even = (nn.Conv2d, _SymmetricConv2d) if len(size) == 2 else (nn.Conv3d, _SymmetricConv3d)
    around = tuple(n // 2 for n in size)
    conv: nn.Conv2d | nn.Conv3d = skip_init(  # type: ignore[no-untyped-call]
        even if symmetric else free, width_in, width_out, size, padding=around, padding_mode=padding
    )
    nn.init.kaiming_uniform_(conv.weight, a=math.sqrt(5), generator=generator)
    assert conv.bias is not None
    bound = 1 / math.sqrt(width_in * math.prod(size))
    nn.init.uniform_(conv.bias, -bound, bound, generator=generator)
    return conv


def kernel_of(conv: nn.Conv2d, weight: Tensor | None = None) -> Tensor:
    """A weight as a convolution of planes uses it: symmetrised if its kernels are symmetric.

    Parameters
    ----------
    conv : Conv2d
        A convolution of a FeatureNet.
    weight : tensor of the shape of its weight, optional
        Default: its own. Given the gradient of the used weight, the result is
        that of its own, since symmetrising is linear and self-adjoint.
    """
    weight = conv.weight if weight is None else weight
    return symmetrised(weight) if isinstance(conv, _SymmetricConv2d) else weight


@torch.no_grad()
def recompute_batchnorm(network: FeatureNet, images: Sequence[Tensor]) -> None:
    """Set every BatchNorm to the exact mean and variance over all pixels of the images.

    In training BatchNorm normalises with the statistics of the batch, in
    prediction with stored ones. Layer by layer, each fed by layers that are
    already set, the stored ones become those of the training images, so that
    prediction on them repeats what training showed. Leaves the network in
    eval mode.

    Parameters
    ----------
    network : FeatureNet
        Changed in place.
    images : sequence of (C, Y, X) or (C, Z, Y, X) float tensors
        All on the network's device; sizes may differ.
    """
    network.eval()
    for depth, norm in enumerate(network.norms):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        count = 0
        total, squares = torch.zeros(2, norm.num_features, dtype=torch.float64)
        for values in _values_before(network, depth, images):
            count += values.shape[1]
            variance, mean = torch.var_mean(values, dim=1, correction=0)
            mean, variance = mean.cpu().double(), variance.cpu().double()
            total = total + mean * values.shape[1]
            squares = squares + (variance + mean**2) * values.shape[1]
        mean = total / count
        norm.running_mean.copy_(mean)
        norm.running_var.copy_((squares / count - mean**2).clamp_min(0))


def _values_before(network: FeatureNet, depth: int, images: Sequence[Tensor]) -> Iterator[Tensor]:
    """(F, n) tensors: what reaches the BatchNorm of a stage, over all pixels, block by block to save memory."""
    stages = [stage for stage in network.stages if isinstance(stage, nn.Sequential)]
    for image in images:
        shape = image.shape[1:]
        for block in iter_tiles(Box.of_shape(shape), block_edges(len(shape))):
            around = block.grown((depth + 1,) * len(shape), shape)
            seen = hidden = image[(None, slice(None), *around.slices)]
            for earlier in range(depth):
                hidden = stages[earlier](hidden)
            values = stages[depth][:-1](network.input_of(depth, seen, hidden))
            yield values[(0, slice(None), *block.within(around).slices)].flatten(1)
