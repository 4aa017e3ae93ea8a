import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scipy.cluster import hierarchy
from skimage.color import rgb2lab

from napari_ufseg import SegmentationConfig, load_model, predict, save_model, segment
from napari_ufseg.engine.errors import ConfigError, ImageError, ModelFileError
from napari_ufseg.engine.labels.hierarchy import (
    COLOUR,
    GREY,
    ClassHierarchy,
    build_hierarchy,
    principal_component,
    relabel,
    sides_of,
    ward_steps,
)
from napari_ufseg.samples import nuclei, stained_tissue

SMALL = SegmentationConfig.preset("fast", epochs=4, settle_fraction=0.0)
DARK = {3: [0.1], 8: [0.14]}  # a large background, and a band of it
BRIGHT = {1: [0.5], 2: [0.7], 9: [0.74]}
PIXELS = {3: 600, 8: 300, 1: 30, 2: 50, 9: 20}


def test_relabel_renames_at_once_and_leaves_the_rest():
    image = np.array([[1, 2], [3, 4]], np.uint16)
    renamed = relabel(image, {1: 2, 2: 1, 4: 9})
    assert renamed.tolist() == [[2, 1], [3, 9]]
    assert renamed.dtype == image.dtype
    assert image.tolist() == [[1, 2], [3, 4]]
    assert relabel(image, {}).tolist() == image.tolist()
    assert relabel(image, {}) is not image
    assert relabel(image, {500: 1}).tolist() == image.tolist()


def groups(shown: Mapping[int, int]) -> set[frozenset[int]]:
    return {frozenset(label for label in shown if shown[label] == name) for name in shown.values()}


def partition(numbers: Iterable[int]) -> set[frozenset[int]]:
    return groups(dict(enumerate(numbers)))


def split_by(sides: Iterable[int]) -> set[frozenset[int]]:
    """The groups of the labels from 1 on."""
    return groups(dict(enumerate(sides, 1)))


def sum_of_squares(groups: Iterable[Iterable[int]], mean: np.ndarray, area: np.ndarray) -> float:
    total = 0.0
    for group in groups:
        rows = sorted(group)
        centre = np.average(mean[rows], axis=0, weights=area[rows])
        total += float((area[rows] * ((mean[rows] - centre) ** 2).sum(1)).sum())
    return total


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_those_of_wards_clustering_of_all_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mean, area = rng.normal(size=(9, 3)), rng.integers(1, 30, 9)
    pixels = np.repeat(np.arange(9), area)
    textbook = hierarchy.linkage(mean[pixels], "ward")  # scipy's has no weights: each pixel is a point
    steps = ward_steps(mean, area.astype(float), np.zeros(9, bool))
    for k in range(1, 9):
        of_pixel = hierarchy.cut_tree(textbook, n_clusters=k).ravel()
        expected = partition([int(of_pixel[np.flatnonzero(pixels == i)[0]]) for i in range(9)])
        tree = ClassHierarchy(dict.fromkeys(range(9), 1), tuple(steps))
        assert groups(tree.shown_class(k)) == expected


