"""The loss and its gradient in one pass over strips of the response: the twin of network/losses.py, whose formulas it has."""

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.cpu_step.layers import CACHED, FusedBatchNorm
from napari_ufseg.engine.cpu_step.strips import Rows, map_lanes, strips_of
from napari_ufseg.engine.network.losses import ClassTargets, largest_and_smallest


@dataclass
class _Sums:
    """Sums of the terms of the loss over one lane of rows."""

    similarity: float = 0.0
    down: float = 0.0
    right: float = 0.0
    scribble: float = 0.0


@dataclass(frozen=True)
class LossGradient:
    """The terms of the loss, unweighted, and the sums over its gradient that BatchNorm needs.

    Parameters
    ----------
    terms : dict of str to float
        Each active term.
    sum_gradient, sum_product : (K,) tensors in double precision
        Over all pixels, of the gradient, and of the gradient times the raw response.
    """

    terms: dict[str, float]
    sum_gradient: Tensor
    sum_product: Tensor


class StripLoss:
    """The loss of a response that is kept raw, before its BatchNorm.

    Parameters
    ----------
    config : SegmentationConfig
        Weights of the terms.
    raw : (B, Y, X, K) tensor
        The response before BatchNorm.
    norm : FusedBatchNorm
        The BatchNorm.
    labels : (B, Y, X) int64 tensor
        Is filled with the class of every pixel.
    scribbles : (B, Y, X) integer tensor, optional
        0 for none, s for class s - 1.
    class_targets : ClassTargets, optional
        As for `total_loss`.
    """

    def __init__(
        self,
        config: SegmentationConfig,
        raw: Tensor,
        norm: FusedBatchNorm,
        labels: Tensor,
        scribbles: Tensor | None,
        class_targets: ClassTargets | None = None,
    ) -> None:
        self._config, self._raw, self._norm, self._labels, self._scribbles = config, raw, norm, labels, scribbles
        self._class_targets = class_targets
        n_images, n_rows, width, self._k = raw.shape
        self._n_pixels = n_images * n_rows * width
        self._n_down = n_images * (n_rows - 1) * width * self._k
        self._n_right = n_images * n_rows * (width - 1) * self._k
        self._n_marked = 0 if scribbles is None else int((scribbles > 0).sum())
        self._values_per_row = width * self._k

    def gradient(self, lanes: list[list[Rows]], out: Tensor) -> LossGradient:
        """The terms; the gradient of the normalised response goes to `out`, (B, Y, X, K)."""
        c = self._config
        pull: Tensor | None = None
        if c.M or c.m:
            map_lanes(self._label_lane, lanes)
            pull, areas = self._pull_on_areas()
        else:
            areas = {}

        def work(lane: list[Rows]) -> tuple[_Sums, Tensor, Tensor]:
            sums = _Sums()
            total = torch.zeros(2, self._k, dtype=torch.float64)
            for rows in strips_of(lane, self._values_per_row, CACHED):
                gradient = self._strip(rows, pull, sums)
                out[rows.slices] = gradient
                flat = gradient.view(-1, self._k)
                total[0] += flat.sum(0)
                total[1] += (flat * self._raw[rows.slices].view(-1, self._k)).sum(0)
            return sums, total[0], total[1]

        parts = map_lanes(work, lanes)
        terms = self._terms([part[0] for part in parts], areas)
        first, second = (torch.stack(some).sum(0) for some in ([p[1] for p in parts], [p[2] for p in parts]))
        return LossGradient(terms, first, second)

    def _label_lane(self, lane: list[Rows]) -> None:
        for rows in strips_of(lane, self._values_per_row, CACHED):
            self._labels[rows.slices] = self._norm.applied(self._raw[rows.slices]).max(2).indices

    def _pull_on_areas(self) -> tuple[Tensor, dict[str, float]]:
        """The weight on each class's soft area, (K,), and the area terms; all labels must be known."""
        groups = torch.arange(self._k) if self._class_targets is None else self._class_targets.groups
        shares = torch.bincount(groups[self._labels.flatten()]).double() / self._n_pixels
        largest, smallest = largest_and_smallest(shares)
        pull = torch.zeros(self._k, dtype=self._raw.dtype)
        pull[groups == largest] += self._config.M
        pull[groups == smallest] -= self._config.m
        return pull, {"max_area": float(shares[largest]), "min_area": 1 - float(shares[smallest])}

    def _terms(self, parts: list[_Sums], areas: dict[str, float]) -> dict[str, float]:
        """The unweighted terms that are active, in the order of `total_loss`."""
        c = self._config
        terms: dict[str, float] = {}
        n_free = self._n_pixels - self._n_marked
        if c.mu:
            terms["similarity"] = sum(part.similarity for part in parts) / max(1, n_free)
        if c.nu:
            down = c.nu_y * sum(part.down for part in parts) / max(1, self._n_down)
            terms["continuity"] = down + c.nu_x * sum(part.right for part in parts) / max(1, self._n_right)
        terms |= {name: areas[name] for name, weight in (("max_area", c.M), ("min_area", c.m)) if weight}
        if self._scribbles is not None and c.scribble_weight:
            terms["scribble"] = sum(part.scribble for part in parts) / max(1, self._n_marked)
        return terms

    def _strip(self, rows: Rows, pull: Tensor | None, sums: _Sums) -> Tensor:
        """(rows, X, K): the gradient of the weighted sum; the parts of the terms are added to `sums`."""
        n_rows = self._raw.shape[1]
        top, bottom = max(0, rows.start - 1), min(n_rows, rows.stop + 1)
        response = self._norm.applied(self._raw[rows.image, top:bottom])
        inner = response[rows.start - top : rows.stop - top]
        if pull is None:  # else they are known already
            self._labels[rows.slices] = inner.max(2).indices
        gradient = self._pixels(rows, inner.reshape(-1, self._k), pull, sums).view_as(inner)
        if self._config.nu:
            self._neighbours(rows, top, bottom, response, inner, gradient, sums)
        return gradient

    def _pixels(self, rows: Rows, response: Tensor, pull: Tensor | None, sums: _Sums) -> Tensor:
        """The terms that look at each pixel by itself; (n, K) in and out."""
        c = self._config
        probability, log_sum = _softmax(response)
        target = self._target(rows).reshape(-1, 1)
        weight = response.new_full(target.shape, c.mu / max(1, self._n_pixels - self._n_marked))
        free: Tensor | None = None
        if self._scribbles is not None:
            marks = self._scribbles[rows.slices].reshape(-1, 1).long()
            free = marks == 0
            target = torch.where(free, target, marks - 1)
            weight = torch.where(free, weight, c.scribble_weight / max(1, self._n_marked))
        wanted, entropy = self._wanted(response, log_sum, target)
        if free is None:
            sums.similarity += float(entropy.sum())
        else:
            sums.similarity += float(entropy[free].sum())
            sums.scribble += float(entropy[~free].sum())
        soft = None
        if pull is not None:  # gradient of a mean softmax: p_k (1[j = k] - p_j) / N
            soft = probability * pull / self._n_pixels
            soft -= probability * soft.sum(1, keepdim=True)
        gradient = probability.mul_(weight)
        gradient = gradient.scatter_add_(1, target, -weight) if wanted is None else gradient.sub_(wanted.mul_(weight))
        return gradient if soft is None else gradient.add_(soft)

    def _target(self, rows: Rows) -> Tensor:
        """The class, or with class targets the group, that the pixels without a scribble are drawn to."""
        if self._class_targets is None:
            return self._labels[rows.slices]
        if self._class_targets.targets is None:
            return self._class_targets.groups[self._labels[rows.slices]]
        return self._class_targets.targets[rows.slices]

    def _wanted(self, response: Tensor, log_sum: Tensor, target: Tensor) -> tuple[Tensor | None, Tensor]:
        """Where the target draws the probability, (n, K), None for the target alone; and the cross-entropy, (n, 1)."""
        if self._class_targets is None:
            return None, log_sum - response.gather(1, target)
        own = response.masked_fill(self._class_targets.groups != target, -torch.inf)  # the classes of its group
        return torch.softmax(own, 1), log_sum - own.logsumexp(1, keepdim=True)

    def _neighbours(
        self, rows: Rows, top: int, bottom: int, response: Tensor, inner: Tensor, gradient: Tensor, sums: _Sums
    ) -> None:
        """Continuity: absolute differences down and to the right, and their signs in the gradient."""
        c, n = self._config, rows.stop - rows.start
        down = response[1:] - response[:-1]
        first = rows.start - top  # the difference to the row below of our first row
        own = down[first : first + n]  # without the last row of the image
        sums.down += float(own.abs().sum())
        down.sign_().mul_(c.nu * c.nu_y / max(1, self._n_down))
        gradient[: len(own)] -= own
        above = down[: len(down) - (bottom > rows.stop)]  # differences whose lower row is ours
        gradient[n - len(above) :] += above
        right = inner[:, 1:] - inner[:, :-1]
        sums.right += float(right.abs().sum())
        right.sign_().mul_(c.nu * c.nu_x / max(1, self._n_right))
        gradient[:, 1:] += right
        gradient[:, :-1] -= right


def _softmax(response: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row of (n, K), and the logarithm of its sum of exponentials, (n, 1); torch's is slow for less than 16 classes."""
    largest = response.amax(1, keepdim=True)
    probability = (response - largest).exp_()
    total = probability.sum(1, keepdim=True)
    return probability.div_(total), largest.add_(total.log_())
