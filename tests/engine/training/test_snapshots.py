"""Training on stacks, what is in view meanwhile, and the labelling at the end."""

import copy

import numpy as np
import pytest
import torch
import zarr
from skimage import data

from napari_ufseg.engine.api import predict, segment
from napari_ufseg.engine.training import memory_plan
from napari_ufseg.engine.training import session as session_module
from napari_ufseg.engine.training import snapshots as preview_module
from napari_ufseg.engine.training.results import StopReason
from napari_ufseg.engine.training.session import TrainingSession


def coins(*corners, shape=(24, 32)):
    """Crops of the coins, stacked."""
    crops = [data.coins()[y : y + shape[0], x : x + shape[1]] for y, x in corners]
    return np.stack(crops)


FOUR = coins((110, 100), (80, 40), (170, 160), (30, 60))


@pytest.fixture
def make(quick):
    """A function: a session on the CPU, on four planes unless told otherwise, with changes to the quick config."""

    def session(image=FOUR, axes="TYX", **changes):
        its = {name: changes.pop(name) for name in ("scribbles", "out", "memory_budget") if name in changes}
        return TrainingSession(image, quick(**changes), axes=axes, device="cpu", **its)

    return session


@pytest.fixture
def make_tiled(make, quick, budget_for, monkeypatch):
    """A function: a session that is trained on tiles of 32 x 32 pixels."""
    monkeypatch.setattr(memory_plan, "SAMPLED_PIXELS", 2**13)

    def session(image, axes="TYX", **changes):
        changes = {"batch_size": 2, **changes}
        its = make(image, axes, memory_budget=budget_for(quick(), 2 * 32**2), **changes)
        assert not its.is_whole
        return its

    return session


# -- the planes of a stack are images of one training -------------------------------------------


@pytest.mark.parametrize(("size", "n_batches"), [(16, 1), (2, 2), (3, 2), (1, 4)])
def test_the_planes_of_a_stack_are_trained_in_batches(make, size, n_batches):
    session = make(batch_size=size)
    batches = []
    descend = session.trainer.descend
    session.trainer.descend = lambda batch: batches.append(batch) or descend(batch)
    steps = [session.step() for _ in range(n_batches)]
    assert session.epoch == 1
    assert sorted(i for batch in batches for i in batch) == [0, 1, 2, 3]
    mean = sum(s["total"] * len(b) for s, b in zip(steps, batches, strict=True)) / 4
    assert session.history[0].losses["total"] == pytest.approx(mean)


def test_a_stack_is_trained_as_the_list_of_its_planes_if_these_span_the_same_brightness(quick):
    planes = FOUR.copy()
    planes[:, 0, 0], planes[:, 0, 1] = 0, 255
    stack = segment(planes, quick(batch_size=2), axes="TYX", device="cpu")
    listed = segment(list(planes), quick(batch_size=2), device="cpu")
    assert np.array_equal(stack.labels, np.stack(listed.labels))
    assert [r.losses for r in stack.history] == [r.losses for r in listed.history]


STACKS = {
    "TYX": (FOUR, "TYX", {}),
    "percentile": (FOUR, "TYX", {"scaling": "percentile"}),
    "two batches": (FOUR, "TYX", {"batch_size": 2}),
    "last": (FOUR.transpose(1, 2, 0), "YXZ", {}),
    "turned": (FOUR.transpose(2, 0, 1), "XTY", {}),
    "TZCYX": (np.stack([FOUR, FOUR[:, ::-1]], 1).reshape(2, 2, 2, 24, 32), "TZCYX", {}),
    "singletons": (FOUR[:, None, None], "TZCYX", {}),
    "one plane": (FOUR[:1], "TYX", {}),
    "one plane, not named": (FOUR[:1], None, {}),
    "colour over time": (np.stack([data.immunohistochemistry()[200:224, 300:332]] * 2), "TYXC", {}),
}


