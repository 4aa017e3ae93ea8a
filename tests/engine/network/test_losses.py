import math

import numpy as np
import pytest
import torch

from napari_ufseg.engine.api import segment
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.network.losses import (
    ClassTargets,
    class_shares,
    continuity_loss,
    max_area_loss,
    min_area_loss,
    scribble_loss,
    similarity_loss,
    total_loss,
)

LN3 = math.log(3)


def response(classes, n_classes=3, height=LN3):
    """(1, K, Y, X) with `height` at the class of each pixel and 0 elsewhere; needs a gradient."""
    one_hot = torch.nn.functional.one_hot(torch.tensor(classes), n_classes).permute(2, 0, 1)[None]
    return (one_hot * height).double().requires_grad_()


def test_similarity_of_two_classes_by_hand():
    r = response([[0, 1]], n_classes=2)  # softmax: 3/4 and 1/4 in both pixels
    assert float(similarity_loss(r)) == pytest.approx(math.log(4 / 3))


def test_similarity_is_the_mean_over_pixels():
    r = torch.tensor([[[[LN3, 0.0]], [[0.0, 0.0]]]])  # 3/4 and a tie of 1/2
    assert float(similarity_loss(r)) == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)


def test_similarity_leaves_out_the_pixels_with_a_scribble():
    r = torch.tensor([[[[LN3, 0.0]], [[0.0, 0.0]]]], requires_grad=True)
    loss = similarity_loss(r, torch.tensor([[[0, 1]]]))
    assert float(loss) == pytest.approx(math.log(4 / 3))
    loss.backward()
    assert (r.grad[0, :, 0, 1] == 0).all()
    assert (r.grad[0, :, 0, 0] != 0).all()


def test_similarity_with_scribbles_everywhere_is_zero_and_has_no_gradient():
    r = response([[0, 1]])
    loss = similarity_loss(r, torch.tensor([[[2, 2]]]))
    assert float(loss) == 0
    loss.backward()
    assert (r.grad == 0).all()


def test_continuity_by_hand():
    r = torch.tensor([[[[0.0, 1.0, 4.0], [2.0, 2.0, 2.0]]]])
    down = (2 + 1 + 2) / 3
    right = (1 + 3 + 0 + 0) / 4
    assert float(continuity_loss(r)) == pytest.approx(down + right)
    assert float(continuity_loss(r, nu_y=10, nu_x=0)) == pytest.approx(10 * down)
    assert float(continuity_loss(r, nu_y=0, nu_x=3)) == pytest.approx(3 * right)
    assert float(continuity_loss(r, 10.0, 3.0)) == pytest.approx(10 * down + 3 * right)


@pytest.mark.parametrize(("shape", "expected"), [((1, 3), 2.0), ((3, 1), 20.0), ((1, 1), 0.0)])
def test_continuity_of_an_axis_of_length_one_is_nothing(shape, expected):
    r = torch.tensor([0.0, 1.0, 4.0])[: max(shape)].reshape(1, 1, *shape)
    assert float(continuity_loss(r, nu_y=10, nu_x=1)) == pytest.approx(expected)


def test_area_terms_count_pixels():
    r = response([[0, 0, 0], [1, 1, 2]])
    assert class_shares(r).tolist() == pytest.approx([3 / 6, 2 / 6, 1 / 6])
    assert float(max_area_loss(r)) == pytest.approx(3 / 6)
    assert float(min_area_loss(r)) == pytest.approx(1 - 1 / 6)


def test_the_smallest_class_is_one_that_is_present():
    r = response([[0, 0, 0], [1, 1, 0]])
    assert float(min_area_loss(r)) == pytest.approx(1 - 2 / 6)
    assert float(min_area_loss(response([[0, 0]]))) == 0
    assert float(max_area_loss(response([[0, 0]]))) == 1


def test_areas_are_counted_over_the_whole_batch():
    r = torch.cat([response([[0, 0]]), response([[1, 0]])])
    assert float(max_area_loss(r)) == pytest.approx(3 / 4)


@pytest.mark.parametrize(("term", "k", "sign"), [(max_area_loss, 0, 1), (min_area_loss, 2, -1)])
def test_area_terms_have_the_gradient_of_the_soft_area(term, k, sign):
    """Counting alone has none: bincount(argmax) does not even require a gradient."""
    classes = [[0, 0, 0], [1, 1, 2]]
    r = response(classes)
    assert not torch.bincount(r.argmax(1).flatten()).requires_grad
    term(r).backward()
    p = torch.softmax(r.detach(), dim=1)
    for i in range(3):
        expected = sign * p[:, k] * ((1 if i == k else 0) - p[:, i]) / 6  # derivative of a softmax mean
        np.testing.assert_allclose(r.grad[:, i], expected, atol=1e-12)
    assert (r.grad != 0).all()


def test_scribbles_by_hand():
    r = response([[0, 1]], n_classes=2)
    assert float(scribble_loss(r, torch.tensor([[[1, 0]]]))) == pytest.approx(math.log(4 / 3))  # label 1 is class 0
    assert float(scribble_loss(r, torch.tensor([[[2, 0]]]))) == pytest.approx(math.log(4))
    assert float(scribble_loss(r, torch.tensor([[[2, 2]]]))) == pytest.approx((math.log(4) + math.log(4 / 3)) / 2)
    assert float(scribble_loss(r, torch.tensor([[[0, 0]]]))) == 0


