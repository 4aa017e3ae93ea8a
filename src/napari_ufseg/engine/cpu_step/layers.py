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

from napari_ufseg.engine.cpu_step.strips import Rows

CACHED, LARGE = 200_000, 1_000_000  # values of a strip: for simple arithmetic, and for a convolution
_MANY = (
    16  # images, from which torch makes 1x1 convolutions with oneDNN, on some processors twice as fast as its products
)


class Buffers:
    """Tensors that are used again; what they hold is left over from their last use."""

    def __init__(self) -> None:
        self._flat: dict[str, Tensor] = {}

    def get(self, name: str, shape: Sequence[int], like: Tensor, *, room: int = 0) -> Tensor:
        """A tensor of that shape and of the type of `like`; `room` is the size that a later use of the name wants."""
        size, flat = prod(shape), self._flat.get(name)
        if flat is None or flat.numel() < max(size, room) or flat.dtype != like.dtype:
            flat = self._flat[name] = torch.empty(max(size, room), dtype=like.dtype)
        return flat[:size].view(*shape)

    def clear(self) -> None:
        """Give the memory back; the next use takes it anew."""
        self._flat.clear()


@dataclass(frozen=True)
class ChannelMoments:
    """Number, mean and sum of squared deviations of each channel, in double precision."""

    n: int
    mean: Tensor
    squares: Tensor

    @classmethod
    def of(cls, values: Tensor) -> "ChannelMoments":
        """Those of an (n, F) tensor."""
        mean = values.sum(0) / len(values)
        centred = values - mean
        return cls(len(values), mean.double(), centred.square_().sum(0).double())

    def __add__(self, other: "ChannelMoments") -> "ChannelMoments":
        """Those of both together (Chan, Golub and LeVeque 1983, https://doi.org/10.1080/00031305.1983.10483115)."""
        n, apart = self.n + other.n, other.mean - self.mean
        mean = self.mean + apart * (other.n / n)
        squares = self.squares + other.squares + apart.square() * (self.n * other.n / n)
        return ChannelMoments(n, mean, squares)


class FusedBatchNorm:
    """A BatchNorm whose moments are known: its affine map, and the way back.

    Parameters
    ----------
    norm : BatchNorm2d
        Its running statistics are brought up to date, as in training.
    moments : ChannelMoments
        Of all pixels of the batch.
    """

    def __init__(self, norm: torch.nn.BatchNorm2d, moments: ChannelMoments) -> None:
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


def framed(values: Tensor, rows: Rows, norm: FusedBatchNorm | None, *, replicate: bool = False) -> Tensor:
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


def in_zeros(values: Sequence[int]) -> tuple[int, int, int, int]:
    """The shape of (B, Y, X, F) values in the frame of zeros that `input_gradient` wants."""
    n_images, n_rows, width, channels = values
    return n_images, n_rows + 4, width + 2, channels


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


def kernel_gradient(frame: Tensor, gradient: Tensor, kernel: Tensor) -> Tensor:
    """The gradient of a 3x3 kernel, of its shape and layout.

    Parameters
    ----------
    frame : (rows + 2, X + 2, C) tensor
        The input, as `framed` gives it.
    gradient : (rows, X, F) tensor
        Of the output.
    kernel : (F, C, 3, 3) tensor
        Channels-last, which lets torch read the other two as they lie. Its values are not used.
    """
    return _backward(gradient.permute(2, 0, 1)[None], frame.permute(2, 0, 1)[None], kernel, of_input=False)[1]


def pixelwise(values: Tensor, kernel: Tensor, bias: Tensor, out: Tensor) -> None:
    """A 1x1 convolution of (n, C) pixels with a (F, C, 1, 1) kernel into `out`, (n, F)."""
    n = len(values) // _MANY * _MANY
    if n:
        found = F.conv2d(_as_images(values[:n]), kernel, bias)
        out[:n].view(_MANY, 1, -1, len(kernel)).copy_(found.permute(0, 2, 3, 1))
    torch.addmm(bias, values[n:], kernel.flatten(1).t(), out=out[n:])


def pixelwise_gradients(values: Tensor, gradient: Tensor, kernel: Tensor, out: Tensor) -> Tensor:
    """The gradient of the kernel of `pixelwise`, (F, C), from that of its output, (n, F); that of its input goes to `out`."""
    n, weight = len(values) // _MANY * _MANY, kernel.flatten(1)
    total = gradient[n:].t() @ values[n:]
    torch.mm(gradient[n:], weight, out=out[n:])
    if n:
        of_input, of_kernel = _backward(_as_images(gradient[:n]), _as_images(values[:n]), kernel, of_input=True)
        out[:n].view(_MANY, 1, -1, weight.shape[1]).copy_(of_input.permute(0, 2, 3, 1))
        total += of_kernel.flatten(1)
    return total


def _as_images(pixels: Tensor) -> Tensor:
    """(n, C) pixels as a batch of one row each, channels-last."""
    return pixels.view(_MANY, 1, -1, pixels.shape[1]).permute(0, 3, 1, 2)


def _backward(gradient: Tensor, images: Tensor, kernel: Tensor, *, of_input: bool) -> tuple[Tensor, Tensor]:
    """Gradients of the input, if wanted, and of the kernel; those of torch.nn.grad copy to planes first."""
    one, none = [1, 1], [0, 0]
    wanted = [of_input, True, False]  # the bias is summed elsewhere
    back = torch.ops.aten.convolution_backward
    found: tuple[Tensor, Tensor, Tensor] = back(gradient, images, kernel, [0], one, none, one, False, none, 1, wanted)
    return found[:2]
