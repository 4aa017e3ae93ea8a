import copy
import threading

import numpy as np
import pytest
import torch
from skimage import data

from napari_ufseg.engine.api import predict
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.cpu_step.step import FastStep
from napari_ufseg.engine.errors import ConfigError, DeviceError, MemoryShortageError, TrainingError, UfsegError
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.training import session as session_module
from napari_ufseg.engine.training.results import StopReason
from napari_ufseg.engine.training.session import TrainingSession

DECISIVE = {"epochs": 60, "nu": 0.2, "learning_rate": 0.05, "momentum": 0.9}
WAIT = 30  # seconds at most for a thread; nothing waits so long unless it is broken


@pytest.fixture
def make(coins, quick):
    """A function: a session on the CPU, on the coins unless told otherwise, with changes to the quick config."""
    return lambda image=None, scribbles=None, **changes: TrainingSession(
        coins if image is None else image, quick(**changes), scribbles=scribbles, device="cpu"
    )


def run_to_end(session, *args, **kwargs):
    snapshots = []
    run = session.run(*args, **kwargs)
    while True:
        try:
            snapshots.append(next(run))
        except StopIteration as end:
            return snapshots, end.value


# -- step and snapshot --------------------------------------------------------------------------


def test_a_step_is_an_epoch_for_a_single_image(make):
    session = make(M=1.0, m=1.0)
    losses = session.step()
    assert set(losses) == {"total", "similarity", "continuity", "max_area", "min_area"}
    assert all(type(value) is float for value in losses.values())
    expected = 2 * losses["similarity"] + losses["continuity"] + losses["max_area"] + losses["min_area"]
    assert losses["total"] == pytest.approx(expected, rel=1e-6)
    assert session.epoch == 1
    record = session.history[0]
    assert (record.epoch, record.losses, record.changed) == (1, losses, 1.0)
    assert record.seconds > 0
    assert record.n_classes == session.snapshot().n_classes


def test_a_snapshot_shows_the_labels_of_the_last_step(make):
    session = make()
    with pytest.raises(TrainingError, match="make at least one step first"):
        session.snapshot()
    with pytest.raises(TrainingError, match="make at least one step first"):
        session.result()
    network = copy.deepcopy(session.network).train()
    session.step()
    shown = session.snapshot()
    assert np.array_equal(shown.labels, network(session.trainer.images[0][None]).argmax(1)[0].numpy() + 1)
    assert (shown.epoch, shown.epochs) == (1, 5)
    assert shown.labels.dtype == np.uint16
    assert shown.labels.shape == (24, 32)
    assert shown.n_classes == len(np.unique(shown.labels))
    assert shown.losses == session.history[-1].losses
    assert shown.elapsed == pytest.approx(session.history[0].seconds)
    assert shown.seconds_left > 0


def test_a_snapshot_cannot_be_written_and_later_steps_leave_it_alone(make):
    session = make()
    session.step()
    first = session.snapshot()
    kept = first.labels.copy()
    with pytest.raises(ValueError, match="read-only"):
        first.labels[0, 0] = 9
    with pytest.raises(AttributeError):
        first.epoch = 3
    for _ in range(8):
        session.step()
    assert np.array_equal(first.labels, kept)
    assert not np.array_equal(session.snapshot().labels, kept)
    assert first.losses != session.snapshot().losses


def test_the_share_of_changed_pixels_is_counted(make):
    session = make()
    session.step()
    before = session.snapshot().labels
    session.step()
    assert session.history[1].changed == pytest.approx(np.mean(before != session.snapshot().labels))


def test_the_loss_falls(make):
    session = make(nu=0.0)
    totals = [session.step()["total"] for _ in range(15)]
    assert totals[-1] < 0.8 * totals[0]


# -- run ----------------------------------------------------------------------------------------


