"""Units of length and time, under the many names that files give them."""

import re

_LENGTHS = {  # symbol: its name in OME-Zarr, metres
    "pm": ("picometer", 1e-12),
    "Å": ("angstrom", 1e-10),
    "nm": ("nanometer", 1e-9),
    "µm": ("micrometer", 1e-6),
    "mm": ("millimeter", 1e-3),
    "cm": ("centimeter", 1e-2),
    "dm": ("decimeter", 1e-1),
    "m": ("meter", 1.0),
    "km": ("kilometer", 1e3),
    "in": ("inch", 0.0254),
    "ft": ("foot", 0.3048),
}
_OTHER_NAMES = {"um": "µm", "μm": "µm", "micron": "µm", "microns": "µm", "a": "Å"}  # the second μ is Greek
_NO_UNIT = {"", "pixel", "pixels", "px", "voxel", "reference frame", "null", "none"}
_SECONDS = {
    "nanosecond": 1e-9,
    "ns": 1e-9,
    "microsecond": 1e-6,
    "µs": 1e-6,
    "millisecond": 1e-3,
    "ms": 1e-3,
    "minute": 60.0,
    "min": 60.0,
    "hour": 3600.0,
    "h": 3600.0,
    "day": 86400.0,
    "d": 86400.0,
}


def length_unit(name: str | None) -> str | None:
    """The symbol of a unit of length: ``"µm"`` for ``"micrometer"``, ``"um"`` or ``"\\u00B5m"``.

    None for pixels and for no unit; a unit that is not known stays as it is.
    """
    plain = re.sub(r"\\u([0-9A-Fa-f]{4})", lambda code: chr(int(code[1], 16)), name or "").strip()
    lower = plain.lower().replace("metre", "meter")
    if lower in _NO_UNIT:
        return None
    names = {full: symbol for symbol, (full, _) in _LENGTHS.items()}
    return names.get(lower) or _OTHER_NAMES.get(lower) or plain


def length_name(symbol: str | None) -> str | None:
    """The name of a unit in OME-Zarr, as ``"micrometer"`` for ``"µm"``; None if it has none."""
    return _LENGTHS[symbol][0] if symbol in _LENGTHS else None


def length_ratio(unit: str | None, other: str | None) -> float:
    """How many of `other` one `unit` is (both symbols); 1.0 if either is not known."""
    if unit not in _LENGTHS or other not in _LENGTHS:
        return 1.0
    return _LENGTHS[unit][1] / _LENGTHS[other][1]


def seconds(name: str | None) -> float:
    """How many seconds a unit of time has; 1.0 if it is not known."""
    return _SECONDS.get((name or "").strip().lower(), 1.0)


def in_ascii(unit: str) -> str:
    """The unit in ASCII, as ImageJ writes it: the letter µ becomes ``\\u00B5``."""
    return "".join(letter if letter.isascii() else f"\\u{ord(letter):04X}" for letter in unit)
