"""Small images and quick settings for the tests of the engine; no Qt and no napari here."""

import warnings

import numpy as np
import pytest
import torch
from skimage import data

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.network.feature_net import FeatureNet, recompute_batchnorm
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.training import memory_plan

torch.set_num_threads(1)  # the images are tiny: more threads only wait for each other


@pytest.fixture
def coins():
    """(24, 32) uint8: the edge of a coin on a dark ground."""
    return data.coins()[110:134, 100:132].copy()


@pytest.fixture
def others():
    """Three more grey crops, two of them of other sizes."""
    coins = data.coins()
    return [coins[80:104, 40:72].copy(), coins[80:100, 40:60].copy(), coins[170:186, 160:196].copy()]


@pytest.fixture
def tissue():
    """(24, 32, 3) uint8: stained tissue."""
    return data.immunohistochemistry()[200:224, 300:332].copy()


@pytest.fixture
def quick():
    """A function: a small config with changes of your own; it runs for 5 epochs and does not stop early."""

    def config(**changes):
        small = {"n_features": 6, "n_classes": 6, "epochs": 5, "min_classes": 1, "nu": 1.0, "M": 0.0, "m": 0.0}
        return SegmentationConfig(**{**small, **changes})

    return config


@pytest.fixture
def recorded():
    """A function that calls another one and gives back its result and the messages of its warnings."""

    def call(function, *args, **kwargs):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = function(*args, **kwargs)
        return result, caught

    return call


def drain(run):
    """Everything that a generator yields, and what it returns."""
    yielded = []
    while True:
        try:
            yielded.append(next(run))
        except StopIteration as end:
            return yielded, end.value


@pytest.fixture
def drained():
    return drain


@pytest.fixture
def agreement():
    """A function: share of equal pixels of two label images."""
    return lambda a, b: float(np.mean(np.asarray(a) == np.asarray(b)))


@pytest.fixture
def model_of():
    """A function: a model that was never trained, of a small config with changes of your own; its labels are varied."""

    def build(n_channels=1, **changes):
        small = {"n_features": 4, "n_classes": 4, "n_convolutions": 1}
        config = SegmentationConfig(**{**small, **changes})
        network = FeatureNet.of_config(config, n_channels)
        shape = (config.n_inputs(n_channels), *(12,) * config.spatial_dims)
        recompute_batchnorm(network, [torch.rand(shape, generator=torch.Generator().manual_seed(1))])
        return SegmentationModel(network, config, n_channels)

    return build


class CountedArray:
    """An array that is only read by slicing, and counts how often each value is read and how much at once."""

    def __init__(self, values):
        self._values = values
        self.shape, self.dtype = values.shape, values.dtype
        self.reads = np.zeros(values.shape, int)
        self.largest = 0

    def __getitem__(self, index):
        piece = self._values[index]
        self.reads[index] += 1
        self.largest = max(self.largest, piece.size)
        return piece

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("the whole array was asked for")


@pytest.fixture
def counted():
    return CountedArray


@pytest.fixture
def budget_for(monkeypatch):
    """A function: the memory budget that has room for training on so many pixels at once, and little else."""
    monkeypatch.setattr(memory_plan, "resident_bytes", lambda: 0)

    def budget(config, pixels, n_channels=1):
        kept = 8 * n_channels * memory_plan.SAMPLED_PIXELS
        return memory_plan.step_bytes(config, n_channels, pixels) + kept

    return budget
