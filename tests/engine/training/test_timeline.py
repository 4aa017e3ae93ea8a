"""Moments of a run: how many are kept, which, and that one can go on from them."""

import numpy as np
import pytest

from napari_ufseg import SegmentationConfig, predict
from napari_ufseg.engine.labels.corrections import find_corrections
from napari_ufseg.engine.training.session import TrainingSession
from napari_ufseg.engine.training.timeline import Timeline
from napari_ufseg.engine.training.warm_start import WarmStart
from napari_ufseg.samples import nuclei

SMALL = SegmentationConfig.preset(
    "generalised", n_features=6, n_classes=8, n_convolutions=1, min_classes=1, epochs=60, learning_rate=0.02
)


@pytest.fixture
def image():
    return nuclei()[60:220:4, 40:264:4]


def recorded(session, **bounds):
    moments = Timeline(session, **bounds)
    shown = {}
    run = session.run(every=0)
    for snapshot in run:
        if snapshot.labelled is None:
            moments.add(snapshot)
            shown[snapshot.epoch] = snapshot
    return moments, shown


def test_few_moments_stay_dense_at_first_and_spread_on_a_logarithmic_scale(image):
    moments, shown = recorded(TrainingSession(image, SMALL), most=12)
    epochs = [moment.epoch for moment in moments.items]
    assert len(epochs) == 12
    assert (epochs[0], epochs[-1]) == (1, max(shown))
    gaps = np.diff(epochs)
    assert gaps[0] <= 2
    assert gaps[-1] > 4
    ratios = (np.array(epochs[1:]) + 1) / (np.array(epochs[:-1]) + 1)
    assert ratios.max() < 1.9


def test_their_memory_is_bounded(image):
    session = TrainingSession(image, SMALL.replace(epochs=20))
    one = recorded(TrainingSession(image, SMALL.replace(epochs=2)))[0].items[0].n_bytes
    moments, _ = recorded(session, most_bytes=5 * one)
    assert 2 <= len(moments.items) < 12
    assert moments.n_bytes <= 5 * one
    assert moments.items[-1].epoch == session.epoch - 1  # the last epoch is the result


@pytest.mark.parametrize("is_stack", [False, True])
def test_a_moment_holds_what_was_shown_and_its_network_makes_it_again(image, is_stack):
    data = np.stack([image, image[::-1], image[:, ::-1]]) if is_stack else image
    axes = "ZYX" if is_stack else None
    moments, shown = recorded(TrainingSession(data, SMALL.replace(epochs=9), axes=axes))
    moment = moments.items[4]
    ((number, _, packed),) = moment.labels
    snapshot = shown[moment.epoch]
    assert number == 0
    np.testing.assert_array_equal(packed.array()[snapshot.index], snapshot.labels)
    assert packed.array().shape == data.shape
    again = TrainingSession(data, axes=axes, warm_start=moments.warm_start(moment))
    run = again.label()
    try:
        while True:
            next(run)
    except StopIteration as end:
        result = end.value
    np.testing.assert_array_equal(result.labels, predict(result.model, data, axes=axes))
    assert (result.labels != packed.array()).mean() < 0.01  # in training, statistics are those of the batch
    again.step()  # and it can be trained on
    assert again.epoch == 1


def test_moments_of_tiles_hold_what_was_in_view(image):
    big = np.tile(image, (8, 8))
    config = SMALL.replace(epochs=3, epoch_megapixels=0.02)
    session = TrainingSession(big, config)
    assert not session.is_whole
    moments, shown = recorded(session)
    for moment in moments.items:
        ((_, index, packed),) = moment.labels
        np.testing.assert_array_equal(packed.array(), shown[moment.epoch].labels)
        assert index == shown[moment.epoch].index


def test_the_users_own_pixels_are_in_every_moment(image):
    first = TrainingSession(image, SMALL.replace(epochs=3))
    for _ in first.run():
        pass
    made = first.result()
    labels = made.labels.copy()
    labels[3, 4:20] = 50
    warm_start = WarmStart(made.model, find_corrections([made.labels], [labels], made.model.class_labels))
    moments, _ = recorded(TrainingSession(image, warm_start=warm_start))
    for moment in moments.items:
        assert (moment.labels[0][2].array()[3, 4:20] == 50).all()
