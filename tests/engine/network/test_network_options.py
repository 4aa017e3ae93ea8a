"""Symmetric kernels, replicate padding and the skip, on planes and volumes, alone and with all that runs a network."""

from itertools import product

import numpy as np
import pytest
import torch

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.cpu_step.step import FastStep
from napari_ufseg.engine.network.feature_net import FeatureNet, recompute_batchnorm, symmetrised
from napari_ufseg.engine.network.model_file import load_model, save_model
from napari_ufseg.engine.training.memory_plan import step_bytes
from napari_ufseg.engine.training.session import TrainingSession

SYMMETRIC, REPLICATE, SKIP = {"kernels": "symmetric"}, {"padding": "replicate"}, {"skip": True}
ALL = SYMMETRIC | REPLICATE | SKIP
EACH = pytest.mark.parametrize(
    "changes", [SYMMETRIC, REPLICATE, SKIP, ALL], ids=["symmetric", "replicate", "skip", "all"]
)


def config_of(changes, **more):
    return SegmentationConfig(**{"n_features": 5, "n_classes": 4, **changes, **more})


def stirred(network):
    """In eval mode, with norms that are not those of the start."""
    random = torch.Generator().manual_seed(5)
    for norm in network.norms:
        for values in (norm.weight.data, norm.bias.data, norm.running_mean):
            values.normal_(generator=random)
    return network.double().eval()


@pytest.mark.parametrize("shape", [(2, 3, 3, 3), (2, 1, 1, 3, 3), (2, 3, 3, 3, 3)])
def test_a_symmetric_kernel_is_the_mean_over_flips_and_the_exchange_of_y_and_x(shape):
    kernel = torch.randn(shape, generator=torch.Generator().manual_seed(0)).double()
    total, n = np.zeros(shape), 0
    for flips in product((False, True), repeat=len(shape) - 2):
        for exchange in (False, True):
            one = np.flip(kernel.numpy(), [axis for axis, flip in enumerate(flips, start=2) if flip])
            total, n = total + (np.swapaxes(one, -1, -2) if exchange else one), n + 1
    np.testing.assert_allclose(symmetrised(kernel), total / n, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(symmetrised(symmetrised(kernel)), symmetrised(kernel))


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
def test_a_symmetric_network_labels_a_turned_image_as_the_image_turned(padding):
    config = config_of(SYMMETRIC, padding=padding)
    image = torch.rand(1, 2, 9, 12).double()
    network = stirred(FeatureNet.of_config(config, 2))
    for change in (lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.transpose(-1, -2)):
        torch.testing.assert_close(network(change(image)), change(network(image)))
    free = stirred(FeatureNet.of_config(config.replace(kernels="free"), 2))
    assert not torch.allclose(free(image.flip(-1)), free(image).flip(-1))


@pytest.mark.parametrize("dims", [2, 3])
def test_replicate_padding_goes_on_with_the_border(dims):
    config = config_of(REPLICATE, spatial_dims=dims, n_convolutions=1)
    network, zeros = (stirred(FeatureNet.of_config(c, 2)) for c in (config, config.replace(padding="zeros")))
    image = torch.rand(2, *(7, 6, 5)[:dims]).double()
    padded = np.pad(image.numpy(), [(0, 0)] + [(1, 1)] * dims, mode="edge")
    inner = (0, slice(None)) + (slice(1, -1),) * dims
    torch.testing.assert_close(network(image[None])[0], zeros(torch.from_numpy(padded)[None])[inner])
    assert not torch.allclose(network(image[None]), zeros(image[None]))


@pytest.mark.parametrize("dims", [2, 3])
def test_with_the_skip_the_classifier_sees_the_image_first(dims):
    network = stirred(FeatureNet.of_config(config_of(SKIP, spatial_dims=dims), 3))
    classifier = network.stages[-1][0]
    assert classifier.in_channels == 3 + 5
    image = torch.rand(1, 3, *(7, 6, 5)[:dims]).double()
    classifier.weight.data[:, 3:] = 0
    weight = classifier.weight[:, :3].flatten(1)
    seen = torch.einsum("kc,bc...->bk...", weight, image)
    norm = network.stages[-1][1]
    per_class = (1, -1) + (1,) * dims
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).view(per_class)
    expected = (seen + (classifier.bias - norm.running_mean).view(per_class)) * scale + norm.bias.view(per_class)
    torch.testing.assert_close(network(image), expected)


@EACH
@pytest.mark.parametrize("dims", [2, 3])
def test_after_recomputing_eval_mode_repeats_training_mode(changes, dims):
    network = FeatureNet.of_config(config_of(changes, spatial_dims=dims, n_convolutions=3), 2).double()
    shape = (300, 270) if dims == 2 else (9, 70, 66)  # several blocks
    image = torch.rand(2, *shape, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        in_training = network.train()(image[None])
        recompute_batchnorm(network, [image])
        torch.testing.assert_close(network(image[None]), in_training, rtol=1e-9, atol=1e-9)


@EACH
@pytest.mark.parametrize("dims", [2, 3])
def test_labels_by_blocks_are_those_of_the_whole_image_at_once(changes, dims, agreement):
    shape = (300, 270) if dims == 2 else (9, 70, 66)
    image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    config = config_of(changes, spatial_dims=dims, epochs=2, min_classes=1)
    session = TrainingSession(image, config, axes="YX" if dims == 2 else "ZYX", device="cpu")
    *_, last = session.run(every=0)
    assert agreement(session.result().labels, last.labels) == 1
    with torch.no_grad():
        whole = session.result().model.network(session.trainer.images[0][None])[0].argmax(0) + 1
    assert agreement(whole, last.labels) > 0.9999  # float32: the order of the sums depends on the size


@EACH
def test_a_model_file_holds_the_network(changes, tmp_path, coins, quick):
    session = TrainingSession(coins, quick(**changes), device="cpu")
    session.step()
    session.step()
    segmentation = session.result()
    save_model(segmentation.model, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert again.config == segmentation.config
    image = session.trainer.images[0][None]
    with torch.no_grad():
        assert torch.equal(again.network(image), segmentation.model.network(image))


def test_a_file_without_the_new_options_is_the_published_network(model_of, tmp_path, monkeypatch):
    model = model_of()
    new = ("kernels", "padding", "skip", "start", "start_contrast", "learning_rate_decay", "guard")
    whole = SegmentationConfig.to_dict
    with monkeypatch.context() as patch:
        patch.setattr(SegmentationConfig, "to_dict", lambda c: {k: v for k, v in whole(c).items() if k not in new})
        save_model(model, tmp_path / "old.safetensors")
    again = load_model(tmp_path / "old.safetensors")
    assert again.config == model.config
    assert again.config.is_plain_network
    image = torch.rand(1, 1, 8, 8)
    assert torch.equal(again.network(image), model.network(image))


@EACH
def test_steps_of_planes_are_made_by_strips_whatever_the_network(changes, quick):
    plain, other = quick(), quick(**changes)
    assert plain.is_plain_network
    assert not other.is_plain_network
    assert FastStep.is_for(FeatureNet.of_config(other, 1))
    assert step_bytes(other, 1, 2**20) == step_bytes(plain, 1, 2**20)