@pytest.mark.parametrize("kind", STACKS)
def test_the_labels_of_a_stack_are_those_of_the_prediction(quick, kind):
    image, axes, changes = STACKS[kind]
    result = segment(image, quick(**changes), axes=axes, device="cpu")
    shape = [n for n, letter in zip(image.shape, axes or "QYX", strict=True) if letter != "C"]
    assert result.labels.shape == tuple(shape)
    assert result.labels.dtype == np.uint16
    assert result.labels.min() >= 1
    assert len(np.unique(result.labels)) > 1
    assert np.array_equal(predict(result.model, image, axes=axes, device="cpu"), result.labels)
    assert result.is_complete
    assert result.areas == {int(k): int((result.labels == k).sum()) for k in np.unique(result.labels)}


def test_the_labels_of_tiles_are_those_of_the_prediction(make_tiled, drained):
    image = coins((20, 20), (60, 30), shape=(200, 300))
    session = make_tiled(image, scaling="percentile")
    _, result = drained(session.run(float("inf")))
    assert result.labels.min() >= 1
    assert np.array_equal(predict(result.model, image, axes="TYX", device="cpu"), result.labels)


def test_where_brightness_is_sampled_training_and_prediction_still_agree(quick, monkeypatch):
    monkeypatch.setattr("napari_ufseg.engine.images.intensity._SAMPLED_VALUES", 10_000)
    image = np.random.default_rng(0).normal(size=(300, 600)) + np.linspace(0, 3, 600)
    result = segment(image, quick(epochs=1, scaling="percentile"), device="cpu")
    assert np.array_equal(predict(result.model, image, device="cpu"), result.labels)


def test_a_class_is_the_same_in_every_plane(quick):
    """The same plane twice has the same labels, and a bright plane is not stretched like a dark one."""
    stack = np.stack([FOUR[0], FOUR[1], FOUR[0]])
    labels = segment(stack, quick(), axes="TYX", device="cpu").labels
    assert np.array_equal(labels[0], labels[2])
    low, high = np.zeros((24, 32)), np.ones((24, 32))
    low[0, 0] = 0.01
    labels = segment(np.stack([low, high]), quick(nu=0.2), axes="ZYX", device="cpu").labels
    assert labels[0, 12, 16] != labels[1, 12, 16]


def test_lists_of_stacks_of_different_sizes(quick, drained):
    images = [FOUR, coins((50, 60), (80, 90), shape=(20, 20)), FOUR[2:3, :, :10]]
    session = TrainingSession(images, quick(batch_size=3), axes="TYX", device="cpu")
    snapshots, result = drained(session.run(0.0))
    assert [item.shape for item in result.labels] == [image.shape for image in images]
    for image, labels, again in zip(images, result.labels, predict(result.model, images, axes="TYX"), strict=True):
        assert np.array_equal(predict(result.model, image, axes="TYX", device="cpu"), labels)
        assert np.array_equal(again, labels)
    for shown, index, labels in zip(snapshots[-1].labels, snapshots[-1].index, result.labels, strict=True):
        assert np.array_equal(labels[index], shown)
    everything = np.concatenate([item.ravel() for item in result.labels])
    assert result.areas == {int(k): int((everything == k).sum()) for k in np.unique(everything)}


def test_a_constant_plane_is_trained_with_the_others(quick, recorded):
    stack = FOUR.copy()
    stack[2] = 80
    result, caught = recorded(segment, stack, quick(), axes="TYX", device="cpu")
    assert not caught
    assert len(np.unique(result.labels[2, 4:-4, 4:-4])) == 1
    flat, caught = recorded(segment, np.full((3, 8, 9), 5), quick(), axes="TYX", device="cpu")
    assert [str(w.message) for w in caught] == ["The image is constant: all of it is one class."]
    assert (flat.labels == 1).all()
    assert flat.areas == {1: 3 * 8 * 9}


def test_scribbles_in_one_plane_train_all_planes(quick):
    stack = np.concatenate([FOUR, FOUR[:1]])
    scribbles = np.zeros(stack.shape, np.uint8)
    scribbles[0] = np.where(stack[0] > 130, 5, np.where(stack[0] < 80, 2, 0))
    config = quick(scribble_weight=20.0, epochs=60, nu=0.2, learning_rate=0.05, momentum=0.9)
    labels = segment(stack, config, axes="TYX", scribbles=scribbles, device="cpu").labels
    for plane in (0, 4):
        assert np.mean(labels[plane][scribbles[0] == 5] == 5) > 0.9
        assert np.mean(labels[plane][scribbles[0] == 2] == 2) > 0.9


