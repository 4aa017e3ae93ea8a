"""Pixels that are no light, and areas that hold no data: found, left out, told; and usual images stay as they are."""

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_ufseg import SegmentationConfig, predict, segment
from napari_ufseg.engine.config import InputOptions
from napari_ufseg.engine.errors import ConfigError, ImageError, UfsegWarning
from napari_ufseg.engine.images.intensity import IntensityRange, learn_range
from napari_ufseg.engine.images.odd_pixels import replace_left_out
from napari_ufseg.engine.images.source import open_source
from napari_ufseg.engine.images.tiling import iter_tiles
from napari_ufseg.engine.prediction.labelling import learn_intensity
from napari_ufseg.samples import nuclei, stained_tissue

SHAPE = (96, 144)
ROBUST, PERCENTILE = InputOptions(scaling="robust"), InputOptions(scaling="percentile")
FAST = SegmentationConfig.preset("fast", epochs=6)
HEIGHT, WIDTH = SHAPE
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]


def cells(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Blurred discs on an offset of 100, with noise, as a camera of 12 bit sees them, and where they are."""
    rng = np.random.default_rng(seed)
    image, truth = np.zeros(SHAPE), np.zeros(SHAPE, bool)
    for y in range(16, SHAPE[0] - 8, 26):
        for x in range(16, SHAPE[1] - 8, 28):
            disc = (Y - y - rng.uniform(-3, 3)) ** 2 + (X - x - rng.uniform(-3, 3)) ** 2 < rng.uniform(5, 9) ** 2
            image, truth = np.maximum(image, rng.uniform(0.5, 1) * disc), truth | disc
    return 100 + 2500 * gaussian_filter(image, 1.2) + rng.normal(0, 8, SHAPE), truth


CELLS, TRUTH = cells()
OF_TYPE: dict[str, np.ndarray] = {
    "8 bit": (CELLS / 40).clip(0, 255).astype(np.uint8),
    "16 bit": CELLS.astype(np.uint16),
    "signed": CELLS.astype(np.int16),
    "32 bit": CELLS.astype(np.uint32),
    "float": (CELLS / 4095).astype(np.float32),
    "double": CELLS,
}
AREAS: dict[str, np.ndarray] = {
    "top": Y < 6,
    "left": X < 22,
    "right": WIDTH - 9 <= X,
    "corners": (Y + X < 40) | (HEIGHT + WIDTH - 45 < Y + X),
    "frame": (Y < 5) | (HEIGHT - 5 <= Y) | (X < 5) | (WIDTH - 5 <= X),
    "one item in two": Y < 48,
}
NO_DATA: dict[str, tuple[str, float]] = {
    "fill value": ("float", -9999.0),
    "another fill value": ("double", -1.0),
    "not a number": ("float", np.nan),
    "infinite": ("double", np.inf),
    "huge": ("float", 1e20),
    "lowest float": ("float", float(np.finfo(np.float32).min)),
    "lowest integer": ("signed", -32768.0),
    "highest integer": ("16 bit", 65535.0),
    "highest of 32 bit": ("32 bit", float(2**32 - 1)),
    "padding with 0": ("16 bit", 0.0),
    "padding of a float with 0": ("float", 0.0),
}
LINES: dict[str, tuple[np.ndarray, str]] = {
    "column": (X == 50, "1 stuck column"),
    "two columns": ((X == 50) | (X == 121), "2 stuck columns"),
    "two columns side by side": ((X == 50) | (X == 51), "2 stuck columns"),
    "row": (Y == 40, "1 stuck row"),
    "pixels": (np.random.default_rng(3).random(SHAPE) < 0.003, "hot pixels"),
}


def put(image: np.ndarray, where: np.ndarray, value: Any) -> np.ndarray:
    changed = image.copy()
    changed[where] = value
    return changed


def learn(image: np.ndarray, options: InputOptions = ROBUST, **axes: Any) -> IntensityRange:
    return learn_intensity(open_source(image, **axes), options)


def iou_of(labels: np.ndarray, truth: np.ndarray, counts: np.ndarray) -> float:
    """Of the class that is the truth best, where pixels count."""
    scores = [
        ((labels == label) & truth & counts).sum() / (((labels == label) | truth) & counts).sum()
        for label in np.unique(labels)
    ]
    return float(max(scores))


@pytest.mark.parametrize("kind", OF_TYPE)
def test_a_usual_image_has_the_range_of_its_percentiles_and_nothing_is_said(kind: str) -> None:
    for image in (OF_TYPE[kind], OF_TYPE[kind].max() - OF_TYPE[kind]):
        usual, plain = learn(image), learn(image, PERCENTILE)
        assert (usual.channels[0].low, usual.channels[0].high) == (plain.channels[0].low, plain.channels[0].high)
        assert usual.told == ()
        assert not usual.leaves_no_data
        assert np.shares_memory(usual.without_odd(image[None]), image)


@pytest.mark.parametrize(
    "image",
    [
        nuclei(),
        stained_tissue(),
        np.maximum(nuclei().astype(int) - 30, 0).astype(np.uint8),  # the background is taken away: most of it is 0
        (nuclei().astype(float) * 8).clip(0, 255).astype(np.uint8),  # overexposed
        255 - (nuclei().astype(float) * 8).clip(0, 255).astype(np.uint8),
        np.where(TRUTH, 200, 0).astype(np.uint8),  # no image at all
        np.where(TRUTH, 0, 1).astype(np.uint8),
        np.kron(np.arange(12).reshape(3, 4), np.ones((16, 16))),
    ],
    ids=["nuclei", "stained", "subtracted", "overexposed", "overexposed and dark", "mask", "turned mask", "steps"],
)
def test_what_is_usual_is_left_alone(image: np.ndarray) -> None:
    assert learn(image).told == ()


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("kind", NO_DATA)
def test_areas_without_data_are_found_and_do_not_count(kind: str, area: str) -> None:
    of_type, value = NO_DATA[kind]
    image = put(OF_TYPE[of_type], AREAS[area], value)
    found = learn(image)
    np.testing.assert_array_equal(found.where_no_data(image[None]), AREAS[area])
    rest = OF_TYPE[of_type][~AREAS[area]].astype(float)
    assert (found.channels[0].low, found.channels[0].high) == pytest.approx(np.percentile(rest, (0.1, 99.9)))
    (words,) = found.told
    assert "no data" in words
    assert "label 0" in words


@pytest.mark.parametrize("lines", LINES)
@pytest.mark.parametrize("kind", ["16 bit", "float", "32 bit"])
def test_stuck_and_hot_pixels_do_not_count_and_are_told(kind: str, lines: str) -> None:
    where, words = LINES[lines]
    clean, value = OF_TYPE[kind], {"16 bit": 65535, "float": 1e5, "32 bit": 2**31}[kind]
    found = learn(put(clean, where, value))
    plain = learn(clean, PERCENTILE).channels[0]
    its = found.channels[0]
    assert (its.low, its.high) == pytest.approx((plain.low, plain.high), rel=0.02)
    assert words in found.told[0]
    mended = found.without_odd(put(clean, where, value)[None])[0]
    assert np.abs(mended - clean)[where].max() < 0.5 * (plain.high - plain.low)
    np.testing.assert_array_equal(mended[~where], clean[~where])


@pytest.mark.parametrize("kind", ["8 bit", "16 bit", "float"])
@pytest.mark.parametrize("thickness", [2, 5, 12])
def test_a_scale_bar_does_not_count(kind: str, thickness: int) -> None:
    bar = ((Y - 78) // thickness == 0) & (X > 20) & (X < 43)
    clean = OF_TYPE[kind]
    found = learn(put(clean, bar, {"8 bit": 255, "16 bit": 65535, "float": 16.0}[kind]))
    plain = learn(clean, PERCENTILE).channels[0]
    assert found.channels[0].high == pytest.approx(plain.high, rel=0.05)
    assert found.told


def test_an_empty_field_with_a_hot_pixel_is_constant() -> None:
    found = learn(put(np.zeros(SHAPE, np.uint16), (Y == 40) & (X == 60), 60000))
    assert found.is_constant
    assert found.doubt("cells") == (
        "cells: 1 hot pixel left out, far brighter than all else. cells is constant: all of it is one class."
    )


def test_an_image_without_any_data_is_refused() -> None:
    with pytest.raises(ImageError, match="holds nothing but NaN"):
        learn(np.full(SHAPE, np.nan))


def test_each_channel_has_a_range_of_its_own_and_those_of_a_picture_share_one() -> None:
    dim = 110 + (cells(1)[0] - 100) / 25
    found = learn(np.stack([CELLS, dim]), axes="CYX")
    for channel, image in zip(found.channels, (CELLS, dim), strict=True):
        assert (channel.low, channel.high) == pytest.approx(np.percentile(image, (0.1, 99.9)))
    assert found.scaled(np.stack([CELLS, dim]))[1].max() == 1
    picture = stained_tissue()
    assert len(learn(picture).channels) == 1
    assert len(learn(np.moveaxis(picture, -1, 0), axes="CYX").channels) == 3
    assert learn(picture).channels[0].low == learn(picture, PERCENTILE).channels[0].low


def test_of_a_channel_alone_odd_pixels_are_left_out() -> None:
    where = X == 50
    found = learn(np.stack([CELLS, put(CELLS, where, 65535)]).astype(np.uint16), axes="CYX")
    assert found.channels[0].above == np.inf
    assert found.channels[1].above < 65535
    assert found.told == ("1 stuck column of channel 2 left out, far brighter than all else.",)


def test_an_image_in_pieces_is_the_same_image() -> None:
    image = put(put(OF_TYPE["16 bit"], X == 50, 65535), AREAS["left"], 0)
    source = open_source(np.stack([image, image]), axes="TYX")
    whole = learn_range(source, ROBUST, [(item, source.whole) for item in range(2)])
    pieces = [(item, box) for item in range(2) for box in iter_tiles(source.whole, (32, 64))]
    assert learn_range(source, ROBUST, pieces[::-1]) == whole
    assert whole.leaves_no_data
    assert whole.channels[0].above < 65535


def test_what_is_left_out_is_the_median_of_what_is_near_or_typical() -> None:
    values = np.arange(100.0).reshape(1, 10, 10)
    left = np.zeros(values.shape, bool)
    left[0, 4, 4] = True
    left[0, :, 6:] = True
    replaced = replace_left_out(values, left, [7.0])
    near = [values[0, y, x] for y in range(2, 7) for x in range(2, 7) if not left[0, y, x]]
    assert replaced[0, 4, 4] == np.median(near)
    assert (replaced[0, :, 8:] == 7).all()
    np.testing.assert_array_equal(replaced[~left], values[~left])


@pytest.mark.parametrize(("where", "value"), [("two columns", 65535), ("top", 65535), ("corners", 0)])
def test_the_cells_are_found_as_without(where: str, value: int) -> None:
    lines = {name: its for name, (its, _) in LINES.items()} | AREAS
    image = put(OF_TYPE["16 bit"], lines[where], value)
    with pytest.warns(UfsegWarning, match="left out" if where in LINES else "no data"):
        result = segment(image, FAST, device="cpu")
    shown = result.hierarchy.labels_at(result.hierarchy.suggested)
    assert iou_of(shown, TRUTH, ~lines[where]) > 0.85
    is_gone = lines[where] if where in AREAS else np.zeros(SHAPE, bool)
    np.testing.assert_array_equal(result.labels == 0, is_gone)
    assert 0 not in result.hierarchy.areas
    with pytest.warns(UfsegWarning):
        np.testing.assert_array_equal(predict(result.model, image, device="cpu"), result.labels)


def test_what_is_masked_holds_no_data() -> None:
    image = np.ma.masked_array(put(OF_TYPE["16 bit"], AREAS["top"], 60000), AREAS["top"])
    with pytest.warns(UfsegWarning, match="864 values masked, NaN or infinite: no data there"):
        result = segment(image, FAST, device="cpu")
    np.testing.assert_array_equal(result.labels == 0, AREAS["top"])
    assert iou_of(result.hierarchy.labels_at(2), TRUTH, ~AREAS["top"]) > 0.85
    with pytest.raises(ImageError, match="NaN or infinite"):
        segment(image, FAST.replace(scaling="minmax"), device="cpu")


def test_a_picture_during_the_run_has_no_labels_where_there_are_no_data() -> None:
    from napari_ufseg import iter_segment

    image = put(OF_TYPE["float"], AREAS["right"], np.nan)
    with pytest.warns(UfsegWarning):
        snapshots = list(iter_segment(image, FAST, device="cpu", every=0))
    assert len(snapshots) > 2
    for snapshot in snapshots:
        np.testing.assert_array_equal(snapshot.labels == 0, AREAS["right"])


@pytest.mark.parametrize("value", [700, 700.0, "700"])
def test_the_value_of_no_data_can_be_said(value: Any) -> None:
    image = put(OF_TYPE["16 bit"], AREAS["left"], 700)  # in the middle of what cells are like
    assert not learn(image).leaves_no_data
    found = learn(image, nodata=value)
    np.testing.assert_array_equal(found.where_no_data(image[None]), image == 700)
    assert found.told == ()
    result = segment(image, FAST, nodata=value, device="cpu")
    np.testing.assert_array_equal(result.labels == 0, image == 700)
    np.testing.assert_array_equal(predict(result.model, image, nodata=value, device="cpu"), result.labels)


def test_nothing_is_found_if_there_is_said_to_be_nothing() -> None:
    image = put(OF_TYPE["16 bit"], AREAS["left"], 0)
    assert learn(image).leaves_no_data
    found = learn(image, nodata="none")
    assert not found.leaves_no_data
    assert found.channels[0].low == 0
    assert learn(put(OF_TYPE["float"], AREAS["left"], np.nan), nodata="none").leaves_no_data


def test_a_range_that_is_given_holds_for_every_channel() -> None:
    image = np.stack([CELLS, CELLS / 2])
    found = learn(image, axes="CYX", intensity_range=(50, 900))
    assert [(its.low, its.high) for its in found.channels] == [(50, 900)] * 2
    assert found.scaled(image).max() == 1
    result = segment(CELLS, FAST, intensity_range=(0, 5000), device="cpu")
    assert result.model.intensity[0].channels[0].high == 5000
    other = predict(result.model, CELLS, intensity_range=(0, 5000), device="cpu")
    np.testing.assert_array_equal(other, result.labels)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"nodata": "some"}, "nodata is 'some': give a number, 'auto' or 'none'."),
        ({"nodata": [1]}, "nodata is [1]: give a number, 'auto' or 'none'."),
        ({"intensity_range": (5,)}, "intensity_range is (5,): give two numbers, the dark end and the bright end."),
        ({"intensity_range": "a,b"}, "intensity_range is 'a,b': give two numbers, the dark end and the bright end."),
        ({"intensity_range": (5, 5)}, "intensity_range is 5 to 5: the second number must be larger, and both finite."),
        (
            {"intensity_range": (0, np.inf)},
            "intensity_range is 0 to inf: the second number must be larger, and both finite.",
        ),
    ],
)
def test_what_can_be_no_value_or_range_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        segment(CELLS, FAST, device="cpu", **given)
    assert str(error.value) == words


@pytest.mark.parametrize("given", [{"nodata": 0}, {"nodata": "none"}, {"intensity_range": (0, 1)}])
def test_presets_as_published_take_no_such_word(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="go with the scaling 'robust'"):
        segment(CELLS, SegmentationConfig.preset("paper"), device="cpu", **given)


def test_an_image_of_nothing_but_what_is_no_data_is_refused() -> None:
    with pytest.raises(ImageError, match=r"^The image holds nothing but 5.0, which was said to be no data"):
        learn(np.full(SHAPE, 5, np.uint8), nodata=5)
