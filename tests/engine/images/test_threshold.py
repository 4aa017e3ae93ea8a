"""Thresholds between ground and things: half height of all pixels, and the levels that a local one leans on."""

import numpy as np
import pytest
from skimage.filters import threshold_otsu

from napari_ufseg.engine.config import InputOptions
from napari_ufseg.engine.images import intensity
from napari_ufseg.engine.images.source import open_source
from napari_ufseg.engine.images.threshold import half_height, levels_of
from napari_ufseg.engine.prediction.labelling import iter_learn_intensity, learn_intensity


@pytest.mark.parametrize("seed", range(5))
def test_half_height_is_midway_between_the_medians_of_its_sides(seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels, counts = np.sort(rng.random(40)), rng.integers(1, 100, 40)
    threshold = half_height(levels, counts.astype(float))
    pixels = np.repeat(levels, counts)
    # of an even number of pixels the lower of the two in the middle
    sides = np.split(pixels, [int((pixels <= threshold).sum())])
    assert threshold == pytest.approx(np.mean([np.quantile(side, 0.5, method="inverted_cdf") for side in sides]))


@pytest.mark.parametrize("seed", range(3))
def test_a_few_things_that_are_much_brighter_do_not_hide_the_others(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = np.concatenate([rng.normal(0.02, 0.01, 8000), 0.1 + rng.exponential(0.15, 2000)]).clip(0, 1)
    counts, edges = np.histogram(pixels, 256, (0, 1))
    levels = (edges[1:] + edges[:-1])[counts > 0] / 2
    threshold = half_height(levels, counts[counts > 0].astype(float))
    assert threshold < 0.9 * threshold_otsu(pixels)
    assert (pixels[8000:] > threshold).mean() > (pixels[8000:] > threshold_otsu(pixels)).mean() + 0.1


def test_an_uneven_background_is_not_parted() -> None:
    rng = np.random.default_rng(0)
    pixels = np.concatenate([rng.uniform(0.0, 0.3, 9000), rng.normal(0.8, 0.05, 600)]).clip(0, 1)
    counts, edges = np.histogram(pixels, 256, (0, 1))
    levels = (edges[1:] + edges[:-1])[counts > 0] / 2
    assert 0.3 < half_height(levels, counts[counts > 0].astype(float)) < 0.65


def test_two_levels_and_one() -> None:
    assert half_height(np.array([0.2, 0.6]), np.array([1.0, 1000.0])) == pytest.approx(0.4)
    assert half_height(np.array([0.3]), np.array([5.0])) == 0.3


def test_levels_are_a_threshold_and_the_means_of_its_sides() -> None:
    rng = np.random.default_rng(0)
    light = np.concatenate([rng.normal(0.1, 0.02, 5000), rng.normal(0.6, 0.05, 500)]).clip(0, 1)
    levels = levels_of(light)
    assert levels.threshold == pytest.approx(0.35, abs=0.02)
    assert (levels.below, levels.above) == pytest.approx((0.1, 0.6), abs=0.01)
    assert levels == levels_of(rng.permutation(light).reshape(50, 110))


def test_levels_of_pixels_that_are_all_alike() -> None:
    levels = levels_of(np.full((5, 5), 0.25))
    assert levels.below == levels.above == levels.threshold == pytest.approx(0.25, abs=1e-3)


def test_levels_are_those_of_all_pixels_of_a_small_image_and_of_its_lightness(coins, tissue) -> None:
    options = InputOptions(local_threshold=0.3, colour="lab")
    found = learn_intensity(open_source(coins), options)
    assert found.levels == (levels_of(found.scaled(coins).astype(float) ** 0.9),)
    in_colours = learn_intensity(open_source(tissue, channel_axis=2), options)
    assert len(in_colours.levels) == 1
    assert in_colours.levels[0].below < in_colours.levels[0].threshold < in_colours.levels[0].above
    assert len(learn_intensity(open_source(tissue, channel_axis=2), InputOptions(local_threshold=0.3)).levels) == 3
    assert learn_intensity(open_source(coins), InputOptions()).levels == ()


def test_levels_of_a_large_image_are_those_of_a_sample_that_does_not_depend_on_tiles(monkeypatch) -> None:
    monkeypatch.setattr(intensity, "_SAMPLED_PIXELS", 2**14)
    image = np.random.default_rng(1).integers(0, 4000, (2, 700, 600)).astype(np.uint16)
    options = InputOptions(local_threshold=0.3, scaling="percentile")
    source = open_source(image, axes="TYX")
    found = learn_intensity(source, options)
    by_tiles = []

    def keep():
        by_tiles.append((yield from iter_learn_intensity(source, options)))

    list(keep())
    assert by_tiles == [found]
    all_of_it = levels_of(found.scaled(image).astype(float) ** 0.9)
    assert found.levels[0].threshold == pytest.approx(all_of_it.threshold, abs=0.02)
