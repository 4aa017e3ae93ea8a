"""A prototype of what the preset `fast` is to become, as a method of the benchmark; docs/quality.md tells what each part gives.

segment(image, seed) makes classes, regions(classes, image) makes connected regions. An image is
(Y, X) or (Y, X, C) uint8, uint16 or float; RGB is (Y, X, 3). The same seed gives the same labels.
"""

import heapq

import numpy as np
import torch
import torch.nn.functional as F
from scipy.cluster.vq import kmeans2
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2lab
from skimage.measure import label
from skimage.restoration import denoise_tv_chambolle
from torch import nn

# name: default                       range      what
CONFIG = {
    "colour": "lab",  # as_is|lab  RGB images in CIE Lab; others as they are
    "denoise": 1.0,  # 0-10       TV weight in units of the measured noise; 0 off
    "local_contrast": 0.8,  # 0-5        weight of the local-contrast channels; 0 off
    "local_contrast_size": 16.0,  # 1-200 px   Gaussian sigma of "local"
    "input_scales": (1.0, 3.0),  # sigmas     blurred copies of the image as further channels; () off
    "n_features": 16,
    "n_convolutions": 2,
    "n_classes": 8,
    # always on in this prototype: kernels="symmetric", padding="replicate", skip=True, start="clusters"
    "start_contrast": 15.0,  # 1-100      std of the first response; larger: classes change less
    "mu": 1.0,
    "nu": 1.0,
    "learning_rate": 0.1,
    "momentum": 0.9,
    "epochs": 20,
    "learning_rate_decay": 1.0,  # 0-2        power of the fall to 0 over the epochs; 0 keeps it constant
    "min_classes": 3,  # guard: below this the last good labels are kept
    "min_region": 15,  # 0-10000 px smaller regions go to the neighbour with the longest border
    "region_contrast": 0.6,  # 0-100      regions(): larger merges more; 0 keeps every connected part
}


# ---- input ------------------------------------------------------------------------------------------------


def noise_of(image):
    """Noise std of (Y, X, C): median absolute diagonal difference (Haar), mean over channels."""
    d = (image[1:, 1:] - image[1:, :-1] - image[:-1, 1:] + image[:-1, :-1]) / 2
    return float(np.mean(np.median(np.abs(d), axis=(0, 1)) / 0.6745))


def colours(image, c):
    """Float (Y, X, C), denoised, mean 0, std 1 over all channels together: equal channels are taken once."""
    image = image[..., None] if image.ndim == 2 else image
    if image.shape[-1] == 3 and (image == image[..., :1]).all():
        image = image[..., :1]
    if image.shape[-1] == 3 and c["colour"] == "lab":
        a = (rgb2lab(image) / 100).astype(np.float32)
    else:
        a = image.astype(np.float32)
        low, high = np.percentile(a, (0.1, 99.9))
        a = np.clip((a - low) / max(high - low, 1e-6), 0, 1)
    if c["denoise"]:
        a = denoise_tv_chambolle(a, max(c["denoise"] * noise_of(a), 1e-3), channel_axis=-1, max_num_iter=40)
    a = a - a.mean((0, 1))
    return (a / max(a.std(), 1e-6)).astype(np.float32)


def blur(a, sigma):
    return gaussian_filter(a, (sigma, sigma, 0))


def inputs(image, c):
    """(Y, X, D) network input and how many of its channels the clustering sees."""
    z = colours(image, c)
    channels = [z]
    if c["local_contrast"]:
        d = z - blur(z, c["local_contrast_size"])
        channels.append(c["local_contrast"] * d / np.sqrt(blur(d**2, c["local_contrast_size"]) + 0.5**2))
    n_clustered = sum(a.shape[-1] for a in channels)
    channels += [blur(z, sigma) for sigma in c["input_scales"]]
    x = np.concatenate(channels, -1)
    return (x - x.mean((0, 1))).astype(np.float32), n_clustered


