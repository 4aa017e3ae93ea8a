"""How long the steps of a network take on this machine, as its runs have shown; kept as long as the process lives."""

from collections import deque
from dataclasses import dataclass
from math import exp, log
from statistics import median

from napari_ufseg.engine.config import SegmentationConfig

_ALIKE = log(2)  # steps on up to twice, or half, as many pixels take as long per pixel
_LATEST = 0.7  # weight of the last run beside all earlier ones
_REMEMBERED = 5  # runs


@dataclass(frozen=True)
class Network:
    """What the pace depends on.

    Parameters
    ----------
    config : SegmentationConfig
        With what does not change the cost of a step at fixed values; see `of`.
    n_channels : int
    device : str
    threads : int
        Of torch.
    """

    config: SegmentationConfig
    n_channels: int
    device: str
    threads: int

    @classmethod
    def of(cls, config: SegmentationConfig, n_channels: int, device: str, threads: int) -> "Network":
        """That of a run with any config."""
        stops = {"epochs": 1, "min_classes": 1, "settle_fraction": 0.0, "guard": False}
        steps = {"batch_size": 1, "learning_rate": 0.01, "learning_rate_decay": 0.0}
        terms = {"mu": float(config.mu > 0), "nu": float(config.nu > 0)}
        cost_only = config.replace(**stops, **steps, **terms, seed=0, start="random", start_contrast=15.0)
        return cls(cost_only, n_channels, device, threads)


class Paces:
    """Seconds per pixel of training steps: what probes have said, and what runs have taken.

    A run takes the place of the probe, for the same network and steps of
    about as many pixels: the last run counts for 0.7, and all before it for
    the rest, as geometric means. For other networks and sizes on the same
    device a probe is corrected by how far those of the last five runs were
    off: the median of run / probe, in which two more, of 1, stand for the
    trust in probes, so that a single odd one changes nothing.
    """

    def __init__(self) -> None:
        self._probed: dict[Network, dict[int, float]] = {}
        self._taken: dict[Network, dict[int, float]] = {}
        self._off: dict[tuple[str, int], deque[float]] = {}

    def note_probe(self, network: Network, pixels: int, seconds: float) -> None:
        """A probe of steps on so many pixels has taken so many seconds per pixel."""
        self._probed.setdefault(network, {})[pixels] = seconds

    def note_run(self, network: Network, pixels: int, seconds: float) -> None:
        """The epochs of a run, with steps on so many pixels, have taken so many seconds per pixel."""
        if not (seconds > 0 and pixels > 0):  # nothing was trained on, as in a constant image
            return
        probed = _nearest(self._probed.get(network, {}), pixels)
        if probed:
            of_device = self._off.setdefault((network.device, network.threads), deque(maxlen=_REMEMBERED))
            of_device.append(log(seconds / probed))
        taken = self._taken.setdefault(network, {})
        before = taken.get(pixels, seconds)
        taken[pixels] = before * (seconds / before) ** _LATEST

    def seconds(self, network: Network, pixels: int, probed: float) -> float:
        """Seconds per pixel that steps on so many pixels will take, where a probe has said so many."""
        taken = _nearest(self._taken.get(network, {}), pixels)
        if taken is not None:
            return taken
        return probed * exp(median([0.0, 0.0, *self._off.get((network.device, network.threads), ())]))


def _nearest(of_pixels: dict[int, float], pixels: int) -> float | None:
    """What is known of the number of pixels that is most alike; None if none is."""
    distance, nearest = min(((abs(log(n / pixels)), n) for n in of_pixels), default=(_ALIKE + 1, 0))
    return of_pixels[nearest] if distance <= _ALIKE else None


paces = Paces()
