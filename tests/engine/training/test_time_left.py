"""The time that is left, against what then really took it."""

import numpy as np
import pytest

from napari_ufseg.engine.training.results import EpochRecord
from napari_ufseg.engine.training.session import TrainingSession
from napari_ufseg.engine.training.snapshots import DRAWING, FIRST, LABELLING


@pytest.fixture
def trained(coins, quick):
    session = TrainingSession(coins, quick(epochs=6), device="cpu")
    session.step()
    return session


def test_it_falls_from_epoch_to_epoch_and_leaves_time_for_the_labelling(coins, quick):
    session = TrainingSession(coins, quick(epochs=6), device="cpu")
    told = [(shown.epoch, shown.labelled, shown.seconds_left) for shown in session.run(every=0)]
    assert all(seconds > 0 for _, labelled, seconds in told if labelled is None)
    assert told[-1][1:] == (1.0, 0.0)


def test_the_epochs_with_their_pictures_and_the_labels_are_counted(trained):
    trained.trainer.history[:] = [EpochRecord(i + 1, 3, {"total": 1.0}, 0.5, s) for i, s in enumerate([9.0, 2.0, 2.0])]
    snapshots = trained._snapshots
    assert snapshots.seconds_left(0) == pytest.approx(2 * LABELLING)
    assert snapshots.seconds_left(5) == pytest.approx(5 * 2 + 2 * LABELLING)
    snapshots.add_drawing(1.0)
    snapshots.add_drawing(0.3)
    assert snapshots.seconds_left(5) == pytest.approx(5 * 2 * (1 + 1.3 / 13) + 2 * LABELLING)
    snapshots.add_drawing(60.0)  # the first pictures may take long, the next ones wait for it
    assert snapshots.seconds_left(5) == pytest.approx(5 * 2 * (1 + DRAWING) + 2 * LABELLING)


def test_of_tiles_an_epoch_is_a_part_of_the_labelling(quick, budget_for):
    config = quick(batch_size=4, epochs=2)
    image = np.random.default_rng(0).integers(0, 255, (1300, 1300), np.uint8)
    session = TrainingSession(image, config, device="cpu", memory_budget=budget_for(config, 4 * 64 * 64))
    assert not session.is_whole
    session.step()
    session.trainer.history[:] = [EpochRecord(1, 3, {"total": 1.0}, 0.5, 1.0)]
    seen = sum(labels.numel() for labels in session.trainer.labels)
    assert seen < image.size
    expected = FIRST * (1 + LABELLING * image.size / seen)  # one epoch is known, the first
    assert session._snapshots.seconds_left(1) == pytest.approx(expected)
