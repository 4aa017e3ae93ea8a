import math
from itertools import pairwise

import pytest
import torch

from napari_ufseg.engine.network.feature_net import FeatureNet, recompute_batchnorm


@pytest.mark.parametrize(("channels", "features", "classes", "depth"), [(1, 4, 3, 1), (3, 5, 7, 2), (2, 1, 2, 4)])
def test_the_layers_are_those_of_the_paper(channels, features, classes, depth):
    network = FeatureNet(channels, features, classes, depth)
    names = [type(m).__name__ for m in network.modules() if not list(m.children())]
    assert names == ["Conv2d", "ReLU", "BatchNorm2d"] * depth + ["Conv2d", "BatchNorm2d"]
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    widths = [channels, *[features] * depth, classes]
    assert [(c.in_channels, c.out_channels) for c in convolutions] == list(pairwise(widths))
    assert [c.kernel_size for c in convolutions] == [(3, 3)] * depth + [(1, 1)]
    assert [c.padding for c in convolutions] == [(1, 1)] * depth + [(0, 0)]
    assert network(torch.rand(2, channels, 9, 11)).shape == (2, classes, 9, 11)


def test_the_start_depends_on_the_seed_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = FeatureNet(1, 4, 3, 2, seed=5).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    again, other = FeatureNet(1, 4, 3, 2, seed=5).state_dict(), FeatureNet(1, 4, 3, 2, seed=6).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_the_start_has_torchs_usual_spread():
    network = FeatureNet(4, 64, 32, 2, seed=0)
    for conv in (m for m in network.modules() if isinstance(m, torch.nn.Conv2d)):
        bound = 1 / math.sqrt(conv.in_channels * conv.kernel_size[0] ** 2)
        for values in (conv.weight.detach(), conv.bias.detach()):
            assert 0.85 * bound < values.abs().max() <= bound
            assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.25)
            assert abs(values.mean()) < bound / 2


def test_recomputed_statistics_are_exactly_those_of_all_pixels():
    torch.manual_seed(0)
    network = FeatureNet(2, 5, 4, 2, seed=1).double().train()
    images = [torch.rand(2, 9, 7).double(), 3 * torch.rand(2, 4, 12).double(), torch.rand(2, 1, 6).double() - 1]
    for _ in range(3):
        network(torch.rand(1, 2, 5, 5).double())  # leaves running averages of something else
    recompute_batchnorm(network, images)
    assert not network.training
    hidden = [image[None] for image in images]
    with torch.no_grad():
        for stage in network.stages:
            conv, norm = stage[0], stage[-1]
            values = [conv(item) if len(stage) == 2 else torch.relu(conv(item)) for item in hidden]
            pooled = torch.cat([item[0].flatten(1) for item in values], dim=1)
            torch.testing.assert_close(norm.running_mean, pooled.mean(1), rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(norm.running_var, pooled.var(1, correction=0), rtol=1e-9, atol=1e-12)
            hidden = [norm(item) for item in values]


def test_after_recomputing_eval_mode_repeats_training_mode():
    network = FeatureNet(1, 6, 5, 2, seed=2)
    images = [torch.rand(1, 12, 10) for _ in range(3)]
    network.train()
    in_training = network(torch.stack(images))
    recompute_batchnorm(network, images)
    torch.testing.assert_close(network(torch.stack(images)), in_training, rtol=1e-4, atol=1e-5)
