import re
import warnings

import numpy as np
import pytest
from scaled import scaled

from napari_ufseg.engine.api import segment
from napari_ufseg.engine.errors import ConfigError, ImageError, MemoryShortageError, UfsegWarning
from napari_ufseg.engine.images.source import as_list, check_scribbles, open_sources, require_same_channels

RNG = np.random.default_rng(0)
GREY = RNG.random((12, 16))
COLOUR = RNG.random((12, 16, 3))
DTYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">i2", ">u2", ">i4", ">f4", ">f8"]


def one_error(*args, kind=ImageError, **kwargs):
    """The message of the one error that comes; neither a warning nor a second line with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(kind) as caught:
            scaled(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    assert 20 < len(message) < 250
    return message


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_is_scaled_to_the_full_range(dtype):
    image = (GREY * 90 > 45).astype(dtype) if dtype == "?" else (GREY * 90).astype(dtype)
    before = image.copy()
    prepared = scaled(image)
    low, high = float(image.min()), float(image.max())
    assert prepared.data.dtype == np.float32
    assert prepared.data.dtype.isnative
    assert prepared.data.flags.c_contiguous
    assert prepared.data.shape == (1, 12, 16)
    assert not prepared.is_constant
    assert (prepared.data.min(), prepared.data.max()) == (0.0, 1.0)
    np.testing.assert_allclose(prepared.data[0], (image.astype(float) - low) / (high - low), atol=1e-7)
    assert (image == before).all()


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4"])
def test_the_full_range_of_a_type_does_not_wrap_around(dtype):
    info = np.iinfo(dtype)
    image = np.array([[info.min, 0, info.max]], dtype)
    expected = np.array([0, -info.min / (info.max - info.min), 1])
    np.testing.assert_allclose(scaled(image).data[0, 0], expected, rtol=1e-6)


def test_scaling_is_exact():
    assert scaled(np.array([[0, 64, 128, 256]], np.uint16)).data.tolist() == [[[0.0, 0.25, 0.5, 1.0]]]
    assert scaled(np.array([[-1.0, 0.0, 3.0]])).data.tolist() == [[[0.0, 0.25, 1.0]]]


@pytest.mark.parametrize(
    "values", [[-1.7e308, 0, 1.7e308], [0, 5e-324, 1e-323], [1e300, 1.5e300, 2e300], [1e9, 1e9 + 0.5, 1e9 + 1]]
)
def test_extreme_values_keep_their_place(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert scaled(np.array([values])).data.tolist() == [[[0.0, 0.5, 1.0]]]


def test_one_pair_of_extremes_holds_for_all_channels():
    image = np.zeros((5, 6, 2))
    image[..., 0], image[..., 1] = 10, 30
    image[0, 0, 0] = 50
    data = scaled(image).data
    assert data[1, 1, 1] == np.float32(0.5)
    assert data[0, 1, 1] == 0
    assert data[0, 0, 0] == 1


def test_percentile_scaling_clips_hot_pixels():
    image = np.tile(np.linspace(0, 1, 50), (50, 1))
    image[3, 3] = 1000
    clipped, plain = scaled(image, scaling="percentile").data, scaled(image).data
    assert clipped.min() == 0
    assert clipped.max() == 1
    assert np.median(clipped) > 0.4
    assert np.median(plain) < 0.001
    mostly_equal = np.zeros((50, 50))
    mostly_equal[0, 0] = 1
    assert scaled(mostly_equal, scaling="percentile").data.max() == 1
    assert scaled(GREY > 0.5, scaling="percentile").data.max() == 1


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_the_channel_axis_may_lie_anywhere(axis):
    expected = scaled(COLOUR, channel_axis=2).data
    assert np.array_equal(scaled(np.moveaxis(COLOUR, 2, axis), channel_axis=axis).data, expected)
    assert np.array_equal(scaled(COLOUR).data, expected)


def test_channels_first_and_last_give_the_same_labels(tissue, quick):
    last = segment(tissue, quick(), device="cpu")
    first = segment(np.moveaxis(tissue, 2, 0), quick(), channel_axis=0, device="cpu")
    middle = segment(np.moveaxis(tissue, 2, 1), quick(), channel_axis=-2, device="cpu")
    assert np.array_equal(last.labels, first.labels)
    assert np.array_equal(last.labels, middle.labels)


def test_up_to_four_channels_are_seen_as_colour_and_512_are_taken():
    for n in (1, 2, 3, 4):
        assert len(scaled(RNG.random((5, 6, n))).data) == n
    assert len(scaled(RNG.random((2, 3, 512)), channel_axis=2).data) == 512


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::2, ::3],
        lambda a: a[::-1],
        lambda a: a.T,
        lambda a: np.asfortranarray(a),
        lambda a: a.astype(">f8")[:, ::-2],
        lambda a: np.broadcast_to(a[:1], (9, a.shape[1])),
    ],
)
def test_views_and_byte_orders_do_not_matter(view):
    array = view(GREY)
    assert np.array_equal(scaled(array).data, scaled(np.array(array, "<f8", order="C")).data)


def test_the_input_is_never_written(quick):
    for image in (GREY.astype(np.float32), COLOUR.astype(np.float64), (GREY * 200).astype(np.uint8)):
        scribbles = np.zeros((12, 16), np.int64)
        scribbles[0, 0] = 1
        copies = image.copy(), scribbles.copy()
        image.flags.writeable = scribbles.flags.writeable = False
        prepared = scaled(image)
        assert not np.shares_memory(prepared.data, image)
        segment(image, quick(epochs=2), scribbles=scribbles, device="cpu")
        assert np.array_equal(image, copies[0])
        assert np.array_equal(scribbles, copies[1])


def test_lazy_arrays_are_read(tmp_path):
    expected = scaled(GREY).data
    dask_array, zarr = pytest.importorskip("dask.array"), pytest.importorskip("zarr")  # they come with napari
    stored = zarr.open_array(str(tmp_path / "a.zarr"), mode="w", shape=GREY.shape, chunks=(5, 5), dtype="f8")
    stored[:] = GREY
    assert np.array_equal(scaled(dask_array.from_array(GREY, chunks=5)).data, expected)
    assert np.array_equal(scaled(stored).data, expected)
    assert np.array_equal(scaled(GREY.tolist()).data, expected)
    assert len(scaled(dask_array.from_array(COLOUR, chunks=5)).data) == 3


def with_value(value, dtype=np.float64):
    image = GREY.astype(dtype)
    image[2, 3:5] = value
    return image


@pytest.mark.parametrize(
    ("image", "kwargs", "words"),
    [
        (with_value(np.nan), {}, "2 values that are NaN or infinite"),
        (with_value(np.inf), {}, "2 values that are NaN or infinite"),
        (with_value(-np.inf, np.float16), {}, "2 values that are NaN or infinite"),
        (with_value(np.nan), {"scaling": "percentile"}, "2 values that are NaN or infinite"),
        (np.array([[1, np.nan], [2, 3]]), {}, "1 value that is NaN or infinite: replace it first"),
        (np.full((5, 6), np.nan), {}, "30 values that are NaN or infinite"),
        (np.zeros((0, 5)), {}, "is empty"),
        (np.zeros((5, 6, 0)), {}, "is empty"),
        (np.zeros(0), {}, "is empty"),
        (np.zeros((1, 1)), {}, "single pixel"),
        (np.zeros((1, 1, 3)), {"channel_axis": 2}, "single pixel"),
        (np.zeros((3, 4, 513), np.uint8), {"channel_axis": 2}, "513 channels, more than 512"),
        (np.float64(3.0), {}, r"has shape \(\)"),
        (np.zeros(7), {}, r"has shape \(7,\)"),
        (np.zeros((2, 3, 4, 5)), {}, r"has shape \(2, 3, 4, 5\)"),
        (np.zeros((2, 3, 4, 5)), {"channel_axis": 0}, r"has shape \(2, 3, 4, 5\)"),
        (GREY.astype(complex), {}, "complex128"),
        (np.array([["a", "b"]]), {}, "<U1"),
        (np.array([[1, None]], object), {}, "object"),
        (np.array([["2020-01-01", "2020-01-02"]], "M8[D]"), {}, "datetime64"),
        ("image.tif", {}, "<U9"),
        (None, {}, "object"),
        ([[1, 2], [3]], {}, "cannot be read as an array"),
        (GREY, {"channel_axis": 0}, "leave channel_axis out"),
        (COLOUR, {"channel_axis": 3}, "channel_axis is 3"),
        (COLOUR, {"channel_axis": -4}, "channel_axis is -4"),
        (COLOUR, {"channel_axis": 1.5}, "channel_axis is 1.5"),
        (COLOUR, {"channel_axis": "last"}, "channel_axis is 'last'"),
        (np.zeros((7, 8, 9)), {}, "not clear what the axis"),
        (np.zeros((3, 8, 9)), {}, "not clear what the axis"),
        (np.zeros((3, 3, 3)), {}, "not clear what the axis"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(image, kwargs, words):
    message = one_error(image, **kwargs)
    assert re.search(words, message), message


def test_a_lazy_array_that_cannot_be_read_or_held_is_an_error_of_ours():
    class Lazy:
        def __init__(self, error):
            self.error = error

        def __array__(self, dtype=None, copy=None):
            raise self.error

    assert "cannot be read as an array: OSError: gone" in one_error(Lazy(OSError("gone\nsecond line")))
    with pytest.raises(MemoryShortageError, match="ran out of memory"):
        segment(Lazy(MemoryError()), device="cpu")


@pytest.mark.parametrize("dtype", ["?", "u1", "i4", "f2", "f8"])
@pytest.mark.parametrize("scaling", ["minmax", "percentile"])
def test_a_constant_image_is_one_class_and_one_warning(dtype, scaling, quick, recorded):
    image = np.ones((8, 9), dtype)
    result, caught = recorded(segment, image, quick(scaling=scaling), device="cpu")
    assert (result.labels == 1).all()
    assert result.labels.shape == (8, 9)
    assert result.labels.dtype == np.uint16
    assert [(w.category, str(w.message)) for w in caught] == [
        (UfsegWarning, "The image is constant: all of it is one class.")
    ]


def test_lists_are_named_by_number_and_must_share_their_channels():
    assert as_list(GREY) == ([GREY], True)
    assert as_list([GREY])[1] is False
    assert as_list((GREY, GREY))[1] is False
    with pytest.raises(ImageError, match="list of images is empty"):
        as_list([])
    with pytest.raises(ImageError, match=r"^Image 2 holds nothing but NaN"):
        segment([GREY, np.full((2, 2), np.nan)], device="cpu")
    with pytest.raises(ImageError, match=r"^Image 2 has 3 channels but image 1 has 1"):
        require_same_channels(open_sources([GREY, COLOUR]))
    assert [source.item_shape for source in open_sources([GREY, GREY[:5, :6]])] == [(12, 16), (5, 6)]


def test_each_image_is_scaled_by_itself():
    dark, bright = scaled(GREY), scaled(GREY * 1000 + 50)
    np.testing.assert_allclose(dark.data, bright.data, atol=1e-6)


@pytest.mark.parametrize(
    ("scribbles", "kind", "words"),
    [
        (np.zeros((12, 15), int), ImageError, "shape (12, 15) do not fit an image of (12, 16)"),
        (np.zeros((12, 16)), ImageError, "float64"),
        (np.full((12, 16), -1), ImageError, "negative"),
        (np.full((12, 16), 7), ConfigError, "label 7, but n_classes is 6"),
    ],
)
def test_scribbles_that_do_not_fit_are_refused(scribbles, kind, words, quick):
    with pytest.raises(kind) as caught:
        segment(GREY, quick(), scribbles=scribbles, device="cpu")
    assert words in str(caught.value)


def test_scribbles_come_one_per_image_and_may_be_missing():
    sources = open_sources([GREY, GREY[:5]])
    painted = np.full((12, 16), 2, np.uint8)
    first, second = check_scribbles([painted, None], sources, 6)
    assert (first == 2).all()
    assert second is None
    with pytest.raises(ImageError, match="There is 1 scribble image for 2 images: give"):
        check_scribbles([painted], sources, 6)
