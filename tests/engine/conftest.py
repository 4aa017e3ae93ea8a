"""Small images and quick settings for the tests of the engine; no Qt and no napari here."""

import warnings

import numpy as np
import pytest
import torch
from skimage import data

from napari_ufseg.engine.config import SegmentationConfig

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
