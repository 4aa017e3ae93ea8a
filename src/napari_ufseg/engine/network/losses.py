"""The five terms of the loss; each takes the response r (B, K, Y, X) first and gives a scalar.

Its twin is cpu_step/loss.py, which computes the same terms with their gradient for planes on the CPU: a new term goes
into both.

In volumes the response is (B, K, Z, Y, X).

Labels are class indices k = argmax r, 0 to K - 1. Scribbles are label images
as people see them: 0 for none, s for class index s - 1.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import ConfigError


def classes_of(response: Tensor) -> Tensor:
    """(B, Y, X) int64 tensor: the index of the largest response, the first of equal ones.

    The same as ``argmax(1)``, which torch computes several times slower on the CPU.
    """
    return response.detach().max(1).indices


@dataclass(frozen=True)
class ClassTargets:
    """Targets of a training that goes on from corrections: which classes are one group, and the group of every pixel.

    Parameters
    ----------
    groups : (K,) int64 tensor
        The group of every class, 0 to G - 1, each with a class at least:
        classes that show one label are one class for the loss.
    targets : (B, Y, X) int64 tensor, optional
        The group that each pixel is meant to have; it takes the place of the response's own.
    """

    groups: Tensor
    targets: Tensor | None = None


def grouped_response(response: Tensor, groups: Tensor) -> Tensor:
    """(B, G, Y, X): the logarithm of the summed exponentials of the classes of each group.

    Its softmax is the sum of the classes' softmax, so that the cross-entropy
    with a group asks for any of its classes, and a group can keep several clusters.
    """
    n_groups = int(groups.max()) + 1
    return torch.stack([response[:, groups == group].logsumexp(1) for group in range(n_groups)], 1)


def similarity_loss(response: Tensor, scribbles: Tensor | None = None, *, labels: Tensor | None = None) -> Tensor:
    """Mean cross-entropy between the response and its own labels (paper, section III-A).

    Parameters
    ----------
    response : (B, K, Y, X) float tensor
    scribbles : (B, Y, X) integer tensor, optional
        Pixels with a scribble are left out; without any pixel left the loss is 0.
    labels : (B, Y, X) int64 tensor, optional
        ``response.argmax(1)``, if it is known already.
    """
    target = classes_of(response) if labels is None else labels
    if scribbles is None:
        return F.cross_entropy(response, target)
    return _mean_where(scribbles == 0, response, target)


def continuity_loss(response: Tensor, nu_y: float = 1.0, nu_x: float = 1.0, nu_z: float = 1.0) -> Tensor:
    """Mean absolute difference of the responses of neighbours (paper, section III-B).

    Parameters
    ----------
    response : (B, K, Y, X) or (B, K, Z, Y, X) float tensor
    nu_y, nu_x, nu_z : float
        Weights of vertical and horizontal neighbours, and of those along
        depth. An axis of one pixel has no neighbours and adds nothing.
    """
    loss = response.new_zeros(())
    weights = (nu_y, nu_x) if response.ndim == 4 else (nu_z, nu_y, nu_x)
    for axis, weight in enumerate(weights, start=2):
        n = response.shape[axis]
        if n > 1:
            loss = loss + weight * (response.narrow(axis, 1, n - 1) - response.narrow(axis, 0, n - 1)).abs().mean()
    return loss


def max_area_loss(response: Tensor, *, labels: Tensor | None = None) -> Tensor:
    """Area share of the largest class, in [0, 1]: hard in value, soft in gradient.

    The value counts pixels. Counting has no gradient, so the gradient is that
    of the class's mean softmax probability (straight-through estimator,
    Bengio et al. 2013, arXiv:1308.3432).
    """
    share = class_shares(response, labels)
    largest, _ = largest_and_smallest(share)
    return _straight_through(share[largest], response, largest)


def min_area_loss(response: Tensor, *, labels: Tensor | None = None) -> Tensor:
    """One minus the area share of the smallest class that is present; gradient as in `max_area_loss`."""
    share = class_shares(response, labels)
    _, smallest = largest_and_smallest(share)
    return 1 - _straight_through(share[smallest], response, smallest)


def scribble_loss(response: Tensor, scribbles: Tensor) -> Tensor:
    """Mean cross-entropy between the response and the scribbles, over the pixels that carry one (paper, section III-C).

    Parameters
    ----------
    response : (B, K, Y, X) float tensor
    scribbles : (B, Y, X) integer tensor
        0 for none, s for class index s - 1. Without any scribble the loss is 0.
    """
    return _mean_where(scribbles > 0, response, scribbles.long() - 1)


def class_shares(response: Tensor, labels: Tensor | None = None) -> Tensor:
    """(K,) float tensor: share of all pixels of the batch that each class holds."""
    labels = classes_of(response) if labels is None else labels
    counts = torch.bincount(labels.flatten(), minlength=response.shape[1])
    return counts.to(response.dtype) / labels.numel()


def largest_and_smallest(share: Tensor) -> tuple[int, int]:
    """The classes with the most and with the fewest pixels, of those that are present; the first of equal ones.

    Parameters
    ----------
    share : (K,) float tensor
        As `class_shares` gives it.
    """
    return int(share.argmax()), int(share.masked_fill(share == 0, 2.0).argmin())


def term_weights(config: SegmentationConfig) -> dict[str, float]:
    """The weight of every term by its name, in the order of their sum."""
    c = config
    return {"similarity": c.mu, "continuity": c.nu, "max_area": c.M, "min_area": c.m, "scribble": c.scribble_weight}


@dataclass(frozen=True)
class TotalLoss:
    """The loss: the weighted sum of its terms, the terms, and the labels.

    Parameters
    ----------
    total : scalar tensor
        What is minimised.
    terms : dict of str to scalar tensor
        Each active term, unweighted and detached.
    labels : (B, Y, X) int64 tensor
        Class indices of this forward pass.
    """

    total: Tensor
    terms: dict[str, Tensor]
    labels: Tensor


def total_loss(
    response: Tensor,
    config: SegmentationConfig,
    scribbles: Tensor | None = None,
    class_targets: ClassTargets | None = None,
) -> TotalLoss:
    """The loss of a response: ``mu similarity + nu continuity + M max_area + m min_area + scribble_weight scribble``.

    Terms of weight 0 are not computed. In volumes the difference between
    planes counts per pixel size: nu_z is divided by the anisotropy. With a
    `class_targets` all terms but continuity look at groups of classes, scribbles are
    groups (s for group s - 1), and the labels of similarity are its targets.
    """
    labels, c = classes_of(response), config
    own, target, each = labels, labels, response
    if class_targets is not None:
        own, response = class_targets.groups[labels], grouped_response(response, class_targets.groups)
        target = own if class_targets.targets is None else class_targets.targets
    values: dict[str, Tensor] = {}
    if c.mu:
        values["similarity"] = similarity_loss(response, scribbles, labels=target)
    if c.nu:
        values["continuity"] = continuity_loss(each, c.nu_y, c.nu_x, c.nu_z / c.anisotropy)
    if c.M:
        values["max_area"] = max_area_loss(response, labels=own)
    if c.m:
        values["min_area"] = min_area_loss(response, labels=own)
    if scribbles is not None and c.scribble_weight:
        values["scribble"] = scribble_loss(response, scribbles)
    weights = term_weights(c)
    total = torch.stack([weights[name] * value for name, value in values.items()]).sum()
    return TotalLoss(total, {name: value.detach() for name, value in values.items()}, labels)


def require_a_term(config: SegmentationConfig, *, has_scribbles: bool) -> None:
    """Raise ConfigError if every weight is 0, so that nothing would be minimised."""
    c = config
    neighbours = c.nu_x or c.nu_y or (c.nu_z and c.spatial_dims == 3)
    if not (c.mu or (c.nu and neighbours) or c.M or c.m or (has_scribbles and c.scribble_weight)):
        raise ConfigError("The weights mu, nu, M and m are all 0: give at least one of them a value above 0.")


def _mean_where(chosen: Tensor, response: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy over the chosen pixels; 0, with a gradient of 0, if there are none."""
    ignored = -100
    summed = F.cross_entropy(response, target.masked_fill(~chosen, ignored), ignore_index=ignored, reduction="sum")
    return summed / chosen.sum().clamp_min(1)


def _straight_through(hard: Tensor, response: Tensor, k: int) -> Tensor:
    soft = (response[:, k] - response.logsumexp(1)).exp().mean()
    return hard + (soft - soft.detach())
