"""SegmentationConfig: every option of the method, with its range and its help in plain words."""

import difflib
from dataclasses import asdict, dataclass, field, fields, replace
from math import ceil
from numbers import Integral, Real
from typing import Any, Self

import numpy as np

from napari_ufseg.engine.errors import ConfigError


@dataclass(frozen=True)
class Option:
    """Label, help, range and choices of one option, for command line, widget and validation.

    Parameters
    ----------
    label : str
        Short name for people.
    help : str
        One line: what a larger value does to the picture.
    group : str
        Heading under which the option is shown.
    minimum, maximum, step : float, optional
        Allowed range, both ends included, and the step of a spin box.
    choices : tuple of str
        The allowed words of a text option.
    is_switch : bool
        Whether it is on or off, a bool.
    """

    label: str
    help: str
    group: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    is_switch: bool = False

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        if self.is_switch:
            return "on or off"
        if self.choices:
            return "one of " + ", ".join(self.choices)
        return f"from {_plain(self.minimum)} to {_plain(self.maximum)}"


def _plain(bound: float | None) -> str:
    """A bound as people write it: whole numbers with every digit."""
    return "any" if bound is None else str(int(bound)) if float(bound).is_integer() else f"{bound:g}"


def number_option(default: Any, label: str, group: str, span: tuple[float, float, float], help: str) -> Any:
    """A dataclass field for a number; `span` is (minimum, maximum, step)."""
    low, high, step = span
    return field(default=default, metadata={"option": Option(label, help, group, low, high, step)})


def choice_option(default: str, label: str, group: str, choices: tuple[str, ...], help: str) -> Any:
    """A dataclass field for one word out of several."""
    return field(default=default, metadata={"option": Option(label, help, group, choices=choices)})


def switch_option(default: bool, label: str, group: str, help: str) -> Any:
    """A dataclass field for what is on or off."""
    return field(default=default, metadata={"option": Option(label, help, group, is_switch=True)})


_ON, _OFF = ("on", "true", "yes"), ("off", "false", "no")


def as_switch(value: Any) -> bool | None:
    """A bool, or a word for one (``on``, ``off``, ``true``, ``false``, ``yes``, ``no``), as a bool; None for all else."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    word = value.lower() if isinstance(value, str) else ""
    return word in _ON if word in _ON + _OFF else None


def as_number(value: Any, *, whole: bool) -> float | None:
    """The value as a plain int or float, or None if it is not a finite number of that kind (bool is not one)."""
    if isinstance(value, bool | np.bool_):
        return None
    if whole:
        return int(value) if isinstance(value, Integral) else None
    try:
        return float(value) if isinstance(value, Real) and np.isfinite(float(value)) else None
    except OverflowError:  # a whole number too large for a float
        return None


LEAST_ANISOTROPY, MOST_ANISOTROPY = 0.01, 1000.0
_NETWORK = "Network"


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The part of a `SegmentationConfig` that says what the network looks like; the defaults are the published method."""

    n_features: int = number_option(
        100,
        "Features",
        _NETWORK,
        (1, 1024, 8),
        "Channels of each convolution; more tell finer textures apart, but are slower and need more memory.",
    )
    n_convolutions: int = number_option(
        2,
        "Convolutions",
        _NETWORK,
        (1, 10, 1),
        "Number of 3x3 convolutions; more look at a wider neighbourhood and give smoother, blurrier borders.",
    )
    n_classes: int = number_option(
        100,
        "Classes",
        _NETWORK,
        (2, 1000, 1),
        "How many classes the first picture may have; more keep finer differences and take longer to settle.",
    )
    spatial_dims: int = number_option(
        2,
        "Dimensions",
        _NETWORK,
        (2, 3, 1),
        "2 takes every plane by itself; larger, 3, looks along depth (Z) too, with 3D convolutions: slower, smoother in Z.",
    )
    anisotropy: float = number_option(
        1.0,
        "Anisotropy",
        _NETWORK,
        (LEAST_ANISOTROPY, MOST_ANISOTROPY, 0.1),
        "Depth of voxels over their width, in 3D, which layers and files tell; larger lets fewer convolutions look along Z.",
    )
    kernels: str = choice_option(
        "free",
        "Kernels",
        _NETWORK,
        ("free", "symmetric"),
        "symmetric kernels see no difference between left and right, up and down: no crescents along edges.",
    )
    padding: str = choice_option(
        "zeros",
        "Beyond the border",
        _NETWORK,
        ("zeros", "replicate"),
        "zeros has a dark frame around the image; replicate repeats its outermost pixels: no frame of its own class.",
    )
    skip: bool = switch_option(
        False,
        "Skip",
        _NETWORK,
        "on: the classifier also sees brightness or colour of the pixel itself, so that borders stay sharp.",
    )

    @property
    def is_plain_network(self) -> bool:
        """Whether the network is the published one, without symmetric kernels, replicate padding or skip."""
        return (self.kernels, self.padding, self.skip) == ("free", "zeros", False)

    @property
    def n_convolutions_z(self) -> int:
        """How many of the convolutions also look along depth.

        With voxels `anisotropy` times as deep as wide, so many steps of the
        convolutions along Z span about the same length as all their steps in
        the plane: ``n_convolutions / anisotropy``, rounded, at least one and
        at most all. With 2 spatial dimensions none does.
        """
        if self.spatial_dims == 2:
            return 0
        return min(self.n_convolutions, max(1, round(self.n_convolutions / self.anisotropy)))

    @property
    def halo(self) -> tuple[int, ...]:
        """How far the network sees beyond a pixel, along (Y, X) or (Z, Y, X)."""
        plane = (self.n_convolutions,) * 2
        return plane if self.spatial_dims == 2 else (self.n_convolutions_z, *plane)


