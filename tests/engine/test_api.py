import doctest
import inspect

import numpy as np
import pytest

import napari_ufseg
from napari_ufseg import SegmentationConfig, iter_segment, predict, segment
from napari_ufseg.engine import api
from napari_ufseg.engine.errors import ConfigError, ImageError
from napari_ufseg.engine.training.results import StopReason


def test_segment_gives_labels_model_history_and_reason(coins, quick):
    result = segment(coins, quick(), device="cpu")
    assert result.labels.shape == coins.shape
    assert result.labels.dtype == np.uint16
    assert 1 <= result.labels.min() <= result.labels.max() <= 6
    assert len(result.history) == 5
    assert result.stop_reason is StopReason.EPOCHS
    assert np.array_equal(predict(result.model, coins, device="cpu"), result.labels)


def test_the_default_is_the_fast_preset(coins):
    assert segment(coins, device="cpu").config == SegmentationConfig.preset("fast")


def test_segment_takes_a_list(coins, others, quick):
    result = segment([coins, *others], quick(), device="cpu")
    assert [item.shape for item in result.labels] == [coins.shape, *(item.shape for item in others)]


def test_iter_segment_yields_what_segment_returns(coins, quick, drained):
    snapshots, result = drained(iter_segment(coins, quick(), device="cpu", every=0.0))
    assert [item.epoch for item in snapshots] == [1, 2, 3, 4, 5]
    assert np.array_equal(result.labels, segment(coins, quick(), device="cpu").labels)
    assert np.array_equal(snapshots[-1].labels, result.labels)


def test_bad_input_raises_before_the_first_snapshot(coins, quick):
    with pytest.raises(ImageError):
        iter_segment(np.zeros((3, 4, 5, 6)), quick())
    with pytest.raises(ConfigError):
        iter_segment(coins, quick(), scribbles=np.full(coins.shape, 7))


def test_a_scribble_of_id_s_trains_the_class_shown_as_label_s(coins, quick):
    bright, dark = coins > 130, coins < 80
    assert bright.sum() > 20
    assert dark.sum() > 20
    settings = {"epochs": 60, "scribble_weight": 20.0, "nu": 0.2, "learning_rate": 0.05, "momentum": 0.9}
    for s, t in ((5, 2), (1, 6)):
        scribbles = np.where(bright, s, np.where(dark, t, 0)).astype(np.uint8)
        labels = segment(coins, quick(**settings), scribbles=scribbles, device="cpu").labels
        assert np.mean(labels[bright] == s) > 0.9
        assert np.mean(labels[dark] == t) > 0.9


def test_signatures_are_those_that_were_promised():
    assert str(inspect.signature(segment)).startswith(
        "(image: Any, config: napari_ufseg.engine.config.SegmentationConfig | None = None, *, "
        "axes: str | None = None, channel_axis: int | None = None, nodata: float | str = 'auto', "
        "intensity_range: tuple[float, float] | None = None, scribbles: Any = None, device: str = 'auto', "
        "memory_budget: int | None = None, out: Any = None)"
    )
    names = list(inspect.signature(predict).parameters.values())
    promised = ["model", "image", "axes", "channel_axis", "device", "out", "detail", "intensity", "nodata"]
    assert [p.name for p in names] == [*promised, "intensity_range"]
    assert [p.kind.name for p in names] == ["POSITIONAL_OR_KEYWORD"] * 2 + ["KEYWORD_ONLY"] * 8
    assert inspect.signature(iter_segment).parameters["every"].default == 0.1


def test_the_examples_in_the_docstrings_are_true():
    assert doctest.testmod(api).failed == 0
    assert doctest.testmod(api).attempted > 0


@pytest.mark.parametrize("name", [name for name in napari_ufseg.__all__ if not name.startswith("__")])
def test_public_names_are_documented(name):
    assert len(inspect.getdoc(getattr(napari_ufseg, name))) > 30
