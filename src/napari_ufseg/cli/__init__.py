"""The command line ``ufseg``: the engine with files at both ends."""

import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import TextIO

from napari_ufseg.cli.arguments import (
    Arguments,
    BatchArguments,
    DemoArguments,
    ImageOpening,
    InfoArguments,
    PredictArguments,
    SegmentArguments,
)
from napari_ufseg.cli.parser import parse
from napari_ufseg.cli.signals import asked_by, signals_like_ctrl_c
from napari_ufseg.cli.terminal import fitting, tell
from napari_ufseg.engine.errors import InternalError, UfsegError, UfsegWarning
from napari_ufseg.engine.processor import share_the_processor

_COMMANDS: dict[type, tuple[str, str]] = {
    SegmentArguments: ("segment", "run_segment"),
    PredictArguments: ("predict", "run_predict"),
    BatchArguments: ("batch", "run_batch_command"),
    InfoArguments: ("info", "run_info"),
    DemoArguments: ("demo", "run_demo"),
}
EXIT_OK, EXIT_BUG, EXIT_USER, EXIT_INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``ufseg`` with these arguments.

    Parameters
    ----------
    argv : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        Exit status: 0, 2 for anything that the user can mend (one sentence on
        stderr), 1 for a mistake in the program, 130 after Ctrl-C or SIGTERM.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    try:
        arguments = parse(words)
        share_the_processor()
        with _one_line_warnings(debug), signals_like_ctrl_c():
            from napari_ufseg.io import believe_claims, with_log

            is_believed = getattr(arguments, "opening", ImageOpening()).is_believed
            with with_log() if debug else nullcontext(), believe_claims(is_believed):
                return _run(arguments)
    except InternalError as error:
        return _fail_inside(str(error), debug)
    except UfsegError as error:
        return _fail(str(error), EXIT_USER, debug)
    except KeyboardInterrupt:
        return _fail(f"stopped by {asked_by()} before there was anything to write.", EXIT_INTERRUPTED, debug)
    except BrokenPipeError:  # the reader of our output has gone, for example `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except OSError as error:
        if error.errno is None:
            return _fail_inside(f"{type(error).__name__}: {error}".splitlines()[0], debug)
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"the system says: {where}{error.strerror}.", EXIT_USER, debug)
    except Exception as error:
        return _fail_inside(f"{type(error).__name__}: {error}".splitlines()[0], debug)


def _run(arguments: Arguments) -> int:
    """Run the command that the arguments are for; it is loaded only now, since --help must not wait for torch."""
    module, function = _COMMANDS[type(arguments)]
    status: int = getattr(import_module(f"{__name__}.{module}"), function)(arguments)
    return status


def _fail_inside(reason: str, debug: bool) -> int:
    """Tell of a mistake in the program."""
    return _fail(f"something went wrong inside ({reason}); --debug shows where.", EXIT_BUG, debug)


def _fail(sentence: str, status: int, debug: bool) -> int:
    if debug:
        for line in traceback.format_exc().splitlines():
            print(fitting(line, sys.stderr), file=sys.stderr)
    tell(sentence)
    return status


@contextmanager
def _one_line_warnings(debug: bool) -> Iterator[None]:
    """Show the engine's warnings as one line each, and those of libraries only with --debug."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        place = "" if issubclass(category, UfsegWarning) else f"{category.__name__} at {filename}:{lineno}: "
        tell(f"warning: {place}{message}")

    with warnings.catch_warnings():
        warnings.simplefilter("default" if debug else "ignore")
        warnings.simplefilter("always", UfsegWarning)
        warnings.showwarning = show
        yield
