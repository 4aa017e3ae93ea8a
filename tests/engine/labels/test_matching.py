"""Which label a class of another run gets."""

from itertools import permutations

import dask.array as da
import numpy as np
import pytest

from napari_ufseg.engine.labels.matching import count_pairs, match_labels


def images(seed, n_old=5, n_new=5):
    random = np.random.default_rng(seed)
    old = np.kron(random.integers(1, n_old + 1, (8, 9)), np.ones((6, 6), int)).astype(np.uint16)
    shuffled = random.permutation(n_new)
    new = (shuffled[(old - 1) % n_new] + 1).astype(np.uint16)
    noise = random.random(new.shape) < 0.3
    new[noise] = random.integers(1, n_new + 1, noise.sum())
    return old, new


@pytest.mark.parametrize("seed", range(4))
def test_no_other_pairing_overlaps_more(seed):
    old, new = images(seed)

    def overlap(names):
        return sum(((names[new] == k) & (old == k)).sum() / ((names[new] == k) | (old == k)).sum() for k in range(1, 6))

    found = match_labels(count_pairs(old, new))
    best = max(overlap(np.array([0, *order])) for order in permutations(range(1, 6)))
    assert overlap(np.array([0, *(found[label] for label in range(1, 6))])) == pytest.approx(best)


def test_what_was_named_comes_first_where_most_of_it_lies():
    old = np.repeat(np.array([1, 2, 3], np.uint16), [60, 10, 30])[None]
    new = np.repeat(np.array([1, 2], np.uint16), [71, 29])[None]
    pairs = count_pairs(old, new)
    assert match_labels(pairs) == {1: 1, 2: 3}
    assert match_labels(pairs, named=[2]) == {1: 2, 2: 3}


@pytest.mark.parametrize(("n_old", "n_new"), [(3, 6), (6, 3), (1, 4)])
def test_labels_without_a_partner_get_numbers_of_their_own(n_old, n_new):
    old, new = images(1, n_old, n_new)
    found = match_labels(count_pairs(old, new), labels=[n_new + 1])
    assert set(found) == {*np.unique(new).tolist(), n_new + 1}
    assert len(set(found.values())) == len(found)
    partners = set(found.values()) & set(np.unique(old).tolist())
    assert len(partners) == min(n_old, n_new)


def test_background_is_no_class():
    old = np.array([[0, 0, 0, 2]], np.uint16)
    new = np.array([[2, 2, 2, 1]], np.uint16)
    assert match_labels(count_pairs(old, new)) == {1: 2, 2: 1}


def test_lazy_label_images_give_the_same_pairs():
    old, new = images(2)
    lazy = count_pairs(da.from_array(old, chunks=(7, 9)), da.from_array(new, chunks=(10, 10)))
    assert lazy == count_pairs(old, new)
