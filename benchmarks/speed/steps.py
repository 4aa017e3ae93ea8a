"""One training step by the textbook and by the engine, and the work they have in common."""

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from skimage import data
from torch import Tensor, nn

from napari_ufseg import SegmentationConfig
from napari_ufseg.engine.device import peak_memory_bytes
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.training.session import TrainingSession

EDGES = (321, 481)


def photograph() -> np.ndarray:
    """(321, 481, 3) uint8."""
    image: np.ndarray = data.astronaut()[: EDGES[0], : EDGES[1]]
    return image


def noise(edge: int) -> np.ndarray:
    """(edge, edge, 1) uint8, from 0 to 255, so that dividing by 255 and scaling to the brightest pixel are the same."""
    return np.random.default_rng(0).integers(0, 256, (edge, edge, 1), np.uint8)


class Textbook:
    """The step as the paper's authors and most others write it: torch's own layers and losses, planes first."""

    def __init__(self, image: np.ndarray, config: SegmentationConfig) -> None:
        self._config = config
        self._network = FeatureNet.of_config(config, image.shape[2]).train()
        self._image = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None].contiguous()
        rates = {"lr": config.learning_rate, "momentum": config.momentum}
        self._optimiser = torch.optim.SGD(self._network.parameters(), **rates)

    def step(self) -> dict[str, float]:
        """The losses before the step."""
        c = self._config
        response = self._network(self._image)[0].permute(1, 2, 0)
        flat = response.reshape(-1, c.n_classes)
        similarity = F.cross_entropy(flat, flat.argmax(1))
        down, right = response[1:] - response[:-1], response[:, 1:] - response[:, :-1]
        absolute = nn.L1Loss()
        continuity = c.nu_y * absolute(down, torch.zeros_like(down)) + c.nu_x * absolute(right, torch.zeros_like(right))
        total: Tensor = c.mu * similarity + c.nu * continuity
        self._optimiser.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        return {
            name: float(v.detach())
            for name, v in (("similarity", similarity), ("continuity", continuity), ("total", total))
        }


def engine(image: np.ndarray, config: SegmentationConfig) -> TrainingSession:
    """The same network on the same image, trained by the engine."""
    return TrainingSession(image, config, device="cpu")


def operations(config: SegmentationConfig, n_channels: int, pixels: int) -> float:
    """Floating-point operations of the matrix products of a step: forward, gradient of weights, gradient of inputs."""
    f = config.n_features
    first = 9 * n_channels * f * 2  # without a gradient of the image
    inner = 9 * f * f * (config.n_convolutions - 1) * 3
    return 2.0 * pixels * (first + inner + f * config.n_classes * 3)


def product_peak(edge: int = 1024, repeats: int = 8) -> float:
    """The most floating-point operations per second of a square matrix product."""
    a, b = torch.rand(2, edge, edge)
    out = torch.empty(edge, edge)
    return 2 * edge**3 / min(seconds(lambda: torch.mm(a, b, out=out)) for _ in range(repeats))


def seconds(work: Callable[[], object]) -> float:
    """Wall time."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":  # a process of its own, to see the memory of one kind of step
    kind, n_features, n_classes, edge = sys.argv[1], *map(int, sys.argv[2:5])
    the_config = SegmentationConfig.preset(
        "paper", n_features=n_features, n_classes=n_classes, epochs=100, min_classes=1
    )
    picture = noise(edge) if edge else photograph()
    steps = (Textbook if kind == "textbook" else engine)(picture, the_config)
    cpu = torch.device("cpu")
    before = peak_memory_bytes(cpu)["process"]
    for _ in range(2):
        steps.step()
    print(peak_memory_bytes(cpu)["process"] - before)
