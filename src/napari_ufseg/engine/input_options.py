"""InputOptions: the options that say what the network sees of an image."""

from dataclasses import dataclass
from math import ceil

from napari_ufseg.engine.option import choice_option, number_option

_INPUT = "Input"
_TRUNCATE = 3.5  # where the Gaussian of the local contrast ends, in standard deviations
_LARGEST_CELL = 16
NOISE_WINDOW = 5


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """The part of a `SegmentationConfig` that says what the network sees; the defaults are the published method."""

    scaling: str = choice_option(
        "minmax",
        "Brightness scaling",
        _INPUT,
        ("minmax", "percentile"),
        "minmax spans darkest to brightest pixel; percentile ignores the extreme 0.1 % at either end (hot pixels).",
    )
    colour: str = choice_option(
        "as_is",
        "Colour",
        _INPUT,
        ("as_is", "lab"),
        "lab turns 3 channels, as red, green and blue, into lightness and two of colour that are even to the eye.",
    )
    denoise: float = number_option(
        0.0,
        "Noise removal",
        _INPUT,
        (0.0, 10.0, 0.5),
        "How much is smoothed away, in units of the measured noise; larger removes weak detail too, 0 nothing.",
    )
    local_contrast: float = number_option(
        0.0,
        "Local contrast",
        _INPUT,
        (0.0, 10.0, 0.05),
        "Weight of brightness against the surroundings, beside brightness itself; larger sees through uneven light.",
    )
    local_contrast_size: float = number_option(
        16.0,
        "Size of surroundings",
        _INPUT,
        (1.0, 64.0, 1.0),
        "Radius in pixels of what local contrast compares with; larger suits larger objects.",
    )

    @property
    def sees_local_contrast(self) -> bool:
        """Whether there is local contrast among the input channels."""
        return self.local_contrast > 0

    def n_inputs(self, n_channels: int) -> int:
        """Channels that the network sees of an image with so many."""
        return n_channels * (2 if self.sees_local_contrast else 1)

    @property
    def contrast_cell(self) -> int:
        """Edge in pixels of the square cells whose means stand for the surroundings: a power of two, a quarter of the size."""
        cell = 1
        while cell < _LARGEST_CELL and 8 * cell <= self.local_contrast_size:
            cell *= 2
        return cell

    @property
    def contrast_radius(self) -> int:
        """How many cells the Gaussian reaches on either side."""
        return ceil(_TRUNCATE * self.local_contrast_size / self.contrast_cell)

    @property
    def denoise_reach(self) -> int:
        """Pixels around a pixel that the noise removal looks at."""
        return NOISE_WINDOW // 2 if self.denoise > 0 else 0

    @property
    def contrast_reach(self) -> int:
        """Pixels around a pixel that shape its input: the Gaussian, and one cell between whose middles is interpolated."""
        return (self.contrast_radius + 1) * self.contrast_cell if self.sees_local_contrast else 0