def test_scribbles_of_a_turned_stack_stay_with_their_pixels(quick):
    marks = np.zeros(FOUR.shape, np.uint8)
    marks[1, 3:9, 5:20], marks[2, 12:20] = 3, 5
    straight = segment(FOUR, quick(), axes="TYX", scribbles=marks, device="cpu")
    turned = segment(FOUR.transpose(2, 1, 0), quick(), axes="XYT", scribbles=marks.transpose(2, 1, 0), device="cpu")
    assert np.array_equal(turned.labels.transpose(2, 1, 0), straight.labels)
    plain = segment(FOUR, quick(), axes="TYX", device="cpu")
    assert not np.array_equal(plain.labels, straight.labels)


@pytest.mark.parametrize("kind", ["numpy", "zarr", "list"])
def test_labels_go_into_the_array_that_was_given(quick, tmp_path, kind):
    expected = segment(FOUR, quick(), axes="TYX", device="cpu").labels
    if kind == "zarr":
        out = zarr.create_array(str(tmp_path / "a.zarr"), shape=FOUR.shape, chunks=(1, 24, 32), dtype="u2")
    else:
        out = np.full(FOUR.shape, 99, np.uint16)
    if kind == "list":
        result = segment([FOUR], quick(), axes="TYX", out=[out], device="cpu")
        assert result.labels[0] is out
    else:
        result = segment(FOUR, quick(), axes="TYX", out=out, device="cpu")
        assert result.labels is out
    assert np.array_equal(np.asarray(out), expected)


# -- what is in view ----------------------------------------------------------------------------


def shown_now(session):
    """Where the snapshot says its labels lie, and whether they are there what they should be."""
    snapshot = session.snapshot()
    full = np.zeros(session.sources[0].labels_shape, np.uint16)
    full[snapshot.index] = snapshot.labels
    return snapshot, full


def test_at_first_the_middle_plane_is_in_view(make):
    session = make()
    session.step()
    assert session.snapshot().index == (2, slice(0, 24), slice(0, 32))
    session = make(FOUR[:3].transpose(2, 0, 1), "XTY")
    session.step()
    snapshot = session.snapshot()
    assert snapshot.index == (slice(0, 32), 1, slice(0, 24))
    assert snapshot.labels.shape == (32, 24)


def test_in_a_single_batch_the_plane_in_view_is_shown_as_the_last_step_saw_it(make):
    session = make()
    session.step()
    for item in (0, 3, 1):
        session.look_at(0, item)
        snapshot, full = shown_now(session)
        assert snapshot.index[0] == item
        assert np.array_equal(full[item], session.trainer.labels[item].numpy() + 1)
        assert not full[[i for i in range(4) if i != item]].any()


def test_views_beyond_the_ends_show_the_last_plane(make):
    session = make()
    session.step()
    for item, expected in [(-5, 0), (99, 3)]:
        session.look_at(0, item)
        assert session.snapshot().index[0] == expected


@pytest.mark.parametrize("size", [16, 2])
def test_the_view_is_moved_during_a_run(make, size):
    session = make(epochs=6, batch_size=size)
    asked, shown = [], []
    for snapshot in session.run(every=0.0):
        if snapshot.labelled is None:
            shown.append(snapshot.index[0])
            asked.append(len(shown) % 4)
            session.look_at(0, asked[-1])
    assert len(shown) >= 5
    assert shown[1:] == asked[:-1]
    assert snapshot.index[0] == asked[-1]


def test_with_several_batches_the_view_shows_the_network_as_it_is(make):
    session = make(batch_size=2)
    for _ in range(3):
        session.step()
        network = copy.deepcopy(session.network).eval()
        for item in range(4):
            session.look_at(0, item)
            with torch.no_grad():
                expected = network(session.trainer.images[item][None])[0].argmax(0).numpy() + 1
            assert np.array_equal(session.snapshot().labels, expected)
        assert session.network.training
    assert session.snapshot().epoch == 1


