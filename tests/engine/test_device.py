import pytest
import torch

from napari_ufseg import SegmentationConfig, predict, segment
from napari_ufseg.engine.device import layout_of, peak_memory_bytes, place_on, release_memory, resolve_device
from napari_ufseg.engine.errors import DeviceError
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.training.session import TrainingSession
from napari_ufseg.samples import nuclei

THERE = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}


def test_auto_takes_what_is_there():
    assert resolve_device("auto").type == next(kind for kind, there in THERE.items() if there)
    assert resolve_device() == resolve_device("auto")
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_named(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=f"^The device {name} is not available on this machine: use auto or cpu"):
        resolve_device(name)
    assert resolve_device("auto").type == "cpu"


@pytest.mark.parametrize("name", ["gpu", "", None, torch.device("cpu")])
def test_an_unknown_device_is_named(name):
    with pytest.raises(DeviceError, match="use one of auto, cpu, cuda, mps"):
        resolve_device(name)


def test_peak_memory_is_plausible():
    release_memory(torch.device("cpu"))
    peak = peak_memory_bytes(torch.device("cpu"))
    assert set(peak) == {"process"}
    assert 50e6 < peak["process"] < 1e12


def test_channels_last_on_gpus_and_nowhere_else():
    assert layout_of("cpu", 2) == layout_of("cpu", 3) == layout_of("mps", 3) == torch.contiguous_format
    assert layout_of("cuda", 2) == layout_of("mps", 2) == torch.channels_last
    assert layout_of("cuda", 3) == torch.channels_last_3d


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_the_layout_changes_where_numbers_lie_and_not_what_comes_out(spatial_dims, monkeypatch):
    config = SegmentationConfig(n_features=5, n_classes=4, spatial_dims=spatial_dims)
    network = FeatureNet.of_config(config, 2).double().eval()
    image = torch.rand(1, 2, *(9, 20, 30)[-spatial_dims:], dtype=torch.float64)
    expected = network(image)
    monkeypatch.setattr("napari_ufseg.engine.device.layout_of", lambda kind, dims: layout_of("cuda", dims))
    moved = place_on(network, torch.device("cpu"))
    assert moved.stages[1][0].weight.is_contiguous(memory_format=layout_of("cuda", spatial_dims))
    torch.testing.assert_close(moved(image), expected)
    if spatial_dims == 2:
        assert moved(image).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kind", ["cuda", "mps"])
@pytest.mark.parametrize("preset", ["fast", "generalised"])
def test_labels_of_a_gpu_are_those_of_its_model_on_the_cpu(kind, preset):
    if not THERE[kind]:
        pytest.skip(f"no {kind} here")
    image = nuclei()[:128, :160]
    result = segment(image, SegmentationConfig.preset(preset, epochs=5, n_features=16, n_classes=8), device=kind)
    assert all(value.is_contiguous() for value in result.model.network.state_dict().values())
    assert (result.labels != predict(result.model, image, device="cpu")).mean() < 0.001
    first = TrainingSession(image, SegmentationConfig.preset(preset, n_features=16, n_classes=8), device=kind)
    again = TrainingSession(image, SegmentationConfig.preset(preset, n_features=16, n_classes=8), device="cpu")
    assert first.step()["total"] == pytest.approx(again.step()["total"], rel=1e-4)
