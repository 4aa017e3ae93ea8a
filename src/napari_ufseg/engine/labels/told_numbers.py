"""Numbers and colours that a file tells of classes, which anybody may have written."""

import re
from math import isfinite
from typing import Any

import numpy as np

LARGEST = 2**63 - 1  # of a label, and of a number of pixels
_COLOUR = re.compile("#[0-9A-Fa-f]{6}")


def whole(value: Any) -> int:
    """A whole number from 0 to `LARGEST`, also if it is written as 3.0; ValueError for any other value."""
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number or not isfinite(value) or value != int(value) or not 0 <= value <= LARGEST:
        raise ValueError(f"{value!r} is no label and no number of pixels")
    return int(value)


def finite(value: Any) -> float:
    """A real number; ValueError for any other value, infinity and NaN too."""
    if isinstance(value, bool) or not isfinite(number := float(value)):
        raise ValueError(f"{value!r} is no number")
    return number


def colour(text: Any) -> str:
    """``"#rrggbb"``, or nothing of what is none."""
    return text if isinstance(text, str) and _COLOUR.fullmatch(text) else ""


def colour_of_rgba(rgba: Any) -> str:
    """``"#rrggbb"`` of red, green and blue from 0 to 255, and perhaps opacity; nothing of what is none."""
    if not isinstance(rgba, list | tuple) or len(rgba) not in (3, 4):
        return ""
    try:
        parts = [round(finite(value)) for value in rgba[:3]]
    except (TypeError, ValueError, OverflowError):
        return ""
    return "#" + "".join(f"{part:02x}" for part in parts) if all(0 <= part <= 255 for part in parts) else ""
