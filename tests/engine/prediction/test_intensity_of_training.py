"""By what brightness a model sees an image: as those that it was trained on where the numbers are of the same kind."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_ufseg import SegmentationConfig, load_model, predict, save_model, segment
from napari_ufseg.engine.errors import ConfigError, ModelFileError, UfsegWarning
from napari_ufseg.engine.images.intensity import IntensityRange, choose_range
from napari_ufseg.engine.images.source import open_source
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.prediction.labelling import learn_intensity

SHAPE = (96, 128)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]


def field(
    *, cells: bool, seed: int = 0, offset: float = 100.0, gain: float = 1.0, dtype: Any = np.uint16
) -> np.ndarray:
    """What a camera sees: an offset, noise, and a few cells or none."""
    rng = np.random.default_rng(seed)
    image = offset + rng.normal(0, 6, SHAPE)
    if cells:
        for y, x in ((20, 22), (30, 70), (60, 40), (70, 100), (20, 110)):
            image += gain * 1500 * np.exp(-((((Y - y) ** 2 + (X - x) ** 2) / 60) ** 2))
    return image.clip(0, 60000).astype(dtype)


@pytest.fixture(scope="module")
def model() -> SegmentationModel:
    return segment(field(cells=True), SegmentationConfig.preset("fast", epochs=5), device="cpu").model


def background_share(model: SegmentationModel, labels: np.ndarray) -> float:
    return float((labels == model.hierarchy.background_at(2)).mean())


def range_of(image: np.ndarray) -> IntensityRange:
    return learn_intensity(open_source(image), SegmentationConfig.preset("fast"))


@pytest.mark.parametrize("seed", range(1, 4))
def test_an_empty_field_is_background(seed: int, model: SegmentationModel) -> None:
    empty = field(cells=False, seed=seed)
    with pytest.warns(UfsegWarning, match=r"^The image: scaled as the training images \(.*\); its own brightness is "):
        assert background_share(model, predict(model, empty, device="cpu", detail=2)) > 0.99
    assert background_share(model, predict(model, empty, device="cpu", detail=2, intensity="own")) < 0.9


def test_an_empty_field_without_noise_is_background(model: SegmentationModel) -> None:
    with pytest.warns(UfsegWarning, match="scaled as the training images"):
        labels = predict(model, np.full(SHAPE, 100, np.uint16), device="cpu", detail=2)
    assert background_share(model, labels) == 1


@pytest.mark.parametrize("brightness", [12000, 30000, 60000])
def test_debris_does_not_move_the_cells(brightness: int, model: SegmentationModel) -> None:
    image = field(cells=True, seed=5)
    dirty = np.maximum(image, brightness * np.exp(-((((Y - 60) ** 2 + (X - 75) ** 2) / 40) ** 2))).astype(np.uint16)
    clean, labels = (predict(model, its, device="cpu", detail=2) for its in (image, dirty))
    far = (Y - 60) ** 2 + (X - 75) ** 2 > 30**2
    assert (clean == labels)[far].mean() > 0.995


def test_another_field_under_the_same_microscope_is_scaled_as_in_training_and_nothing_is_said(
    model: SegmentationModel,
) -> None:
    own = range_of(field(cells=True, seed=7))
    chosen = model.range_for(own)
    assert chosen.channels[0].high == model.intensity[0].channels[0].high != own.channels[0].high
    assert chosen.channels[0].noise == own.channels[0].noise
    assert chosen.told == ()


@pytest.mark.parametrize(
    "image",
    [
        field(cells=True, offset=400),
        field(cells=True, dtype=np.float32),
        field(cells=True, dtype=np.uint32),
        (field(cells=True) // 16).astype(np.uint8),
        field(cells=True) * 3,
    ],
    ids=["another offset", "real numbers", "32 bit", "8 bit", "three times as bright"],
)
def test_numbers_of_another_kind_are_scaled_by_themselves_and_it_is_said(
    image: np.ndarray, model: SegmentationModel
) -> None:
    own = range_of(image)
    chosen = model.range_for(own)
    assert chosen.channels == own.channels
    assert "scaled by its own brightness" in chosen.doubt("cells")
    forced = model.range_for(own, "trained")
    assert forced.channels[0].low == model.intensity[0].channels[0].low
    assert model.range_for(own, "own") == own


def test_of_joint_images_each_is_scaled_as_itself() -> None:
    images = [field(cells=True), field(cells=True, seed=2, gain=3)]
    result = segment(images, SegmentationConfig.preset("fast", epochs=3), device="cpu")
    assert len(result.model.intensity) == 2
    for image, labels in zip(images, result.labels, strict=True):
        np.testing.assert_array_equal(predict(result.model, image, device="cpu"), labels)


def test_a_file_keeps_it_and_one_of_before_has_none(model: SegmentationModel, tmp_path: Path) -> None:
    save_model(model, tmp_path / "m")
    assert load_model(tmp_path / "m").intensity == model.intensity
    save_model(replace(model, intensity=()), tmp_path / "old")
    old = load_model(tmp_path / "old")
    empty = range_of(field(cells=False))
    assert old.range_for(empty, "auto") == old.range_for(empty, "trained") == empty


def test_presets_as_published_scale_each_image_by_itself() -> None:
    config = SegmentationConfig.preset("paper", epochs=1, n_features=4, n_classes=4)
    assert segment(field(cells=True)[:24, :24], config, device="cpu").model.intensity == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": []},
        {"channels": [[1, 2, 3]]},
        {"channels": [[2, 1, 0, 0]]},
        {"channels": [[0, float("inf"), 0, 0]]},
        {"levels": [[1, 2]]},
        {"levels": [[float("nan"), 0, 0]]},
    ],
)
def test_numbers_that_no_range_can_have_are_refused(
    changes: dict[str, Any], model: SegmentationModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = model.intensity[0].to_dict() | changes
    with pytest.raises(ValueError, match="an intensity range"):
        IntensityRange.from_dict(told)
    with monkeypatch.context() as patch:
        patch.setattr(IntensityRange, "to_dict", lambda self: told)
        save_model(model, tmp_path / "m")
    with pytest.raises(ModelFileError, match="damaged model"):
        load_model(tmp_path / "m")


def test_another_word_is_refused(model: SegmentationModel) -> None:
    with pytest.raises(ConfigError, match=r"^intensity is 'mine', but must be one of auto, trained, own\.$"):
        choose_range(range_of(field(cells=True)), model.intensity, "mine")
