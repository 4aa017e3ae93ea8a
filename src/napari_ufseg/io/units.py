"""Units of length and time, under the many names that files give them."""

import re

_LENGTHS = {  # symbol: its name in OME-Zarr, metres
    "fm": ("femtometer", 1e-15),
    "pm": ("picometer", 1e-12),
    "Å": ("angstrom", 1e-10),
    "nm": ("nanometer", 1e-9),
    "µm": ("micrometer", 1e-6),
    "mm": ("millimeter", 1e-3),
    "cm": ("centimeter", 1e-2),
    "dm": ("decimeter", 1e-1),
    "m": ("meter", 1.0),
    "hm": ("hectometer", 1e2),
    "km": ("kilometer", 1e3),
    "Mm": ("megameter", 1e6),
    "in": ("inch", 0.0254),
    "ft": ("foot", 0.3048),
    "yd": ("yard", 0.9144),
    "mi": ("mile", 1609.344),
}
_TIMES = {  # symbol: its name in OME-Zarr, seconds
    "fs": ("femtosecond", 1e-15),
    "ps": ("picosecond", 1e-12),
    "ns": ("nanosecond", 1e-9),
    "µs": ("microsecond", 1e-6),
    "ms": ("millisecond", 1e-3),
    "s": ("second", 1.0),
    "min": ("minute", 60.0),
    "h": ("hour", 3600.0),
    "d": ("day", 86400.0),
}
_OTHER_NAMES = {
    "um": "µm",
    "micron": "µm",
    "micro": "µm",
    "a": "Å",
    "ang": "Å",
    "inche": "in",  # without the s of inches
    "feet": "ft",
    "sec": "s",
    "us": "µs",
    "nsec": "ns",
    "usec": "µs",
    "µsec": "µs",
    "msec": "ms",
    "millisec": "ms",
    "microsec": "µs",
    "nanosec": "ns",
    "minute": "min",
    "hr": "h",
}
_NAMES = {name: symbol for table in (_LENGTHS, _TIMES) for symbol, (name, _) in table.items()} | _OTHER_NAMES
_NO_UNIT = {"", "pixel", "px", "voxel", "reference frame", "null", "none", "dimensionless"}


def unit_symbol(name: object) -> str | None:
    """The symbol of a unit of length or time: ``"µm"`` for ``"micrometer"``, ``"um"`` or ``"\\u00B5m"``, ``"ms"`` for ``"msec"``.

    None for pixels and for no unit; a unit that is not known stays as it is.
    """
    text = "" if name is None else str(name)
    plain = re.sub(r"\\u([0-9A-Fa-f]{4})", lambda code: chr(int(code[1], 16)), text).strip()
    plain = plain.replace("μ", "µ").replace("\u212b", "Å")  # the Greek letter, and the sign of its own for ångström
    if plain in _LENGTHS or plain in _TIMES:
        return plain
    lower = plain.lower().replace("metre", "meter")
    for word in (lower, lower.removesuffix("s") if len(lower) > 3 else lower):
        if word in _NO_UNIT:
            return None
        if word in _NAMES:
            return _NAMES[word]
    return lower if len(lower) > 1 and (lower in _LENGTHS or lower in _TIMES) else plain


def is_length(symbol: str | None) -> bool:
    """Whether it is a unit of length that is known."""
    return symbol in _LENGTHS


def is_time(symbol: str | None) -> bool:
    """Whether it is a unit of time that is known."""
    return symbol in _TIMES


def unit_name(symbol: str | None) -> str | None:
    """The name of a unit in OME-Zarr and napari, as ``"micrometer"`` for ``"µm"``; None if it has none."""
    for table in (_LENGTHS, _TIMES):
        if symbol in table:
            return table[symbol][0]
    return None


def unit_ratio(unit: str | None, other: str | None) -> float | None:
    """How many of `other` one `unit` is (both symbols); None unless both are lengths, or both times."""
    for table in (_LENGTHS, _TIMES):
        if unit in table and other in table:
            return 1.0 if unit == other else table[unit][1] / table[other][1]
    return None


def in_ascii(unit: str) -> str:
    """The unit in ASCII, as ImageJ writes it: the letter µ becomes ``\\u00B5``."""
    return "".join(letter if letter.isascii() else f"\\u{ord(letter):04X}" for letter in unit)