# ---- network ----------------------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self, n_channels, c, seed):
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.kernels, self.norms, width = nn.ParameterList(), nn.ModuleList(), n_channels
        for _ in range(c["n_convolutions"]):
            w = torch.randn(c["n_features"], width, 3, 3, generator=g) * (2 / (9 * width)) ** 0.5
            self.kernels.append(nn.Parameter(w))
            self.norms.append(nn.BatchNorm2d(c["n_features"]))
            width = c["n_features"]
        self.classifier = nn.Conv2d(n_channels + width, c["n_classes"], 1)
        self.response_norm = nn.BatchNorm2d(c["n_classes"])

    def features(self, x):
        h = x
        for w, norm in zip(self.kernels, self.norms, strict=True):
            w = w + w.flip(-1)
            w = w + w.flip(-2)
            w = (w + w.transpose(-1, -2)) / 8
            h = norm(F.relu(F.conv2d(F.pad(h, (1, 1, 1, 1), mode="replicate"), w)))
        return torch.cat([x, h], 1)

    def forward(self, x):
        return self.response_norm(self.classifier(self.features(x)))


def centroids(x, k, seed, n_sampled=20000, restarts=10):
    """The best of some k-means++ runs on a sample of the pixels (n, D)."""
    rng = np.random.default_rng(seed)
    sample = x[rng.choice(len(x), min(n_sampled, len(x)), replace=False)].astype(np.float64)
    best = None
    for i in range(restarts):
        centres, nearest = kmeans2(sample, k, iter=20, minit="++", seed=seed * 100 + i)
        error = ((sample - centres[nearest]) ** 2).sum()
        if best is None or error < best[0]:
            best = error, centres
    return best[1]


@torch.no_grad()
def start_from_clusters(net, x, centres, contrast):
    """The first response is the nearest centroid's: r_k = (mu_k x - |mu_k|^2 / 2) / t, with mean std over k = contrast.

    The learned features begin with weight 0; BatchNorm's gamma and beta begin as std and mean, so that it changes nothing.
    """
    n, channels = len(centres), x.shape[1]
    mu = torch.zeros(n, channels)
    mu[:, : centres.shape[1]] = torch.as_tensor(centres, dtype=torch.float32)
    flat = x[0].flatten(1)[:, ::7]
    t = (mu @ flat).std(1).mean() / contrast
    net.classifier.weight.zero_()
    net.classifier.weight[:, :channels] = (mu / t)[:, :, None, None]
    net.classifier.bias.copy_(-(mu**2).sum(1) / (2 * t))
    r = net.classifier(net.features(x))
    norm = net.response_norm
    norm.bias.copy_(r.mean((0, 2, 3)))
    norm.weight.copy_((r.var((0, 2, 3), correction=0) + norm.eps).sqrt())


def train(image, seed=0, **changes):
    """Yields the class indices (Y, X) of every step; the first ones are those of the clusters."""
    c = {**CONFIG, **changes}
    z, n_clustered = inputs(image, c)
    x = torch.from_numpy(z.transpose(2, 0, 1)[None].copy()).contiguous(memory_format=torch.channels_last)
    net = Net(z.shape[-1], c, seed).to(memory_format=torch.channels_last).train()
    centres = centroids(z[..., :n_clustered].reshape(-1, n_clustered), c["n_classes"], seed)
    start_from_clusters(net, x, centres, c["start_contrast"])
    optimiser = torch.optim.SGD(net.parameters(), lr=c["learning_rate"], momentum=c["momentum"])
    for step in range(c["epochs"] + 1):
        r = net(x)
        labels = r.detach().max(1).indices
        if step and len(torch.unique(labels)) < c["min_classes"]:
            return  # collapsed: what was yielded last stays
        yield labels[0].numpy()
        if step == c["epochs"]:
            return
        similarity = F.cross_entropy(r, labels)
        continuity = (r[:, :, 1:] - r[:, :, :-1]).abs().mean() + (r[:, :, :, 1:] - r[:, :, :, :-1]).abs().mean()
        for group in optimiser.param_groups:
            group["lr"] = c["learning_rate"] * (1 - step / c["epochs"]) ** c["learning_rate_decay"]
        optimiser.zero_grad()
        (c["mu"] * similarity + c["nu"] * continuity).backward()
        optimiser.step()


def segment(image, seed=0, **changes):
    """(Y, X) class indices, small regions absorbed."""
    *_, labels = train(image, seed, **changes)
    return absorb(labels, {**CONFIG, **changes}["min_region"])


# ---- regions ----------------------------------------------------------------------------------------------


