"""The scores of benchmarks/quality against brute force."""

import importlib.util
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "quality" / "scores.py"
if not FILE.exists():
    pytest.skip("the benchmarks are not here", allow_module_level=True)
spec = importlib.util.spec_from_file_location("quality_scores", FILE)
scores = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = scores
spec.loader.exec_module(scores)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.fixture(params=range(5))
def pair(request):
    """Blocky labels and a truth that partly agree."""
    rng = np.random.default_rng(request.param)
    truth = np.kron(rng.integers(0, 6, (4, 5)), np.ones((3, 3), int))
    labels = np.where(rng.random(truth.shape) < 0.7, truth * 3 + 2, rng.integers(0, 7, truth.shape))
    return labels, truth


def test_best_foreground_is_the_best_of_all_merges(pair):
    labels, truth = pair
    names = np.unique(labels)
    merges = itertools.chain.from_iterable(itertools.combinations(names, n) for n in range(1, len(names) + 1))
    best = max(iou(np.isin(labels, merge), truth > 0) for merge in merges)
    found = scores.best_foreground(labels, truth)
    assert found.iou == pytest.approx(best)
    assert iou(found.mask, truth > 0) == pytest.approx(best)
    assert found.n_classes == len(names)


def test_foreground_of_an_empty_truth_is_zero():
    assert scores.best_foreground(np.array([[1, 2]]), np.zeros((1, 2), int)).iou == 0


def test_segment_ious(pair):
    labels, truth = pair
    expected = [max(iou(truth == t, labels == p) for p in np.unique(labels)) for t in np.unique(truth)]
    assert scores.segment_ious(labels, truth) == pytest.approx(expected)


def test_segment_score_takes_the_finest_and_the_coarsest_truth(pair):
    labels, truth = pair
    coarse, middle = truth > 2, truth // 2
    found = scores.segment_score(labels, [middle, coarse, truth])
    assert found.fine == pytest.approx(scores.segment_ious(labels, truth))
    assert found.coarse == pytest.approx(scores.segment_ious(labels, coarse))
    assert len(found.all) == sum(len(np.unique(t)) for t in (coarse, middle, truth))


def brute_average_precision(instances, truth):
    true, found = ([n for n in np.unique(image) if n] for image in (truth, instances))
    hits = 0
    for order in itertools.permutations(found):  # greedily in every order finds the largest matching
        free = list(true)
        for p in order:
            match = next((t for t in free if iou(truth == t, instances == p) >= 0.5), None)
            if match is not None:
                free.remove(match)
        hits = max(hits, len(true) - len(free))
    return hits / (len(true) + len(found) - hits)


def test_average_precision(pair):
    labels, truth = pair
    labels = np.where(labels > 14, 0, labels)
    keep = np.unique(labels)[:6]
    labels = np.where(np.isin(labels, keep), labels, 0)
    assert scores.average_precision(labels, truth) == pytest.approx(brute_average_precision(labels, truth))


@pytest.mark.parametrize(
    ("instances", "truth", "expected"),
    [
        ([[1, 1, 1, 1]], [[1, 1, 2, 2]], 1 / 2),  # both halves reach 0.5 with it: only one counts
        ([[1, 1, 2, 2]], [[1, 1, 1, 1]], 1 / 2),
        ([[0, 0, 0, 0]], [[0, 0, 0, 0]], 1.0),
        ([[0, 0, 0, 0]], [[1, 1, 0, 0]], 0.0),
        ([[5, 5, 0, 0]], [[0, 0, 0, 0]], 0.0),
        ([[7, 7, 0, 3]], [[2, 2, 2, 0]], 1 / 2),
    ],
)
def test_average_precision_by_hand(instances, truth, expected):
    assert scores.average_precision(np.array(instances), np.array(truth)) == expected


def test_regions_are_the_connected_parts_of_each_class():
    classes = np.array([[0, 0, 1], [1, 2, 0], [1, 0, 0]])
    regions = scores.regions_of(classes)
    assert len(np.unique(regions)) == 5
    assert regions.min() == 1
    assert regions[0, 2] != regions[1, 0] == regions[2, 0]
    assert scores.instances_of(classes == 0).max() == 2
