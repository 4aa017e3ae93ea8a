"""The arguments of ``ufseg``; those of the method come from the fields of SegmentationConfig."""

import argparse
import difflib
from collections.abc import Sequence
from typing import Any

from napari_ufseg._version import __version__
from napari_ufseg.cli.arguments import UsageError, _Parser, _value
from napari_ufseg.cli.batch import fill_batch
from napari_ufseg.engine.config import DEFAULT_PRESET, PRESETS, Option, options
from napari_ufseg.io import label_endings


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The arguments as a namespace with ``command``; UsageError if they cannot be understood."""
    if any(not word.strip() or (word.startswith("--") and word.endswith("=")) for word in words):
        raise UsageError(
            "One of the arguments is empty, perhaps by a variable of the shell that is not set: give it a value."
        )
    parser, commands = _build()
    known, unknown = parser.parse_known_args(list(words))
    if known.command is None:
        raise UsageError("Give a command: segment, predict, batch, info or demo (see ufseg --help).")
    if hasattr(known, "inputs") and not any(word.startswith("-") for word in unknown):
        known.inputs, unknown = known.inputs + unknown, []  # argparse stops collecting at the first flag
    if unknown:
        raise UsageError(_unknown_sentence(unknown, commands[known.command], known.command))
    return known


def _unknown_sentence(unknown: list[str], command: argparse.ArgumentParser, name: str) -> str:
    flags = [word.split("=")[0] for word in unknown if word.startswith("-")]
    if not flags:
        return f"There is one argument too many: {unknown[0]!r} (see ufseg {name} --help)."
    known = [spelling for action in command._actions for spelling in action.option_strings]
    near = difflib.get_close_matches(flags[0], known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"see ufseg {name} --help."
    return f"ufseg {name} has no flag {flags[0]}: {hint}"


def _build() -> tuple[_Parser, dict[str, _Parser]]:
    parser = _Parser(
        prog="ufseg", description="Sort the pixels of microscopy images into classes, without training labels."
    )
    parser.add_argument("--version", action="version", version=f"napari-ufseg {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    built: dict[str, _Parser] = {}
    for name, help_line, fill in (
        ("segment", "train on images and write their labels", _fill_segment),
        ("predict", "label further images with a saved model", _fill_predict),
        ("batch", "label all images of a folder with a saved model", fill_batch),
        ("info", "say what a saved model is", _fill_info),
        ("demo", "segment a sample image", _fill_demo),
    ):
        built[name] = commands.add_parser(name, help=help_line, description=f"{help_line.capitalize()}.")
        fill(built[name])
        run = built[name].add_argument_group("Messages")
        run.add_argument("--quiet", action="store_true", help="print warnings and errors only")
        run.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser, built


def _fill_segment(parser: _Parser) -> None:
    inputs = parser.add_argument_group("Input")
    _add_inputs(parser, inputs)
    parser.flag(inputs, "path", metavar="FOLDER", help="the same as INPUT")
    parser.flag(
        inputs,
        "scribbles",
        metavar="FILE",
        action="append",
        help="painted labels for one INPUT, 0 for none; once per INPUT in their order, '-' for an INPUT without",
    )
    parser.flag(
        inputs,
        "train_on",
        metavar="MODEL",
        help="let the training of this model go on; its network and input stay, and so do its other settings unless given",
    )
    parser.flag(
        inputs,
        "corrected",
        metavar="FILE",
        action="append",
        help="labels of --train_on's model that were merged or painted since; once per INPUT in their order, "
        "'-' for an INPUT without corrections",
    )
    _add_outputs(parser)
    method = parser.add_argument_group("Method")
    method.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        default=DEFAULT_PRESET,
        help=f"the settings to begin with (default: {DEFAULT_PRESET}); every flag below overrides its value in the preset",
    )
    _add_device(parser, method)
    parser.flag(
        method,
        "memory_budget",
        metavar="BYTES",
        help="memory that the run may take, for example 2GB; what needs more is trained on random tiles "
        "(default: half of what is free, and 2GB where tiles are needed)",
    )
    groups: dict[str, Any] = {}
    for name, option in options().items():
        if option.group not in groups:
            groups[option.group] = parser.add_argument_group(option.group)
        parser.flag(groups[option.group], name, type=_value, metavar=_metavar(option), help=_help(option))


def _add_inputs(parser: _Parser, group: Any) -> None:
    group.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="TIFF, PNG, JPEG or OME-Zarr, or folders of them (hidden files and *_labels.* are left out)",
    )
    parser.flag(
        group,
        "n_channels",
        type=_value,
        metavar="N",
        help="channels to work with: 1 turns colour into grey, 3 repeats grey three times (default: as in the image)",
    )
    parser.flag(
        group,
        "axes",
        metavar="AXES",
        help="what each axis is, one letter for each: T time, Z depth, C channel, Y row, X column, Q other, "
        "for example TZCYX (default: as the file says)",
    )
    parser.flag(
        group,
        "channel_axis",
        type=_value,
        metavar="AXIS",
        help="which axis holds the channels, for example 0 for (C, Y, X)",
    )
    parser.flag(
        group,
        "level",
        type=int,
        default=0,
        metavar="N",
        help="which resolution of a pyramid to read: 0, the full one, or a smaller one from 1 on; the labels get its "
        "size and scale (default: 0)",
    )


def _add_outputs(parser: _Parser) -> None:
    outputs = parser.add_argument_group("Output")
    _add_labels_output(outputs)
    parser.flag(outputs, "model_path", metavar="FILE", help="save the trained model, for ufseg predict")
    parser.flag(outputs, "report", metavar="FILE.json", help="write settings, versions, losses, times and classes")
    parser.flag(outputs, "pie", metavar="FILE.png", help="write a chart of the area of each class")
    parser.flag(outputs, "force", type=_value, metavar="N", help="merge the most similar classes until N are left")
    parser.flag(outputs, "show", action="store_true", help="open napari and show the run live")


def _add_labels_output(group: Any) -> None:
    group.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help=f"where the labels go: a file that ends in {label_endings()} (.ome.tif is OME-TIFF) for one INPUT, else a "
        "folder (a name that ends in / is one)",
    )


def _add_device(parser: _Parser, group: Any) -> None:
    parser.flag(group, "device", default="auto", help="auto (default), cpu, cuda or mps")


def _fill_predict(parser: _Parser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model that ufseg segment --model_path wrote")
    _add_inputs(parser, parser)
    _add_labels_output(parser)
    _add_device(parser, parser)
    parser.flag(
        parser,
        "scheduler",
        metavar="ADDRESS",
        help="let the workers of this scheduler of dask do the work, for example tcp://host:8786",
    )


def _fill_info(parser: _Parser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model that ufseg segment --model_path wrote")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _fill_demo(parser: _Parser) -> None:
    parser.add_argument("--headless", action="store_true", help="run in the terminal, even if napari could be shown")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FOLDER",
        default="ufseg-demo",
        help="folder of the headless demo (default: ufseg-demo)",
    )
    _add_device(parser, parser)


def _metavar(option: Option) -> str:
    return "WORD" if option.choices else "N"


def _help(option: Option) -> str:
    text = f"{option.help.rstrip('.')} ({option.allowed}; default: see --preset)."
    return text.replace("%", "%%")
