"""What is said in a terminal: names are shown as text, whatever they are made of."""

import re
import sys
from typing import TextIO

# what a terminal obeys instead of showing it, what turns the direction of writing, ends of lines, and bytes of names
# that are no text; an emoji may be made of several, so that what joins them stays
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: object) -> str:
    r"""A text on one line in which each character that cannot be seen is written as an escape, such as ``\x1b``."""
    return _OBEYED.sub(lambda found: _escape(ord(found[0])), str(text))


def _escape(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # how Python has a byte that is no UTF-8
        code -= 0xDC00
    return {0x09: r"\t", 0x0A: r"\n", 0x0D: r"\r"}.get(code) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def fitting(text: object, stream: TextIO) -> str:
    """What is visible of a text, with escapes for the letters that a stream does not have."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return visible(text).encode(encoding, "backslashreplace").decode(encoding)


def say(text: object) -> None:
    """Print a line of what was asked for."""
    print(fitting(text, sys.stdout))


def tell(text: object) -> None:
    """Print a line about the work, on stderr."""
    print(fitting(f"ufseg: {text}", sys.stderr), file=sys.stderr)
