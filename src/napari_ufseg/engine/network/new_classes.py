"""New classes for a trained network: each begins where a user has painted it, and nowhere else if that can be told."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from scipy.special import expit
from torch import Tensor, nn

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.network.feature_net import FeatureNet, recompute_batchnorm

_SAMPLED = 20_000  # pixels of the rest
_RIDGE = 1e-3


@torch.no_grad()
def with_new_classes(
    network: FeatureNet,
    config: SegmentationConfig,
    n_channels: int,
    copied: Mapping[int, int],
    images: Sequence[Tensor],
    painted: Mapping[int, Sequence[Tensor]],
) -> FeatureNet:
    """The same network with further classes; the response of those that it had is the same.

    A new class has the response of the class that it is copied from, plus the
    log-odds of a logistic regression, on what the classifier sees, of its
    painted pixels against a sample of all others, both with equal weight.

    Parameters
    ----------
    network : FeatureNet
        In eval mode, its BatchNorm statistics those of the images; stays as it is.
    config : SegmentationConfig
        With the new number of classes.
    n_channels : int
        Channels of the images.
    copied : dict of int to int
        The class that each new one is copied from.
    images : sequence of (D, Y, X) or (D, Z, Y, X) float tensors
        What is trained on, on the device of the network.
    painted : dict of int to sequence of bool tensors
        For each new class where it is painted in every image.
    """
    grown = FeatureNet.of_config(config, n_channels).to(next(network.parameters()).device).eval()
    old, new = network.state_dict(), grown.state_dict()
    for name, value in old.items():
        if value.shape == new[name].shape:
            new[name].copy_(value)
        else:
            new[name][: len(value)] = value
    classifier, norm = grown.stages[-1].children()
    assert isinstance(classifier, nn.Conv2d | nn.Conv3d)
    assert isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d)
    assert classifier.bias is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    seen = [_seen_by_classifier(network, image) for image in images]
    for number, base in copied.items():
        gain = norm.weight[base] / (norm.running_var[base] + norm.eps).sqrt()
        weight, offset = _log_odds(seen, painted[number], config.seed)
        classifier.weight[number] = gain * classifier.weight[base]
        classifier.weight[number].flatten().add_(torch.from_numpy(weight).to(gain))
        classifier.bias[number] = gain * (classifier.bias[base] - norm.running_mean[base]) + norm.bias[base] + offset
    recompute_batchnorm(grown, list(images))
    for number in copied:  # so that BatchNorm changes nothing
        norm.weight[number] = (norm.running_var[number] + norm.eps).sqrt()
        norm.bias[number] = norm.running_mean[number]
    return grown


def _seen_by_classifier(network: FeatureNet, image: Tensor) -> Tensor:
    """(F, n): the input of the last stage for every pixel."""
    hidden = seen = image[None]
    for depth, stage in enumerate(network.stages):
        hidden = network.input_of(depth, seen, hidden)
        if depth < len(network.stages) - 1:
            hidden = stage(hidden)
    return hidden[0].flatten(1)


def _log_odds(seen: Sequence[Tensor], painted: Sequence[Tensor], seed: int) -> tuple[npt.NDArray[np.float64], float]:
    """Weight (F,) and offset of a logistic regression: painted pixels against others."""
    inside = torch.cat([values[:, mask.flatten()] for values, mask in zip(seen, painted, strict=True)], 1)
    outside = torch.cat([values[:, ~mask.flatten()] for values, mask in zip(seen, painted, strict=True)], 1)
    random = np.random.default_rng([seed, 5])
    drawn = [_some(values, random) for values in (inside, outside)]
    points = np.concatenate(drawn)
    middle, spread = points.mean(0), points.std(0) + 1e-6
    scaled = (points - middle) / spread
    wanted = np.repeat([1.0, 0.0], [len(part) for part in drawn])
    share = np.repeat([0.5 / max(1, len(part)) for part in drawn], [len(part) for part in drawn])

    def loss(parameters: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        score = scaled @ parameters[:-1] + parameters[-1]
        wrong = share * (expit(score) - wanted)
        value = share @ (np.logaddexp(0, score) - wanted * score) + _RIDGE / 2 * parameters[:-1] @ parameters[:-1]
        return float(value), np.append(wrong @ scaled + _RIDGE * parameters[:-1], wrong.sum())

    found = minimize(loss, np.zeros(scaled.shape[1] + 1), jac=True, method="L-BFGS-B").x
    weight = found[:-1] / spread
    return weight, float(found[-1] - weight @ middle)


def _some(values: Tensor, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """(n, F): at most `_SAMPLED` of the pixels."""
    n = values.shape[1]
    chosen = random.choice(n, min(n, _SAMPLED), replace=False, shuffle=False)
    return values[:, torch.from_numpy(chosen).to(values.device)].T.cpu().double().numpy()