def test_scribbles_may_be_unsigned():
    r = response([[0, 1]], n_classes=2)
    assert float(scribble_loss(r, torch.tensor([[[1, 0]]], dtype=torch.uint8))) == pytest.approx(math.log(4 / 3))


def test_total_is_the_weighted_sum_of_the_unweighted_terms():
    r = response([[0, 0, 1], [1, 2, 0]])
    scribbles = torch.tensor([[[1, 0, 0], [0, 0, 2]]])
    config = SegmentationConfig(mu=2, nu=3, nu_x=0.5, nu_y=4, M=5, m=7, scribble_weight=11)
    loss = total_loss(r, config, scribbles)
    terms = {
        "similarity": (2, similarity_loss(r, scribbles)),
        "continuity": (3, continuity_loss(r, nu_y=4, nu_x=0.5)),
        "max_area": (5, max_area_loss(r)),
        "min_area": (7, min_area_loss(r)),
        "scribble": (11, scribble_loss(r, scribbles)),
    }
    assert loss.terms.keys() == terms.keys()
    for name, (_, value) in terms.items():
        assert float(loss.terms[name]) == pytest.approx(float(value))
    assert float(loss.total) == pytest.approx(sum(weight * float(value) for weight, value in terms.values()))
    assert loss.labels.tolist() == [[[0, 0, 1], [1, 2, 0]]]


def test_a_weight_of_zero_switches_its_term_off():
    config = SegmentationConfig(mu=0, nu=1, M=0, m=0, scribble_weight=0)
    loss = total_loss(response([[0, 1]]), config, torch.tensor([[[1, 0]]]))
    assert set(loss.terms) == {"continuity"}
    assert set(total_loss(response([[0, 1]]), SegmentationConfig()).terms) == {
        "similarity",
        "continuity",
        "max_area",
        "min_area",
    }


def areas(image, **weights):
    config = SegmentationConfig(n_features=8, n_classes=6, epochs=25, min_classes=1, nu=1.0, momentum=0.9, **weights)
    labels = segment(image, config, device="cpu").labels
    counts = np.bincount(labels.ravel())
    return counts[counts > 0] / labels.size


SEEDS = (0, 1, 2)


def test_a_larger_M_makes_the_largest_class_smaller(coins):
    """Up to the point where the largest class is as small as the others; from there on it can only oscillate."""
    largest = [[areas(coins, M=weight, m=0.0, seed=seed).max() for seed in SEEDS] for weight in (0.0, 1.0, 2.0)]
    without, little, more = largest
    assert all(a - c > 0.03 for a, c in zip(without, more, strict=True)), largest
    assert np.mean(without) > np.mean(little) > np.mean(more), largest


@pytest.mark.parametrize("seed", SEEDS)
def test_a_larger_m_makes_the_smallest_class_larger_or_absorbs_it(coins, seed):
    """A weight of a few only makes the smallest classes take turns; a large one lifts or removes them for sure."""
    without, with_m = (areas(coins, M=0.0, m=weight, seed=seed) for weight in (0.0, 32.0))
    assert with_m.min() > 2 * without.min()
    assert len(with_m) <= len(without)


def test_merged_classes_are_one_class_whose_probability_is_the_sum():
    response = torch.randn(2, 5, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    groups = torch.tensor([0, 1, 0, 2, 1])
    targets = torch.randint(0, 3, (2, 6, 7), generator=torch.Generator().manual_seed(1))
    scribbles = torch.zeros(2, 6, 7, dtype=torch.int64)
    scribbles[0, 2, 1:4] = 3  # group 2
    config = SegmentationConfig(mu=1.5, nu=0.5, M=0.4, m=0.3, scribble_weight=0.7)
    probability = torch.softmax(response, 1)
    summed = torch.stack([probability[:, groups == g].sum(1) for g in range(3)], 1)
    entropy = -torch.log(torch.gather(summed, 1, targets[:, None])[:, 0])
    marked = -torch.log(summed[0, 2, 2, 1:4]).mean()
    shown = groups[response.argmax(1)]
    areas = [float((shown == g).double().mean()) for g in range(3)]
    found = total_loss(response, config, scribbles, ClassTargets(groups, targets))
    expected = {
        "similarity": entropy[scribbles == 0].mean(),
        "continuity": continuity_loss(response),
        "max_area": torch.tensor(max(areas), dtype=torch.float64),
        "min_area": torch.tensor(1 - min(areas), dtype=torch.float64),
        "scribble": marked,
    }
    for name, value in expected.items():
        assert float(found.terms[name]) == pytest.approx(float(value), rel=1e-12), name
    free = total_loss(response, config, scribbles, ClassTargets(groups))
    own = -torch.log(torch.gather(summed, 1, shown[:, None])[:, 0])
    assert float(free.terms["similarity"]) == pytest.approx(float(own[scribbles == 0].mean()), rel=1e-12)
    assert torch.equal(found.labels, response.argmax(1))