_INPUT = "Input"
_TRUNCATE = 3.5  # where the Gaussian of the local contrast ends, in standard deviations
_LARGEST_CELL = 16
NOISE_WINDOW = 5
INTENSITY_CHOICES = ("auto", "trained", "own")  # by what brightness a model sees an image


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """The part of a `SegmentationConfig` that says what the network sees; the defaults are the published method."""

    scaling: str = choice_option(
        "minmax",
        "Brightness scaling",
        _INPUT,
        ("minmax", "percentile", "robust"),
        "minmax: darkest to brightest; percentile: without 0.1 % at either end; robust: each channel, without hot pixels.",
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
        "Radius in pixels of what local contrast and local threshold compare with; larger suits larger objects.",
    )
    local_threshold: float = number_option(
        0.0,
        "Local threshold",
        _INPUT,
        (0.0, 10.0, 0.05),
        "Weight of which side of a threshold between things and ground nearby a pixel is on; larger keeps dim things whole.",
    )

    @property
    def sees_local_contrast(self) -> bool:
        """Whether there is local contrast among the input channels."""
        return self.local_contrast > 0

    def sees_lab(self, n_channels: int) -> bool:
        """Whether an image with so many channels is turned into CIE L*, a* and b*."""
        return self.colour == "lab" and n_channels == 3

    @property
    def sees_local_threshold(self) -> bool:
        """Whether there are sides of a local threshold among the input channels."""
        return self.local_threshold > 0

    def n_lights(self, n_channels: int) -> int:
        """How many kinds of light an image with so many channels has: one of a picture in colours, else one a channel."""
        return 1 if self.sees_lab(n_channels) else n_channels

    def n_inputs(self, n_channels: int) -> int:
        """Channels that the network sees of an image with so many: its own, then local contrast, then local threshold."""
        contrast = n_channels if self.sees_local_contrast else 0
        return n_channels + contrast + (self.n_lights(n_channels) if self.sees_local_threshold else 0)

    @property
    def sees_surroundings(self) -> bool:
        """Whether an input channel compares a pixel with what lies around it."""
        return self.sees_local_contrast or self.sees_local_threshold

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
        return (self.contrast_radius + 1) * self.contrast_cell if self.sees_surroundings else 0


_TRAINING, _LOSS, _STOP = "Training", "Loss weights", "Stopping"


