"""Estimate of the memory and time of a run before it begins: measured on a probe step, put right by the runs before.

Measured are, for every network and size of its steps once in a process: the seconds of a training step and of
labelling a block, the shorter of two each, so that what disturbs one does not count, and the memory by which the
process grows. Learned are the seconds of a step, from every run of the process that has ended or was stopped: see
`pace.Paces`. So a probe that was disturbed is kept no longer than until the first run. The probe is made for the sake
of memory and labels even so; nothing is measured for learning.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.device import resolve_device
from napari_ufseg.engine.errors import MemoryShortageError, engine_errors, go_on
from napari_ufseg.engine.images.intensity import IntensityRange
from napari_ufseg.engine.images.source import ImageSource
from napari_ufseg.engine.images.threshold import Levels
from napari_ufseg.engine.images.tiling import Box, block_edges
from napari_ufseg.engine.prediction.labelling import label_box
from napari_ufseg.engine.training.memory_plan import DEFAULT_SHARE, free_bytes, plan_training, resident_bytes
from napari_ufseg.engine.training.pace import Network, paces
from napari_ufseg.engine.training.snapshots import DRAWING
from napari_ufseg.engine.training.trainer import Trainer
from napari_ufseg.engine.training.training_set import Place, TrainingSet

_PROBE_SECONDS = 0.3
_SMALLEST_PROBE = 2**12
_CLUSTER_SECONDS = 0.5
_LONG = 30.0  # seconds, for which somebody may want to choose otherwise


@dataclass(frozen=True)
class Estimate:
    """Memory, time and device that a run will take.

    Parameters
    ----------
    memory_bytes : int
        Largest memory of the process; on a GPU that of the GPU.
    seconds : float
        If every epoch is needed, and nothing else uses the processor.
    device : str
        Where it will be computed.
    is_whole : bool
        Whether every pixel is trained on, or random tiles.
    advice : str
        One sentence about what would help, if the images do not fit; else empty.
    fits : bool
        Whether it can run at all.
    free_share : float
        What the run adds, as a share of the memory that is free now.
    """

    memory_bytes: int
    seconds: float
    device: str
    is_whole: bool
    advice: str = ""
    fits: bool = True
    free_share: float = 0.0

    @property
    def matters(self) -> bool:
        """Whether a user should know before the run: it lasts over 30 s, takes over half of what is free, or does not fit."""
        return bool(self.advice) or self.seconds > _LONG or self.free_share > DEFAULT_SHARE

    @property
    def summary(self) -> str:
        """All of it in one or two sentences."""
        if not self.fits:
            return self.advice
        how = "" if self.is_whole else ", trained on random tiles"
        line = f"About {self.memory_bytes / 1e9:.1f} GB and {_interval(self.seconds)} on {self.device}{how}."
        return f"{line} {self.advice}".strip()


def estimate_run(
    sources: Sequence[ImageSource],
    config: SegmentationConfig,
    device: str = "auto",
    memory_budget: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Estimate:
    """Estimate a run from a probe step of the same network on a few pixels of noise; reads nothing of the images.

    Parameters
    ----------
    sources, config, device, memory_budget
        As for `TrainingSession`.
    stopped : callable
        Whether it is no longer wanted; asked before every step of the probe.

    Raises
    ------
    DeviceError
        If the device is not there.
    StoppedError
        If it was stopped.
    """
    place = resolve_device(device)
    try:
        plan = plan_training(sources, config, memory_budget, place)
    except MemoryShortageError as error:
        return Estimate(0, 0.0, str(place), False, str(error), fits=False)
    n_channels = sources[0].n_channels
    network = Network.of(config, n_channels, str(place), torch.get_num_threads())
    with engine_errors("The probe step"):
        probe = _probed(network, plan.batch_pixels, stopped)
    step_seconds = paces.seconds(network, plan.batch_pixels, probe.step_seconds)
    labels = sum(2 * source.n_pixels for source in sources)
    memory = max(plan.run_bytes, probe.bytes_per_pixel * plan.batch_pixels)
    training = config.epochs * plan.epoch_pixels * step_seconds * (1 + DRAWING)
    start = _CLUSTER_SECONDS if config.start == "clusters" else 0.0
    seconds = start + training + labels / 2 * probe.label_seconds
    base = resident_bytes() if place.type != "cuda" else 0
    advice = ""
    if plan.is_short:
        advice = (
            f"The whole would take {plan.whole_bytes / 1e9:.0f} GB: for that, take a smaller part or resolution, "
            "fewer features or classes, or a smaller batch."
        )
    in_memory = labels if plan.is_whole and place.type != "cuda" else 0
    added = memory + in_memory
    share = added / max(1, free_bytes(place))
    return Estimate(int(base + added), seconds, str(place), plan.is_whole, advice, free_share=share)


@dataclass(frozen=True)
class _Probe:
    """Seconds and bytes per pixel, measured on a probe step."""

    step_seconds: float
    label_seconds: float
    bytes_per_pixel: float


_known: dict[tuple[Network, int], _Probe] = {}


def _probed(network: Network, pixels: int, stopped: Callable[[], bool]) -> _Probe:
    """Steps on growing squares (or cubes) of noise, until one takes a third of a second or is as large as the real one."""
    if (network, pixels) in _known:
        return _known[network, pixels]
    config, n_channels, place = network.config, network.n_channels, torch.device(network.device)
    wanted = _SMALLEST_PROBE
    while True:
        size = min(wanted, pixels)
        seconds, grown = _step(config, n_channels, place, size, stopped)
        if seconds > _PROBE_SECONDS or size >= pixels:
            break
        wanted *= 4
    go_on(stopped)
    label_seconds = _label_seconds(config, n_channels, place) / network.threads
    probe = _known[network, pixels] = _Probe(seconds / size, label_seconds, grown / size)
    paces.note_probe(network, pixels, probe.step_seconds)
    return probe


def _step(
    config: SegmentationConfig, n_channels: int, device: torch.device, pixels: int, stopped: Callable[[], bool]
) -> tuple[float, int]:
    """Seconds of a training step on so many pixels, and by how much the memory grew."""
    edge = max(2, ceil(pixels ** (1 / config.spatial_dims)))
    noise = np.random.default_rng(0).random((config.n_inputs(n_channels), *(edge,) * config.spatial_dims), np.float32)
    images = [torch.from_numpy(noise)]
    box = Box.of_shape(noise.shape[1:])
    chosen = TrainingSet(images, None, [Place(0, 0, box)], [IntensityRange.shared(0.0, 1.0)], is_whole=True)
    with _memory_watched(device) as grown:
        trainer = Trainer(chosen, config, n_channels, device)
        seconds = []
        for _ in range(2):  # the first one also prepares the machine
            go_on(stopped)
            start = time.perf_counter()
            trainer.step()
            seconds.append(time.perf_counter() - start)
    return min(seconds) * pixels / noise[0].size, grown[0]


def _label_seconds(config: SegmentationConfig, n_channels: int, device: torch.device) -> float:
    """Seconds per pixel of labelling one block, with its input channels."""
    box = Box.of_shape(tuple(min(edge, 128) for edge in block_edges(config.spatial_dims)))
    noise = np.random.default_rng(0).random((n_channels, *box.shape), np.float32)
    source = ImageSource(noise, "C" + "ZYX"[-config.spatial_dims :], config.spatial_dims)
    one = TrainingSet([torch.zeros(1)], None, [Place(0, 0, box)], [IntensityRange.shared(0.0, 0.0)], is_whole=True)
    network = Trainer(one, config, n_channels, device).network.eval()
    names = range(1, config.n_classes + 1)
    brightness = IntensityRange.shared(0.0, 1.0, 0.05, (Levels(0.5, 0.25, 0.75),) * config.n_lights(n_channels))
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        label_box(network, config, names, source, brightness, 0, box)
        seconds.append(time.perf_counter() - start)
    return min(seconds) / box.size


@contextmanager
def _memory_watched(device: torch.device) -> Iterator[list[int]]:
    """A list whose entry becomes by how many bytes the process, or a GPU's memory, had grown at most during the block."""
    grown, done = [0], threading.Event()
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        yield grown
        grown[0] = torch.cuda.max_memory_allocated(device) - before
        return
    before = resident_bytes()

    def watch() -> None:
        while not done.wait(0.002):
            grown[0] = max(grown[0], resident_bytes() - before)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield grown
    finally:
        done.set()
        watcher.join()


def _interval(seconds: float) -> str:
    """Seconds in words, with the precision that an estimate has."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
