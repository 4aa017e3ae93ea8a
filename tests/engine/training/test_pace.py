"""What runs teach about the seconds of the next one."""

import pytest

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.training.pace import Network, Paces


def network(device="cpu", threads=2, **changes):
    return Network.of(SegmentationConfig.preset("fast", **changes), 1, device, threads)


@pytest.fixture
def paces():
    return Paces()


def test_without_a_run_the_probe_counts(paces):
    assert paces.seconds(network(), 1000, 5.0) == 5.0


def test_a_run_takes_the_place_of_the_probe_for_the_same_network_and_alike_sizes(paces):
    paces.note_run(network(), 1000, 2.0)
    for pixels in (500, 1000, 1999):
        assert paces.seconds(network(), pixels, 50.0) == 2.0
    for pixels in (400, 2100):
        assert paces.seconds(network(), pixels, 50.0) == 50.0
    for other in (network(device="cuda"), network(threads=1), network(n_features=9)):
        assert paces.seconds(other, 1000, 50.0) == 50.0


def test_what_does_not_change_the_cost_of_a_step_makes_no_other_network(paces):
    paces.note_run(network(), 1000, 2.0)
    same = network(seed=4, epochs=7, nu=0.5, mu=1.5, min_classes=2, learning_rate=0.5, guard=False)
    assert paces.seconds(same, 1000, 50.0) == 2.0
    assert paces.seconds(network(nu=0.0), 1000, 50.0) == 50.0


def test_the_nearest_size_counts(paces):
    paces.note_run(network(), 1000, 2.0)
    paces.note_run(network(), 1500, 3.0)
    assert paces.seconds(network(), 1100, 50.0) == 2.0
    assert paces.seconds(network(), 1400, 50.0) == 3.0


def test_the_latest_run_counts_most(paces):
    for seconds in (1.0, 1.0, 10.0):
        paces.note_run(network(), 1000, seconds)
    assert paces.seconds(network(), 1000, 50.0) == pytest.approx(10**0.7)


def test_other_networks_on_the_device_learn_from_how_far_probes_were_off(paces):
    for i in range(3):
        paces.note_probe(network(n_features=8 + i), 1000, 1.0)
        paces.note_run(network(n_features=8 + i), 1000, 1.5)
    assert paces.seconds(network(n_features=30), 10**6, 10.0) == pytest.approx(15.0)
    assert paces.seconds(network(n_features=30, threads=1), 10**6, 10.0) == 10.0


def test_one_odd_probe_changes_nothing_for_others(paces):
    for i, probed in enumerate([1000.0, 1.0, 1.0]):
        paces.note_probe(network(n_features=8 + i), 1000, probed)
        paces.note_run(network(n_features=8 + i), 1000, 1.0)
        assert paces.seconds(network(n_features=30), 1000, 10.0) == pytest.approx(10.0)
    assert paces.seconds(network(n_features=8), 1000, 1000.0) == 1.0


def test_a_run_that_has_trained_nothing_teaches_nothing(paces):
    paces.note_run(network(), 1000, 0.0)
    assert paces.seconds(network(), 1000, 5.0) == 5.0