@dataclass(frozen=True, kw_only=True)
class SegmentationConfig(InputOptions, NetworkOptions):
    """All options of the method; the defaults are the preset ``generalised``.

    The config says what is computed. Where (device) and how often pictures
    are shown are arguments of the run, never part of it. What is on or off may
    be given as a word, too ("on", "off"), and becomes a bool. Symbols follow Kim,
    Kanezaki and Tanaka (2020), https://doi.org/10.1109/TIP.2020.3011269.

    Raises
    ------
    ConfigError
        If an option is unknown, of the wrong type or out of range.
    """

    seed: int = number_option(
        0,
        "Seed",
        _TRAINING,
        (0, 2**31 - 1, 1),
        "Start of the random numbers; the same seed gives the same labels on the CPU, another one another start.",
    )
    batch_size: int = number_option(
        16,
        "Batch size",
        _TRAINING,
        (1, 1024, 1),
        "Images of equal size that are trained in one step; more give steadier training and need more memory.",
    )
    epoch_megapixels: float = number_option(
        0.0,
        "Megapixels per epoch",
        _TRAINING,
        (0.0, 1e6, 0.5),
        "Of images twice as large or more an epoch sees so much, in random tiles; larger is slower, 0 sees all that fits.",
    )
    learning_rate: float = number_option(
        0.1,
        "Learning rate",
        _TRAINING,
        (1e-5, 10.0, 0.01),
        "Size of a training step; larger merges classes faster, too large makes them collapse into one.",
    )
    learning_rate_decay: float = number_option(
        0.0,
        "Fall of the learning rate",
        _TRAINING,
        (0.0, 2.0, 0.1),
        "Power with which the learning rate falls to 0 over the epochs; larger settles sooner, 0 keeps it as it is.",
    )
    momentum: float = number_option(
        0.4,
        "Momentum",
        _TRAINING,
        (0.0, 0.999, 0.05),
        "How much of the last step is kept in the next; larger is faster and less steady.",
    )
    start: str = choice_option(
        "random",
        "Start",
        _TRAINING,
        ("random", "clusters"),
        "random begins with random classes; clusters with those of k-means on what the network sees (needs skip).",
    )
    start_contrast: float = number_option(
        15.0,
        "Contrast of the start",
        _TRAINING,
        (1.0, 100.0, 1.0),
        "How sure the start from clusters is of its classes; larger keeps more of them as they are.",
    )
    mu: float = number_option(
        2.0,
        "Similarity (mu)",
        _LOSS,
        (0.0, 100.0, 0.1),
        "Weight of feature similarity; larger makes classes follow brightness and colour more strictly.",
    )
    nu: float = number_option(
        2.0,
        "Smoothness",
        _LOSS,
        (0.0, 100.0, 0.1),
        "Weight of continuity; larger gives fewer, smoother and larger regions, too large merges everything.",
    )
    nu_x: float = number_option(
        1.0,
        "Smoothness in x (nu_x)",
        _LOSS,
        (0.0, 100.0, 0.1),
        "Share of the smoothness along rows; larger makes regions stretch horizontally.",
    )
    nu_y: float = number_option(
        1.0,
        "Smoothness in y (nu_y)",
        _LOSS,
        (0.0, 100.0, 0.1),
        "Share of the smoothness along columns; larger makes regions stretch vertically.",
    )
    nu_z: float = number_option(
        1.0,
        "Smoothness in z (nu_z)",
        _LOSS,
        (0.0, 100.0, 0.1),
        "Share of the smoothness along depth, for 3 dimensions; larger makes regions stretch through the planes.",
    )
    M: float = number_option(
        1.0,
        "Largest class (M)",
        _LOSS,
        (0.0, 100.0, 0.1),
        "Weight on the area of the largest class; larger keeps one class from taking over the picture.",
    )
    m: float = number_option(
        1.0,
        "Smallest class (m)",
        _LOSS,
        (0.0, 100.0, 0.1),
        "Weight on the area of the smallest class; larger makes tiny classes grow or disappear.",
    )
    scribble_weight: float = number_option(
        1.0,
        "Scribbles",
        _LOSS,
        (0.0, 100.0, 0.1),
        "Weight of scribbles, labels painted before the run; larger follows them more strictly.",
    )
    correction_weight: float = number_option(
        0.2,
        "Corrections",
        _LOSS,
        (0.0, 100.0, 0.1),
        "Weight of pixels corrected by hand when training goes on; larger follows them more strictly.",
    )
    epochs: int = number_option(
        50,
        "Epochs",
        _STOP,
        (1, 100_000, 10),
        "Passes over all images before training ends; more merge further and take longer.",
    )
    min_classes: int = number_option(
        3,
        "Stop at",
        _STOP,
        (1, 1000, 1),
        "Training stops when only so many classes are left; larger stops earlier with more classes.",
    )
    guard: bool = switch_option(
        False,
        "Guard",
        _STOP,
        "on: where fewer classes are left than the target, the last picture with enough of them is kept.",
    )
    settle_fraction: float = number_option(
        0.0,
        "Settled below (share)",
        _STOP,
        (0.0, 1.0, 0.001),
        "Stop when less than this share of the pixels changes per epoch; larger stops earlier, 0 never does.",
    )
    settle_epochs: int = number_option(
        5,
        "Settled for (epochs)",
        _STOP,
        (1, 1000, 1),
        "For how many epochs in a row the picture must be settled before training stops; larger waits longer.",
    )

    def __new__(cls, **options: Any) -> Self:  # noqa: D102 (only turns unknown names into ConfigError)
        for name, value in options.items():
            option_of(name, value)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, _checked(item.name, getattr(self, item.name)))

    @classmethod
    def preset(cls, name: str = "fast", **changes: Any) -> Self:
        """One of the named starting points (`PRESETS`), with changes of your own.

        Parameters
        ----------
        name : {"fast", "generalised", "paper"}
            ``fast`` is small and quick and begins with clusters of brightness
            or colour, ``generalised`` is the several-image form with area
            terms, ``paper`` the settings of the publication.
        **changes
            Options that differ from the preset.

        Raises
        ------
        ConfigError
            If the preset or an option is unknown, or a value is not allowed.
        """
        if name not in PRESETS:
            raise ConfigError(f"There is no preset {name!r}: use one of {', '.join(PRESETS)}.")
        return cls(**{**PRESETS[name], **changes})

    @classmethod
    def from_dict(cls, options: dict[str, Any]) -> Self:
        """The config that `to_dict` described; options that are missing keep their default, and "on" and "off" are read too."""
        return cls(**options)

    def to_dict(self) -> dict[str, Any]:
        """All options as plain Python values, ready for JSON."""
        return asdict(self)

    def replace(self, **changes: Any) -> Self:
        """A copy with some options changed; raises ConfigError as the constructor does."""
        for name, value in changes.items():
            option_of(name, value)
        return replace(self, **changes)


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {
        "n_features": 16, "n_convolutions": 2, "n_classes": 8, "kernels": "symmetric", "padding": "replicate",
        "skip": True, "scaling": "robust", "colour": "lab", "denoise": 2.0, "local_contrast": 0.15,
        "local_contrast_size": 16.0, "local_threshold": 0.3, "start": "clusters", "start_contrast": 15.0, "mu": 1.0, "nu": 1.0, "M": 0.0, "m": 0.0,
        "epoch_megapixels": 1.0,
        "learning_rate": 0.1, "momentum": 0.9, "learning_rate_decay": 1.0, "epochs": 20, "min_classes": 3,
        "settle_fraction": 0.0, "guard": True,
    },
    "generalised": {},
    "paper": {"momentum": 0.9, "epochs": 1000, "mu": 1.0, "nu": 5.0, "M": 0.0, "m": 0.0},
}  # fmt: skip
PRESET_HELP = {
    "fast": "Begins with clusters of brightness, colour and local contrast, and trains for some seconds. For most images.",
    "generalised": "Random classes merge while it trains, with terms for their areas; a minute or more. For textures.",
    "paper": "The settings of the publication: random classes, up to 1000 epochs; many minutes.",
}
DEFAULT_PRESET = "fast"


