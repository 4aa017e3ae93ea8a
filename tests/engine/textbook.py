"""The method as the paper has it, in its generalised form: plain, slow and in double precision.

Nothing here comes from the engine. Every formula is written out, so that it
can be held against Kim, Kanezaki and Tanaka (2020), arXiv:2007.09990; autograd
does nothing but differentiate what is written. Shapes: image x (B, C, Y, X),
response r (B, K, Y, X), labels c (B, Y, X) counted from 0.
"""

import torch

EPSILON = 1e-5  # the constant of batch normalisation (Ioffe and Szegedy 2015, table 1)


def convolution(x, kernel, bias):
    """y[b, o, i, j] = bias[o] + sum over c, u, v of kernel[o, c, u, v] x[b, c, i + u - pad, j + v - pad]."""
    size = kernel.shape[-1]
    pad = size // 2
    height, width = x.shape[2:]
    padded = torch.zeros(*x.shape[:2], height + 2 * pad, width + 2 * pad, dtype=x.dtype)
    padded[:, :, pad : pad + height, pad : pad + width] = x
    y = bias[None, :, None, None].expand(len(x), -1, height, width)
    for u in range(size):
        for v in range(size):
            shifted = padded[:, :, u : u + height, v : v + width]
            y = y + (kernel[None, :, :, u, v, None, None] * shifted[:, None]).sum(dim=2)
    return y


def in_all_positions(kernel):
    """A square of weights as it lies, turned by quarters, and all of that seen in a mirror: the mean of the eight."""
    turned = [torch.rot90(kernel, quarters, (-2, -1)) for quarters in range(4)]
    return sum(turned + [torch.flip(one, (-1,)) for one in turned]) / 8


def with_border_repeated(x):
    """One more pixel on every side, of the value of the nearest one."""
    rows = [0, *range(x.shape[2]), x.shape[2] - 1]
    columns = [0, *range(x.shape[3]), x.shape[3] - 1]
    return x[:, :, rows][:, :, :, columns]


def relu(x):
    return x * (x > 0)


def batch_norm(x, gain, offset):
    """Zero mean and unit variance per channel, over all pixels of the batch."""
    n = x.shape[0] * x.shape[2] * x.shape[3]
    mean = x.sum(dim=(0, 2, 3), keepdim=True) / n
    variance = ((x - mean) ** 2).sum(dim=(0, 2, 3), keepdim=True) / n
    normal = (x - mean) / (variance + EPSILON) ** 0.5
    return gain[None, :, None, None] * normal + offset[None, :, None, None]


def response(x, blocks, *, symmetric=False, replicate=False, skip=False):
    """Blocks of 3x3 convolution, ReLU and batch norm; the last block is 1x1 and has no ReLU.

    With the skip the last block sees the image too, in front of what the others made of it.
    """
    image = x
    for depth, (kernel, bias, gain, offset) in enumerate(blocks):
        if depth == len(blocks) - 1:
            x = convolution(torch.cat([image, x], dim=1) if skip else x, kernel, bias)
            return batch_norm(x, gain, offset)
        if symmetric:
            kernel = in_all_positions(kernel)
        if replicate:
            x = convolution(with_border_repeated(x), kernel, bias)[:, :, 1:-1, 1:-1]
        else:
            x = convolution(x, kernel, bias)
        x = batch_norm(relu(x), gain, offset)


def softmax(r):
    e = torch.exp(r - r.amax(dim=1, keepdim=True).detach())
    return e / e.sum(dim=1, keepdim=True)


def cross_entropy_per_pixel(r, c):
    """-ln of the probability of class c[b, y, x]; written with the indicator of the paper's formula 1."""
    classes = torch.arange(r.shape[1])[None, :, None, None]
    indicator = (classes == c[:, None]).to(r.dtype)
    return -(indicator * torch.log(softmax(r))).sum(dim=1)


def similarity(r, c, scribbles=None):
    """Mean cross-entropy with the response's own labels, over the pixels without a scribble."""
    per_pixel = cross_entropy_per_pixel(r, c)
    if scribbles is None:
        return per_pixel.sum() / per_pixel.numel()
    free = (scribbles == 0).to(r.dtype)
    return (per_pixel * free).sum() / max(1, int(free.sum()))


def continuity(r, nu_y, nu_x):
    down = r[:, :, 1:, :] - r[:, :, :-1, :]
    right = r[:, :, :, 1:] - r[:, :, :, :-1]
    return nu_y * down.abs().sum() / down.numel() + nu_x * right.abs().sum() / right.numel()


def hard_area(c, k):
    return sum(int((plane == k).sum()) for plane in c) / c.numel()


def area_with_gradient(r, c, k):
    """Value of the hard area of class k, gradient of its soft area: straight-through."""
    soft = softmax(r)[:, k].sum() / c.numel()
    return hard_area(c, k) + soft - float(soft.detach())


def max_area(r, c):
    areas = [hard_area(c, k) for k in range(r.shape[1])]
    return area_with_gradient(r, c, areas.index(max(areas)))


def min_area(r, c):
    areas = [hard_area(c, k) for k in range(r.shape[1])]
    return 1 - area_with_gradient(r, c, areas.index(min(area for area in areas if area > 0)))


def scribble(r, scribbles):
    """Mean cross-entropy with the painted labels (s means class s - 1), over the painted pixels."""
    painted = (scribbles > 0).to(r.dtype)
    per_pixel = cross_entropy_per_pixel(r, scribbles - 1)
    return (per_pixel * painted).sum() / max(1, int(painted.sum()))


