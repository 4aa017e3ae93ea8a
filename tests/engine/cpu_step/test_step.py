"""Steps by strips against torch's own layers, and their gradients against finite differences."""

import copy

import numpy as np
import pytest
import torch

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.cpu_step import layers as fast_layers
from napari_ufseg.engine.cpu_step.step import FastStep
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.network.losses import ClassTargets, total_loss

OFF = {"mu": 0.0, "nu": 0.0, "M": 0.0, "m": 0.0, "scribble_weight": 0.0}
CASES = {
    "all terms": {"mu": 1.3, "nu": 0.7, "nu_x": 0.6, "nu_y": 1.7, "M": 0.6, "m": 0.4, "scribble_weight": 0.9},
    "similarity": {**OFF, "mu": 1.0},
    "continuity down": {**OFF, "nu": 2.0, "nu_x": 0.0},
    "continuity right": {**OFF, "nu": 2.0, "nu_y": 0.0},
    "areas": {**OFF, "M": 3.0, "m": 2.0},
    "scribbles": {**OFF, "scribble_weight": 1.0},
    "one convolution": {"n_convolutions": 1},
    "three convolutions": {"n_convolutions": 3},
    "one feature": {"n_features": 1},
    "symmetric kernels": {"kernels": "symmetric", "n_convolutions": 3},
    "borders that repeat": {"padding": "replicate", "n_convolutions": 3},
    "a skip": {"skip": True},
    "all of these, all terms": {"kernels": "symmetric", "padding": "replicate", "skip": True, "M": 0.6, "m": 0.4},
}
SHAPES = [(1, 1, 24, 31), (3, 3, 20, 17), (2, 9, 13, 40), (1, 2, 1, 50), (1, 2, 50, 1), (2, 1, 3, 2)]


@pytest.fixture(autouse=True)
def small_strips(monkeypatch):
    """Several strips in a lane, even of a small image."""
    for room in ("cpu_step.passes",):
        for name in ("CACHED", "LARGE"):
            monkeypatch.setattr(f"napari_ufseg.engine.{room}.{name}", 150)
    monkeypatch.setattr("napari_ufseg.engine.cpu_step.loss.CACHED", 150)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def network_of(config, n_channels, dtype=torch.float64):
    network = FeatureNet.of_config(config, n_channels).to(dtype)
    random = torch.Generator().manual_seed(5)
    for norm in network.norms:  # not the ones and zeros of the start
        norm.weight.data.normal_(generator=random)
        norm.bias.data.normal_(generator=random)
    return network.train()


def problem(shape, changes, dtype=torch.float64):
    config = SegmentationConfig(**{"n_features": 5, "n_classes": 7, **changes})
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.random(shape)).to(dtype)
    scribbles = torch.from_numpy(
        random.integers(0, 8, (shape[0], *shape[2:])) * (random.random((shape[0], *shape[2:])) < 0.3)
    )
    return config, network_of(config, shape[1], dtype), images, scribbles


