"""Quick runs at low resolution to choose from."""

import numpy as np
import pytest

from napari_ufseg import SegmentationConfig
from napari_ufseg.engine.errors import StoppedError
from napari_ufseg.engine.images.source import open_source
from napari_ufseg.engine.training.variations import iter_variations, small_copy, varied
from napari_ufseg.samples import nuclei

QUICK = SegmentationConfig.preset("fast", n_features=4, n_convolutions=1, epochs=4)


def test_two_seeds_and_three_kinds_of_smoothness():
    configs = varied(QUICK.replace(seed=7, nu=2.0))
    assert [(config.seed, config.nu) for config in configs] == [(s, nu) for s in (7, 8) for nu in (0.5, 2.0, 8.0)]
    assert len({config.nu for config in varied(QUICK.replace(nu=0.0))}) == 3
    assert all(config.replace(seed=7, nu=2.0) == QUICK.replace(seed=7, nu=2.0) for config in configs)


def test_each_is_small_and_knows_what_is_shown_of_it():
    source = open_source(np.stack([nuclei()[:330, :400]] * 2), axes="ZYX")
    found = list(iter_variations(source, 1, QUICK))
    assert len(found) == 6
    things = []
    for variation in found:
        assert variation.image.shape == (1, 110, 134)
        tree = variation.model.hierarchy
        assert set(tree.areas) == set(np.unique(variation.labels))
        sides = tree.labels_at(2, variation.labels)
        things.append(sides != tree.background_at(2))
    assert all((thing == things[0]).mean() > 0.95 for thing in things)


def test_a_volume_shows_its_middle_plane():
    source = open_source(np.stack([nuclei()[:60, :80]] * 12), axes="ZYX", spatial_dims=3)
    variation = next(iter_variations(source, 0, QUICK.replace(spatial_dims=3)))
    assert variation.labels.shape == variation.image.shape[1:] == (30, 40)
    assert variation.config.spatial_dims == 3


@pytest.mark.parametrize("shape", [(50, 70), (161, 100), (700, 400)])
def test_the_small_copy_holds_means_of_blocks(shape):
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    small, _ = small_copy(open_source(image), 0)
    fy, fx = (-(-n // 160) for n in shape)
    assert small.shape == (1, -(-shape[0] // fy), -(-shape[1] // fx))
    np.testing.assert_allclose(small[0, 3, 5], image[3 * fy : 4 * fy, 5 * fx : 6 * fx].mean(), rtol=1e-5)


@pytest.mark.parametrize(("shape", "axes"), [((3000, 4100), "YX"), ((2, 2500, 3000), "CYX"), ((200, 300, 310), "ZYX")])
def test_of_a_large_item_no_more_is_read_than_the_small_copy_needs(counted, shape, axes):
    ramp = np.add.outer(np.arange(shape[-2], dtype=np.uint16), np.arange(shape[-1], dtype=np.uint16))
    image = counted(np.broadcast_to(ramp, shape))
    small, _ = small_copy(open_source(image, axes=axes, spatial_dims=3 if "Z" in axes else 2), 0)
    assert image.reads.max() == 1
    assert image.reads.sum() <= 6 * 10**6 < image.reads.size
    most = 40 if "Z" in axes else 160
    assert most / 2 < max(small.shape[1:]) <= most
    edges = [n / cells for n, cells in zip(shape[-2:], small.shape[-2:], strict=True)]
    rows, columns = (edge * (np.arange(n - 1) + 0.5) for edge, n in zip(edges, small.shape[-2:], strict=True))
    whole = (slice(-1),) * (small.ndim - 1)  # the last blocks lie half beyond the image
    off = small[0][whole] - np.add.outer(rows, columns)
    assert np.abs(off).max() < 2 * sum(edges)


def test_reading_and_training_end_soon_after_a_stop(counted):
    image = counted(np.zeros((3000, 4100), np.uint8))
    with pytest.raises(StoppedError):
        next(iter_variations(open_source(image), 0, QUICK, stopped=lambda: image.reads.any()))
    assert 0 < image.reads.sum() < image.reads.size / 8
    source, made = open_source(nuclei()[:100, :100]), []
    with pytest.raises(StoppedError):
        made.extend(iter_variations(source, 0, QUICK.replace(epochs=100_000, min_classes=1), stopped=Countdown(12)))
    assert made == []


class Countdown:
    """False so many times that it is asked, then true."""

    def __init__(self, n):
        self._left = n

    def __call__(self):
        self._left -= 1
        return self._left < 0
