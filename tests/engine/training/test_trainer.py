"""The rates of the steps, and what is kept where a step leaves too few classes."""

import numpy as np
import pytest
import torch

from napari_ufseg.engine.api import predict
from napari_ufseg.engine.training.results import StopReason
from napari_ufseg.engine.training.session import TrainingSession


def rates(session, n):
    used = []
    for _ in range(n):
        session.step()
        used.append(session.trainer._optimiser.param_groups[0]["lr"])
    return used


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_rate_falls_to_zero_over_the_epochs_and_then_stays_at_that_of_the_last(power, coins, quick):
    config = quick(learning_rate=0.08, learning_rate_decay=power, epochs=4)
    expected = [0.08 * share**power for share in (1.0, 0.75, 0.5, 0.25, 0.25, 0.25)]
    assert rates(TrainingSession(coins, config, device="cpu"), 6) == pytest.approx(expected, rel=1e-12)


def test_without_a_fall_the_rate_is_exactly_the_one_given(coins, quick):
    assert rates(TrainingSession(coins, quick(learning_rate=0.07, epochs=3), device="cpu"), 4) == [0.07] * 4


def test_all_steps_of_an_epoch_have_the_same_rate(coins, others, quick):
    config = quick(learning_rate=0.1, learning_rate_decay=1.0, epochs=2, batch_size=1)
    session = TrainingSession([coins, others[0]], config, device="cpu")
    assert rates(session, 6) == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.05, 0.05])


def test_the_rate_is_that_of_the_step_that_is_made(coins, quick):
    """Without momentum a step is the rate times the gradient."""
    config = quick(learning_rate=0.1, learning_rate_decay=1.0, momentum=0.0, epochs=4)
    session = TrainingSession(coins, config, device="cpu")
    session.step()
    before = [p.detach().clone() for p in session.network.parameters()]
    session.step()
    for old, new in zip(before, session.network.parameters(), strict=True):
        torch.testing.assert_close(new.detach(), old - 0.075 * new.grad)


COLLAPSING = {"learning_rate": 0.3, "momentum": 0.9, "nu": 20.0, "M": 0.0, "m": 0.0, "mu": 1.0, "n_classes": 8}


def watched(image, config):
    """A session trained until a rule ends it, and the labels of every epoch with enough classes."""
    session = TrainingSession(image, config, device="cpu")
    good = []
    while session.trainer.reason_to_stop(config.epochs) is None:
        done = session.epoch
        while session.epoch == done:
            session.step()
        if session.history[-1].n_classes >= config.min_classes:
            good.append([labels.clone() for labels in session.trainer.labels])
            weights = session.trainer.model().network.state_dict()
    return session, good, weights


@pytest.mark.parametrize("several", [False, True])
def test_the_guard_keeps_the_last_picture_with_enough_classes(several, coins, others, quick, drained):
    image = [coins, *others] if several else coins
    config = quick(**COLLAPSING, min_classes=5, epochs=60, guard=True, batch_size=2)
    session, good, weights = watched(image, config)
    assert session.history[-1].n_classes < 5
    assert good
    other = TrainingSession(image, config, device="cpu")
    pictures, result = drained(other.run(every=0))
    assert result.stop_reason == StopReason.MIN_CLASSES
    assert len(result.history) == len(session.history)
    assert result.kept_epoch == max(record.epoch for record in result.history if record.n_classes >= 5)
    left = result.history[-1].n_classes
    assert result.count_note == f"then {left} were left, so epoch {result.kept_epoch} is kept"
    kept = result.model.network.state_dict()
    assert all(torch.equal(kept[name], weights[name]) for name in weights)
    shown = pictures[-1].labels
    if several:
        assert all(np.array_equal(a, b) for a, b in zip(shown, result.labels, strict=True))
    else:
        assert np.array_equal(shown, good[-1][0].numpy() + 1)
        assert np.array_equal(shown, result.labels)
        assert np.array_equal(shown, predict(result.model, coins, device="cpu"))
        assert len(np.unique(shown)) == pictures[-1].n_classes >= 5
    for kept, now in zip(good[-1], other.trainer.labels, strict=True):
        assert torch.equal(kept, now)


def test_without_the_guard_the_collapse_is_shown(coins, quick):
    config = quick(**COLLAPSING, min_classes=5, epochs=60)
    session, *_ = watched(coins, config)
    assert len(np.unique(session.result().labels)) == session.history[-1].n_classes < 5
    session.stop_reason = StopReason.MIN_CLASSES
    assert session.result().count_note.startswith(f"only {session.history[-1].n_classes} are left; the option Guard")


def test_a_run_goes_on_from_what_the_guard_kept_without_momentum(coins, quick):
    config = quick(**COLLAPSING, min_classes=5, epochs=60, guard=True)
    session, good, _ = watched(coins, config)
    assert not session.trainer._optimiser.state
    session.step()
    assert torch.equal(session.trainer.labels[0], good[-1][0])


def test_with_too_few_classes_from_the_beginning_the_first_picture_stays(quick):
    image = np.zeros((20, 24), np.uint8)
    image[4:9, 5:15] = 200
    config = quick(n_classes=8, min_classes=5, guard=True, start="clusters", skip=True)
    session = TrainingSession(image, config, device="cpu")
    *_, last = session.run(every=0)
    assert session.stop_reason == StopReason.MIN_CLASSES
    assert session.epoch == 1
    assert np.array_equal(last.labels, image // 200 + 1)
