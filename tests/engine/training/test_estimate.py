import subprocess
import sys

import numpy as np
import pytest

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import DeviceError
from napari_ufseg.engine.images.source import open_sources
from napari_ufseg.engine.training import estimate as estimate_module
from napari_ufseg.engine.training import memory_plan, session
from napari_ufseg.engine.training.estimate import Estimate, estimate_run
from napari_ufseg.engine.training.pace import Paces
from napari_ufseg.engine.training.session import TrainingSession

MEASURED = """
import sys
import numpy as np
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.device import peak_memory_bytes
from napari_ufseg.engine.training.estimate import Estimate, estimate_run
from napari_ufseg.engine.training.pace import Paces
from napari_ufseg.engine.training.session import TrainingSession
from napari_ufseg.engine.images.source import open_sources
from napari_ufseg.engine.training.pace import Paces
from napari_ufseg.engine.training.session import TrainingSession
shape, budget, changes = eval(sys.argv[1])
axes = "TYX" if len(shape) == 3 else "YX"
config = SegmentationConfig.preset("fast", epochs=2, min_classes=1, settle_fraction=0.0, **changes)
if config.spatial_dims == 3:
    axes = "ZYX"
image = np.random.default_rng(0).integers(0, 4000, shape, np.uint16)
sources = open_sources([image], axes=axes, spatial_dims=config.spatial_dims)
told = estimate_run(sources, config, "cpu", budget)
session = TrainingSession(sources, config, device="cpu", memory_budget=budget)
for snapshot in session.run():
    pass
print(peak_memory_bytes(session.device)["process"] / told.memory_bytes, told.is_whole)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of a process is read as Linux tells it")
@pytest.mark.parametrize(
    ("shape", "budget", "changes", "whole"),
    [
        ((500, 400), None, {}, True),
        ((6, 150, 140), None, {"n_features": 60, "n_classes": 60}, True),
        ((12, 60, 64), None, {"spatial_dims": 3, "n_features": 8, "n_classes": 8}, True),
        ((3000, 2800), 1500 * 10**6, {"n_features": 8, "n_classes": 8, "batch_size": 4}, False),
    ],
)
def test_the_peak_stays_within_the_estimate(shape, budget, changes, whole):
    words = [sys.executable, "-c", MEASURED, repr((shape, budget, changes))]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    share, was_whole = done.stdout.split()
    assert (was_whole == "True") is whole
    assert 0.3 < float(share) <= 1.2


def test_the_sentence_says_memory_time_and_device(quick):
    told = estimate_run(open_sources([np.zeros((40, 50))]), quick(), "cpu")
    assert told.fits
    assert told.is_whole
    assert told.summary == f"About {told.memory_bytes / 1e9:.1f} GB and 1 s on cpu."


def test_more_epochs_and_pixels_take_longer(quick, monkeypatch):
    sources = open_sources([np.zeros((40, 50))])
    few, many = (estimate_run(sources, quick(epochs=n), "cpu").seconds for n in (10, 1000))
    assert 50 < many / few <= 100
    more = estimate_run(open_sources([np.zeros((9, 40, 50))], axes="TYX"), quick(epochs=1000, batch_size=1), "cpu")
    assert more.seconds > 5 * many


def test_an_image_that_needs_tiles_says_what_the_whole_would_take(quick, budget_for):
    config = quick()
    told = estimate_run(open_sources([np.zeros((3000, 3000), np.uint8)]), config, "cpu", 10**9)
    assert told.fits
    assert not told.is_whole
    assert "trained on random tiles. The whole would take" in told.summary
    assert "fewer features" in told.advice


def test_a_run_that_cannot_fit_says_what_would_help(monkeypatch):
    monkeypatch.setattr(memory_plan, "resident_bytes", lambda: 10**9)
    told = estimate_run(open_sources([np.zeros((600, 600))]), SegmentationConfig.preset("paper"), "cpu", 10**9)
    assert not told.fits
    assert told.summary == told.advice
    assert "fewer features (n_features)" in told.summary


def test_nothing_of_the_image_is_read(quick):
    class Untouchable:
        shape, dtype, ndim = (64, 64), np.dtype(np.uint8), 2

        def __getitem__(self, index):
            raise AssertionError("read")

    assert estimate_run(open_sources([Untouchable()]), quick(), "cpu").fits


def test_a_device_that_is_not_there(quick):
    with pytest.raises(DeviceError):
        estimate_run(open_sources([np.zeros((8, 8))]), quick(), "abacus")


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (50, "50 s"), (600, "10 min"), (9000, "2.5 h")])
def test_times_are_told_with_the_precision_they_have(seconds, words):
    assert estimate_module._interval(seconds) == words


@pytest.mark.parametrize(
    ("about", "matters"),
    [
        ({"seconds": 29.0, "free_share": 0.4}, False),
        ({"seconds": 31.0}, True),
        ({"seconds": 1.0, "free_share": 0.6}, True),
        ({"seconds": 1.0, "advice": "Take a smaller part."}, True),
    ],
)
def test_what_lasts_or_takes_much_memory_matters(about, matters):
    assert Estimate(10**9, device="cpu", is_whole=True, **about).matters is matters


def test_the_share_is_that_of_the_memory_that_is_free(quick, monkeypatch):
    sources = open_sources([np.zeros((40, 50))])
    shares = []
    for free in (2 * 10**9, 20 * 10**9):
        monkeypatch.setattr(estimate_module, "free_bytes", lambda _, free=free: free)
        shares.append(estimate_run(sources, quick(), "cpu").free_share)
    assert shares[0] == pytest.approx(10 * shares[1])
    assert 0.05 < shares[0] < 0.5


@pytest.fixture
def disturbed(monkeypatch):
    """Nothing was learned yet, and every probe takes a second for each pixel."""
    paces = Paces()
    monkeypatch.setattr(estimate_module, "paces", paces)
    monkeypatch.setattr(session, "paces", paces)
    monkeypatch.setattr(estimate_module, "_known", {})
    monkeypatch.setattr(estimate_module, "_step", lambda config, n_channels, device, pixels, stopped: (1.0 * pixels, 0))


@pytest.mark.parametrize("ends", ["by its epochs", "stopped", "dropped"])
@pytest.mark.usefixtures("disturbed")
def test_a_disturbed_probe_is_put_right_by_the_first_run(quick, ends):
    config = quick(epochs=6)
    images = [np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)]
    assert estimate_run(open_sources(images), config, "cpu").seconds > 1000
    training = TrainingSession(images, config, device="cpu")
    run = training.run(every=0)
    next(run)
    next(run)
    if ends == "dropped":
        run.close()
    else:
        if ends == "stopped":
            training.stop()
        list(run)
    told = estimate_run(open_sources(images), config, "cpu").seconds
    taken = np.median([record.seconds for record in training.history[1:]])
    assert told < 60 * max(taken, 0.01)
    doubled = estimate_run(open_sources(images), config.replace(epochs=12, seed=3), "cpu").seconds
    assert told < doubled < 2 * told + 1


@pytest.mark.usefixtures("disturbed")
def test_a_run_that_trains_nothing_teaches_nothing(quick):
    config = quick()
    images = [np.zeros((40, 50), np.uint8)]  # constant: nothing is trained
    before = estimate_run(open_sources(images), config, "cpu").seconds
    with pytest.warns(match="constant"):
        list(TrainingSession(images, config, device="cpu").run())
    assert estimate_run(open_sources(images), config, "cpu").seconds == before
