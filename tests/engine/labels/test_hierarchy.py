import numpy as np
import pytest

from napari_ufseg.engine.labels.hierarchy import merge_most_similar, relabel

LINE = {1: [0.0, 0.0], 2: [0.1, 0.0], 5: [5.0, 0.0], 7: [5.3, 0.0], 9: [20.0, 0.0]}
AREAS = {1: 10, 2: 30, 5: 7, 7: 6, 9: 1}


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (4, {1: 2, 2: 2, 5: 5, 7: 7, 9: 9}),
        (3, {1: 2, 2: 2, 5: 5, 7: 5, 9: 9}),
        (2, {1: 2, 2: 2, 5: 2, 7: 2, 9: 9}),
        (1, {1: 2, 2: 2, 5: 2, 7: 2, 9: 2}),
    ],
)
def test_the_most_similar_are_merged_and_the_largest_keeps_its_name(n, expected):
    assert merge_most_similar(LINE, AREAS, n) == expected


@pytest.mark.parametrize("n", [5, 6, 100])
def test_as_many_as_there_are_or_more_changes_nothing(n):
    assert merge_most_similar(LINE, AREAS, n) == {label: label for label in LINE}


@pytest.mark.parametrize("seed", range(5))
def test_exactly_n_are_left_whatever_the_responses(seed):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(1, 60))[:17].tolist()
    vectors = {label: rng.integers(0, 3, size=4) for label in labels}  # many ties and equal vectors
    areas = {label: int(rng.integers(1, 100)) for label in labels}
    for n in range(1, 18):
        merged = merge_most_similar(vectors, areas, n)
        assert sorted(merged) == sorted(labels)
        assert len(set(merged.values())) == n
        assert all(merged[name] == name for name in merged.values())
        for name in set(merged.values()):
            assert areas[name] == max(areas[label] for label in labels if merged[label] == name)


def test_one_class_stays_one():
    assert merge_most_similar({4: [1.0]}, {4: 3}, 1) == {4: 4}


def test_relabel_renames_at_once_and_leaves_the_rest():
    image = np.array([[1, 2], [3, 4]], np.uint16)
    renamed = relabel(image, {1: 2, 2: 1, 4: 9})
    assert renamed.tolist() == [[2, 1], [3, 9]]
    assert renamed.dtype == image.dtype
    assert image.tolist() == [[1, 2], [3, 4]]
    assert relabel(image, {}).tolist() == image.tolist()
    assert relabel(image, {}) is not image
    assert relabel(image, {500: 1}).tolist() == image.tolist()
