"""Classes merged by what was painted over them, against a plain count of every class."""

import numpy as np
import pytest
import zarr

from napari_ufseg import SegmentationConfig, UfsegError, merge_by_scribbles, predict, segment, train_on
from napari_ufseg.engine.labels.matching import classes_of_scribbles, count_scribbles
from napari_ufseg.samples import nuclei


def textbook(labels, marks):
    """Class by class; numbers above all others for classes that have to give way."""
    result, free = labels.copy(), 1
    for label in np.unique(labels[labels > 0]):
        under = marks[(labels == label) & (marks > 0)]
        if under.size:
            counts = np.bincount(under)
            new = (
                label
                if label < counts.size and counts[label] == counts.max()
                else len(counts) - 1 - counts[::-1].argmax()
            )
        elif (marks == label).any():
            while free in labels or free in marks:
                free += 1
            new = free
            free += 1
        else:
            continue
        result[labels == label] = new
    result[marks > 0] = marks[marks > 0]
    return result


@pytest.mark.parametrize("seed", range(20))
def test_each_class_becomes_what_was_painted_most_on_it(seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 9, (30, 31)).astype(np.uint16)
    marks = np.where(random.random(labels.shape) < 0.05, random.choice([1, 3, 12, 14], labels.shape), 0)
    marks[np.isin(labels, random.choice(9, 4))] = 0
    before = labels.copy(), marks.copy()
    found = merge_by_scribbles(labels, marks)
    assert found.dtype == labels.dtype
    np.testing.assert_array_equal(found, textbook(labels, marks))
    np.testing.assert_array_equal(labels, before[0])
    np.testing.assert_array_equal(marks, before[1])


def test_two_classes_may_change_places_and_a_number_that_means_something_else_is_given_up():
    labels = np.array([[1, 1, 1, 2, 2, 2, 3, 3, 4, 4]], np.uint8)
    marks = np.array([[2, 0, 0, 1, 0, 0, 4, 0, 0, 0]], np.uint8)
    np.testing.assert_array_equal(merge_by_scribbles(labels, marks), [[2, 2, 2, 1, 1, 1, 4, 4, 5, 5]])
    assert classes_of_scribbles(count_scribbles(labels, marks), [1, 2, 3, 4], named=[4]) == {1: 2, 2: 1, 3: 4}


def test_background_stays_and_of_equal_counts_the_class_itself():
    labels = np.array([[0, 0, 0, 5, 5, 5, 5]])
    marks = np.array([[9, 9, 0, 5, 7, 0, 0]])
    np.testing.assert_array_equal(merge_by_scribbles(labels, marks), [[9, 9, 0, 5, 7, 5, 5]])


def test_without_scribbles_nothing_changes():
    labels = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(merge_by_scribbles(labels, np.zeros((3, 4), np.uint8)), labels)


@pytest.mark.parametrize("n_dims", [2, 3])
def test_what_lies_on_disk_is_counted_box_by_box(tmp_path, n_dims):
    random = np.random.default_rng(0)
    shape = (3, 20, 21)[-n_dims:]
    labels = random.integers(0, 4, shape).astype(np.uint16)
    marks = random.choice([0, 0, 0, 7, 60_000], shape).astype(np.uint16)
    stored = zarr.create_array(tmp_path / "labels.zarr", shape=shape, chunks=(1, 8, 8)[-n_dims:], dtype=labels.dtype)
    stored[...] = labels
    expected = {(a, b): n for a in range(4) for b in (7, 60_000) if (n := np.sum((labels == a) & (marks == b)))}
    assert dict(count_scribbles(stored, marks)) == dict(count_scribbles(labels, marks)) == expected


@pytest.mark.parametrize(
    ("labels", "marks", "words"),
    [
        (np.ones((2, 3), int), np.ones((3, 2), int), "The scribbles have shape (3, 2), but the labels (2, 3)"),
        (np.ones((2, 3), int), np.ones((2, 3)), "The scribbles hold values of type float64"),
        (np.ones((2, 3)), np.ones((2, 3), int), "The labels hold values of type float64"),
        (np.ones((2, 3), int), np.full((2, 3), -1), "The scribbles go from -1 to -1"),
        (np.ones((2, 3), np.uint8), np.full((2, 3), 300), "Label 300 does not fit into labels of type uint8"),
    ],
)
def test_what_cannot_be_merged_is_told(labels, marks, words):
    with pytest.raises(UfsegError) as told:
        merge_by_scribbles(labels, marks)
    assert words in str(told.value)


def test_a_network_learns_what_was_painted():
    image = nuclei()[60:220:3, 40:264:3]
    first = segment(image, SegmentationConfig.preset("fast", n_features=6, n_classes=5, n_convolutions=1, epochs=6))
    marks = np.zeros(image.shape, np.uint8)
    marks[image > np.quantile(image, 0.97)] = 40
    marks[(image < np.quantile(image, 0.3)) & (np.arange(image.size).reshape(image.shape) % 9 == 0)] = 20
    labels = merge_by_scribbles(first.labels, marks)
    after = train_on(image, first.model, labels, corrected=marks > 0)
    assert {20, 40} <= set(np.unique(labels)) < {20, 40, *range(1, 6)}
    np.testing.assert_array_equal(after.labels[marks > 0], marks[marks > 0])
    network = predict(after.model, image)
    assert set(np.unique(network)) <= set(np.unique(labels))
    assert (network == marks)[marks > 0].mean() > 0.9
    assert (network == labels).mean() > 0.8
