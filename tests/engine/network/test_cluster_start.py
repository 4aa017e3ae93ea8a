"""The start from clusters against a plain nearest centroid, on planes, volumes, several images and tiles."""

import warnings

import numpy as np
import pytest
import torch

from napari_ufseg.engine.errors import ConfigError
from napari_ufseg.engine.images.source import open_sources
from napari_ufseg.engine.network import cluster_start as start
from napari_ufseg.engine.network.cluster_start import clusters, named, sampled_pixels, start_from_clusters
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.training.estimate import estimate_run
from napari_ufseg.engine.training.session import TrainingSession

CLUSTERS = {"start": "clusters", "skip": True, "n_classes": 6}


def nearest(image, centroids):
    """Class index of every pixel of (C, ...) values: the centroid at the least distance."""
    points = np.asarray(image, np.float64).reshape(len(image), -1).T
    distances = ((points[:, None] - centroids[None]) ** 2).sum(2)
    return distances.argmin(1).reshape(image.shape[1:])


def centroids_of(session):
    trained = [session.trainer.images[i].cpu() for i in session.trainer._trained]
    return clusters(sampled_pixels(trained, session.config.seed), session.config.n_classes, session.config.seed)


def assert_first_labels_are_nearest(session):
    centroids = centroids_of(session)
    session.step()
    for image, labels in zip(session.trainer.images, session.trainer.labels, strict=True):
        assert np.array_equal(labels, nearest(image.numpy(), centroids))
    return centroids


@pytest.mark.parametrize("changes", [{}, {"kernels": "symmetric", "padding": "replicate"}, {"start_contrast": 100.0}])
@pytest.mark.parametrize("name", ["coins", "tissue"])
def test_the_first_labels_are_those_of_the_nearest_centroid(name, changes, quick, request):
    session = TrainingSession(request.getfixturevalue(name), quick(**CLUSTERS, **changes), device="cpu")
    assert len(assert_first_labels_are_nearest(session)) == 6
    assert session.trainer.count_classes() == 6