def test_what_the_view_shows_is_close_to_the_labels_of_the_result(make):
    session = make(batch_size=2, learning_rate=0.02, momentum=0.0)
    for _ in range(20):
        session.step()
    result, same = session.result(), []
    for item in range(4):
        session.look_at(0, item)
        same.append(np.mean(session.snapshot().labels == result.labels[item]))
    assert np.mean(same) > 0.6


def test_looking_does_not_change_the_training(make, drained):
    watched, left_alone = make(batch_size=2), make(batch_size=2)
    for i, _ in enumerate(watched.run(every=0.0)):
        watched.look_at(0, i % 4, (i, i))
    drained(left_alone.run(every=float("inf")))
    assert [r.losses for r in watched.history] == [r.losses for r in left_alone.history]
    assert np.array_equal(watched.result().labels, left_alone.result().labels)


def test_in_tiles_the_plane_in_view_is_shown_whole(make_tiled):
    image = coins((20, 20), (60, 30), (90, 60), shape=(150, 300))
    session = make_tiled(image)
    session.step()
    for item in (2, 0):
        session.look_at(0, item)
        snapshot, full = shown_now(session)
        assert snapshot.index == (item, slice(0, 150), slice(0, 300))
        assert snapshot.labels.min() >= 1
        assert snapshot.labels.max() <= 6
        assert full[item].all()


@pytest.mark.parametrize(
    ("shape", "centre", "expected"),
    [
        ((24, 32), (0, 0), ((0, 0), (24, 32))),
        ((200, 300), (100, 150), ((86, 129), (114, 171))),
        ((200, 300), (0, 299), ((0, 258), (28, 300))),
        ((200, 300), (-50, 5000), ((0, 258), (28, 300))),
        ((200, 300), (13.7, 20.2), ((0, 0), (28, 42))),
    ],
)
def test_of_a_very_large_image_a_part_around_the_centre_is_shown(make, monkeypatch, shape, centre, expected):
    monkeypatch.setattr(preview_module, "PIXELS_IN_VIEW", 1200)
    image = np.random.default_rng(0).random((2, *shape))
    session = make(image, epochs=2)
    session.look_at(0, 1, centre)
    session.step()
    snapshot = session.snapshot()
    place = session._snapshots.places()[0]
    assert place[0] == 1
    assert snapshot.labels.shape == place[1].shape
    assert snapshot.labels.size <= 1200
    assert (place[1].start, place[1].stop) == expected
    assert np.array_equal(snapshot.labels, session.trainer.labels[1].numpy()[place[1].slices] + 1)
    last = list(session.run(every=float("inf")))[-1]
    assert last.labelled == 1.0
    assert last.index == (1, *place[1].slices)


def test_every_image_of_a_list_has_its_own_view(quick):
    images = [FOUR, FOUR[:2, :20]]
    session = TrainingSession(images, quick(), axes="TYX", device="cpu")
    session.look_at(0, 3)
    session.look_at(1, 0)
    session.step()
    snapshot = session.snapshot()
    assert [index[0] for index in snapshot.index] == [3, 0]
    assert [item.shape for item in snapshot.labels] == [(24, 32), (20, 32)]
    with pytest.raises(ValueError, match="read-only"):
        snapshot.labels[1][0, 0] = 1


def test_pictures_that_take_long_are_further_apart(make, monkeypatch):
    """Else a run whose pictures are slow would do little but draw."""
    now = [0.0]
    monkeypatch.setattr(session_module.time, "perf_counter", lambda: now[0])
    session = make(epochs=12, batch_size=2)
    step, snapshot = session.step, session.snapshot

    def taking(seconds, work):
        def slow():
            now[0] += seconds
            return work()

        return slow

    session.step, session.snapshot = taking(0.01, step), taking(1.0, snapshot)
    ends = []
    for _ in session.run(every=0.1):
        ends.append(now[0])
    pauses = np.diff(ends[:-1]) - 1.0
    assert (pauses >= 0.1 - 1e-9).all()


# -- the labelling at the end -------------------------------------------------------------------

WIDE = coins((20, 20), (60, 30), (90, 60), shape=(40, 300))


def wide_stack():
    """Three planes that are labelled in two tiles each."""
    return np.concatenate([WIDE, WIDE, WIDE[:, :, ::-1]], 2)


