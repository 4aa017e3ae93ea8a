"""Several images in one file: which of them is meant, and what is told of the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from napari_ufseg.engine.errors import FileError

_MOST_NAMED = 4  # others that a sentence names one by one


@dataclass(frozen=True)
class Series:
    """One of the images in a file.

    Parameters
    ----------
    name : str
        As the file calls it; may be empty.
    shape : tuple of int
        Of its pixels.
    axes : str
        One letter for each.
    aside : str
        What it is beside another image, in words, such as ``"a reduced copy"``; empty for an image of its own.
    """

    name: str
    shape: tuple[int, ...]
    axes: str
    aside: str = ""

    @property
    def n_pixels(self) -> int:
        """How many pixels it has, whatever its channels."""
        return prod(size for size, letter in zip(self.shape, self.axes, strict=True) if letter not in "CS")


def choose_series(path: Path, found: Sequence[Series], asked: int | str | None = None) -> int:
    """The number of the image that is meant: the one that was asked for, else the first of the largest.

    Reduced copies and masks are taken only when they are asked for, or where there is nothing else.

    Raises
    ------
    FileError
        If none has that name or number; the sentence lists those that there are.
    """
    if asked is None:
        images = [number for number, one in enumerate(found) if not one.aside] or range(len(found))
        return max(images, key=lambda number: found[number].n_pixels)
    names = [one.name for one in found]
    if asked in names:
        return names.index(str(asked))
    if str(asked).isdecimal() and int(asked) < len(found):
        return int(asked)
    there = (
        f"{len(found)} images: {_listed(found, range(len(found)))}" if len(found) > 1 else "only one image, number 0"
    )
    raise FileError(f"{path} has no image {asked!r} (series): it has {there}.")


def told_of_series(path: Path, found: Sequence[Series], taken: int) -> str:
    """The sentence that tells which image was taken without being asked for; nothing if that is no question."""
    if len(found) == 1 or (taken == 0 and all(one.aside for one in found[1:])):
        return ""
    others = [number for number in range(len(found)) if number != taken]
    is_are = "the other is" if len(others) == 1 else "the others are"
    return (
        f"{path} holds {len(found)} images, of which {_listed(found, [taken])} is taken; {is_are} "
        f"{_listed(found, others)}: to take another, give its number or name (series in Python, --series on the command "
        "line)."
    )


def _listed(found: Sequence[Series], numbers: Sequence[int]) -> str:
    named = [_in_words(number, found[number]) for number in numbers[:_MOST_NAMED]]
    more = len(numbers) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _in_words(number: int, one: Series) -> str:
    """For example ``1 'main' (4 x 64 x 80)``."""
    name = f" {one.name!r}" if one.name else ""
    aside = f", {one.aside}" if one.aside else ""
    return f"{number}{name} ({' x '.join(map(str, one.shape))}{aside})"