def test_a_run_shows_the_first_step_at_once_and_ends_with_the_result(make):
    session = make()
    run = session.run(every=0.0)
    assert session.epoch == 0
    first = next(run)
    assert session.epoch == first.epoch == 1
    assert session.stop_reason is None
    snapshots, result = [first], None
    while result is None:
        try:
            snapshots.append(next(run))
        except StopIteration as end:
            result = end.value
    assert [item.epoch for item in snapshots] == [1, 2, 3, 4, 5]
    assert all(item.epochs == 5 for item in snapshots)
    assert snapshots[-1].seconds_left == 0
    assert np.array_equal(snapshots[-1].labels, result.labels)
    assert not np.shares_memory(snapshots[-1].labels, result.labels)
    assert result.labels.flags.writeable
    assert (result.stop_reason, session.stop_reason) == (StopReason.EPOCHS, StopReason.EPOCHS)
    assert result.history == tuple(session.history)
    assert [record.epoch for record in result.history] == [1, 2, 3, 4, 5]
    assert result.config == session.config
    assert result.device == "cpu"


def test_snapshots_come_no_faster_than_asked(make, monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(session_module.time, "perf_counter", lambda: next(clock) / 10)
    snapshots, _ = run_to_end(make(epochs=40), every=2.0)
    middle = [item.epoch for item in snapshots[:-1]]
    assert middle[0] == 1
    assert 2 < len(middle) < 15
    assert min(np.diff(middle)) >= 4  # a step looks at this clock 3 to 5 times, 0.1 s each


def test_without_a_picture_in_between_there_are_the_first_and_the_last(make):
    snapshots, _ = run_to_end(make(), every=float("inf"))
    assert [item.epoch for item in snapshots] == [1, 5]


def test_the_result_repeats_the_labels_that_were_shown(make, agreement):
    session = make(epochs=12)
    _, result = run_to_end(session, 0.0)
    assert agreement(result.labels, session.snapshot().labels) >= 0.999


def test_a_session_runs_on_after_its_epochs(make):
    session = make(epochs=4)
    run_to_end(session)
    snapshots, result = run_to_end(session)
    assert session.epoch == 8
    assert snapshots[0].epochs == 8
    assert len(result.history) == 8
    run_to_end(session, epochs=3)
    assert session.epoch == 11
    whole = make(epochs=11)
    _, in_one_go = run_to_end(whole)
    assert np.array_equal(session.snapshot().labels, whole.snapshot().labels)
    assert [r.losses for r in in_one_go.history] == [r.losses for r in session.history]


def test_steps_made_by_hand_count(make):
    session = make(epochs=4)
    session.step()
    snapshots, _ = run_to_end(session, every=0.0)
    assert [item.epoch for item in snapshots] == [2, 3, 4]


@pytest.mark.parametrize("epochs", [0, -3])
def test_a_run_of_no_epochs_is_refused(make, epochs):
    with pytest.raises(ConfigError, match=f"epochs is {epochs}"):
        next(make().run(epochs=epochs))


def test_closing_the_generator_leaves_a_usable_session(make):
    session = make(epochs=6)
    run = session.run(every=0.0)
    next(run)
    next(run)
    run.close()
    assert session.stop_reason is StopReason.STOPPED
    assert session.snapshot().epoch == 2
    assert session.result().stop_reason is StopReason.STOPPED
    _, result = run_to_end(session)
    assert session.epoch == 6
    undisturbed = make(epochs=6)
    _, expected = run_to_end(undisturbed)
    assert np.array_equal(result.labels, expected.labels)


# -- stop ---------------------------------------------------------------------------------------


def test_stop_from_another_thread_ends_after_the_present_step(make):
    session = make(epochs=3000)
    shown, asked, ended, outcome = threading.Event(), threading.Event(), threading.Event(), []

    def work():
        run = session.run(every=0.0)
        try:
            next(run)
            shown.set()
            asked.wait(WAIT)
            before = session.epoch
            rest = list(run)
            outcome.append((before, rest, session.epoch))
        finally:
            ended.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert shown.wait(WAIT)
    session.stop()
    asked.set()
    assert ended.wait(WAIT)
    thread.join(WAIT)
    assert not thread.is_alive()
    before, rest, after = outcome[0]
    assert after == before + 1
    assert len(rest) == 1
    assert rest[0].epoch == after
    assert session.stop_reason is StopReason.STOPPED


def test_a_stopped_session_runs_on(make):
    session = make(epochs=10)
    for _ in session.run(every=0.0):
        if session.epoch == 3:
            session.stop()
    assert session.stop_reason is StopReason.STOPPED
    stopped_at = session.epoch
    assert stopped_at == 4
    _, result = run_to_end(session)
    assert session.epoch == 10
    assert result.stop_reason is StopReason.EPOCHS


def test_a_stop_that_comes_while_the_result_is_made_does_not_end_the_next_run(make, monkeypatch):
    session = make(epochs=3)
    make_result = session.result
    monkeypatch.setattr(session, "result", lambda: session.stop() or make_result())
    run_to_end(session)
    run_to_end(session, epochs=4)
    assert session.epoch == 7


def test_each_reason_to_stop_is_reached(make):
    assert {reason.value for reason in StopReason} == {"min_classes", "epochs", "settled", "stopped"}
    _, by_epochs = run_to_end(make(epochs=2))
    assert by_epochs.stop_reason is StopReason.EPOCHS
    _, by_classes = run_to_end(make(epochs=500, min_classes=3, nu=20.0))
    assert by_classes.stop_reason is StopReason.MIN_CLASSES
    assert by_classes.history[-1].n_classes <= 3
    assert all(record.n_classes > 3 for record in by_classes.history[:-1])
    _, by_rest = run_to_end(make(epochs=500, settle_fraction=0.05, settle_epochs=4, learning_rate=0.001))
    assert by_rest.stop_reason is StopReason.SETTLED
    changed = [record.changed < 0.05 for record in by_rest.history]
    assert changed[-4:] == [True] * 4
    assert not any(all(changed[i : i + 4]) for i in range(len(changed) - 4))


def test_settling_is_off_at_zero(make):
    _, result = run_to_end(make(epochs=20, settle_fraction=0.0, settle_epochs=1, learning_rate=1e-5))
    assert result.stop_reason is StopReason.EPOCHS


def test_more_classes_wanted_than_there_are_does_not_stop_at_the_first_step(make):
    _, result = run_to_end(make(epochs=3, n_classes=4, min_classes=9, learning_rate=1e-5))
    assert len(result.history) >= 1
    assert result.history[-1].n_classes <= 3 or result.stop_reason is StopReason.EPOCHS


# -- random numbers -----------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_labels_and_another_one_others(make):
    runs = [run_to_end(make(seed=seed))[1] for seed in (3, 3, 4)]
    assert np.array_equal(runs[0].labels, runs[1].labels)
    assert [r.losses for r in runs[0].history] == [r.losses for r in runs[1].history]
    assert not np.array_equal(runs[0].labels, runs[2].labels)


def test_two_interleaved_sessions_equal_separate_ones(make, others, coins):
    settings = [{"seed": 1, "image": [coins, *others]}, {"seed": 2, "image": others[0]}]
    alone = [make(**item) for item in settings]
    for session in alone:
        for _ in range(6):
            session.step()
    mixed = [make(**item) for item in settings]
    for _ in range(6):
        for session in mixed:
            session.step()
    for one, other in zip(alone, mixed, strict=True):
        weights = zip(one.network.state_dict().values(), other.network.state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for a, b in weights)
        assert [r.losses for r in one.history] == [r.losses for r in other.history]


def test_global_random_numbers_are_left_alone(make, others):
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    _, result = run_to_end(make(others))
    predict(result.model, others[0], device="cpu")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


# -- several images -----------------------------------------------------------------------------


def test_several_sizes_train_one_set_of_weights(make, coins, others):
    images = [coins, *others]
    session = make(images, epochs=6)
    snapshots, result = run_to_end(session, 0.0)
    assert [item.shape for item in result.labels] == [image.shape for image in images]
    assert all(item.dtype == np.uint16 for item in result.labels)
    assert isinstance(snapshots[0].labels, list)
    assert [item.shape for item in snapshots[-1].labels] == [image.shape for image in images]
    for shown, image, expected in zip(snapshots[-1].labels, images, result.labels, strict=True):
        assert np.array_equal(shown, expected)
        assert np.array_equal(predict(result.model, image, device="cpu"), expected)
    together = predict(result.model, images, device="cpu")
    assert all(np.array_equal(a, b) for a, b in zip(together, result.labels, strict=True))


@pytest.mark.parametrize(("size", "expected"), [(1, [1] * 7), (2, [2, 2, 1, 2]), (3, [3, 2, 2]), (16, [5, 2])])
def test_batches_hold_images_of_one_size_and_at_most_batch_size(make, coins, size, expected):
    images = [coins + i for i in range(5)] + [coins[:20, :20] + i for i in range(2)]
    session = make(images, batch_size=size)
    seen = []
    descend = session.trainer.descend
    session.trainer.descend = lambda batch: seen.append(batch) or descend(batch)
    for _ in expected:
        assert session.epoch == 0
        session.step()
    assert session.epoch == 1
    assert sorted(map(len, seen)) == sorted(expected)
    assert sorted(i for batch in seen for i in batch) == list(range(7))
    assert all(len({images[i].shape for i in batch}) == 1 for batch in seen)


def test_every_epoch_draws_its_own_order(make, coins):
    session = make([coins + i for i in range(6)], batch_size=1)
    orders = [session.trainer.batches() for _ in range(4)]
    assert any(order != orders[0] for order in orders[1:])


def test_losses_of_an_epoch_are_means_over_its_images(make, coins):
    session = make([coins, coins + 1, coins[:16, :16]], batch_size=2)
    steps = [session.step() for _ in range(2)]
    sizes = [2, 1] if len(session.trainer.images) == 3 else None
    totals = {
        round(sum(s["total"] * n for s, n in zip(steps, order, strict=True)) / 3, 6) for order in (sizes, sizes[::-1])
    }
    assert round(session.history[0].losses["total"], 6) in totals


def test_a_list_of_one_gives_a_list(make, coins):
    _, result = run_to_end(make([coins]))
    assert isinstance(result.labels, list)
    assert len(result.labels) == 1
    _, single = run_to_end(make(coins))
    assert np.array_equal(result.labels[0], single.labels)


def test_a_constant_image_among_several_is_one_class_and_disturbs_nobody(coins, quick, others, recorded):
    flat = np.full((9, 9), 7, np.uint8)
    session, caught = recorded(TrainingSession, [coins, flat, others[0]], quick(), device="cpu")
    assert [str(w.message) for w in caught] == ["Image 2 is constant: all of it is one class."]
    (_, result), later = recorded(run_to_end, session)
    assert not later
    assert (result.labels[1] == 1).all()
    _, without = run_to_end(TrainingSession([coins, others[0]], quick(), device="cpu"))
    assert np.array_equal(result.labels[0], without.labels[0])
    assert np.array_equal(result.labels[2], without.labels[1])


def test_only_constant_images_end_at_once(quick, recorded):
    session, caught = recorded(TrainingSession, [np.zeros((5, 5)), np.ones((4, 4))], quick(), device="cpu")
    assert len(caught) == 2
    _, result = run_to_end(session)
    assert result.stop_reason is StopReason.MIN_CLASSES
    assert len(result.history) == 1
    assert all((item == 1).all() for item in result.labels)


# -- scribbles ----------------------------------------------------------------------------------


def test_scribbles_train_the_class_that_is_shown_under_their_number(coins, quick):
    bright = coins > 130
    scribbles = np.where(bright, 5, np.where(coins < 80, 2, 0)).astype(np.uint8)
    config = quick(scribble_weight=20.0, **DECISIVE)
    session = TrainingSession(coins, config, scribbles=scribbles, device="cpu")
    _, result = run_to_end(session)
    assert np.mean(result.labels[scribbles == 5] == 5) > 0.9
    assert np.mean(result.labels[scribbles == 2] == 2) > 0.9
    assert "scribble" in result.history[0].losses


def test_an_empty_scribble_image_changes_nothing(make, coins):
    _, plain = run_to_end(make())
    _, empty = run_to_end(make(scribbles=np.zeros(coins.shape, int)))
    assert np.array_equal(plain.labels, empty.labels)
    assert "scribble" not in empty.history[0].losses


def test_scribbles_of_several_images_stay_with_their_image(make, coins):
    corner = coins[:20, :24]
    dark, bright = np.where(coins < 80, 2, 0), np.where(corner > 130, 5, 0)
    session = make([coins, corner], scribbles=[dark, bright], scribble_weight=20.0, **DECISIVE)
    _, result = run_to_end(session)
    assert np.mean(result.labels[0][dark == 2] == 2) > 0.9
    assert np.mean(result.labels[1][bright == 5] == 5) > 0.9


# -- what can go wrong --------------------------------------------------------------------------


def test_a_huge_learning_rate_is_a_training_error_and_the_session_lives_on(make):
    session = make(learning_rate=10.0, momentum=0.999, epochs=5000, nu=100.0)
    exploded = {name: torch.full_like(value, 1e38) for name, value in session.network.named_parameters()}
    session.step()
    shown = session.snapshot()
    weights = copy.deepcopy(session.network.state_dict())
    session.network.load_state_dict(exploded, strict=False)
    with pytest.raises(TrainingError, match=r"diverged in epoch 2 .* use a smaller learning_rate"):
        session.step()
    assert session.epoch == 1
    assert np.array_equal(session.snapshot().labels, shown.labels)
    assert np.mean(session.result().labels == shown.labels) >= 0.999
    session.network.load_state_dict(weights)
    session.step()
    assert session.epoch == 2


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("shape '[3]' is invalid"), TrainingError),
        (torch.OutOfMemoryError("CUDA out of memory."), MemoryShortageError),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory"), MemoryShortageError),
        (MemoryError(), MemoryShortageError),
    ],
)
def test_a_failing_step_is_an_error_of_ours_and_the_session_goes_on(make, monkeypatch, error, kind):
    def fail(*args):
        raise error

    session = make(epochs=6)
    undisturbed = make(epochs=6)
    run = session.run(every=0.0)
    next(run)
    shown = next(run)
    with monkeypatch.context() as patch:
        patch.setattr(FastStep, "loss", fail)
        with pytest.raises(kind) as caught:
            next(run)
    assert isinstance(caught.value, UfsegError)
    assert not isinstance(caught.value, RuntimeError)
    assert caught.value.__cause__ is error
    assert session.stop_reason is StopReason.STOPPED
    assert session.epoch == 2
    assert np.mean(session.result().labels == shown.labels) >= 0.999
    _, result = run_to_end(session)
    assert session.epoch == 6
    assert np.array_equal(result.labels, run_to_end(undisturbed)[1].labels)


