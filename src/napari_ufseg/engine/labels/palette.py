"""Colours for the classes of one result: lighter for brighter classes, and told apart by colour-blind eyes too."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.errors import ConfigError
from napari_ufseg.engine.labels.class_table import as_hex

# Found by a search over sRGB, first on a grid, then in steps of 1/255, for distance and some vividness. Distance is the least
# CIEDE2000 between two of them, with normal sight (2/3 of it), protanopia, deuteranopia or tritanopia (Machado et al. 2009).
# L* is 35 to 87 and rises with all four, if only by a little where many are; neighbours have other hues. The sets of 2 to 4
# have distance to spare: they were picked by hand among good ones, for being vivid and sharing their colours.
_BEST = (
    "00c3ff",
    "004bd2 ffd200",
    "004bd2 f03c69 ffd200",
    "004bd2 f03c69 00c3ff ffd200",
    "6d04e1 1b7600 fb5d87 02d7fe fdd800",
    "6500eb 007400 ff3d71 a297ff 11e1c5 f1dc0b",
    "1349c1 a95701 028c68 aa76ff ff789d 03dfea e1e100",
    "1048c5 6d6604 e63378 58a501 ab84ff ff9d8d 0fe0d9 ebde00",
    "104eb5 7e6000 00895b 9c5dff 819c00 ff7a90 eda2fa 0ee2c2 f1dc05",
    "0d49c3 5b6a00 00875c 965aff ab8802 fd6790 d69cf3 f9a979 03e5c0 e1e100",
    "0d4db9 5c6600 00885e b63dfc a47e00 ff4d9e ad94fc adb000 ff9a8e 2be6f3 9ff005",
    "0e50af 5d640c 00764c 7f3cfc 9a7d02 8781ef 05a783 8bb306 e3a0ff f2b178 0ae4d2 e5e000",
)
_DARKEST, _LIGHTEST = 36.0, 87.0  # CIE L*, seen on black and on white
_FIRST_HUE, _HUE_STEP = 0.66, 0.618034  # blue; by the golden ratio, so that near ones are of far hues
_LUMINANCE = np.array([0.212671, 0.715160, 0.072169])  # of red, green and blue


def brightness_palette(n: int) -> npt.NDArray[np.float64]:
    """Colours for classes that are in order of their brightness.

    Up to 12 are told apart by colour-blind eyes as well; the better, the
    fewer there are. Of more, the next one is still lighter and of a far hue
    to normal sight, and others may look alike.

    Parameters
    ----------
    n : int
        How many classes there are.

    Returns
    -------
    (n, 3) array
        RGB in [0, 1], the darkest first. It is shared, so nobody can write into it.

    Raises
    ------
    ConfigError
        If `n` is no whole number, or below 0.
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
        raise ConfigError(f"The number of colours is {n!r}: give a whole number, at least 0.")
    return _palette(int(n))


@lru_cache(maxsize=64)
def _palette(n: int) -> npt.NDArray[np.float64]:
    """The best ones as long as there are any."""
    colours = _from_hex(_BEST[n - 1]) if 0 < n <= len(_BEST) else _cycled_hues(n)
    colours.flags.writeable = False
    return colours


def _from_hex(text: str) -> npt.NDArray[np.float64]:
    return np.array([list(bytes.fromhex(colour)) for colour in text.split()]) / 255


def _cycled_hues(n: int) -> npt.NDArray[np.float64]:
    """Even steps of L*, each in the most vivid colour of its hue."""
    luminance = ((np.linspace(_DARKEST, _LIGHTEST, n)[:, None] + 16) / 116) ** 3
    hue = (_FIRST_HUE + _HUE_STEP * np.arange(n)[:, None]) % 1
    pure = np.clip(np.abs((6 * hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1) ** 2.2  # linear light
    own = (pure @ _LUMINANCE)[:, None]
    shaded = pure * np.minimum(1, luminance / own)
    linear = shaded + np.maximum(0, (luminance - own) / (1 - own)) * (1 - shaded)  # with white, where it is too dark
    return _encoded(linear)


def _encoded(linear: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The sRGB values of linear light."""
    encoded: npt.NDArray[np.float64] = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )
    return np.clip(encoded, 0, 1)


def shades_of(brightness: Mapping[int, float]) -> dict[int, str]:
    """A colour of `brightness_palette` for each class, as ``"#rrggbb"``.

    Parameters
    ----------
    brightness : dict of int to float
        Of every class; of equal ones that with the smaller label counts as the darker.
    """
    order = sorted(brightness, key=lambda label: (brightness[label], label))
    return {label: as_hex(colour) for label, colour in zip(order, brightness_palette(len(order)), strict=True)}


def shades_for(brightness: Mapping[int, float], *known: Mapping[int, str]) -> dict[int, str]:
    """The first known colours in which each class has one and brighter ones are lighter, else those of `shades_of`.

    Parameters
    ----------
    brightness : dict of int to float
        As in `shades_of`.
    *known : dict of int to str
        Perhaps of other classes too.
    """
    order = sorted(brightness, key=lambda label: (brightness[label], label))
    for shades in known:
        if [label for label in _in_order(shades) if label in brightness] == order:
            return {label: shades[label] for label in order}
    return shades_of(brightness)


def _in_order(shades: Mapping[int, str]) -> list[int]:
    """The labels of some colours, the darkest first."""
    from skimage.color import rgb2lab

    def lightness(label: int) -> float:
        rgb = [int(shades[label][i : i + 2], 16) / 255 for i in (1, 3, 5)]
        return float(rgb2lab(np.array(rgb))[0])

    return sorted(shades, key=lightness)
