"""The layers of `FeatureNet` in two dimensions on the CPU, by strips that stay in the cache.

The arithmetic is that of torch's own layers; what differs is the order. A layer
keeps only its rectified convolution (B, Y, X, F); the affine map of its
BatchNorm is applied when a strip is read. Buffers are used again at every
step, since the system needs longer to hand out a large one than to fill it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_ufseg.engine.strips import Rows

CACHED, LARGE = 200_000, 800_000  # values of a strip: for simple arithmetic, and for a convolution


class Buffers:
    """Tensors that are used again; what they hold is left over from their last use."""

    def __init__(self) -> None:
        self._flat: dict[str, Tensor] = {}

    def get(self, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """A tensor of that shape and of the type of `like`."""
        size, flat = prod(shape), self._flat.get(name)
        if flat is None or flat.numel() < size or flat.dtype != like.dtype:
            flat = self._flat[name] = torch.empty(size, dtype=like.dtype)
        return flat[:size].view(*shape)

    def clear(self) -> None:
        """Give the memory back; the next use takes it anew."""
        self._flat.clear()


@dataclass(frozen=True)
class Moments:
    """Number, mean and sum of squared deviations of each channel, in double precision."""

    n: int
    mean: Tensor
    squares: Tensor

    @classmethod
    def of(cls, values: Tensor) -> "Moments":
        """Those of an (n, F) tensor."""
        mean = values.sum(0) / len(values)
        centred = values - mean
        return cls(len(values), mean.double(), centred.square_().sum(0).double())

    def __add__(self, other: "Moments") -> "Moments":
        """Those of both together (Chan, Golub and LeVeque 1983, https://doi.org/10.1080/00031305.1983.10483115)."""
        n, apart = self.n + other.n, other.mean - self.mean
        mean = self.mean + apart * (other.n / n)
        squares = self.squares + other.squares + apart.square() * (self.n * other.n / n)
        return Moments(n, mean, squares)


class Normalised:
    """A BatchNorm whose moments are known: its affine map, and the way back.

    Parameters
    ----------
    norm : BatchNorm2d
        Its running statistics are brought up to date, as in training.
    moments : Moments
        Of all pixels of the batch.
    """

    def __init__(self, norm: torch.nn.BatchNorm2d, moments: Moments) -> None:
        self._n, self._mean = moments.n, moments.mean
        variance = moments.squares / moments.n
        self._inverse = (variance + norm.eps).rsqrt()
        self._gain = norm.weight.detach().double()
        kind = norm.weight.dtype
        self.scale = (self._gain * self._inverse).to(kind)
        self.shift = (norm.bias.detach().double() - self._mean * self._gain * self._inverse).to(kind)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        assert norm.momentum is not None
        norm.running_mean.lerp_(self._mean.to(kind), norm.momentum)
        norm.running_var.lerp_((moments.squares / max(1, moments.n - 1)).to(kind), norm.momentum)
        norm.num_batches_tracked += 1

    def applied(self, values: Tensor) -> Tensor:
        """The normalised values (..., F)."""
        return torch.addcmul(self.shift, values, self.scale)

    def back(self, sum_gradient: Tensor, sum_product: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Gradients of gain and offset, and how the gradient passes (Ioffe and Szegedy 2015, arXiv:1502.03167).

        Parameters
        ----------
        sum_gradient, sum_product : (F,) tensors in double precision
            Over all pixels: of the gradient g of the output, and of g times the input x.

        Returns
        -------
        gain, offset : (F,) tensors
            Their gradients.
        passed : three (F,) tensors a, b, c
            The gradient of the input is ``a g + b x + c``.
        """
        gain = self._inverse * (sum_product - self._mean * sum_gradient)
        steep = self._gain * self._inverse
        slope = -steep * self._inverse * gain / self._n
        constant = -steep * sum_gradient / self._n - slope * self._mean
        kind = self.scale.dtype
        return gain.to(kind), sum_gradient.to(kind), (steep.to(kind), slope.to(kind), constant.to(kind))


def framed(values: Tensor, rows: Rows, norm: Normalised | None, *, replicate: bool = False) -> Tensor:
    """(rows + 2, X + 2, F): rows of (B, Y, X, F), normalised, with their neighbours.

    Beyond the image there is 0, or with `replicate` the nearest pixel of the image.
    """
    n_rows, width, channels = values.shape[1:]
    frame = values.new_empty(rows.stop - rows.start + 2, width + 2, channels)
    top, bottom = max(0, rows.start - 1), min(n_rows, rows.stop + 1)
    inside = frame[top - rows.start + 1 : bottom - rows.start + 1, 1:-1]
    if norm is None:
        inside.copy_(values[rows.image, top:bottom])
    else:
        torch.addcmul(norm.shift, values[rows.image, top:bottom], norm.scale, out=inside)
    if rows.start == 0:
        frame[0] = frame[1] if replicate else 0
    if rows.stop == n_rows:
        frame[-1] = frame[-2] if replicate else 0
    frame[:, 0] = frame[:, 1] if replicate else 0
    frame[:, -1] = frame[:, -2] if replicate else 0
    return frame


def input_gradient(gradient: Tensor, rows: Rows, kernel: Tensor, *, replicate: bool = False) -> Tensor:
    """(rows, X, C): the gradient of the input of a 3x3 convolution, as a convolution with the kernel turned round.

    Parameters
    ----------
    gradient : (Y + 4, X + 2, F) tensor
        Of the output of one image, in a frame of zeros, two rows and one column wide.
    rows : Rows
        Which rows are wanted.
    kernel : (C, F, 3, 3) tensor
        Flipped along both axes, with inputs and outputs exchanged.
    replicate : bool
        Whether the frame of the input repeated its border; the border then also gets what its copies got.
    """
    if not replicate:
        return convolved(gradient[rows.start + 1 : rows.stop + 3], kernel, None)
    n_rows = len(gradient) - 4
    above, below = rows.start == 0, rows.stop == n_rows
    seen = gradient[rows.start + 1 - above : rows.stop + 3 + below]
    found = F.conv2d(seen.permute(2, 0, 1)[None], kernel, padding=(0, 1))[0].permute(1, 2, 0)
    if above:
        found[1] += found[0]
        found = found[1:]
    if below:
        found[-2] += found[-1]
        found = found[:-1]
    found[:, 1] += found[:, 0]
    found[:, -2] += found[:, -1]
    return found[:, 1:-1]


def convolved(frame: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """(rows, X, F): a 3x3 convolution of a frame; the kernel is channels-last."""
    return F.conv2d(frame.permute(2, 0, 1)[None], kernel, bias)[0].permute(1, 2, 0)


def kernel_gradient(frame: Tensor, gradient: Tensor, total: Tensor) -> None:
    """Add the gradient of a 3x3 kernel to `total`, (3, 3, C, F), as nine matrix products of shifted views.

    Parameters
    ----------
    frame : (rows + 2, X + 2, C) tensor
        The input, as `framed` gives it.
    gradient : (rows, X + 2, F) tensor
        Of the output, 0 in its first and last column.
    """
    width = frame.shape[1]
    flat, wanted = frame.view(-1, frame.shape[2]), gradient.reshape(-1, gradient.shape[2])[1:-1]
    for u in range(3):
        for v in range(3):
            start = u * width + v
            total[u, v].addmm_(flat[start : start + len(wanted)].t(), wanted)


def small_kernel_gradient(frame: Tensor, gradient: Tensor, total: Tensor) -> None:
    """The same for few channels C, where one product of gathered neighbours is faster."""
    width = gradient.shape[1] - 2
    windows = frame.unfold(0, 3, 1).unfold(1, 3, 1)  # rows, X, C, 3, 3
    gathered = windows.permute(3, 4, 2, 0, 1).reshape(9 * frame.shape[2], -1)
    flat = gradient[:, 1 : width + 1].reshape(-1, gradient.shape[2])
    total.view(-1, total.shape[3]).addmm_(gathered, flat)
