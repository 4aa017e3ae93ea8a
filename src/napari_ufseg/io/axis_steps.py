"""Steps along axes, each with a unit of its own: what a file or a layer tells, and what is left of it once the axes are named.

All readers, writers and layers decide here what counts as known. Nothing that is not told is filled in, but for one
thing, which is said: pixels of which one side is told are taken as square.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any, Self

from napari_ufseg.engine.images.axes import anisotropy
from napari_ufseg.io.units import is_length, is_time, unit_ratio, unit_symbol

_SPACE = "ZYX"
_NAMED = "T" + _SPACE


@dataclass(frozen=True)
class Step:
    """How far neighbouring pixels are apart along one axis, and where the first one lies.

    Parameters
    ----------
    size : float or None
        Above 0; None if it is not known.
    unit : str or None
        Its symbol, as ``"µm"`` or ``"s"``, or a text that is no known unit; None for a bare number, as in pixels.
    start : float
        Where the middle of the first pixel lies, in `unit`; 0.0 if it is not known.
    """

    size: float | None = None
    unit: str | None = None
    start: float = 0.0

    @classmethod
    def told(cls, size: Any, unit: Any = None, start: Any = 0.0) -> Self:
        """What a file tells, whatever it is: not known unless it is a number that can be a size, of which the sign is left out.

        A step below 0 mirrors the image, so that the first pixel lies at the other end: its start is left out, too.
        """
        number, first = as_number(size), as_number(start) or 0.0
        if number is None:
            return cls(start=first if size is None else 0.0)
        return cls(abs(number) or None, unit_symbol(unit), first if number > 0 else 0.0)

    def times(self, ratio: float) -> Self:
        """The same step, told in a unit of which `ratio` make one of its own, or that of `ratio` pixels."""
        size = None if self.size is None else self.size * ratio
        return type(self)(size, self.unit, self.start * ratio)

    def in_unit(self, unit: str | None) -> Self:
        """The same step in another unit of the same kind; as it is if there is no way from one to the other."""
        ratio = unit_ratio(self.unit, unit)
        if ratio is None or ratio == 1:
            return self
        told = self.times(ratio)
        return type(self)(told.size, unit, told.start)

    def can_be(self, letter: str) -> bool:
        """Whether it is known, and can be a step along such an axis: a time along T, else a length, or a bare number."""
        if self.size is None:
            return False
        return self.unit is None or (is_time(self.unit) if letter == "T" else not is_time(self.unit))


def as_number(value: Any) -> float | None:
    """A finite number out of whatever stands in metadata; None if it is none."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


@dataclass(frozen=True)
class AxisSteps:
    """The steps along the axes T, Z, Y and X: lengths in one unit wherever they can be turned into it, times in seconds.

    Parameters
    ----------
    by_letter : dict of str to Step
    notes : tuple of str
        What had to be left out or assumed, a sentence each.
    """

    by_letter: Mapping[str, Step] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __getitem__(self, letter: str) -> Step:
        return self.by_letter.get(letter, Step())

    @property
    def is_known(self) -> bool:
        """Whether the size of any step is."""
        return any(step.size is not None for step in self.by_letter.values())

    @property
    def unit(self) -> str | None:
        """The unit of pixels; None if it is not known."""
        return next((self[letter].unit for letter in reversed(_SPACE) if self[letter].size is not None), None)

    @property
    def anisotropy(self) -> float | None:
        """How much deeper than wide voxels are; None unless all three steps are known, and in one unit."""
        steps = [self[letter] for letter in _SPACE]
        if any(step.size is None for step in steps) or len({step.unit for step in steps}) > 1:
            return None
        return anisotropy({letter: step.size or 0.0 for letter, step in zip(_SPACE, steps, strict=True)})

    def in_unit(self, unit: str | None) -> Self:
        """The same steps with lengths in another unit, wherever there is a way to it, and times in seconds."""
        steps = {letter: step.in_unit("s" if letter == "T" else unit) for letter, step in self.by_letter.items()}
        return type(self)(steps, self.notes)

    def sizes(self, axes: str) -> tuple[float | None, ...]:
        """The size of the step along each of these axes."""
        return tuple(self[letter].size for letter in axes)

    def units(self, axes: str) -> tuple[str | None, ...]:
        """The unit of the step along each of these axes."""
        return tuple(self[letter].unit for letter in axes)

    def starts(self, axes: str) -> tuple[float, ...]:
        """Where the first pixel lies along each of these axes."""
        return tuple(self[letter].start for letter in axes)


