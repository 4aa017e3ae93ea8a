import numpy as np
import pytest
import torch

from napari_ufseg.engine.api import predict, segment
from napari_ufseg.engine.device import resolve_device
from napari_ufseg.engine.errors import DeviceError, ImageError, MemoryShortageError, TrainingError, UfsegWarning
from napari_ufseg.engine.labels.hierarchy import relabel
from napari_ufseg.engine.prediction import labelling
from napari_ufseg.engine.training.session import TrainingSession

CPU = resolve_device("cpu")


@pytest.mark.parametrize("kind", ["grey", "colour", "same size", "different sizes", "percentile", "three blocks"])
def test_prediction_on_the_training_images_gives_the_labels_of_the_result(kind, coins, tissue, others, quick):
    image, changes = {
        "grey": (coins, {}),
        "colour": (tissue, {}),
        "same size": ([coins, others[0], coins[::-1]], {}),
        "different sizes": ([coins, *others], {"batch_size": 2}),
        "percentile": (coins, {"scaling": "percentile"}),
        "three blocks": (coins, {"n_convolutions": 3}),
    }[kind]
    result = segment(image, quick(epochs=8, **changes), device="cpu")
    predicted = predict(result.model, image, device="cpu")
    for shown, again in zip(_list(result.labels), _list(predicted), strict=True):
        assert again.dtype == np.uint16
        assert np.array_equal(shown, again)


def _list(labels):
    return labels if isinstance(labels, list) else [labels]


@pytest.mark.parametrize("epochs", [1, 7, 30])
def test_prediction_gives_the_labels_that_the_session_showed(coins, tissue, quick, agreement, epochs):
    for image in (coins, tissue):
        session = TrainingSession(image, quick(epochs=epochs, M=1.0, m=1.0), device="cpu")
        for _ in range(epochs):
            session.step()
        assert agreement(predict(session.result().model, image, device="cpu"), session.snapshot().labels) >= 0.999


def test_a_batch_of_the_same_size_shows_what_it_predicts(coins, others, quick, agreement):
    """One batch holds all images: training and prediction then see the same statistics."""
    session = TrainingSession([coins, others[0]], quick(epochs=6), device="cpu")
    for _ in range(6):
        session.step()
    for shown, predicted in zip(session.snapshot().labels, session.result().labels, strict=True):
        assert agreement(shown, predicted) >= 0.999


def test_the_scaling_rule_goes_with_the_model(coins, quick):
    result = segment(coins, quick(scaling="percentile"), device="cpu")
    hot = coins.astype(np.float64)
    twice = predict(result.model, hot * 2 + 3, device="cpu")
    assert np.array_equal(twice, result.labels)


def test_other_images_of_other_sizes_are_labelled(coins, others, quick):
    model = segment(coins, quick(), device="cpu").model
    single = predict(model, others[1], device="cpu")
    assert single.shape == others[1].shape
    assert set(np.unique(single)) <= set(range(1, 7))
    several = predict(model, others, device="cpu")
    assert [item.shape for item in several] == [image.shape for image in others]
    assert np.array_equal(several[1], single)
    assert np.array_equal(predict(model, [others[1]], device="cpu")[0], single)


def test_channels_must_fit(coins, tissue, quick):
    colour = segment(tissue, quick(epochs=1), device="cpu").model
    with pytest.raises(ImageError, match=r"trained on 3 channels, but the image has 1"):
        predict(colour, coins, device="cpu")
    first = predict(colour, np.moveaxis(tissue, 2, 0), channel_axis=0, device="cpu")
    assert np.array_equal(first, predict(colour, tissue, device="cpu"))


def test_a_constant_image_is_label_one_with_one_warning(coins, quick, recorded):
    model = segment(coins, quick(), device="cpu").model
    labels, caught = recorded(predict, model, np.full((5, 6), 3.0), device="cpu")
    assert (labels == 1).all()
    assert [w.category for w in caught] == [UfsegWarning]


def test_bad_images_and_devices_are_refused(coins, quick):
    model = segment(coins, quick(epochs=1), device="cpu").model
    with pytest.raises(ImageError, match=r"^Image 2 has 1 value that is NaN"):
        predict(model, [coins, np.array([[1.0, np.nan]])], device="cpu")
    with pytest.raises(DeviceError):
        predict(model, coins, device="abacus")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("no"), TrainingError),
        (torch.OutOfMemoryError("CUDA"), MemoryShortageError),
        (MemoryError(), MemoryShortageError),
    ],
)
def test_failures_in_prediction_are_ours_and_the_model_stays_usable(coins, quick, monkeypatch, error, kind):
    def fail(*args):
        raise error

    result = segment(coins, quick(), device="cpu")
    with monkeypatch.context() as patch:
        patch.setattr(labelling, "label_box", fail)
        with pytest.raises(kind, match=r"^Prediction "):
            predict(result.model, coins, device="cpu")
    assert np.array_equal(predict(result.model, coins, device="cpu"), result.labels)


def test_prediction_leaves_model_and_session_alone(coins, others, quick):
    session = TrainingSession(coins, quick(), device="cpu")
    for _ in range(3):
        session.step()
    model = session.result().model
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    predict(model, others, device="cpu")
    session.step()
    assert all(torch.equal(value, before[name]) for name, value in model.network.state_dict().items())
    assert not model.network.training


def test_the_model_is_independent_of_the_session(coins, quick):
    session = TrainingSession(coins, quick(), device="cpu")
    session.step()
    model = session.result().model
    first = predict(model, coins, device="cpu")
    for _ in range(10):
        session.step()
    assert np.array_equal(predict(model, coins, device="cpu"), first)
    assert not np.array_equal(session.snapshot().labels, first)


def test_merged_models_predict_merged_labels(coins, quick):
    result = segment(coins, quick(), device="cpu")
    assert result.model.class_labels == (1, 2, 3, 4, 5, 6)
    merged = result.model.merged({2: 1, 3: 1})
    assert merged.class_labels == (1, 1, 1, 4, 5, 6)
    assert result.model.class_labels == (1, 2, 3, 4, 5, 6)
    assert np.array_equal(predict(merged, coins, device="cpu"), relabel(result.labels, {2: 1, 3: 1}))
    assert merged.merged({1: 4}).class_labels == (4, 4, 4, 4, 5, 6)