def test_several_images_of_one_batch_share_the_clusters(coins, others, quick):
    session = TrainingSession([coins, others[0] // 2], quick(**CLUSTERS), device="cpu")
    assert_first_labels_are_nearest(session)


def test_volumes_start_from_clusters_too(coins, quick):
    volume = np.stack([coins // n for n in (1, 2, 3)])
    config = quick(**CLUSTERS, spatial_dims=3, kernels="symmetric", padding="replicate")
    assert_first_labels_are_nearest(TrainingSession(volume, config, axes="ZYX", device="cpu"))


def test_before_any_step_the_model_gives_the_nearest_centroid_on_images_of_different_sizes(coins, others, quick):
    session = TrainingSession([coins, *others], quick(**CLUSTERS), device="cpu")
    centroids = centroids_of(session)
    network = session.trainer.model().network
    for image in session.trainer.images:
        with torch.no_grad():
            assert np.array_equal(network(image[None])[0].argmax(0), nearest(image.numpy(), centroids))
    assert session.run() is not None
    assert len(list(session.run())) > 0


def test_tiles_start_from_clusters(quick, budget_for):
    config = quick(**CLUSTERS, batch_size=4, epochs=1)
    image = np.random.default_rng(0).integers(0, 255, (1100, 1100), np.uint8)
    session = TrainingSession(image, config, device="cpu", memory_budget=budget_for(config, 4 * 64 * 64))
    assert not session.is_whole
    centroids = centroids_of(session)
    session.step()
    seen = [i for i, labels in enumerate(session.trainer.labels) if labels.any()]
    same = [np.mean(session.trainer.labels[i].numpy() == nearest(session.trainer.images[i], centroids)) for i in seen]
    assert len(seen) == 4
    assert min(same) > 0.95  # a step on a part of the tiles normalises with the part's own statistics


def test_the_formula(quick, tissue):
    """r_k = (mu_k z - |mu_k|^2 / 2) / t, centred pixels z, and the mean standard deviation over k is the contrast."""
    config = quick(**CLUSTERS, start_contrast=7.0)
    image = torch.from_numpy(tissue.transpose(2, 0, 1) / np.float32(255))
    network = FeatureNet.of_config(config, 3)
    start_from_clusters(network, [image], config)
    pixels = image.numpy().astype(np.float64).reshape(3, -1).T
    middle = pixels.mean(0)  # the sample is the whole of so small an image
    mu = clusters(sampled_pixels([image], 0), 6, 0) - middle
    products = (pixels - middle) @ mu.T
    expected = (products - (mu**2).sum(1) / 2) / (products.std(0).mean() / 7.0)
    found = network.train()(image[None])[0].detach().flatten(1).T
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert found.std(0, correction=0).mean() == pytest.approx(7.0, rel=1e-4)


def test_fewer_values_than_classes_neither_fail_nor_warn(quick):
    image = np.zeros((20, 20), np.uint8)
    image[5:9, 5:9], image[12:15] = 100, 200
    session = TrainingSession(image, quick(**CLUSTERS, min_classes=1), device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session.step()
    assert np.array_equal(session.trainer.labels[0], image // 100)
    assert len(list(session.run())) > 0


def test_constant_images_are_left_out(coins, quick):
    config = quick(**CLUSTERS)
    with pytest.warns(UserWarning, match="constant"):
        session = TrainingSession([coins, np.full((50, 60), 77, np.uint8)], config, device="cpu")
    alone = TrainingSession(coins, config, device="cpu")
    same = zip(session.network.state_dict().values(), alone.network.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    with pytest.warns(UserWarning, match="constant"):
        nothing = TrainingSession(np.zeros((8, 8)), config, device="cpu")
    nothing.step()


def test_the_start_depends_on_the_seed_alone(quick, tissue):
    def weights():
        session = TrainingSession(tissue, quick(**CLUSTERS, seed=3), device="cpu")
        return session.network.stages[-1][0].weight.detach()

    first, state = weights(), torch.get_rng_state()
    np.random.random(5)
    assert torch.equal(first, weights())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_best_of_the_restarts_is_taken_and_ordered_from_dark_to_bright(monkeypatch):
    random = np.random.default_rng(0)
    true = np.array([[0.1, 0.1], [0.1, 0.9], [0.5, 0.4], [0.9, 0.2], [0.9, 0.9]])
    points = np.concatenate([centre + random.normal(0, 0.01, (200, 2)) for centre in true])
    for seed in range(5):
        found = clusters(points, 5, seed)
        np.testing.assert_allclose(found, true[np.argsort(true.sum(1), kind="stable")], atol=0.01)

    def error(centroids):
        return ((points[:, None] - centroids) ** 2).sum(2).min(1).sum()

    many = error(clusters(points, 9, 1))
    monkeypatch.setattr(start, "RESTARTS", 1)
    assert many <= error(clusters(points, 9, 1))


def test_a_centroid_that_loses_its_points_ends_nothing(monkeypatch, recorded):
    calls, kmeans2 = [], start.kmeans2

    def losing(points, k, *, iter, missing="warn", **settings):
        calls.append(iter)
        if missing == "raise":
            raise start.ClusterError("one is empty")
        return kmeans2(points, k, iter=iter, missing=missing, **settings)

    monkeypatch.setattr(start, "kmeans2", losing)
    found, caught = recorded(clusters, np.random.default_rng(0).random((500, 2)), 6, 0)
    assert found.shape == (6, 2)
    assert len(np.unique(found, axis=0)) == 6
    assert set(calls) == {20, 1}
    assert not caught


def test_the_sample_is_drawn_from_all_images_without_repetition(monkeypatch):
    images = [torch.arange(0.0, 60).view(1, 6, 10), torch.arange(60.0, 100).view(1, 4, 10)]
    assert sorted(sampled_pixels(images, 0)[:, 0]) == list(range(100))
    monkeypatch.setattr(start, "SAMPLED", 30)
    few = sampled_pixels(images, 0)[:, 0]
    assert len(set(few)) == 30
    assert few.min() < 60 <= few.max()


def test_clusters_need_the_skip(coins, quick):
    with pytest.raises(ConfigError, match="start is 'clusters', which needs the skip"):
        TrainingSession(coins, quick(start="clusters", skip=False), device="cpu")
    estimate_run(open_sources([coins]), quick(**CLUSTERS), "cpu")


# -- scribbles ---------------------------------------------------------------------------------------


def test_a_scribbled_class_begins_with_what_was_scribbled_on(coins, quick):
    background, coin = coins < 90, coins > 130
    scribbles = np.zeros(coins.shape, np.uint8)
    scribbles[tuple(np.argwhere(background)[::200].T)] = 5
    scribbles[tuple(np.argwhere(coin)[::200].T)] = 2
    config = quick(**CLUSTERS, scaling="minmax")
    session = TrainingSession(coins, config, scribbles=scribbles, device="cpu")
    session.step()
    image, labels = session.trainer.images[0].numpy()[0], session.trainer.labels[0].numpy()
    found = {k: image[labels == k].mean() for k in range(6)}
    for mark in (5, 2):
        mean = image[scribbles == mark].mean()
        assert min(found, key=lambda k: abs(found[k] - mean)) == mark - 1
    others = [found[k] for k in (0, 2, 3, 5)]
    assert others == sorted(others)


def test_the_named_centroids_are_the_nearest_and_nothing_is_lost():
    centroids = np.array([[0.0], [0.3], [0.5], [1.0]])
    assert np.array_equal(named(centroids, {}, 4), centroids)
    found = named(centroids, {4: np.array([0.05]), 1: np.array([0.45])}, 4)
    assert found.ravel().tolist() == [0.45, 0.3, 1.0, 0.05]
    both = named(centroids, {1: np.array([0.02]), 2: np.array([0.01])}, 4)  # two scribbles on one cluster
    assert both.ravel().tolist() == [0.02, 0.01, 0.5, 1.0]
    few = named(centroids[:2], {3: np.array([0.31])}, 5)
    assert few.ravel().tolist() == [0.0, 0.0, 0.31, 0.0, 0.0]
    more = named(centroids[:1], {1: np.array([0.1]), 2: np.array([0.2])}, 3)
    assert more.ravel().tolist() == [0.1, 0.2, 0.0]
