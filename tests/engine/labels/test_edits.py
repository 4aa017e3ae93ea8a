"""Changes of label images in memory and on disk: what they do, what they keep, and that they can be taken back."""

import numpy as np
import pytest
import zarr
from scipy import ndimage

from napari_ufseg.engine.errors import ImageError
from napari_ufseg.engine.labels.edits import Change, Splitting, absorbing, boxes_of, count_labels, renaming
from napari_ufseg.engine.labels.regions import absorb_small


def stack(shape=(3, 40, 50), n_classes=5, seed=0, dtype=np.uint16):
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).random((n_classes, *shape)), (0, 0, 1.5, 1.5))
    return (smooth.argmax(0) + 1).astype(dtype)


def stored(tmp_path, labels, chunks):
    array = zarr.create_array(tmp_path / "labels.zarr", shape=labels.shape, chunks=chunks, dtype=labels.dtype)
    array[...] = labels
    return array


@pytest.fixture(params=["numpy uint8", "numpy uint16", "numpy int64", "zarr"])
def labels(request, tmp_path):
    if request.param == "zarr":
        return stored(tmp_path, stack(), (1, 16, 32))
    return stack(dtype=np.dtype(request.param.split()[1]))


EDITS = {
    "merge": (lambda: renaming({2: 4, 5: 0}), False, lambda plane: np.where(plane == 2, 4, np.where(plane == 5, 0, plane))),
    "absorb": (lambda: absorbing(12, 1), True, lambda plane: absorb_small(plane, 12)),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_that_of_every_plane_and_can_be_taken_back_and_done_again(labels, name):
    edit, whole_items, of_plane = EDITS[name]
    before = np.array(labels[...])
    expected = np.stack([of_plane(plane) for plane in before])
    change = Change()
    shares = list(change.make(labels, boxes_of(labels, 2, whole_items=whole_items), edit()))
    np.testing.assert_array_equal(labels[...], expected)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    for wanted in (before, expected, before):
        list(change.swap(labels))
        np.testing.assert_array_equal(labels[...], wanted)


def test_only_what_has_changed_is_kept_and_small():
    labels = np.ones((4, 512, 512), np.uint16)
    labels[2, 100:200] = 7
    change = Change()
    list(change.make(labels, boxes_of(labels, 2), renaming({7: 1})))
    assert 0 < change.n_bytes < 512 * 512 / 20
    nothing = Change()
    list(nothing.make(labels, boxes_of(labels, 2), renaming({9: 1})))
    assert nothing.is_empty


def test_areas_are_those_of_a_plain_count(labels):
    total = {}
    for counts in count_labels(labels, boxes_of(labels, 2)):
        for label, n in counts.items():
            total[label] = total.get(label, 0) + n
    assert total == dict(zip(*np.unique(labels[...], return_counts=True), strict=True))


@pytest.mark.parametrize("item_ndim", [2, 3])
def test_every_region_of_a_split_class_gets_one_number_of_its_own(item_ndim):
    labels = stack()
    before = labels.copy()
    splitting = Splitting([2, 3], 6, 65535, 3 - item_ndim)
    list(Change().make(labels, boxes_of(labels, item_ndim, whole_items=True), splitting))
    rest = (before != 2) & (before != 3)
    np.testing.assert_array_equal(labels[rest], before[rest])
    items = before if item_ndim == 2 else before[None]
    after = labels if item_ndim == 2 else labels[None]
    seen = []
    for item, its in zip(items, after, strict=True):
        for old in (2, 3):
            regions, n = ndimage.label(item == old)
            for region in range(1, n + 1):
                values = set(its[regions == region].tolist())
                assert len(values) == 1
                seen += values
                assert values == {old} or splitting.parents[values.pop()] == old
    assert len(seen) == len(set(seen))
    assert {2, 3} <= set(seen)
    assert splitting.next_free == 6 + len(splitting.parents)


def test_more_regions_than_numbers_are_refused():
    labels = np.indices((30, 30)).sum(0).astype(np.uint8) % 2 + 1
    with pytest.raises(ImageError, match="more regions than the 255 numbers"):
        Splitting([1], 3, 255, 0)(labels)


def test_what_two_images_hold_differently_is_noted():
    old, new = stack(seed=0), stack(seed=1)
    new[1] = old[1]
    change = Change()
    change.note(old, boxes_of(old, 2), new)
    now = new.copy()
    list(change.swap(now))
    np.testing.assert_array_equal(now, old)
    list(change.swap(now))
    np.testing.assert_array_equal(now, new)


def test_items_that_are_too_large_are_refused():
    class Huge:
        shape = (2, 2**15, 2**15)

    with pytest.raises(ImageError, match="too many"):
        boxes_of(Huge(), 2, whole_items=True)
