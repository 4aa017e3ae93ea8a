import numpy as np
import pytest
import textbook
import torch

from napari_ufseg.engine.api import predict, segment
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import ImageError
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.network.model_file import load_model, save_model
from napari_ufseg.engine.training.session import TrainingSession

ALL = {"mu": 1.3, "nu": 0.7, "nu_x": 0.8, "nu_y": 1.1, "nu_z": 1.6, "M": 0.6, "m": 0.4, "scribble_weight": 0.5}


@pytest.fixture
def deep(quick):
    """A function: the quick config in three dimensions, with changes of your own."""
    return lambda **changes: quick(**{"spatial_dims": 3, **changes})


@pytest.fixture(scope="module")
def blobs():
    """(8, 20, 24) uint8: noise that is a little smooth, the same along every axis."""
    noise = np.random.default_rng(0).random((10, 22, 26))
    smooth = sum(noise[a : a + 8, b : b + 20, c : c + 24] for a in range(3) for b in range(3) for c in range(3))
    return (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


@pytest.fixture
def cells(blobs):
    """(6, 12, 14) uint16: a corner of the blobs."""
    return blobs[:6, :12, :14].astype(np.uint16) * 100


# -- the textbook -------------------------------------------------------------------------------


def blocks_of(network):
    modules = [module for module in network.modules() if isinstance(module, torch.nn.Conv3d | torch.nn.BatchNorm3d)]
    return [[c.weight, c.bias, n.weight, n.bias] for c, n in zip(modules[::2], modules[1::2], strict=True)]


def painted(shape):
    scribbles = np.zeros(shape, np.uint8)
    scribbles[1:3, 2:5, 3:6], scribbles[4, 8:10], scribbles[:, 11, 12] = 1, 3, 5
    return scribbles


@pytest.mark.parametrize("anisotropy", [1, 3])
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("one volume", {"scribble_weight": 0.0}),
        ("with scribbles", {}),
        ("a series", {"scribble_weight": 0.0}),
        ("one volume", {"n_convolutions": 3, "momentum": 0.9}),
        ("one volume", {"mu": 0.0, "M": 0.0, "m": 0.0, "nu_z": 3.0, "nu_x": 0.0, "nu_y": 0.1}),
    ],
)
def test_five_steps_agree_with_the_textbook_in_double_precision(cells, deep, anisotropy, kind, changes):
    config = deep(**{**ALL, "learning_rate": 0.02, "momentum": 0.6, "anisotropy": anisotropy, **changes})
    scribbles = painted(cells.shape) if kind == "with scribbles" else None
    image, axes = (np.stack([cells, cells[::-1, ::-1]]), "TZYX") if kind == "a series" else (cells, "ZYX")
    session = TrainingSession(image, config, axes=axes, scribbles=scribbles, device="cpu")
    session.network.double()
    session.trainer.images = [item.double() for item in session.trainer.images]
    names = (*ALL, "learning_rate", "momentum", "anisotropy")
    book = textbook.TextbookOfVolumes(blocks_of(session.network), **{name: getattr(config, name) for name in names})
    x = torch.stack(session.trainer.images)
    marks = None if scribbles is None else torch.stack(session.trainer.scribbles)
    assert x.shape == ((2, 1, 6, 12, 14) if kind == "a series" else (1, 1, 6, 12, 14))
    for _ in range(5):
        ours = session.step()
        theirs, labels = book.step(x, marks)
        for name, value in ours.items():
            assert value == pytest.approx(theirs[name], abs=1e-9, rel=1e-9)
        assert torch.equal(torch.stack(session.trainer.labels).long(), labels)
        for our_block, their_block in zip(blocks_of(session.network), book.blocks, strict=True):
            for our, their in zip(our_block, their_block, strict=True):
                assert float((our.detach() - their.detach()).abs().max()) < 1e-9
    assert len(labels.unique()) > 1


# -- the network --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "anisotropy", "expected"),
    [
        (1, 1, 1),
        (1, 1000, 1),
        (2, 1, 2),
        (2, 2, 1),
        (2, 5, 1),
        (3, 1, 3),
        (3, 1.1, 3),
        (3, 1.6, 2),
        (4, 1.5, 3),
        (4, 2, 2),
        (4, 3, 1),
        (10, 3, 3),
        (10, 100, 1),
        (3, 0.5, 3),
        (2, 0.01, 2),
    ],
)
def test_the_deeper_the_voxels_the_fewer_convolutions_look_along_z(n, anisotropy, expected):
    config = SegmentationConfig(spatial_dims=3, n_convolutions=n, anisotropy=anisotropy)
    assert config.n_convolutions_z == expected
    assert config.halo == (expected, n, n)
    kernels = [m.weight.shape[2:] for m in FeatureNet.of_config(config, 1).modules() if isinstance(m, torch.nn.Conv3d)]
    assert kernels == [(3, 3, 3)] * expected + [(1, 3, 3)] * (n - expected) + [(1, 1, 1)]


