import numpy as np
import pytest

from napari_ufseg.engine.config import InputOptions
from napari_ufseg.engine.errors import ImageError
from napari_ufseg.engine.images import intensity as scaling
from napari_ufseg.engine.images.intensity import learn_range
from napari_ufseg.engine.images.source import open_source
from napari_ufseg.engine.images.tiling import iter_tiles
from napari_ufseg.engine.prediction.labelling import iter_learn_intensity, learn_intensity

WHOLE_NUMBERS = ["u1", "i1", "u2", "i2", ">u2", ">i2"]
OTHERS = ["u4", "i4", "i8", "f2", "f4", "f8", ">f4"]
SHAPE = (3, 2, 37, 41)


def stack(dtype, seed=0):
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return (random.normal(size=SHAPE) * 50).astype(dtype)
    info = np.iinfo(dtype)
    wide = random.normal((info.max + info.min) / 2, (info.max - info.min) / 9, SHAPE)
    return np.clip(wide, info.min, info.max).astype(dtype)


def pieces_of(source, edges):
    return [(item, box) for item in range(source.n_items) for box in iter_tiles(source.whole, edges)]


@pytest.mark.parametrize("edges", [(37, 41), (1, 41), (10, 7), (36, 40)])
@pytest.mark.parametrize("dtype", WHOLE_NUMBERS + OTHERS)
def test_the_two_values_are_those_of_the_whole_array_whatever_the_pieces(dtype, edges):
    image = stack(dtype)
    source = open_source(image, axes="TCYX")
    extremes = learn_range(source, InputOptions(scaling="minmax"), pieces_of(source, edges))
    assert (extremes.channels[0].low, extremes.channels[0].high) == (float(image.min()), float(image.max()))
    inner = learn_range(source, InputOptions(scaling="percentile"), pieces_of(source, edges))
    low, high = np.percentile(image.astype(np.float64), (0.1, 99.9))
    assert (inner.channels[0].low, inner.channels[0].high) == pytest.approx((low, high), rel=1e-14, abs=1e-12)
    assert image.min() < inner.channels[0].low < inner.channels[0].high < image.max()


@pytest.mark.parametrize("dtype", WHOLE_NUMBERS)
def test_percentiles_of_whole_numbers_are_exact_for_any_number_of_pixels(dtype):
    random = np.random.default_rng(1)
    info = np.iinfo(dtype)
    for size in (2, 3, 5, 11, 500, 999, 1000, 1001, 1002, 2003):
        image = random.integers(info.min, info.max, (1, size), endpoint=True, dtype=np.dtype(dtype).newbyteorder("="))
        image = image.astype(dtype)
        found = learn_range(source := open_source(image), InputOptions(scaling="percentile"), [(0, source.whole)])
        expected = np.percentile(image.astype(np.float64), (0.1, 99.9))
        assert (found.channels[0].low, found.channels[0].high) == pytest.approx(tuple(expected), rel=1e-14, abs=1e-11)


@pytest.mark.parametrize("values", [(-128, 127), (-128, -128, 127, 127, 0)])
def test_the_span_of_a_narrow_type_does_not_wrap_around(values):
    source = open_source(np.array([values], np.int8))
    found = learn_range(source, InputOptions(scaling="percentile"), [(0, source.whole)])
    assert (found.channels[0].low, found.channels[0].high) == pytest.approx(
        tuple(np.percentile(np.array(values, float), (0.1, 99.9)))
    )


def test_bool_images_span_false_to_true():
    source = open_source(np.array([[False, True, False]]))
    for name in ("minmax", "percentile"):
        found = learn_range(source, InputOptions(scaling=name), [(0, source.whole)])
        assert (found.channels[0].low, found.channels[0].high) == (0.0, 1.0)


@pytest.mark.parametrize("edges", [(37, 41), (1, 41), (10, 7)])
@pytest.mark.parametrize("dtype", ["f4", "i4"])
def test_a_sample_does_not_depend_on_the_pieces_either(dtype, edges, monkeypatch):
    monkeypatch.setattr(scaling, "_SAMPLED_VALUES", 1000)
    image = stack(dtype)
    source = open_source(image, axes="TCYX")
    whole = learn_range(source, InputOptions(scaling="percentile"), pieces_of(source, source.item_shape))
    cut = learn_range(source, InputOptions(scaling="percentile"), pieces_of(source, edges))
    assert (cut.channels[0].low, cut.channels[0].high) == (whole.channels[0].low, whole.channels[0].high)
    low, high = np.percentile(image.astype(float), (0.1, 99.9))
    assert whole.channels[0].low == pytest.approx(low, rel=0.5)
    assert whole.channels[0].high == pytest.approx(high, rel=0.5)


def test_mostly_equal_values_are_spanned_by_their_extremes():
    image = np.full((50, 50), 7, np.uint8)
    image[0, 0], image[3, 3] = 5, 200
    found = learn_intensity(open_source(image), InputOptions(scaling="percentile"))
    assert (found.channels[0].low, found.channels[0].high) == (5.0, 200.0)


