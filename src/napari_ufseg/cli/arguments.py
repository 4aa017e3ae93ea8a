"""The arguments of ``ufseg``; those of the method come from the fields of SegmentationConfig."""

import argparse
from typing import Any, NoReturn

from napari_ufseg.engine.errors import UfsegError

_EPILOG = "Exit status: 0; 2 with one sentence on stderr if something can be mended; 130 after Ctrl-C."


class UsageError(UfsegError):
    """The command line cannot be understood."""


class _Parser(argparse.ArgumentParser):
    def __init__(self, **arguments: Any) -> None:
        super().__init__(allow_abbrev=False, epilog=_EPILOG, **arguments)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[0].upper()}{message[1:].rstrip('.')}: see {self.prog} --help.")

    def flag(self, group: Any, name: str, **arguments: Any) -> None:
        """Add ``--a_b`` and ``--a-b``."""
        spellings = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"])
        group.add_argument(*spellings, dest=name, **arguments)


def _value(text: str) -> int | float | str:
    """A number if it is one, else the text; the config says what is allowed."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