class Textbook:
    """Stochastic gradient descent with momentum on the weighted sum of the terms, from given weights."""

    def __init__(self, blocks, *, learning_rate, momentum, mu, nu, nu_x, nu_y, M, m, scribble_weight, **network):
        self.blocks = [[w.detach().clone().double().requires_grad_() for w in block] for block in blocks]
        self.velocity = [[torch.zeros_like(w) for w in block] for block in self.blocks]
        self.learning_rate, self.momentum = learning_rate, momentum
        self.network = network
        self.nu_x, self.nu_y = nu_x, nu_y
        self.weights = {"similarity": mu, "continuity": nu, "max_area": M, "min_area": m, "scribble": scribble_weight}

    def step(self, x, scribbles=None):
        """Losses of the present weights, their labels, and then one update."""
        r = response(x.double(), self.blocks, **self.network)
        c = r.detach().argmax(dim=1)
        terms = {
            "similarity": similarity(r, c, scribbles),
            "continuity": continuity(r, self.nu_y, self.nu_x),
            "max_area": max_area(r, c),
            "min_area": min_area(r, c),
        }
        if scribbles is not None:
            terms["scribble"] = scribble(r, scribbles)
        total = sum(self.weights[name] * value for name, value in terms.items())
        flat = [w for block in self.blocks for w in block]
        gradients = iter(torch.autograd.grad(total, flat))
        with torch.no_grad():
            for block, velocities in zip(self.blocks, self.velocity, strict=True):
                for w, v in zip(block, velocities, strict=True):
                    v.mul_(self.momentum).add_(next(gradients))
                    w.sub_(self.learning_rate * v)
        return {"total": float(total.detach()), **{name: float(value.detach()) for name, value in terms.items()}}, c


# -- volumes: image x (B, C, Z, Y, X), response r (B, K, Z, Y, X), labels c (B, Z, Y, X) --------


def convolution_3d(x, kernel, bias):
    """y[b, o, h, i, j] = bias[o] + sum over c, t, u, v of kernel[o, c, t, u, v] x[b, c, h + t - pad_z, i + u - pad, ...]."""
    sizes = kernel.shape[2:]
    pads = [size // 2 for size in sizes]
    depth, height, width = x.shape[2:]
    padded = torch.zeros(*x.shape[:2], *(n + 2 * pad for n, pad in zip(x.shape[2:], pads, strict=True)), dtype=x.dtype)
    padded[:, :, pads[0] : pads[0] + depth, pads[1] : pads[1] + height, pads[2] : pads[2] + width] = x
    y = bias[None, :, None, None, None].expand(len(x), -1, depth, height, width)
    for t in range(sizes[0]):
        for u in range(sizes[1]):
            for v in range(sizes[2]):
                shifted = padded[:, :, t : t + depth, u : u + height, v : v + width]
                y = y + (kernel[None, :, :, t, u, v, None, None, None] * shifted[:, None]).sum(dim=2)
    return y


def batch_norm_3d(x, gain, offset):
    """Zero mean and unit variance per channel, over all voxels of the batch."""
    n = x.shape[0] * x.shape[2] * x.shape[3] * x.shape[4]
    mean = x.sum(dim=(0, 2, 3, 4), keepdim=True) / n
    variance = ((x - mean) ** 2).sum(dim=(0, 2, 3, 4), keepdim=True) / n
    normal = (x - mean) / (variance + EPSILON) ** 0.5
    return gain[None, :, None, None, None] * normal + offset[None, :, None, None, None]


def response_3d(x, blocks):
    """As `response`, with kernels (z, y, x) of any odd lengths."""
    for depth, (kernel, bias, gain, offset) in enumerate(blocks):
        x = convolution_3d(x, kernel, bias)
        if depth < len(blocks) - 1:
            x = relu(x)
        x = batch_norm_3d(x, gain, offset)
    return x


def continuity_3d(r, nu_z, nu_y, nu_x, anisotropy):
    """Differences per pixel size: neighbours along Z are `anisotropy` pixels apart."""
    deeper = r[:, :, 1:, :, :] - r[:, :, :-1, :, :]
    down = r[:, :, :, 1:, :] - r[:, :, :, :-1, :]
    right = r[:, :, :, :, 1:] - r[:, :, :, :, :-1]
    along_z = nu_z / anisotropy * deeper.abs().sum() / deeper.numel()
    return along_z + nu_y * down.abs().sum() / down.numel() + nu_x * right.abs().sum() / right.numel()


class TextbookOfVolumes(Textbook):
    """The same in three dimensions; the terms that know no neighbours see the planes one below the other."""

    def __init__(self, blocks, *, nu_z, anisotropy, **settings):
        super().__init__(blocks, **settings)
        self.nu_z, self.anisotropy = nu_z, anisotropy

    def step(self, x, scribbles=None):
        """Losses of the present weights, their labels, and then one update."""
        r = response_3d(x.double(), self.blocks)
        c = r.detach().argmax(dim=1)
        flat_r, flat_c = r.flatten(2, 3), c.flatten(1, 2)
        flat_scribbles = None if scribbles is None else scribbles.flatten(1, 2)
        terms = {
            "similarity": similarity(flat_r, flat_c, flat_scribbles),
            "continuity": continuity_3d(r, self.nu_z, self.nu_y, self.nu_x, self.anisotropy),
            "max_area": max_area(flat_r, flat_c),
            "min_area": min_area(flat_r, flat_c),
        }
        if scribbles is not None:
            terms["scribble"] = scribble(flat_r, flat_scribbles)
        total = sum(self.weights[name] * value for name, value in terms.items())
        total.backward()
        with torch.no_grad():
            for block, velocities in zip(self.blocks, self.velocity, strict=True):
                for w, v in zip(block, velocities, strict=True):
                    v.mul_(self.momentum).add_(w.grad)
                    w.sub_(self.learning_rate * v)
                    w.grad = None
        return {"total": float(total.detach()), **{name: float(value.detach()) for name, value in terms.items()}}, c