@dataclass(frozen=True)
class ToldSteps:
    """What a file or a layer tells of the steps, before anybody has said what each axis is.

    Parameters
    ----------
    by_axis : sequence of Step
        Along each axis of the data; fewer if nothing is known of the last ones.
    others : dict of str to Step
        Those along axes that the data have not got, as ImageJ's ``spacing`` of a stack that was saved as frames.
    notes : tuple of str
        What the metadata hold that cannot be understood, a sentence each.
    """

    by_axis: Sequence[Step] = ()
    others: Mapping[str, Step] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, axes: str, told: Mapping[str, Step], notes: Iterable[str] = ()) -> Self:
        """What a file tells by the letters of axes, its own and others."""
        others = {letter: step for letter, step in told.items() if letter not in axes}
        return cls(tuple(told.get(letter, Step()) for letter in axes), others, tuple(notes))

    def along(self, axes: str) -> AxisSteps:
        """The steps once each axis has a name.

        A step belongs to its axis, whatever that is called. One that cannot be a step along it (seconds of what
        is called depth) gives way to what the file tells of such an axis, or else to nothing.

        Parameters
        ----------
        axes : str
            A letter for each axis of the data, by the file or the user.
        """
        notes = list(self.notes)
        steps: dict[str, Step] = {}
        for i, letter in enumerate(axes):
            if letter not in _NAMED:
                continue
            own = self.by_axis[i] if i < len(self.by_axis) else Step()
            step = own if own.can_be(letter) else self.others.get(letter, own)
            if step.size is not None and not step.can_be(letter):
                notes.append(_of_no_use(letter, step))
                step = Step()
            steps[letter] = step
        _drop_ones(steps)
        notes += _square(steps)
        unit = next((steps[letter].unit for letter in "XYZ" if letter in steps and is_length(steps[letter].unit)), None)
        return AxisSteps(steps, (*notes, *_unknown_units(steps))).in_unit(unit)


def unreadable(name: str, value: Any) -> str:
    """The sentence for a size in metadata that is none."""
    text = (
        ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    )  # as tifffile takes 0,5 for two numbers
    return f"Its {name} is {text[:40]!r}, which is no size, and is left out."


def _of_no_use(letter: str, step: Step) -> str:
    kind = "no time that is known" if letter == "T" else "no length"
    return f"The step along {letter} is told as {step.size:g} {step.unit}, which is {kind}, and is left out."


def _unknown_units(steps: Mapping[str, Step]) -> list[str]:
    strange = {step.unit: None for letter, step in steps.items() if step.unit and letter != "T"}
    return [
        f"Its steps are told in {str(unit)[:40]!r}, which is no known unit of length: the numbers are kept as they are."
        for unit in strange
        if not is_length(unit)
    ]


def _drop_ones(steps: dict[str, Step]) -> None:
    """Forget bare numbers that are all 1, which say no more than that a pixel is a pixel."""
    for letters in ("T", _SPACE):
        bare = [letter for letter in letters if letter in steps and steps[letter].unit is None and steps[letter].size]
        if all(steps[letter].size == 1 for letter in bare):
            for letter in bare:
                steps[letter] = Step(start=steps[letter].start)


def _square(steps: dict[str, Step]) -> list[str]:
    """Give the side of a pixel that is not told the length of the other; says so."""
    for lost, told in ("YX", "XY"):
        if lost in steps and told in steps and steps[lost].size is None and steps[told].size is not None:
            steps[lost] = replace(steps[lost], size=steps[told].size, unit=steps[told].unit)
            return [f"Only the step along {told} is told, not that along {lost}: pixels are assumed to be square."]
    return []