def both(config, network, images, scribbles, class_targets=None):
    """Loss, gradients and running statistics by torch's layers, and by strips."""
    found = []
    for fast in (False, True):
        own = copy.deepcopy(network)
        marks = (scribbles, class_targets)
        loss = FastStep(own, config).loss(images, *marks) if fast else total_loss(own(images), config, *marks)
        loss.total.backward()
        numbers = {"total": loss.total.detach(), **loss.terms}
        gradients = {name: parameter.grad for name, parameter in own.named_parameters()}
        found.append((numbers, loss.labels, gradients, dict(own.named_buffers())))
    return found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_loss_labels_gradients_and_statistics_are_those_of_torch(case, shape):
    config, network, images, scribbles = problem(shape, CASES[case])
    marked = scribbles if "scribble" in case or case == "all terms" else None
    (numbers, labels, gradients, buffers), fast = both(config, network, images, marked)
    assert fast[0].keys() == numbers.keys()
    assert torch.equal(fast[1], labels)
    for name, value in numbers.items():
        assert float(fast[0][name]) == pytest.approx(float(value), rel=1e-12)
    for name, value in gradients.items():
        torch.testing.assert_close(fast[2][name], value, rtol=1e-9, atol=1e-11)
    for name, value in buffers.items():
        torch.testing.assert_close(fast[3][name], value, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", ["all terms", "similarity", "areas", "scribbles", "a skip"])
@pytest.mark.parametrize("has_targets", [False, True])
def test_merged_classes_and_meant_labels_are_those_of_torch_too(case, has_targets):
    config, network, images, scribbles = problem((2, 3, 20, 17), CASES[case])
    groups = torch.tensor([0, 1, 1, 2, 0, 3, 1])
    marks = scribbles.clamp_max(4) if "scribble" in case or case == "all terms" else None
    random = np.random.default_rng(1)
    targets = torch.from_numpy(random.integers(0, 4, (2, 20, 17))) if has_targets else None
    (numbers, labels, gradients, _), fast = both(config, network, images, marks, ClassTargets(groups, targets))
    assert torch.equal(fast[1], labels)
    for name, value in numbers.items():
        assert float(fast[0][name]) == pytest.approx(float(value), rel=1e-12)
    for name, value in gradients.items():
        torch.testing.assert_close(fast[2][name], value, rtol=1e-9, atol=1e-11)


def test_single_precision_stays_near_double_precision():
    config, network, images, scribbles = problem((2, 3, 40, 50), {**CASES["all terms"], "n_features": 20})
    exact = both(config, network, images, scribbles)[0]
    fast = both(config, network.float(), images.float(), scribbles)[1]
    assert float(fast[0]["total"]) == pytest.approx(float(exact[0]["total"]), rel=1e-5)
    for name, value in exact[2].items():
        torch.testing.assert_close(fast[2][name].double(), value, rtol=1e-3, atol=1e-5)


def test_the_gradient_is_that_of_finite_differences():
    config, network, images, scribbles = problem(
        (1, 2, 6, 5), {**CASES["all terms"], "M": 0.0, "m": 0.0, "n_features": 3}
    )
    for norm in network.norms:
        norm.momentum = 0.0  # statistics of a call must not change the next
    step = FastStep(network, config)

    def loss(*parameters):
        with torch.no_grad():
            for own, given in zip(network.parameters(), parameters, strict=True):
                own.copy_(given)
        total, _, _, gradients = step.computed(images, scribbles, None)
        return _Known.apply(total, gradients, *parameters)

    start = [parameter.detach().clone().requires_grad_() for parameter in network.parameters()]
    assert torch.autograd.gradcheck(loss, start, eps=1e-7, atol=1e-6, rtol=1e-5)


class _Known(torch.autograd.Function):
    @staticmethod
    def forward(ctx, total, gradients, *parameters):
        ctx.gradients = gradients
        return total.clone()

    @staticmethod
    def backward(ctx, outer):
        return None, None, *(outer * gradient for gradient in ctx.gradients)


def test_any_number_of_threads_gives_the_same_bits(threads):
    config, network, images, scribbles = problem((2, 3, 40, 37), CASES["all terms"], torch.float32)
    found = []
    for n in (1, 2, 3):
        threads(n)
        found.append(both(config, network, images, scribbles)[1])
    for _, _, gradients, buffers in found[1:]:
        assert all(torch.equal(gradients[name], found[0][2][name]) for name in gradients)
        assert all(torch.equal(buffers[name], found[0][3][name]) for name in buffers)


def test_threads_that_come_later_still_get_the_number_that_was_set(threads):
    import threading

    threads(3)
    config, network, images, _ = problem((1, 1, 40, 37), {}, torch.float32)
    FastStep(network, config).loss(images)
    seen = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [3]
    assert torch.get_num_threads() == 3


def test_buffers_are_used_again_for_images_of_other_sizes():
    config, network, *_ = problem((1, 1, 8, 8), {})
    step = FastStep(network, config)
    for size in (12, 30, 9):
        images = torch.from_numpy(np.random.default_rng(size).random((1, 1, size, size + 3)))
        own = copy.deepcopy(network)
        want = total_loss(own(images), config)
        want.total.backward()
        network.zero_grad()
        step.loss(images).total.backward()
        for mine, theirs in zip(network.parameters(), own.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-9, atol=1e-11)


def test_volumes_and_other_devices_are_left_to_torch():
    assert FastStep.is_for(FeatureNet(1, 2, 2, 1))
    assert not FastStep.is_for(FeatureNet(1, 2, 2, 1, spatial_dims=3, n_convolutions_z=1))
    assert not FastStep.is_for(FeatureNet(1, 2, 2, 1).to("meta"))
    assert fast_layers.CACHED < fast_layers.LARGE
