"""FeatureNet: the small convolutional network of Kim, Kanezaki and Tanaka (2020), section III."""

import math
from collections.abc import Iterator, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.tiling import Box, block_edges, iter_tiles


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
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        stages: list[nn.Sequential] = []
        width = n_channels
        norm = nn.BatchNorm2d if spatial_dims == 2 else nn.BatchNorm3d
        for depth in range(n_convolutions):
            along_z = () if spatial_dims == 2 else (3 if depth < n_convolutions_z else 1,)
            conv = _conv(width, n_features, (*along_z, 3, 3), generator)
            stages.append(nn.Sequential(conv, nn.ReLU(), norm(n_features)))
            width = n_features
        stages.append(nn.Sequential(_conv(width, n_classes, (1,) * spatial_dims, generator), norm(n_classes)))
        self.stages = nn.ModuleList(stages)

    @classmethod
    def of_config(cls, config: SegmentationConfig, n_channels: int) -> Self:
        """A fresh network as a config describes it."""
        c = config
        return cls(
            n_channels,
            c.n_features,
            c.n_classes,
            c.n_convolutions,
            c.seed,
            spatial_dims=c.spatial_dims,
            n_convolutions_z=c.n_convolutions_z,
        )

    @property
    def norms(self) -> "list[nn.BatchNorm2d | nn.BatchNorm3d]":
        """The BatchNorm of every stage, in their order."""
        return [m for m in self.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d)]

    def forward(self, image: Tensor) -> Tensor:
        """The response (B, K, Y, X) of a float image (B, C, Y, X)."""
        for stage in self.stages:
            image = stage(image)
        return image


def _conv(width_in: int, width_out: int, size: tuple[int, ...], generator: torch.Generator) -> "nn.Conv2d | nn.Conv3d":
    """A convolution with torch's usual start (uniform, He et al. 2015 with a = sqrt 5) from our own generator."""
    conv: nn.Conv2d | nn.Conv3d = skip_init(  # type: ignore[no-untyped-call]
        nn.Conv2d if len(size) == 2 else nn.Conv3d, width_in, width_out, size, padding=tuple(n // 2 for n in size)
    )
    nn.init.kaiming_uniform_(conv.weight, a=math.sqrt(5), generator=generator)
    assert conv.bias is not None
    bound = 1 / math.sqrt(width_in * math.prod(size))
    nn.init.uniform_(conv.bias, -bound, bound, generator=generator)
    return conv


def kernel_of(conv: nn.Conv2d, weight: Tensor | None = None) -> Tensor:
    """Temporary."""
    return conv.weight if weight is None else weight


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
    stages = list(network.stages.children())
    for depth, stage in enumerate(stages):
        assert isinstance(stage, nn.Sequential)
        norm = network.norms[depth]
        assert norm.running_mean is not None
        assert norm.running_var is not None
        count = 0
        total, squares = torch.zeros(2, norm.num_features, dtype=torch.float64)
        for values in _values_before(stages[:depth], stage[:-1], images):
            count += values.shape[1]
            variance, mean = torch.var_mean(values, dim=1, correction=0)
            mean, variance = mean.cpu().double(), variance.cpu().double()
            total = total + mean * values.shape[1]
            squares = squares + (variance + mean**2) * values.shape[1]
        mean = total / count
        norm.running_mean.copy_(mean)
        norm.running_var.copy_((squares / count - mean**2).clamp_min(0))


def _values_before(earlier: Sequence[nn.Module], last: nn.Module, images: Sequence[Tensor]) -> Iterator[Tensor]:
    """(F, n) tensors: what reaches a BatchNorm, over all pixels of the images, block by block to save memory."""
    for image in images:
        shape = image.shape[1:]
        for block in iter_tiles(Box.of_shape(shape), block_edges(len(shape))):
            around = block.grown((len(earlier) + 1,) * len(shape), shape)
            hidden = image[(None, slice(None), *around.slices)]
            for stage in earlier:
                hidden = stage(hidden)
            yield last(hidden)[(0, slice(None), *block.within(around).slices)].flatten(1)