def options() -> dict[str, Option]:
    """Every option of the config by name, in the order in which they are shown."""
    return {item.name: item.metadata["option"] for item in fields(SegmentationConfig)}


def option_of(name: str, value: Any = None) -> Option:
    """The `Option` of one field; ConfigError with the nearest name, and the value that was meant, if there is none."""
    known = options()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(known)}."
        given = "" if value is None else f" (given as {value!r})"
        raise ConfigError(f"There is no option {name!r}{given}: {hint}")
    return known[name]


def _checked(name: str, value: Any) -> Any:
    """The value as a plain Python bool, int, float or str, or a ConfigError that says what is allowed."""
    option = option_of(name)
    default = SegmentationConfig.__dataclass_fields__[name].default
    if isinstance(default, str):
        if not isinstance(value, str) or value not in option.choices:
            raise ConfigError(f"{name} is {value!r}, but must be {option.allowed}.")
        return value
    if isinstance(default, bool):
        switch = as_switch(value)
        if switch is None:
            raise ConfigError(f"{name} is {value!r}, but must be {option.allowed}.")
        return switch
    words = "a whole number" if isinstance(default, int) else "a number"
    number = as_number(value, whole=isinstance(default, int))
    if number is None:
        raise ConfigError(f"{name} is {value!r}, but must be {words} {option.allowed}.")
    if option.minimum is None or option.maximum is None or not option.minimum <= number <= option.maximum:
        raise ConfigError(f"{name} is {value!r}, but must be {option.allowed}.")
    return number
