import pytest
import torch

from napari_ufseg.engine.device import peak_memory_bytes, release_memory, resolve_device
from napari_ufseg.engine.errors import DeviceError

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