def test_planes_have_no_convolutions_along_z_whatever_the_anisotropy():
    config = SegmentationConfig(n_convolutions=3, anisotropy=7)
    assert config.n_convolutions_z == 0
    assert config.halo == (3, 3)


@pytest.mark.parametrize(("n", "anisotropy"), [(1, 1), (2, 1), (3, 2), (3, 1)])
def test_a_voxel_is_seen_as_far_as_the_halo_says(model_of, n, anisotropy):
    model = model_of(spatial_dims=3, n_convolutions=n, anisotropy=anisotropy)
    image = torch.zeros(1, 1, 11, 11, 11)
    touched = image.clone()
    touched[0, 0, 5, 5, 5] = 1
    with torch.no_grad():
        changed = (model.network(touched) != model.network(image)).any(1)[0]
    spans = [int(axis.max() - axis.min()) // 2 for axis in torch.nonzero(changed, as_tuple=True)]
    assert tuple(spans) == model.config.halo


def test_a_volume_of_one_plane_is_a_plane_with_other_weights(coins, deep):
    labels = segment(coins[None], deep(), axes="ZYX", device="cpu").labels
    assert labels.shape == (1, 24, 32)
    assert len(np.unique(labels)) > 1


# -- images -------------------------------------------------------------------------------------


def test_a_volume_needs_an_axis_of_depth(coins, deep):
    with pytest.raises(ImageError, match="has no depth axis Z"):
        segment(coins, deep(), device="cpu")
    with pytest.raises(ImageError, match="has no depth axis Z"):
        segment(np.stack([coins, coins]), deep(), axes="TYX", device="cpu")
    model = segment(np.stack([coins, coins]), deep(epochs=1), axes="ZYX", device="cpu").model
    with pytest.raises(ImageError, match="has no depth axis Z"):
        predict(model, coins, device="cpu")


@pytest.mark.parametrize("axes", ["ZYX", "YXZ", "XZY", "CZYX", "TZYX", "ZCTXY"])
def test_volumes_in_any_order_of_axes_have_the_same_labels(cells, deep, axes):
    plain = segment(cells, deep(), axes="ZYX", device="cpu")
    image = cells.reshape([*(1 for letter in axes if letter in "CT"), *cells.shape])
    order = [letter for letter in axes if letter in "CT"] + list("ZYX")
    turned = image.transpose([order.index(letter) for letter in axes])
    result = segment(turned, deep(), axes=axes, device="cpu")
    without = axes.replace("C", "")
    assert result.labels.shape == tuple(turned.shape[axes.index(letter)] for letter in without)
    back = result.labels.transpose(
        [without.index(letter) for letter in without if letter == "T"] + [without.index(letter) for letter in "ZYX"]
    )
    assert np.array_equal(back.reshape(cells.shape), plain.labels)
    assert np.array_equal(predict(result.model, turned, axes=axes, device="cpu"), result.labels)


def test_a_series_of_volumes_with_channels(cells, deep, drained):
    series = np.stack([np.stack([cells, cells[::-1]], 1), np.stack([cells[:, ::-1], cells], 1)])
    session = TrainingSession(series, deep(batch_size=1), axes="TZCYX", device="cpu")
    assert (session.sources[0].n_items, session.sources[0].n_channels) == (2, 2)
    snapshots, result = drained(session.run(every=0.0))
    assert result.labels.shape == (2, 6, 12, 14)
    assert np.array_equal(predict(result.model, series, axes="TZCYX", device="cpu"), result.labels)
    assert snapshots[0].index == (1, slice(0, 6), slice(0, 12), slice(0, 14))
    assert np.array_equal(result.labels[snapshots[-1].index], snapshots[-1].labels)


def test_scribbles_in_a_volume(cells, deep):
    scribbles = np.where(cells > np.quantile(cells, 0.8), 5, np.where(cells < np.quantile(cells, 0.4), 2, 0))
    config = deep(scribble_weight=20.0, epochs=60, nu=0.2, learning_rate=0.05, momentum=0.9)
    labels = segment(cells, config, axes="ZYX", scribbles=scribbles, device="cpu").labels
    assert np.mean(labels[scribbles == 5] == 5) > 0.9
    assert np.mean(labels[scribbles == 2] == 2) > 0.9


# -- what the options do ------------------------------------------------------------------------


def changes_along(labels):
    """Share of neighbours of different labels along Z, Y and X."""
    return [float(np.mean(np.diff(labels.astype(int), axis=axis) != 0)) for axis in range(3)]


def test_smoothness_along_depth_stretches_regions_through_the_planes(blobs, deep):
    free = segment(blobs, deep(epochs=8, nu_z=0.0), axes="ZYX", device="cpu").labels
    strict = segment(blobs, deep(epochs=8, nu_z=4.0, nu_x=0.0, nu_y=0.0), axes="ZYX", device="cpu").labels
    along_free, along_strict = changes_along(free), changes_along(strict)
    assert along_strict[0] / along_strict[2] < 0.7 * along_free[0] / along_free[2]


def test_anisotropy_weakens_the_smoothness_along_depth(blobs, deep):
    """With one convolution the network is the same, so that only the loss differs."""
    config = deep(n_convolutions=1, epochs=30, nu_z=4.0)
    results = {}
    for anisotropy in (1, 4):
        results[anisotropy] = segment(blobs, config.replace(anisotropy=anisotropy), axes="ZYX", device="cpu")
    quarter = segment(blobs, config.replace(nu_z=1.0), axes="ZYX", device="cpu")
    assert not np.array_equal(results[1].labels, results[4].labels)
    assert np.array_equal(results[4].labels, quarter.labels)
    assert changes_along(results[4].labels)[0] > changes_along(results[1].labels)[0]


def test_in_planes_neither_counts(coins, quick):
    plain = segment(coins, quick(), device="cpu").labels
    assert np.array_equal(segment(coins, quick(nu_z=9.0, anisotropy=5.0), device="cpu").labels, plain)


def test_depth_is_seen(blobs, deep, quick):
    """Planes by themselves do not know of their neighbours; volumes do."""
    changed = blobs.copy()
    changed[3] = changed[3, ::-1]
    model = segment(blobs, deep(epochs=3), axes="ZYX", device="cpu").model
    differs = predict(model, blobs, axes="ZYX", device="cpu") != predict(model, changed, axes="ZYX", device="cpu")
    assert differs[2].any()
    assert differs[4].any()
    assert not differs[[0, 6, 7]].any()
    flat = segment(blobs, quick(epochs=3), axes="ZYX", device="cpu").model
    differs = predict(flat, blobs, axes="ZYX", device="cpu") != predict(flat, changed, axes="ZYX", device="cpu")
    assert differs[3].any()
    assert not differs[[0, 1, 2, 4, 5, 6, 7]].any()


def test_smoothness_along_depth_alone_is_a_loss_to_train_on(cells, deep):
    only = {"mu": 0.0, "M": 0.0, "m": 0.0, "nu_x": 0.0, "nu_y": 0.0}
    result = segment(cells, deep(**only, nu_z=1.0, epochs=2), axes="ZYX", device="cpu")
    assert result.history[0].losses["total"] > 0


# -- tiles, models, memory ----------------------------------------------------------------------


def test_a_volume_that_does_not_fit_is_trained_on_cubes(deep, budget_for, monkeypatch, drained):
    monkeypatch.setattr("napari_ufseg.engine.training.memory_plan.SAMPLED_PIXELS", 2**15)
    image = np.random.default_rng(0).random((40, 80, 90))
    config = deep(batch_size=2, epochs=1)
    budget = budget_for(config, 2 * 24**3)
    session = TrainingSession(image, config, axes="ZYX", device="cpu", memory_budget=budget)
    assert not session.is_whole
    assert {tuple(item.shape) for item in session.trainer.images} == {(1, 24, 24, 24)}
    _, result = drained(session.run(float("inf")))
    assert result.labels.shape == image.shape
    assert result.labels.min() >= 1
    assert np.array_equal(predict(result.model, image, axes="ZYX", device="cpu"), result.labels)


@pytest.mark.parametrize("anisotropy", [1, 3])
def test_a_saved_model_of_volumes_predicts_the_same(cells, deep, tmp_path, anisotropy):
    config = deep(n_convolutions=2, anisotropy=anisotropy)
    result = segment(cells, config, axes="ZYX", device="cpu")
    save_model(result.model, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.config == config
    assert np.array_equal(predict(loaded, cells, axes="ZYX", device="cpu"), result.labels)
    assert np.array_equal(predict(loaded, cells.T, axes="XYZ", device="cpu"), result.labels.T)


def test_the_same_seed_gives_the_same_labels_and_another_one_others(cells, deep):
    runs = [segment(cells, deep(seed=seed), axes="ZYX", device="cpu").labels for seed in (3, 3, 4)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
