"""What the network sees: colours, local contrast, and that no part of an image depends on how it is cut."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2lab

from napari_ufseg import SegmentationConfig, predict, segment
from napari_ufseg.engine.images.intensity import IntensityRange
from napari_ufseg.engine.images.source import open_source
from napari_ufseg.engine.images.threshold import Levels, levels_of
from napari_ufseg.engine.images.tiling import Box
from napari_ufseg.engine.network.input_channels import input_channels, seen_box
from napari_ufseg.engine.prediction.labelling import label_box, learn_intensity
from napari_ufseg.engine.training import memory_plan
from napari_ufseg.engine.training.training_set import build_training_set

UNIT = IntensityRange.shared(0.0, 1.0)
CONTRAST = {"local_contrast": 0.4, "local_contrast_size": 8.0}


def whole_input(image, **changes):
    """The input channels of a (C, Y, X) or (C, Z, Y, X) image in [0, 1]."""
    box = Box.of_shape(image.shape[1:])
    config = SegmentationConfig(spatial_dims=image.ndim - 1, **changes)
    return input_channels(image, box, box, box.shape, UNIT, config).numpy()


def textbook_surroundings(plane, size):
    """Functions for the means around every cell, as a Gaussian over means of cells, and to interpolate between their middles."""
    cell = 1
    while cell < 16 and 8 * cell <= size:
        cell *= 2
    shape = tuple(-(-n // cell) for n in plane.shape)

    def cells(values):
        return np.array(
            [
                [values[i * cell : (i + 1) * cell, j * cell : (j + 1) * cell].mean() for j in range(shape[1])]
                for i in range(shape[0])
            ]
        )

    radius = int(np.ceil(3.5 * size / cell))
    steps = np.arange(-radius, radius + 1)
    gauss = np.exp(-0.5 * (steps * cell / size) ** 2)
    gauss /= gauss.sum()

    def blurred(values):
        out = np.zeros_like(values)
        for i in range(shape[0]):
            for j in range(shape[1]):
                rows, columns = np.clip(i + steps, 0, shape[0] - 1), np.clip(j + steps, 0, shape[1] - 1)
                out[i, j] = gauss @ values[np.ix_(rows, columns)] @ gauss
        return out

    def between(values):
        y, x = ((np.arange(n) + 0.5) / cell - 0.5 for n in plane.shape)
        y, x = np.clip(y, 0, shape[0] - 1), np.clip(x, 0, shape[1] - 1)
        i, j = np.minimum(y.astype(int), shape[0] - 2), np.minimum(x.astype(int), shape[1] - 2)
        a, b = (y - i)[:, None], (x - j)[None]
        down, right = np.ix_(i, j), np.ix_(i, j + 1)
        below, across = np.ix_(i + 1, j), np.ix_(i + 1, j + 1)
        return (1 - a) * ((1 - b) * values[down] + b * values[right]) + a * (
            (1 - b) * values[below] + b * values[across]
        )

    return lambda values: blurred(cells(values)), between


def textbook_contrast(plane, size, weight):
    around, between = textbook_surroundings(plane, size)
    mean, square = around(plane), around(plane**2)
    gain = 1 / np.sqrt(np.maximum(square - mean**2, 0) + 0.1**2)
    return weight * (plane - between(mean)) * between(gain)


def textbook_sides(light, size, weight, levels, noise):
    """Mean of what is above the threshold of the image and of what is below, each with 0.3 % of that of the whole image."""
    around, between = textbook_surroundings(light, size)
    thing = (light > levels.threshold).astype(float)
    above = (around(thing * light) + 0.003 * levels.above) / (around(thing) + 0.003)
    below = (around((1 - thing) * light) + 0.003 * levels.below) / (around(1 - thing) + 0.003)
    sharpness = between(1 / ((above - below) / 8 + 2 * noise + 0.01))
    return weight / 2 * np.tanh((light - between((above + below) / 2)) * sharpness)


def test_by_default_the_network_sees_the_image_as_it_is(tissue):
    image = np.moveaxis(tissue, 2, 0) / np.float32(255)
    assert np.array_equal(whole_input(image.astype(np.float32)), image.astype(np.float32))
    assert SegmentationConfig().n_inputs(3) == 3


@pytest.mark.parametrize("size", [3.0, 8.0, 20.0])
def test_local_contrast_is_that_of_the_formula(size):
    plane = np.random.default_rng(0).random((53, 70))
    plane[:, 30:] *= 0.3
    found = whole_input(plane[None], local_contrast=0.7, local_contrast_size=size)
    assert found.shape == (2, 53, 70)
    np.testing.assert_allclose(found[0], plane, atol=1e-7)
    np.testing.assert_allclose(found[1], textbook_contrast(plane, size, 0.7), atol=2e-5)


def test_local_contrast_sees_through_uneven_light():
    random = np.random.default_rng(1)
    objects = np.repeat(np.repeat(random.random((12, 12)) < 0.3, 10, 0), 10, 1).astype(float)
    light = np.linspace(0.3, 1.0, 120)
    brightness, contrast = whole_input((0.1 + 0.6 * objects * light)[None], **CONTRAST)
    inside = objects.astype(bool)
    assert brightness[inside].min() < 0.35  # a dim object is as dark as
    assert contrast[inside].min() > contrast[~inside].max()


@pytest.mark.parametrize("size", [3.0, 8.0, 20.0])
@pytest.mark.parametrize("contrast", [0.0, 0.3])
def test_the_sides_of_a_local_threshold_are_those_of_the_formula(size, contrast):
    plane = np.random.default_rng(0).random((53, 70)).astype(np.float32)
    plane[:, 30:] *= 0.3
    brightness = IntensityRange.shared(0.0, 1.0, 0.02, (levels_of(plane**0.9),))
    box = Box.of_shape(plane.shape)
    config = SegmentationConfig(local_threshold=0.7, local_contrast=contrast, local_contrast_size=size)
    found = input_channels(plane[None], box, box, box.shape, brightness, config).numpy()
    assert found.shape == (3 if contrast else 2, 53, 70)
    assert len(found) == config.n_inputs(1)
    expected = textbook_sides(plane.astype(float) ** 0.9, size, 0.7, brightness.levels[0], 0.02)
    np.testing.assert_allclose(found[-1], expected, atol=2e-5)


def test_a_dim_thing_and_bright_ones_are_on_the_same_side():
    image = np.full((96, 200), 0.02)
    for y, x in np.ndindex(2, 2):
        image[16 + 48 * y :, 16 + 48 * x :][:16, :16] = 0.9
    image[40:56, 150:166] = 0.45
    image = gaussian_filter(image, 2)
    source = open_source(image)
    options = SegmentationConfig(local_threshold=1.0, local_contrast_size=8.0)
    brightness = learn_intensity(source, options)
    box = Box.of_shape(image.shape)
    side = input_channels(image[None], box, box, box.shape, brightness, options).numpy()[1]
    for columns, height in ((slice(0, 100), 0.9), (slice(100, 200), 0.45)):
        near = image[:, columns]
        thing = near > (height + 0.02) / 2
        assert ((side[:, columns] > 0) != thing).sum() < 0.25 * thing.sum(), height
    dim = image[:, 100:] > 0.235
    assert (
        image[:, 100:][dim] ** 0.9 < brightness.levels[0].threshold
    ).mean() > 0.4  # what one threshold for both leaves out
    assert (side[:, 100:][dim] < 0).mean() < 0.05
    far = np.ones(image.shape, bool)
    far[gaussian_filter((image > 0.1).astype(float), 5) > 0.05] = False
    assert side[far].max() < -0.45  # no halo: ground near things looks as that far from them


def test_what_holds_no_data_is_no_surroundings() -> None:
    """The input beside a gap is that of an image that goes on as it is around."""
    image = np.random.default_rng(6).random((1, 64, 96)).astype(np.float32)
    gap = image.copy()
    gap[..., 40:] = np.nan
    config = SegmentationConfig(**CONTRAST, local_threshold=0.3, scaling="robust")
    box = Box.of_shape(image.shape[1:])
    found, full = (
        input_channels(
            its,
            box,
            box,
            box.shape,
            replace(IntensityRange.shared(0.0, 1.0, 0.0, (Levels(0.5, 0.25, 0.75),)), has_gaps=has_gaps),
            config,
        )
        for its, has_gaps in ((gap, True), (image, False))
    )
    assert torch.isfinite(found).all()
    np.testing.assert_allclose(found[..., :40], full[..., :40], atol=0.12)
    filled = np.nan_to_num(gap)
    as_data = input_channels(
        filled, box, box, box.shape, IntensityRange.shared(0.0, 1.0, 0.0, (Levels(0.5, 0.25, 0.75),)), config
    )
    beside = slice(36, 40)
    assert abs(found - full)[1:, :, beside].mean() < 0.3 * abs(as_data - full)[1:, :, beside].mean()


def test_noise_is_not_sharpened_by_a_local_threshold():
    noise = np.random.default_rng(0).normal(100, 5, (80, 90)).astype(np.float32)
    options = SegmentationConfig(local_threshold=1.0)
    brightness = learn_intensity(open_source(noise), options)
    box = Box.of_shape(noise.shape)
    side = input_channels(noise[None], box, box, box.shape, brightness, options).numpy()[1]
    assert np.abs(side).mean() < 0.25  # sure would be 0.5


def test_planes_of_a_volume_and_channels_are_for_themselves():
    volume = np.random.default_rng(2).random((2, 5, 40, 33)).astype(np.float32)
    found = whole_input(volume, **CONTRAST)
    assert found.shape == (4, 5, 40, 33)
    for z in range(5):
        assert np.array_equal(found[:, z], whole_input(volume[:, z], **CONTRAST))
    for channel in range(2):
        np.testing.assert_array_equal(found[2 + channel], whole_input(volume[channel : channel + 1], **CONTRAST)[1])


@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_noise_is_removed_by_the_filter_of_the_formula(noise):
    random = np.random.default_rng(7)
    plane = np.repeat(np.repeat(random.random((5, 6)), 8, 0), 8, 1)
    noisy = plane + random.normal(0, noise, plane.shape)
    box, config = Box.of_shape(plane.shape), SegmentationConfig(denoise=2.0)
    brightness = IntensityRange.shared(0.0, 2.0, noise)  # so that nothing is clipped: brightness is halved
    noisy = noisy.clip(0, 2)
    found = input_channels(noisy[None], box, box, box.shape, brightness, config).numpy()[0]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(noisy / 2, 2, mode="edge"), (5, 5))
    mean, variance = windows.mean((2, 3)), windows.var((2, 3))
    expected = mean + np.maximum(variance - noise**2, 0) / variance * (noisy / 2 - mean)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    flat = windows.std((2, 3)) < noise
    assert np.abs(found - plane / 2)[flat].mean() < 0.6 * np.abs(noisy / 2 - plane / 2)[flat].mean()


def test_without_noise_nothing_is_removed(coins):
    image = (coins[None] / 255).astype(np.float32)
    assert np.array_equal(whole_input(image, denoise=3.0), image)


def test_lab_is_for_three_channels(tissue):
    image = (np.moveaxis(tissue, 2, 0) / 255).astype(np.float32)
    np.testing.assert_allclose(whole_input(image, colour="lab"), np.moveaxis(rgb2lab(tissue), 2, 0) / 100, atol=1e-5)
    assert SegmentationConfig(colour="lab", local_threshold=1.0).n_inputs(3) == 4  # one of lightness
    both = whole_input(image, colour="lab", **CONTRAST)
    np.testing.assert_allclose(both[3], textbook_contrast(rgb2lab(tissue)[..., 0] / 100, 8.0, 0.4), atol=2e-5)
    for n in (1, 2, 4):
        other = np.resize(image, (n, *image.shape[1:]))
        assert np.array_equal(whole_input(other, colour="lab"), other)


@pytest.mark.parametrize("size", [2.0, 5.0, 16.0, 60.0])
@pytest.mark.parametrize(
    ("colour", "contrast", "threshold"), [("as_is", 0.2, 0.3), ("lab", 0.2, 0.0), ("lab", 0.0, 0.0), ("lab", 0.0, 0.3)]
)
@pytest.mark.parametrize("is_flawed", [False, True])
def test_what_is_read_for_a_box_is_enough(size, colour, contrast, threshold, is_flawed):
    image = np.random.default_rng(3).random((3, 230, 301)).astype(np.float32)
    config = SegmentationConfig(
        local_contrast=contrast,
        local_contrast_size=size,
        local_threshold=threshold,
        colour=colour,
        denoise=2.0,
        scaling="robust",
    )
    noisy = IntensityRange.shared(0.0, 1.0, 0.1, (Levels(0.5, 0.2, 0.8),) * config.n_lights(3))
    if is_flawed:
        image[:, 104:, 230:] = np.nan
        image[1, ::7] = 9
        noisy = replace(noisy, channels=(replace(noisy.channels[0], above=8.0),), has_gaps=True)
    whole = Box.of_shape(image.shape[1:])
    expected = input_channels(image, whole, whole, whole.shape, noisy, config)
    for box in (Box((0, 0), (230, 301)), Box((100, 7), (117, 250)), Box((200, 280), (230, 301)), Box((3, 5), (4, 6))):
        seen = seen_box(box, image.shape[1:], config)
        assert box.overlap(seen) == box
        found = input_channels(image[(slice(None), *seen.slices)], seen, box, whole.shape, noisy, config)
        np.testing.assert_allclose(found, expected[(slice(None), *box.slices)], atol=2e-6)


@pytest.mark.parametrize("is_flawed", [False, True])
@pytest.mark.parametrize(("dims", "shape"), [(2, (601, 530)), (3, (9, 150, 140))])
def test_labels_of_any_part_are_those_of_the_whole(dims, shape, is_flawed, model_of):
    image = np.random.default_rng(4).integers(200, 255, shape).astype(np.uint16)
    scaling = "robust" if is_flawed else "percentile"
    model = model_of(
        spatial_dims=dims,
        skip=True,
        denoise=1.0,
        local_contrast=0.5,
        local_contrast_size=9.0,
        local_threshold=0.5,
        scaling=scaling,
    )
    if is_flawed:
        image[..., 70] = 60000
        image[..., :90, :30] = 0
    source = open_source(image, axes="ZYX"[-dims:], spatial_dims=dims)
    brightness = learn_intensity(source, model.config)
    whole = predict(model, image, axes="ZYX"[-dims:], device="cpu")
    assert len(np.unique(whole)) > 2
    np.testing.assert_array_equal(whole == 0, image == 0)
    assert (brightness.channels[0].above < 60000) == is_flawed
    corners = np.random.default_rng(5)
    for _ in range(4):
        start = tuple(int(corners.integers(n)) for n in shape)
        stop = tuple(int(corners.integers(a, n)) + 1 for a, n in zip(start, shape, strict=True))
        labels = label_box(model.network, model.config, model.class_labels, source, brightness, 0, Box(start, stop))
        assert np.array_equal(labels, whole[Box(start, stop).slices])


def test_tiles_that_are_trained_on_have_the_input_of_the_whole(quick, budget_for, monkeypatch):
    monkeypatch.setattr(memory_plan, "SAMPLED_PIXELS", 2**15)
    image = np.random.default_rng(6).integers(0, 60000, (3, 400, 380)).astype(np.uint16)
    config = quick(batch_size=4, scaling="percentile", denoise=0.5, **CONTRAST)
    sources = [open_source(image, axes="TYX")]
    whole = build_training_set(sources, config, None, 10**10)
    cut = build_training_set(sources, config, None, budget_for(config, 4 * 64**2, 2))
    assert (whole.is_whole, cut.is_whole) == (True, False)
    for place, found in zip(cut.places, cut.images, strict=True):
        expected = whole.images[place.item][(slice(None), *place.box.slices)]
        torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)


def test_a_run_with_local_contrast_predicts_what_it_showed(coins, tissue, quick):
    for image, n_inputs in ((coins, 2), (tissue, 6)):
        config = quick(skip=True, padding="replicate", local_contrast=0.2, colour="lab")
        result = segment(image, config, device="cpu")
        assert result.model.network.stages[0][0].weight.shape[1] == n_inputs
        assert np.array_equal(predict(result.model, image, device="cpu"), result.labels)
