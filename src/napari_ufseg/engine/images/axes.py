"""What each axis of an array is: one letter per axis, told by the file or the user, never guessed."""

from collections.abc import Mapping, Sequence
from math import sqrt

from napari_ufseg.engine.config import LEAST_ANISOTROPY, MOST_ANISOTROPY
from napari_ufseg.engine.errors import ImageError, counted

ROLES = {"T": "time", "Z": "depth", "C": "channel", "Y": "row", "X": "column", "Q": "other"}
UNKNOWN = "?"
MAX_COLOUR_CHANNELS = 4

_WORDS = {**ROLES, "Q": "some other axis"}
_NOT_KNOWN = ("plane (axis not known yet)", "planes (axis not known yet)")
_COUNTED = {"T": ("time point", "time points"), "Z": ("plane", "planes"), "Q": ("image", "images")}


def checked_axes(axes: str, ndim: int, name: str = "The image") -> str:
    """The axes in capital letters, or an error that says what is wrong with them.

    Parameters
    ----------
    axes : str
        One letter per axis: T time, Z depth, C channel, Y row, X column, Q other, for example ``"TZCYX"``.
    ndim : int
        Number of axes of the array.
    name : str
        How messages call the image.

    Raises
    ------
    ImageError
        If a letter is unknown or comes twice (Q may), Y or X is missing, or
        their number is not that of the array's axes.
    """
    letters = axes.upper() if isinstance(axes, str) else str(axes)
    strange = [letter for letter in letters if letter not in ROLES]
    if strange and not (strange[0] == UNKNOWN and len(letters) != ndim):
        known = ", ".join(f"{letter} ({word})" for letter, word in ROLES.items())
        raise ImageError(f"The axes {axes!r} have the letter {strange[0]!r}, which is none of {known}.")
    if len(letters) != ndim:
        raise ImageError(f"The axes {axes!r} name {len(letters)} axes, but {_lower(name)} has {ndim}.")
    twice = [letter for letter in "TZCYX" if letters.count(letter) > 1]
    if twice:
        raise ImageError(f"The axes {axes!r} name {twice[0]} twice: each but Q may come once.")
    for letter in "YX":
        if letter not in letters:
            raise ImageError(f"The axes {axes!r} lack {letter}: Y and X, the rows and columns of a plane, are needed.")
    return letters


def known_axes(shape: Sequence[int], told: str | None = None, channel_axis: int | None = None) -> str:
    """What can be known of the axes without asking: ``?`` where nothing is.

    Parameters
    ----------
    shape : sequence of int
        Of the array.
    told : str, optional
        What a file says, one letter per axis, ``?`` for unknown.
    channel_axis : int, optional
        Which axis holds the channels; wins over `told`.

    Returns
    -------
    str
        One letter per axis. Without other knowledge the last two are Y and X,
        or Y, X and C if the last has at most 4 entries and both others have
        more. Unknown axes of length 1 hold nothing and become Q.
    """
    letters = list(told) if told and len(told) == len(shape) else _by_shape(shape, channel_axis)
    if channel_axis is not None:
        letters = [UNKNOWN if letter == "C" else letter for letter in letters]
        letters[channel_axis] = "C"
    singles = [letter == UNKNOWN and size == 1 for letter, size in zip(letters, shape, strict=True)]
    return "".join("Q" if single else letter for letter, single in zip(letters, singles, strict=True))


def _by_shape(shape: Sequence[int], channel_axis: int | None) -> list[str]:
    ndim = len(shape)
    if channel_axis is not None:
        rest = [i for i in range(ndim) if i != channel_axis % ndim]
        letters = [UNKNOWN] * ndim
        for i, letter in zip(rest[-2:], "YX"[-len(rest) :], strict=False):
            letters[i] = letter
        return letters
    if ndim == 3 and 1 <= shape[2] <= MAX_COLOUR_CHANNELS < min(shape[:2]):
        return list("YXC")
    return [UNKNOWN] * (ndim - 2) + list("YX")[-ndim:]


def resolved_axes(axes: str, shape: Sequence[int], name: str = "The image") -> str:
    """The axes, if none is unknown any more.

    Raises
    ------
    ImageError
        If one is; the sentence names its length and says how to tell.
    """
    if UNKNOWN in axes and not {"Y", "X"} <= set(axes):
        raise ImageError(
            f"{name} has shape {tuple(shape)} and it is not clear what its axes are: name them (axes in Python, --axes on "
            f"the command line), for example {_filled(axes)} (T time, Z depth, C channel, Y row, X column, Q other)."
        )
    if UNKNOWN in axes:
        size = shape[axes.index(UNKNOWN)]
        free = next(letter for letter in "ZTQ" if letter == "Q" or letter not in axes)
        example = axes.replace(UNKNOWN, free, 1).replace(UNKNOWN, "Q")
        raise ImageError(
            f"{name} has shape {tuple(shape)} and it is not clear what the axis of length {size} is: "
            f"name the axes (axes in Python, --axes on the command line), for example {example} if it is {_WORDS[free]} "
            "(T time, Z depth, C channel, Q other)."
        )
    return checked_axes(axes, len(shape), name)


def _filled(axes: str) -> str:
    """The axes with letters that are possible where one is unknown."""
    letters = list(axes)
    for i in reversed(range(len(letters))):
        if letters[i] == UNKNOWN:
            letters[i] = next(letter for letter in "XYZTQ" if letter == "Q" or letter not in letters)
    return "".join(letters)


def spatial_axes(axes: str, spatial_dims: int) -> str:
    """The letters along which the network looks, in their order: Y and X, and with 3 dimensions Z."""
    return "".join(letter for letter in axes if letter in ("YX" if spatial_dims == 2 else "ZYX"))


def anisotropy(steps: Mapping[str, float]) -> float:
    """How much deeper than wide voxels are: the step along Z divided by the mean (geometric) size of a pixel.

    Parameters
    ----------
    steps : dict of str to float
        Size of a step along the axes of these letters, in one unit.

    Returns
    -------
    float
        Rounded to three decimals, and within what the config allows; 1 without Z.
    """
    if "Z" not in steps:
        return 1.0
    ratio = abs(steps["Z"]) / sqrt(abs(steps["Y"] * steps["X"]))
    return min(max(round(ratio, 3), LEAST_ANISOTROPY), MOST_ANISOTROPY)


def describe(shape: Sequence[int], axes: str, spatial_dims: int = 2) -> str:
    """The array in words, for example ``48 time points of 130 x 130, 1 channel``.

    Parameters
    ----------
    shape : sequence of int
        Of the array.
    axes : str
        One letter per axis, ``?`` for unknown.
    spatial_dims : {2, 3}
        With 3, depth is part of the size and not counted as planes.
    """
    sizes = dict(zip(axes, shape, strict=True))
    inner = [letter for letter in "ZYX" if letter in sizes and (letter != "Z" or spatial_dims == 3)]
    words = " x ".join(str(sizes[letter]) for letter in inner)
    for letter, size in reversed(list(zip(axes, shape, strict=True))):
        if letter in inner or letter == "C" or size == 1:
            continue
        one, many = _COUNTED.get(letter, _NOT_KNOWN)
        words = f"{size} {one if size == 1 else many} of {words}"
    return f"{words}, {counted(sizes.get('C', 1), 'channel')}"


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]
