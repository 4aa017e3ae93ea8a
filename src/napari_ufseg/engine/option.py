"""What is known of one option: label, help, group, range; and how a number is told from other things."""

from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Option:
    """What command line, widget and validation need to know about one field.

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
    """

    label: str
    help: str
    group: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
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