@pytest.mark.parametrize("seed", range(5))
def test_neither_side_is_empty(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, counts = rng.integers(0, 3, 6) / 2, rng.integers(0, 9, 16).astype(float)
    counts[rng.integers(16)] = 1e6
    for given in (values, np.zeros(6), np.array([0.999, 1.0])):
        sides = sides_of(given, counts, 0.9)
        assert sides.any()
        assert not sides.all()


def test_the_threshold_is_that_of_the_pixels_and_not_of_their_means() -> None:
    """A class that is broad counts with all its values; those far out do not pull."""
    rng = np.random.default_rng(0)
    pixels = {1: rng.normal(0.1, 0.01, 9000), 2: rng.normal(0.3, 0.05, 400), 3: rng.exponential(0.2, 1000) + 0.4}
    areas, means = {k: len(v) for k, v in pixels.items()}, {k: [v.mean()] for k, v in pixels.items()}
    parts = [v[:, None] for v in pixels.values()]
    assert groups(build_hierarchy(areas, means).shown_class(2)) == {frozenset({1, 2}), frozenset({3})}
    assert groups(build_hierarchy(areas, means, lambda: parts).shown_class(2)) == {frozenset({1}), frozenset({2, 3})}
    halves = [half for part in parts for half in np.array_split(part.astype(np.float32), 2)]
    assert build_hierarchy(areas, means, lambda: reversed(halves)) == build_hierarchy(areas, means, lambda: parts)


def test_flattened_values_make_the_things_larger() -> None:
    areas, means = {1: 900, 2: 50, 3: 60}, {1: [0.0], 2: [0.48], 3: [1.0]}
    assert groups(build_hierarchy(areas, means, rule=replace(GREY, flatten=1.0)).shown_class(2)) == {
        frozenset({1, 2}),
        frozenset({3}),
    }
    assert groups(build_hierarchy(areas, means).shown_class(2)) == {frozenset({1}), frozenset({2, 3})}


@pytest.mark.parametrize("turned", [False, True])
def test_two_classes_are_things_and_surroundings_whether_things_are_bright_or_dark(turned: bool) -> None:
    means = {label: [1 - v[0] if turned else v[0]] for label, v in {**DARK, **BRIGHT}.items()}
    tree = build_hierarchy(PIXELS, means)
    assert tree.suggested == 2
    assert tree.shown_class(2) == {3: 3, 8: 3, 1: 2, 2: 2, 9: 2}  # the largest class of a group names it
    assert tree.shown_class(4) == {3: 3, 8: 8, 1: 1, 2: 2, 9: 2}
    assert tree.shown_class(5) == tree.shown_class(50) == {label: label for label in PIXELS}
    assert set(tree.shown_class(1).values()) == {3}


def test_colours_are_compared_along_the_axis_in_which_classes_differ() -> None:
    area = np.array([500.0, 400.0, 60.0, 40.0])
    mean = np.array([[0.8, 0.1, 0.5], [0.8, 0.12, 0.5], [0.79, 0.7, 0.5], [0.81, 0.8, 0.5]])
    component = principal_component(mean, area)
    values = component.values(mean)
    np.testing.assert_allclose((values.min(), values.max()), (0.0, 1.0), atol=1e-12)
    np.testing.assert_array_equal(np.argsort(values), [0, 1, 2, 3])
    counts = component.histogram(mean, area)
    assert counts.sum() == 1000
    np.testing.assert_array_equal(sides_of(values, counts, 1.0), [False, False, True, True])
    outside = component.histogram(mean + 9 * component.axis)
    assert outside[-1] == 4


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_where_light_shines_through_things_are_dark_however_many_there_are(share: float) -> None:
    """CIE L*, a* and b* of stained tissue, divided by 100: empty, stroma, nuclei."""
    areas = {1: round(800 * (1 - share)), 2: round(200 * (1 - share)), 3: round(1000 * share)}
    means = {1: [0.95, 0.0, 0.0], 2: [0.8, 0.15, -0.05], 3: [0.55, 0.2, -0.25]}
    tree = build_hierarchy(areas, means, rule=COLOUR)
    assert tree.background == (1 if areas[1] > areas[2] else 2)
    assert groups(tree.shown_class(2)) == split_by([0, 0, 1])
    assert tree.things_are_bright is False


def test_where_most_is_dark_things_are_what_is_rare() -> None:
    """Fluorescence in colours: few things are bright, or few holes are dark."""
    means = {1: [0.05, 0.0, 0.0], 2: [0.4, -0.3, 0.3], 3: [0.45, -0.35, 0.3]}
    assert build_hierarchy({1: 900, 2: 50, 3: 50}, means, rule=COLOUR).background == 1
    assert build_hierarchy({1: 100, 2: 500, 3: 400}, means, rule=COLOUR).background == 2


AREAS = {1: 900, 2: 300, 3: 60, 4: 40}
LIGHT = {1: [0.02], 2: [0.05], 3: [0.2], 4: [0.9]}  # dim things and bright ones


@pytest.mark.parametrize("turned", [False, True])
def test_a_class_that_lies_above_the_thresholds_nearby_is_a_thing(turned: bool) -> None:
    sign = -1.0 if turned else 1.0
    means = {label: [1 - light[0]] if turned else light for label, light in LIGHT.items()}
    assert groups(build_hierarchy(AREAS, means).shown_class(2)) == split_by([0, 0, 0, 1])
    for dim in (0.9, 0.0, -0.19):  # at least two fifths of its pixels
        sides = {1: [-1.0 * sign], 2: [-0.9 * sign], 3: [dim * sign], 4: [1.0 * sign]}
        tree = build_hierarchy(AREAS, means, sides=sides)
        assert groups(tree.shown_class(2)) == split_by([0, 0, 1, 1])
        assert tree.background == 1
        assert tree.things_are_bright is not turned
    tree = build_hierarchy(AREAS, means, sides={**sides, 3: [-0.3 * sign]})
    assert groups(tree.shown_class(2)) == split_by([0, 0, 0, 1])


def test_where_thresholds_nearby_part_no_classes_that_of_all_pixels_does() -> None:
    expected = build_hierarchy(AREAS, LIGHT)
    for side in (-1.0, 1.0):
        assert build_hierarchy(AREAS, LIGHT, sides={label: [side] for label in AREAS}) == expected


def test_the_lightness_of_what_differs_in_colour_alone_decides_nothing() -> None:
    means = {1: [0.5, 0.1], 2: [0.52, 0.12], 3: [0.5, 0.7], 4: [0.53, 0.8]}
    sides = {1: [-1.0], 2: [1.0], 3: [-1.0], 4: [1.0]}
    assert groups(build_hierarchy(AREAS, means, sides=sides).shown_class(2)) == split_by([0, 0, 1, 1])


def test_classes_of_a_picture_in_colours_are_ordered_by_lightness() -> None:
    result = segment(stained_tissue(), SegmentationConfig.preset("fast", epochs=2), device="cpu")
    lightness, known = rgb2lab(stained_tissue())[..., 0], result.hierarchy.brightness
    means = {label: lightness[result.labels == label].mean() for label in known}
    assert sorted(known, key=known.__getitem__) == sorted(means, key=means.__getitem__)


@pytest.mark.parametrize("seed", range(4))
def test_every_detail_only_joins_what_the_finer_one_has(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(1, 60))[:11].tolist()
    areas = {label: int(rng.integers(1, 1000)) for label in labels}
    tree = build_hierarchy(areas, {label: rng.integers(0, 3, 2) for label in labels})  # many equal means
    for k in range(1, 12):
        shown = tree.shown_class(k)
        assert len(set(shown.values())) == k
        assert all(
            areas[name] == max(areas[label] for label in labels if shown[label] == name) for name in shown.values()
        )
        finer = groups(tree.shown_class(k + 1))
        assert all(any(part <= whole for whole in groups(shown)) for part in finer)


def test_one_class_or_none_is_a_tree_too() -> None:
    assert build_hierarchy({4: 9}, {4: [1.0]}).shown_class(2) == {4: 4}
    assert build_hierarchy({4: 9}, {4: [1.0]}).suggested == 1
    assert ClassHierarchy().shown_class(2) == {}


def test_classes_that_all_look_the_same_still_have_a_tree() -> None:
    tree = build_hierarchy({1: 5, 2: 6, 3: 7}, {1: [0.5], 2: [0.5], 3: [0.5]})
    assert [len(set(tree.shown_class(k).values())) for k in (1, 2, 3)] == [1, 2, 3]


def test_words_for_a_detail() -> None:
    tree = replace(build_hierarchy(PIXELS, {**DARK, **BRIGHT}), suggested=3)
    given = ["auto", "all", 1, np.int64(4), 50]
    assert [tree.number_at(detail) for detail in given] == [3, 5, 1, 4, 5]
    assert ClassHierarchy().number_at("auto") == 1
    for detail in ("fine", 0, 2.5, True, None):
        with pytest.raises(ConfigError, match=f"detail is {detail!r}: give a whole number of classes, 'auto' or 'all'"):
            tree.number_at(detail)


@pytest.mark.parametrize("detail", [0, -1, 2.0, True, None])
def test_a_detail_that_is_none_is_told(detail: Any) -> None:
    with pytest.raises(ConfigError, match="whole number of classes"):
        build_hierarchy(PIXELS, {**DARK, **BRIGHT}).shown_class(detail)


def test_what_a_user_has_merged_stays_one_at_every_detail() -> None:
    tree = build_hierarchy(PIXELS, {**DARK, **BRIGHT})
    for chosen in itertools.combinations(PIXELS, 2):
        merged = tree.merged({chosen[0]: chosen[1]})
        assert merged.areas[chosen[1]] == PIXELS[chosen[0]] + PIXELS[chosen[1]]
        for k in range(1, 5):
            assert len(set(merged.shown_class(k).values())) == k


def test_the_detail_after_a_merge_shows_the_same_but_for_what_was_merged() -> None:
    tree = build_hierarchy(PIXELS, {**DARK, **BRIGHT})
    for detail, size in itertools.product(range(1, 6), (2, 3)):
        for chosen in itertools.combinations(sorted(set(tree.shown_class(detail).values())), min(size, detail)):
            for into in (chosen[0], 0):
                label_of = {label: into for label, name in tree.shown_class(detail).items() if name in chosen}
                after = tree.merged(label_of)
                shown = after.shown_class(tree.detail_after(label_of, detail)) if after.areas else {}
                rest = {group for group in groups(tree.shown_class(detail)) if not group & set(label_of)}
                assert groups(shown) == rest | ({frozenset([into])} if into else set())


def test_what_a_user_has_called_background_joins_no_class() -> None:
    tree = build_hierarchy(PIXELS, {**DARK, **BRIGHT})
    assert tree.background == 3
    without = tree.merged({3: 0})
    assert without.background is None
    assert without.shown_class(2) == {8: 8, 1: 2, 2: 2, 9: 2}
    assert without.shown_class(1) == dict.fromkeys([8, 1, 2, 9], 8)
    assert tree.merged({3: 0, 8: 0}).suggested == 1
    assert tree.merged(dict.fromkeys(PIXELS, 0)).shown_class(2) == {}
    learnt = build_hierarchy({0: 600, **{label: PIXELS[label] for label in BRIGHT}}, {0: [0.1], **BRIGHT})
    assert sorted(learnt.areas) == [1, 2, 9]
    assert learnt.background is None


def test_the_background_is_the_largest_class_that_things_lie_on_and_can_be_turned_round() -> None:
    tree = build_hierarchy(PIXELS, {**DARK, **BRIGHT})
    assert tree.turned.background == 2
    assert tree.turned.turned == tree
    negative = build_hierarchy(PIXELS, {label: [1 - value[0]] for label, value in {**DARK, **BRIGHT}.items()})
    assert negative.background == 3  # dark things on a bright background
    assert tree.merged({3: 8, 8: 3}).background == 8
    assert ClassHierarchy().turned == ClassHierarchy()
    nothing = build_hierarchy({4: 10}, {4: [0.5]})
    assert nothing.background == 4
    assert nothing.turned == nothing


def test_the_brightness_of_classes_goes_along_with_merges() -> None:
    tree = build_hierarchy(PIXELS, {**DARK, **BRIGHT})
    assert sorted(tree.brightness, key=tree.brightness.__getitem__) == [3, 8, 1, 2, 9]
    assert tree.merged({1: 2}).brightness[2] == pytest.approx((30 * 0.5 + 50 * 0.7) / 80)
    assert ClassHierarchy.from_dict(tree.to_dict()) == tree


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr", "list"])
def test_labels_at_a_detail(kind: str, tmp_path: Path) -> None:
    labels = np.random.default_rng(0).choice([3, 8, 1, 2, 9, 0, 77], (2, 20, 30)).astype(np.uint16)
    tree = build_hierarchy(PIXELS, {**DARK, **BRIGHT})
    given: Any = labels
    if kind == "dask":
        given = da.from_array(labels, (1, 7, 30))
    elif kind == "zarr":
        given = zarr.create_array(tmp_path / "l.zarr", data=labels, chunks=(1, 20, 10))
    elif kind == "list":
        given = [labels, labels[0]]
    shown = tree.labels_at(2, given)
    expected = relabel(labels, {8: 3, 1: 2, 9: 2})  # what is no leaf stays
    for got, wanted in zip(shown, expected, strict=True) if kind != "list" else ((shown[0], expected),):
        assert got.dtype == np.uint16
        np.testing.assert_array_equal(np.asarray(got), wanted)
    if kind == "list":
        np.testing.assert_array_equal(shown[1], expected[0])


def test_a_hierarchy_without_labels_says_so() -> None:
    with pytest.raises(ImageError, match="no label image"):
        build_hierarchy(PIXELS, {**DARK, **BRIGHT}).labels_at(2)


def test_a_result_its_model_and_its_file_have_one_tree(tmp_path: Path) -> None:
    image = nuclei()[:80, :100]
    result = segment(image, SMALL)
    tree = result.hierarchy
    assert tree.areas == result.areas
    assert tree.suggested == 2
    for detail in (2, 3, len(result.areas)):
        shown = tree.labels_at(detail)
        assert len(np.unique(shown)) == detail
        np.testing.assert_array_equal(predict(result.model, image, detail=detail), shown)
    np.testing.assert_array_equal(predict(result.model, image, detail="auto"), tree.labels_at(2))
    np.testing.assert_array_equal(predict(result.model, image), result.labels)
    save_model(result.model, tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.hierarchy == result.model.hierarchy
    np.testing.assert_array_equal(predict(loaded, image, detail="auto"), tree.labels_at(2))


def test_the_tree_is_that_of_the_values_that_the_network_sees() -> None:
    stack = np.stack([nuclei()[:80, :100], nuclei()[80:160, :100]])
    config = SegmentationConfig.preset("generalised", epochs=3, n_features=8, n_classes=6, batch_size=2)
    result = segment(stack, config, axes="ZYX")
    pixels, labels = (stack - stack.min()) / float(np.ptp(stack)), result.labels
    means = {int(label): [float(pixels[labels == label].mean())] for label in np.unique(labels)}
    expected = build_hierarchy(result.areas, means, lambda: [pixels.reshape(-1, 1)])
    for k in range(1, len(result.areas) + 1):
        assert result.hierarchy.shown_class(k) == expected.shown_class(k)


def test_of_a_constant_image_there_is_nothing_to_join() -> None:
    image = np.full((30, 40), 7, np.uint8)
    with pytest.warns(UserWarning, match="constant"):
        result = segment(image, SMALL)
    np.testing.assert_array_equal(result.hierarchy.labels_at(2), result.labels)
    with pytest.warns(UserWarning, match="constant"):
        np.testing.assert_array_equal(predict(result.model, image, detail="auto"), result.labels)


def test_an_unknown_word_for_the_detail_is_told() -> None:
    with pytest.raises(ConfigError, match="'auto' or 'all'"):
        predict(segment(nuclei()[:40, :40], SMALL.replace(epochs=1)).model, nuclei()[:40, :40], detail="fine")


@pytest.mark.parametrize(
    "tree",
    [
        '{"areas": [[1, 5], [2, 6]], "merges": [], "suggested": 2}',
        '{"areas": [[1, 5], [2, 6]], "merges": [[1, 9]], "suggested": 2}',
        '{"areas": [[1, 5], [900, 6]], "merges": [[1, 900]], "suggested": 2}',
        '{"merges": [[1, 2]]}',
        "[1, 2]",
    ],
)
def test_a_model_file_with_a_broken_tree_is_refused(tree: str, tmp_path: Path) -> None:
    path, other = tmp_path / "m.safetensors", tmp_path / "broken.safetensors"
    save_model(segment(nuclei()[:40, :40], SMALL.replace(epochs=1)).model, path)
    with safe_open(path, framework="pt") as handle:
        header = handle.metadata()
    save_file(load_file(path), other, {**header, "hierarchy": tree})
    with pytest.raises(ModelFileError, match="damaged"):
        load_model(other)