def components(classes):
    """Connected parts (4-neighbours) of every class, 0 to n - 1."""
    return label(classes, connectivity=1, background=int(classes.min()) - 1) - 1


def touching(regions, *values):
    """For every pair i < j of touching regions: i, j, common border in pixel edges, and sums of the values over it.

    A value is a pair of arrays (Y, X - 1), (Y - 1, X): between horizontal and vertical neighbours.
    """
    a = np.concatenate([regions[:, 1:].ravel(), regions[1:].ravel()])
    b = np.concatenate([regions[:, :-1].ravel(), regions[:-1].ravel()])
    apart = a != b
    n = int(regions.max()) + 1
    key, index = np.unique(np.minimum(a, b)[apart].astype(np.int64) * n + np.maximum(a, b)[apart], return_inverse=True)
    sums = [np.bincount(index, np.concatenate([x.ravel(), y.ravel()])[apart]) for x, y in values]
    return key // n, key % n, np.bincount(index), *sums


def absorb(classes, min_size):
    """Every region under min_size pixels takes the class of the larger neighbour with the longest common border."""
    while min_size > 1:
        regions = components(classes)
        n = int(regions.max()) + 1
        size = np.bincount(regions.ravel(), minlength=n)
        rank = np.empty(n, int)
        rank[np.lexsort((np.arange(n), size))] = np.arange(n)
        i, j, border = touching(regions)
        i, j, border = np.r_[i, j], np.r_[j, i], np.r_[border, border]
        use = (size[i] < min_size) & (rank[j] > rank[i])
        if not use.any():
            break
        i, j, border = i[use], j[use], border[use]
        order = np.lexsort((rank[j], border, i))
        i, j = i[order], j[order]
        last = np.r_[i[1:] != i[:-1], True]
        goes_to = np.arange(n)
        goes_to[i[last]] = j[last]
        goes_to = roots(goes_to)
        class_of = np.zeros(n, classes.dtype)
        class_of[regions.ravel()] = classes.ravel()
        classes = class_of[goes_to][regions]
    return classes


def roots(parent):
    while (parent[parent] != parent).any():
        parent = parent[parent]
    return parent


def regions(classes, image, **changes):
    """Connected parts of the classes; neighbours with a weak common border are merged, the weakest first.

    Strength g = mean colour step across the border (denoised colours, in units of their std). Regions a and b
    are merged while g^2 n_a n_b / (n_a + n_b) / border < region_contrast (compare Koepfler, Lopez and Morel
    1994: piecewise-constant Mumford-Shah, with the step at the border in place of the difference of the means).
    """
    c = {**CONFIG, **changes}
    z = colours(image, c)
    parts = components(absorb(classes, c["min_region"]))
    n = int(parts.max()) + 1
    size = np.bincount(parts.ravel(), minlength=n).astype(float).tolist()
    steps = np.linalg.norm(np.diff(z, axis=1), axis=-1), np.linalg.norm(np.diff(z, axis=0), axis=-1)
    near = [{} for _ in range(n)]
    for i, j, border, step in zip(*(v.tolist() for v in touching(parts, steps)), strict=True):
        near[i][j] = near[j][i] = border, step
    version, parent = [0] * n, np.arange(n)

    def cost(a, b):
        border, step = near[a][b]
        value = (step / border) ** 2 * size[a] * size[b] / (size[a] + size[b]) / border
        return value

    heap = [(cost(a, b), a, b, 0, 0) for a in range(n) for b in near[a] if a < b]
    heapq.heapify(heap)
    while heap:
        value, a, b, version_a, version_b = heapq.heappop(heap)
        if value >= c["region_contrast"]:
            break
        if version[a] != version_a or version[b] != version_b:
            continue
        if len(near[a]) < len(near[b]):
            a, b = b, a
        parent[b], version[b] = a, -1
        version[a] += 1
        size[a] += size[b]
        del near[a][b], near[b][a]
        for k, (border, step) in near[b].items():
            border_a, step_a = near[a].get(k, (0, 0.0))
            near[a][k] = near[k][a] = border + border_a, step + step_a
            del near[k][b]
        for k in near[a]:
            x, y = min(a, k), max(a, k)
            heapq.heappush(heap, (cost(x, y), x, y, version[x], version[y]))
    return np.unique(roots(parent)[parts], return_inverse=True)[1].reshape(parts.shape) + 1