def test_a_failure_in_the_middle_of_an_epoch_repeats_only_that_batch(make, monkeypatch, coins):
    images = [coins + i for i in range(3)]
    session, undisturbed = make(images, batch_size=1), make(images, batch_size=1)
    session.step()
    with monkeypatch.context() as patch:
        patch.setattr(FastStep, "loss", lambda *args: 1 / 0)
        with pytest.raises(TrainingError, match="ZeroDivisionError"):
            session.step()
    _, result = run_to_end(session)
    _, expected = run_to_end(undisturbed)
    assert all(np.array_equal(a, b) for a, b in zip(result.labels, expected.labels, strict=True))
    assert [r.losses for r in result.history] == [r.losses for r in expected.history]


def test_failures_while_preparing_are_ours(coins, quick, monkeypatch):
    def fail(*args):
        raise RuntimeError("can't allocate memory")

    monkeypatch.setattr(FeatureNet, "of_config", fail)
    with pytest.raises(MemoryShortageError, match="Preparing the run ran out of memory"):
        TrainingSession(coins, quick(), device="cpu")


def test_a_loss_without_any_weight_is_refused(make, coins):
    zero = {"mu": 0.0, "nu": 0.0, "M": 0.0, "m": 0.0}
    with pytest.raises(ConfigError, match="mu, nu, M and m are all 0"):
        make(**zero)
    with pytest.raises(ConfigError, match="mu, nu, M and m are all 0"):
        make(**zero, scribbles=np.zeros(coins.shape, int))
    scribbles = np.zeros(coins.shape, int)
    scribbles[0] = 1
    run_to_end(make(**zero, scribbles=scribbles))
    for name in zero:
        run_to_end(make(**{**zero, name: 1.0}, epochs=2))


def test_an_unknown_device_is_refused(coins):
    with pytest.raises(DeviceError):
        TrainingSession(coins, device="abacus")


def test_the_default_config_is_the_fast_preset(coins):
    assert TrainingSession(coins, device="cpu").config == SegmentationConfig.preset("fast")


@pytest.mark.parametrize("shape", [(1, 32), (32, 1), (1, 2), (2, 1), (2, 2)])
def test_very_small_images_train(make, shape):
    image = data.coins()[: shape[0], 100 : 100 + shape[1]].astype(float) + np.arange(np.prod(shape)).reshape(shape)
    _, result = run_to_end(make(image, M=1.0, m=1.0, epochs=3))
    assert result.labels.shape == shape
