"""Specks and connected regions, against plain loops."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from napari_ufseg.engine.errors import ImageError
from napari_ufseg.engine.labels.regions import absorb_small, connected_regions

CROSS = ndimage.generate_binary_structure(2, 1)


def parts_of(labels):
    """(label, mask) of every connected part."""
    found = []
    for value in np.unique(labels):
        numbered, n = ndimage.label(labels == value, ndimage.generate_binary_structure(labels.ndim, 1))
        found += [(value, numbered == i) for i in range(1, n + 1)]
    return found


def noise(shape, n_classes, seed=0):
    random = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(random.random((n_classes, *shape)), (0, *(1.2,) * len(shape)))
    return smooth.argmax(0).astype(np.uint16) + 3


@pytest.mark.parametrize(("shape", "seed"), [((40, 50), 0), ((40, 50), 1), ((8, 20, 15), 2)])
def test_no_speck_is_left_that_has_a_larger_neighbour(shape, seed):
    labels = noise(shape, 5, seed)
    before = labels.copy()
    found = absorb_small(labels, 20)
    assert np.array_equal(labels, before)
    assert (found.shape, found.dtype) == (labels.shape, labels.dtype)
    assert min(int(mask.sum()) for _, mask in parts_of(found)) >= 20
    large = [mask for _, mask in parts_of(labels) if mask.sum() >= 20]
    assert large
    for mask in large:
        assert np.array_equal(found[mask], labels[mask])
    assert set(np.unique(found)) <= set(np.unique(labels))


def test_a_speck_goes_where_its_border_is_longest():
    labels = np.ones((9, 12), int)
    labels[:, 6:] = 2
    labels[3:5, 3:6] = 7  # 6 pixels; touches 2 along 2 edges, 1 along 8
    found = absorb_small(labels, 7)
    assert (found[3:5, 3:6] == 1).all()
    labels[3:5, 3:6] = 1
    labels[3:5, 5:9] = 7
    assert (absorb_small(labels, 9)[3:5, 5:9] == 2).all()
    assert np.array_equal(absorb_small(labels, 8), labels)


def test_specks_in_specks_and_many_equal_ones():
    labels = np.zeros((30, 30), np.uint8)
    labels[10:14, 10:14] = 1
    labels[11, 11] = 2
    assert (absorb_small(labels, 20) == 0).all()
    board = np.indices((12, 12)).sum(0) % 2
    assert len(np.unique(absorb_small(board, 4))) == 1
    assert np.array_equal(absorb_small(board, 1), board)
    assert np.array_equal(absorb_small(np.full((3, 4), 5), 100), np.full((3, 4), 5))


def test_regions_are_the_connected_parts_numbered_from_one():
    labels = noise((40, 50), 4)
    found = connected_regions(labels, min_size=1)
    masks = [mask for _, mask in parts_of(labels)]
    assert found.dtype == np.int32
    assert set(np.unique(found)) == set(range(1, len(masks) + 1))
    for mask in masks:
        assert len(np.unique(found[mask])) == 1
    assert connected_regions(labels, min_size=20).max() < len(masks)


def test_pixels_that_meet_in_a_corner_only_are_not_connected():
    labels = np.kron(np.eye(2, dtype=int), np.ones((5, 5), int))
    assert connected_regions(labels, min_size=1).max() == 4


def test_regions_with_a_weak_border_are_one():
    image = np.zeros((40, 60))
    image[:, 20:] = 0.02
    image[:, 40:] = 1.0
    labels = np.repeat(np.repeat([[1, 2, 3]], 20, 1), 40, 0)
    found = connected_regions(labels, image)
    assert np.array_equal(found, np.repeat(np.repeat([[1, 1, 2]], 20, 1), 40, 0))
    assert connected_regions(labels, image, contrast=0.0).max() == 3
    assert connected_regions(labels, image, contrast=1e6).max() == 1
    assert np.array_equal(connected_regions(labels, np.stack([image, image]), channel_axis=0), found)


def test_more_contrast_leaves_fewer_regions_of_a_photograph():
    image = data.astronaut()[:120, 150:300] / 255
    labels = (image.mean(2) * 6).astype(int)
    counts = [connected_regions(labels, image, contrast=c, channel_axis=2).max() for c in (0.0, 0.1, 0.3, 1.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 2 * counts[2] > 8


def test_a_constant_image_merges_everything_and_a_volume_works():
    labels = noise((6, 20, 20), 3)
    assert connected_regions(labels, np.ones(labels.shape)).max() == 1
    assert connected_regions(labels, ndimage.gaussian_filter(labels.astype(float), 1)).max() > 1


def test_colour_images_need_no_axis_and_wrong_ones_are_refused():
    image = data.astronaut()[:60, 150:230]
    labels = (image.mean(2) // 60).astype(np.uint16)
    assert np.array_equal(connected_regions(labels, image), connected_regions(labels, image, channel_axis=2))
    planar = np.moveaxis(image, 2, 0)
    assert np.array_equal(connected_regions(labels, planar, channel_axis=0), connected_regions(labels, image))
    for wrong, axis in ((planar, None), (image[:50], None), (image[..., 0], 5), (image[..., 0], 0), (image, 0)):
        with pytest.raises(ImageError, match=r"^The image has shape .* but the labels have \(60, 80\)"):
            connected_regions(labels, wrong, channel_axis=axis)
    for strange in ("a", labels / 2, labels[0], labels[:0]):
        with pytest.raises(ImageError, match="of whole numbers"):
            absorb_small(strange)