def test_labelling_shows_its_progress_and_the_plane_in_view_first(make):
    image = wide_stack()
    session = make(image, epochs=2)
    session.look_at(0, 0, (20, 800))
    shares, seen = [], []
    for snapshot in session.run(every=0.0):
        if snapshot.labelled is None:
            assert session.stop_reason is None
        else:
            shares.append(snapshot.labelled)
            seen.append(np.count_nonzero(snapshot.labels))
            assert snapshot.index == (0, slice(0, 40), slice(0, 900))
            assert session.stop_reason is StopReason.EPOCHS
    assert len(shares) == 6
    assert shares == sorted(set(shares))
    assert 0 < shares[0] < 0.2
    assert shares[-1] == 1.0
    assert seen[:2] == [40 * (900 - 512), 40 * 900]
    assert set(seen[1:]) == {40 * 900}
    assert (snapshot.labels > 0).all()
    assert snapshot.seconds_left == 0


def test_the_view_may_be_moved_while_it_labels(make):
    session = make(wide_stack(), epochs=1)
    full = None
    for snapshot in session.run(every=0.0):
        if snapshot.labelled is not None:
            session.look_at(0, 2)
            full = snapshot
    assert full.index[0] == 2
    assert (full.labels > 0).all()


@pytest.mark.parametrize("filled", [None, 0, 77])
def test_a_stop_while_it_labels_leaves_the_rest_empty(make, filled):
    out = None if filled is None else np.full((3, 40, 900), filled, np.uint16)
    session = make(wide_stack(), epochs=2, out=out)
    run = session.run(every=0.0)
    shown = []
    while True:
        try:
            shown.append(next(run))
        except StopIteration as end:
            result = end.value
            break
        if shown[-1].labelled is not None:
            session.stop()
    assert not result.is_complete
    assert session.epoch == 2
    assert result.stop_reason is StopReason.EPOCHS
    counts = np.bincount(result.labels.ravel())
    assert counts[0] > 0
    assert result.areas == {int(k): int(counts[k]) for k in np.flatnonzero(counts) if k > 0}
    done = result.labels > 0
    assert np.array_equal(predict(result.model, wide_stack(), axes="TYX", device="cpu")[done], result.labels[done])


def test_the_last_snapshot_of_a_stopped_labelling_tells_the_share_that_is_labelled(make, drained):
    session = make(wide_stack(), epochs=2)
    shares = []
    for snapshot in session.run(every=0.0):
        shares.append(snapshot.labelled)
        if snapshot.labelled is not None:
            session.stop()
    assert shares[-1] < 1
    _, again = drained(session.run(every=float("inf"), epochs=1))
    assert again.is_complete


def test_a_stop_while_it_trains_still_labels_everything(make):
    session = make(wide_stack(), epochs=50)
    run = session.run(every=0.0)
    next(run)
    session.stop()
    while True:
        try:
            next(run)
        except StopIteration as end:
            result = end.value
            break
    assert result.stop_reason is StopReason.STOPPED
    assert result.is_complete
    assert session.epoch < 50
    assert result.labels.min() >= 1


def test_the_result_of_a_session_is_complete_whether_or_not_a_stop_was_asked(make):
    session = make(wide_stack())
    session.step()
    session.stop()
    result = session.result()
    assert result.is_complete
    assert result.labels.min() >= 1


def test_the_picture_at_the_end_is_a_copy_of_the_labels_in_view(make, drained):
    session = make()
    session.look_at(0, 1)
    snapshots, result = drained(session.run(every=0.0))
    last = snapshots[-1]
    assert last.labelled == 1.0
    assert np.array_equal(result.labels[last.index], last.labels)
    assert not np.shares_memory(result.labels, last.labels)
    assert last.n_classes == len(result.areas)
    assert [item.labelled for item in snapshots[:5]] == [None] * 4 + [0.25]


def test_labelling_leaves_the_threads_as_they_were(make, drained):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        session = make(wide_stack(), epochs=1)
        for snapshot in session.run(every=0.0):
            if snapshot.labelled is not None:
                break
        drained(session.run(every=0.0, epochs=1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
