"""Training on from corrected labels: what counts as a correction, and what is learnt and kept."""

import dask.array as da
import numpy as np
import pytest
import torch
import zarr
from scipy import ndimage

from napari_ufseg import SegmentationConfig, load_model, predict, save_model, segment, train_on
from napari_ufseg.engine.errors import ConfigError, ImageError
from napari_ufseg.engine.labels.corrections import find_corrections
from napari_ufseg.engine.training.session import TrainingSession
from napari_ufseg.engine.training.warm_start import WarmStart
from napari_ufseg.samples import nuclei

SMALL = SegmentationConfig.preset("fast", n_features=6, n_classes=5, n_convolutions=1, epochs=6)


@pytest.fixture(scope="module")
def image():
    return nuclei()[60:220:3, 40:264:3]


@pytest.fixture(scope="module")
def trained(image):
    return segment(image, SMALL)


def predicted():
    """(6, 8) uint16: labels 1 to 4 in columns of two."""
    return np.repeat(np.arange(1, 5, dtype=np.uint16), 2)[None].repeat(6, 0)


@pytest.mark.parametrize("kind", ["numpy", "zarr", "dask"])
def test_merges_and_strokes_are_told_apart(tmp_path, kind):
    old = predicted()
    now = old.copy()
    now[old == 2] = 1  # merged
    now[old == 4] = 0  # made background
    now[0, :2] = 3  # painted
    now[5, 5] = 9  # painted with a new label
    now[5, 4] = 0  # erased
    arrays = [old, now]
    if kind == "zarr":
        arrays = [zarr.array(a, chunks=(4, 4), store=str(tmp_path / f"{i}")) for i, a in enumerate(arrays)]
    elif kind == "dask":
        arrays = [da.from_array(a, chunks=(4, 4)) for a in arrays]
    found = find_corrections([arrays[0]], [arrays[1]], (1, 2, 3, 4))
    assert found.class_labels == (1, 1, 3, 0, 9)
    assert found.copied == {4: 2}  # most pixels of label 9 were label 3, which is class 2
    own = np.zeros((6, 8), bool)
    own[0, :2] = own[5, 4:6] = True
    np.testing.assert_array_equal(found.own[0][:, :], own)
    np.testing.assert_array_equal(found.groups, [1, 1, 2, 0, 3])  # labels 0, 1, 3, 9
    groups = np.array([0, 1, -1, 2, -1, -1, -1, -1, -1, 3])[now]
    np.testing.assert_array_equal(found.targets(0)[:, :], groups)
    np.testing.assert_array_equal(found.marks(0)[:, :], np.where(own, groups + 1, 0))


def test_nothing_changed_is_no_correction_and_what_was_corrected_earlier_stays_so():
    old = predicted()
    assert not find_corrections([old], [old.copy()], (1, 2, 3, 4)).own[0].any()
    earlier = np.zeros(old.shape, bool)
    earlier[2, 2] = True
    found = find_corrections([old], [old], (1, 2, 3, 4), earlier=[earlier])
    np.testing.assert_array_equal(found.own[0], earlier)


def test_a_class_that_was_split_is_no_correction():
    old = predicted()
    now = old.copy()
    now[:3, 2:4] = 7
    assert not find_corrections([old], [now], (1, 2, 3, 4), parents={7: 2}).own[0].any()


def test_a_class_that_was_filled_over_for_the_most_part_has_become_the_other():
    old = predicted()
    now = old.copy()
    now[1:, :2] = 4
    found = find_corrections([old], [now], (1, 2, 3, 4))
    assert found.class_labels == (4, 2, 3, 4, 1)
    assert np.count_nonzero(found.own[0]) == 2  # the pixels that were left, from now on a class of its own
    assert found.copied == {4: 0}


def test_painted_pixels_keep_their_label_and_the_rest_is_the_models(image, trained):
    labels = trained.labels.copy()
    there = np.unique(labels)
    labels[labels == there[1]] = there[0]
    labels[5:8, 10:30] = there[2]
    labels[40:42, 5:20] = 40
    again = train_on(image, trained.model, labels)
    painted = np.zeros(labels.shape, bool)
    painted[5:8, 10:30] = trained.labels[5:8, 10:30] != there[2]
    painted[40:42, 5:20] = True
    np.testing.assert_array_equal(again.labels[painted], labels[painted])
    own = predict(again.model, image)
    np.testing.assert_array_equal(again.labels[~painted], own[~painted])
    assert there[1] not in again.labels
    assert sum(again.areas.values()) == labels.size
    assert again.areas == dict(zip(*np.unique(again.labels, return_counts=True), strict=True))


def test_without_corrections_the_first_labels_are_those_of_the_model(image, trained):
    session = TrainingSession(image, warm_start=WarmStart(trained.model))
    session.step()
    assert (session.snapshot().labels != trained.labels).mean() < 0.002  # statistics of the batch, not stored ones
    for name, value in trained.model.network.state_dict().items():
        if "weight" in name:
            assert not torch.equal(session.network.state_dict()[name], value)


def test_a_new_class_begins_where_it_was_painted_and_leaves_the_others_alone(image, trained):
    bright = ndimage.binary_erosion(trained.labels == np.unique(trained.labels)[-1])
    labels = trained.labels.copy()
    labels[bright] = 60
    found = find_corrections([trained.labels], [labels], trained.model.class_labels)
    assert 60 in found.class_labels
    session = TrainingSession(image, warm_start=WarmStart(trained.model, found))
    assert session.config.n_classes == SMALL.n_classes + 1
    first = session.trainer.model()
    grown = predict(first, image)
    assert (grown[bright] == 60).mean() > 0.5
    elsewhere = ~bright & (grown != 60)
    np.testing.assert_array_equal(grown[elsewhere], trained.labels[elsewhere])


def test_background_stays_background_and_goes_with_the_model(image, trained, tmp_path):
    labels = trained.labels.copy()
    labels[labels == 1] = 0
    again = train_on(image, trained.model, labels)
    assert 0 in again.model.class_labels
    save_model(again.model, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.class_labels == again.model.class_labels
    np.testing.assert_array_equal(predict(loaded, image), again.labels)


def test_a_stack_is_corrected_on_any_plane(image):
    stack = np.stack([image, image[::-1], image])
    first = segment(stack, SMALL, axes="ZYX")
    labels = first.labels.copy()
    labels[1, 3:6, 8:30] = 33
    again = train_on(stack, first.model, labels, axes="ZYX")
    assert (again.labels[1, 3:6, 8:30] == 33).all()


def test_tiles_learn_from_corrections_as_well(image):
    big = np.tile(image, (6, 6))
    config = SMALL.replace(epoch_megapixels=0.02, epochs=2)
    first = segment(big, config)
    labels = first.labels.copy()
    labels[30:33, 40:90] = 44
    session = TrainingSession(
        big, warm_start=WarmStart(first.model, find_corrections([first.labels], [labels], first.model.class_labels))
    )
    assert not session.is_whole
    for _ in session.run():
        pass
    assert (session.result().labels[30:33, 40:90] == 44).all()


def test_another_network_or_image_is_refused_in_one_sentence(image, trained):
    with pytest.raises(ConfigError, match="n_features is 9, but the model was trained with 6"):
        train_on(image, trained.model, config=SMALL.replace(n_features=9))
    with pytest.raises(ImageError, match="same image"):
        train_on(image, trained.model, trained.labels[:-1])
    many = trained.labels.copy()
    many[:10, :20] = np.arange(200).reshape(10, 20) + 100
    with pytest.raises(ImageError, match="can learn up to 64 new ones"):
        train_on(image, trained.model, many)
