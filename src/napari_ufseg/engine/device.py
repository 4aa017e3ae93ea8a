"""Devices: which there are, how networks are laid out on them, and their memory."""

import sys
from pathlib import Path
from typing import TypeVar

import psutil
import torch

from napari_ufseg.engine.errors import DeviceError
from napari_ufseg.engine.processor import DEVICES

Net = TypeVar("Net", bound=torch.nn.Module)


def available_devices() -> list[str]:
    """Names of the devices of this machine, the one that ``auto`` takes first."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [name for name, is_there in there.items() if is_there]


def resolve_device(name: str = "auto") -> torch.device:
    """The torch device of that name.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda", "mps"}
        ``auto`` takes the first that works of cuda, mps and cpu.

    Raises
    ------
    DeviceError
        If the name is unknown or the device is not there.
    """
    if name not in DEVICES:
        raise DeviceError(f"There is no device {name!r}: use one of {', '.join(DEVICES)}.")
    available = available_devices()
    if name == "auto":
        return torch.device(available[0])
    if name not in available:
        raise DeviceError(f"The device {name} is not available on this machine: use auto or cpu.")
    return torch.device(name)


def layout_of(device_type: str, spatial_dims: int) -> torch.memory_format:
    """How weights lie in memory on a device: channels last on GPUs, whose convolutions are made for it.

    It is the same mathematics. On mps volumes stay as they are, which torch
    knows no other layout for there.

    Parameters
    ----------
    device_type : {"cpu", "cuda", "mps"}
        On the CPU planes have steps of their own (see `cpu_step`), which choose for themselves.
    spatial_dims : {2, 3}
    """
    if device_type in ("cuda", "mps") and spatial_dims == 2:
        return torch.channels_last
    if device_type == "cuda":
        return torch.channels_last_3d
    return torch.contiguous_format


def place_on(network: Net, device: torch.device) -> Net:
    """The network itself, moved to a device and laid out for it; activations follow the layout of the weights."""
    spatial_dims = next(network.parameters()).ndim - 2
    moved: Net = network.to(device)
    return moved.to(memory_format=layout_of(device.type, spatial_dims))  # type: ignore[call-overload,no-any-return]


def release_memory(device: torch.device) -> None:
    """Hand cached GPU memory back to the system; nothing to do on the CPU."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def free_gpu_bytes(device: torch.device) -> int:
    """Memory of a CUDA device that torch can still take, with what it has taken and does not use now, in bytes."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def peak_memory_bytes(device: torch.device) -> dict[str, int]:
    """Largest memory so far, in bytes: of this process (``process``) and on the GPU (``cuda``) if one is used."""
    peak = {"process": _peak_resident_bytes()}
    if device.type == "cuda":
        peak["cuda"] = torch.cuda.max_memory_allocated(device)
    return peak


def _peak_resident_bytes() -> int:
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    status = Path("/proc/self/status")
    if status.exists():  # Linux; its getrusage also counts what the parent held when it started this process
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return 1024 * int(lines["VmHWM"].split()[0])
    import resource

    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # macOS tells bytes