@pytest.mark.parametrize("scaling_rule", ["minmax", "percentile"])
def test_values_that_are_no_numbers_are_counted_over_all_pieces(scaling_rule):
    image = stack("f4")
    image[0, 0, 0, :3] = np.nan
    image[1, 1, 36, 40] = np.inf
    image[2, 0, 20, 5:7] = -np.inf
    source = open_source(image, axes="TCYX", name="Image 4")
    for edges in [(37, 41), (10, 7), (1, 1)]:
        with pytest.raises(ImageError, match=r"^Image 4 has 6 values that are NaN or infinite: replace them"):
            learn_range(source, InputOptions(scaling=scaling_rule), pieces_of(source, edges))


@pytest.mark.parametrize("scaling_rule", ["minmax", "percentile"])
@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "i4", "f8"])
def test_a_constant_image_is_known_as_such_and_scaled_to_zero(dtype, scaling_rule):
    image = np.ones((3, 8, 9), dtype)
    source = open_source(image, axes="TYX")
    found = learn_range(source, InputOptions(scaling=scaling_rule), pieces_of(source, (3, 4)))
    assert found.is_constant
    scaled = found.scaled(image)
    assert scaled.dtype == np.float32
    assert not scaled.any()


def test_planes_that_are_constant_each_are_not_so_together():
    image = np.stack([np.zeros((8, 9)), np.ones((8, 9))])
    found = learn_intensity(open_source(image, axes="TYX"), InputOptions(scaling="minmax"))
    assert not found.is_constant
    assert np.array_equal(found.scaled(image), image)


@pytest.mark.parametrize("how", ["minmax", "percentile"])
@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_side_by_side_it_is_the_same_and_tells_how_far_it_is(how, dtype):
    source, found, seen = open_source(stack(dtype), axes="TCYX"), [], []

    def learning():
        found.append((yield from iter_learn_intensity(source, InputOptions(scaling=how))))

    for progress in learning():
        seen.append((progress.pixels, progress.total))
    assert found == [learn_intensity(source, InputOptions(scaling=how))]
    assert seen == [(n * 37 * 41, 3 * 37 * 41) for n in (1, 2, 3)]


def test_a_piece_is_scaled_as_in_the_whole():
    image = stack("u2")
    found = learn_intensity(open_source(image, axes="TCYX"), InputOptions(scaling="percentile"))
    whole = found.scaled(image)
    assert (whole.min(), whole.max()) == (0.0, 1.0)
    assert np.array_equal(found.scaled(image[1, :, 3:17, 5:6]), whole[1, :, 3:17, 5:6])


def test_every_piece_is_shown_once_and_read_once(counted):
    image = counted(stack("u1"))
    source = open_source(image, axes="TCYX")
    seen = []
    learn_range(
        source, InputOptions(scaling="percentile"), pieces_of(source, (10, 7)), lambda *piece: seen.append(piece)
    )
    assert (image.reads == 1).all()
    assert [(item, box) for item, box, _ in seen] == pieces_of(source, (10, 7))
    assert all(np.array_equal(values, source.read(item, box)) for item, box, values in seen)


# -- noise ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "f8"])
@pytest.mark.parametrize("deviation", [2.0, 12.0])
def test_the_noise_is_measured_beside_edges(dtype, deviation):
    random = np.random.default_rng(3)
    blocks = np.repeat(np.repeat(random.integers(60, 190, (2, 1, 16, 15)), 25, 2), 25, 3)
    image = (blocks + random.normal(0, deviation, blocks.shape)).round().clip(0, 255).astype(dtype)
    found = learn_intensity(open_source(image, axes="TCYX"), InputOptions(scaling="minmax"))
    assert found.channels[0].noise == pytest.approx(deviation, rel=0.15)
    assert found.channels[0].scaled_noise == pytest.approx(
        found.channels[0].noise / (found.channels[0].high - found.channels[0].low)
    )


def test_the_noise_of_channels_is_their_mean():
    random = np.random.default_rng(4)
    image = np.stack([random.normal(0, 3, (200, 200)), random.normal(0, 9, (200, 200))])
    assert learn_intensity(open_source(image, axes="CYX"), InputOptions(scaling="percentile")).channels[
        0
    ].noise == pytest.approx(6, rel=0.05)


@pytest.mark.parametrize("squares", [2**20, 50])
@pytest.mark.parametrize("edges", [(36, 40), (2, 4), (10, 8)])
def test_the_noise_does_not_depend_on_the_pieces(edges, squares, monkeypatch):
    monkeypatch.setattr(scaling._Noise, "_SQUARES", squares)
    source = open_source(stack("u2"), axes="TCYX")
    whole = learn_range(source, InputOptions(scaling="minmax"), pieces_of(source, source.item_shape))
    cut = learn_range(source, InputOptions(scaling="minmax"), pieces_of(source, edges)[::-1])
    assert whole.channels[0].noise == cut.channels[0].noise > 0


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (2, 2), (3, 3)])
def test_small_images_have_a_noise_too(shape):
    image = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    assert learn_intensity(open_source(image), InputOptions(scaling="minmax")).channels[0].noise == 0


def test_huge_values_have_a_finite_noise():
    image = np.array([[-1e308, 1e308], [1e308, -1e308]])
    found = learn_intensity(open_source(image), InputOptions(scaling="minmax"))
    assert np.isfinite(found.scaled_noise(1)[0])
