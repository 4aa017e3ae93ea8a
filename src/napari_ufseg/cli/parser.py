"""From words to arguments: the flags of ``ufseg``, and the check of every value that can be checked without a file.

The flags of the method come from the fields of SegmentationConfig.
"""

import argparse
import difflib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from napari_ufseg._version import __version__
from napari_ufseg.cli.arguments import (
    Arguments,
    BatchArguments,
    DemoArguments,
    ImageOpening,
    InfoArguments,
    LabelsOutput,
    Messages,
    PredictArguments,
    SegmentArguments,
    UsageError,
)
from napari_ufseg.engine.config import DEFAULT_PRESET, INTENSITY_CHOICES, PRESETS, Option, SegmentationConfig, options
from napari_ufseg.engine.images.source import checked_intensity_range, checked_nodata
from napari_ufseg.engine.labels.hierarchy import checked_detail
from napari_ufseg.io import LABEL_FORMATS, TIFF, label_endings, label_formats_told, require_no_address

SMALLEST_BUDGET = 5 * 10**8
_EPILOG = "Exit status: 0; 2 with one sentence on stderr if something can be mended; 130 after Ctrl-C."


def parse(words: Sequence[str]) -> Arguments:
    """What a command is asked to do.

    Parameters
    ----------
    words : sequence of str
        Those that follow ``ufseg``.

    Raises
    ------
    UsageError
        If they cannot be understood, or a value is none that is allowed.
    ConfigError
        If it is that of an option of SegmentationConfig, or a detail.
    """
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
    arguments: Arguments = _ARGUMENTS_OF[known.command](known)
    return arguments


# -- the flags -------------------------------------------------------------------------------------


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
        ("batch", "label all images of a folder with a saved model", _fill_batch),
        ("info", "say what a saved model is, or which classes a label file shows", _fill_info),
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
    _add_series(parser, group)
    _add_yes(parser, group)
    _add_brightness(parser, group)


def _add_brightness(parser: _Parser, group: Any) -> None:
    parser.flag(
        group,
        "nodata",
        default="auto",
        metavar="VALUE",
        help="the value of pixels that hold no data, which get the label 0; auto (default) finds fill values and padding by "
        "itself, none finds none",
    )
    parser.flag(
        group,
        "range",
        metavar="LOW,HIGH",
        help="the dark and the bright end of every channel; what lies beyond is clipped (default: as --scaling says; for a "
        "negative number --range=-5,10)",
    )


def _add_series(parser: _Parser, group: Any) -> None:
    parser.flag(
        group,
        "series",
        metavar="N|NAME",
        help="which of several images in one file to read, by its number from 0 on or its name (default: the largest that is "
        "no reduced copy, and a warning tells which that was)",
    )


def _add_yes(parser: _Parser, group: Any) -> None:
    parser.flag(
        group,
        "yes",
        action="store_true",
        help="open images that claim more pixels than their files seem to hold, as those that are nearly empty do",
    )


def _add_outputs(parser: _Parser) -> None:
    outputs = parser.add_argument_group("Output")
    _add_labels_output(outputs)
    _add_existing(parser, outputs)
    parser.flag(outputs, "model_path", metavar="FILE", help="save the trained model, for ufseg predict")
    parser.flag(outputs, "report", metavar="FILE.json", help="write settings, versions, losses, times and classes")
    parser.flag(outputs, "pie", metavar="FILE.png", help="write a chart of the area of each class")
    parser.flag(
        outputs, "force", type=_value, metavar="N", help="merge classes as --detail N shows them, in the model too"
    )
    _add_detail(parser, outputs)
    parser.flag(outputs, "show", action="store_true", help="open napari and show the run live")


def _add_detail(parser: _Parser, group: Any) -> None:
    parser.flag(
        group,
        "detail",
        type=_value,
        metavar="N",
        help="how many classes the labels show: those that look most alike are shown as one until N are left; auto "
        "(default) is what suits things before their surroundings, all every class; a saved model keeps all of them",
    )


def _add_intensity(parser: _Parser) -> None:
    parser.flag(
        parser,
        "intensity",
        choices=INTENSITY_CHOICES,
        default="auto",
        help="by what brightness an image is scaled: trained as the images that the model was trained on, own by its own, "
        "auto (default) as these if its numbers are of the same kind (type, background, noise), which is told",
    )


def _add_labels_output(group: Any) -> None:
    group.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help=f"where the labels go: a file that ends in {label_endings()} (.ome.tif is OME-TIFF) for one INPUT, else a "
        "folder (a name that ends in / is one)",
    )


def _add_existing(parser: _Parser, group: Any) -> None:
    parser.flag(
        group,
        "existing",
        choices=("overwrite", "skip", "fail"),
        default="overwrite",
        help="what becomes of labels that are in OUT already: overwrite (default), skip (they stay), or fail (nothing is "
        "done, also if another output is there); a file that is there and holds no labels is never replaced by them",
    )


def _add_device(parser: _Parser, group: Any) -> None:
    parser.flag(group, "device", default="auto", help="auto (default), cpu, cuda or mps")


def _fill_predict(parser: _Parser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model that ufseg segment --model_path wrote")
    _add_inputs(parser, parser)
    _add_labels_output(parser)
    _add_existing(parser, parser)
    _add_detail(parser, parser)
    _add_intensity(parser)
    _add_device(parser, parser)
    parser.flag(
        parser,
        "scheduler",
        metavar="ADDRESS",
        help="let the workers of this scheduler of dask do the work, for example tcp://host:8786",
    )


def _fill_batch(parser: _Parser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model that ufseg segment --model_path wrote")
    parser.add_argument("folder", metavar="FOLDER", help="the folder of the images (TIFF, PNG, JPEG or OME-Zarr)")
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="the folder of the labels; gets the same folders in it as FOLDER"
    )
    parser.flag(
        parser,
        "recursive",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="take the images in the folders of FOLDER too (default: yes)",
    )
    parser.flag(
        parser,
        "existing",
        choices=("skip", "overwrite"),
        default="skip",
        help="what becomes of images that have labels in OUT already (default: skip, so that the same command goes on "
        "where it was stopped)",
    )
    parser.flag(
        parser,
        "format",
        choices=tuple(known.name for known in LABEL_FORMATS),
        default=TIFF.name,
        help=f"of the labels; {label_formats_told()} (default: {TIFF.name})",
    )
    parser.flag(
        parser,
        "axes",
        metavar="AXES",
        help="what each axis of every image is, one letter for each: T time, Z depth, C channel, Y row, X column, "
        "Q other, for example TZCYX (default: as each file says)",
    )
    parser.flag(
        parser,
        "level",
        type=int,
        default=0,
        metavar="N",
        help="which resolution of every image to read: 0, the full one, or a smaller one from 1 on (default: 0)",
    )
    _add_series(parser, parser)
    _add_brightness(parser, parser)
    _add_yes(parser, parser)
    _add_detail(parser, parser)
    _add_intensity(parser)
    _add_device(parser, parser)
    parser.flag(parser, "report", metavar="FILE", help="write what became of each image, as .csv or .json")


def _fill_info(parser: _Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="a model that ufseg segment --model_path wrote, or a label file")
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


# -- from a namespace to values; it goes no further ------------------------------------------------


def _segment_arguments(known: argparse.Namespace) -> SegmentArguments:
    given = {name: getattr(known, name) for name in options() if getattr(known, name) is not None}
    SegmentationConfig.preset(known.preset, **given)  # each value, whatever the settings that they change
    force = _whole("force", known.force)
    says_classes = force is not None or known.corrected or known.scribbles
    detail = _detail(known.detail, "all" if says_classes else "auto")
    if force is not None and detail != "all":
        raise UsageError("--force and --detail both say how many classes are left: give one of them.")
    budget = _memory_budget(known.memory_budget)
    opening = _opening(known)
    if known.path and known.inputs:
        raise UsageError("Give the images either as INPUT or with --path, not both.")
    inputs = _inputs([known.path] if known.path else known.inputs)
    pie = _path(known.pie)
    if pie and pie.suffix.lower() != ".png":
        raise UsageError(f"The chart is written as PNG: let the name {pie} end in .png.")
    output = _labels_output(known) if known.output or not known.show else None
    if known.corrected and not known.train_on:
        raise UsageError("--corrected are labels of a model: give it with --train_on.")
    if known.train_on and (known.scribbles or known.show):
        raise UsageError("--train_on goes neither with --scribbles (use --corrected) nor with --show.")
    return SegmentArguments(
        inputs=inputs,
        output=output,
        preset=known.preset,
        options=given,
        opening=opening,
        device=known.device,
        memory_budget=budget,
        scribbles=_one_per_image(known.scribbles),
        train_on=_path(known.train_on),
        corrected=_one_per_image(known.corrected),
        model_path=_path(known.model_path),
        report=_path(known.report),
        pie=pie,
        force=force,
        detail=detail,
        show=known.show,
        existing=known.existing,
        messages=_messages(known),
    )


def _predict_arguments(known: argparse.Namespace) -> PredictArguments:
    return PredictArguments(
        model=_file(known.model),
        opening=_opening(known),
        inputs=_inputs(known.inputs),
        output=_labels_output(known),
        device=known.device,
        scheduler=known.scheduler,
        existing=known.existing,
        detail=_detail(known.detail),
        intensity=known.intensity,
        messages=_messages(known),
    )


def _detail(given: Any, default: str = "auto") -> int | str:
    """How many classes are shown, or one of the two words."""
    return checked_detail(default if given is None else given)


def _batch_arguments(known: argparse.Namespace) -> BatchArguments:
    if not known.output:
        raise UsageError("Say with -o OUT in which folder the labels go.")
    report = _path(known.report)
    if report and report.suffix.lower() not in (".csv", ".json"):
        raise UsageError(f"The report is written as CSV or JSON: let the name {report} end in .csv or .json.")
    return BatchArguments(
        model=_file(known.model),
        folder=_file(known.folder),
        output=_file(known.output),
        recursive=known.recursive,
        existing=known.existing,
        format=known.format,
        opening=ImageOpening(
            known.axes, None, None, known.level, known.series, *_brightness(known), is_believed=known.yes
        ),
        detail=_detail(known.detail),
        intensity=known.intensity,
        device=known.device,
        report=report,
        messages=_messages(known),
    )


def _info_arguments(known: argparse.Namespace) -> InfoArguments:
    return InfoArguments(_file(known.file), known.json, _messages(known))


def _demo_arguments(known: argparse.Namespace) -> DemoArguments:
    return DemoArguments(_file(known.output), known.headless, known.device, _messages(known))


_ARGUMENTS_OF: dict[str, Callable[[argparse.Namespace], Any]] = {
    "segment": _segment_arguments,
    "predict": _predict_arguments,
    "batch": _batch_arguments,
    "info": _info_arguments,
    "demo": _demo_arguments,
}


def _messages(known: argparse.Namespace) -> Messages:
    return Messages(known.quiet, known.debug)


def _opening(known: argparse.Namespace) -> ImageOpening:
    axis = known.channel_axis
    n_channels = _whole("n_channels", known.n_channels)
    if axis is not None and not isinstance(axis, int):
        raise UsageError(f"channel_axis is {axis!r}, but must be a whole number such as 0 or -1.")
    return ImageOpening(known.axes, axis, n_channels, known.level, known.series, *_brightness(known), known.yes)


def _brightness(known: argparse.Namespace) -> tuple[float | str, tuple[float, float] | None]:
    """--nodata and --range."""
    ends = None if known.range is None else known.range.split(",")
    return checked_nodata(known.nodata), checked_intensity_range(ends, "range", known.range)


def _whole(name: str, value: Any) -> int | None:
    """A whole number of at least 1, or None if it was not given."""
    if value is not None and not (isinstance(value, int) and value >= 1):
        raise UsageError(f"{name} is {value!r}, but must be a whole number of at least 1.")
    return value


def _memory_budget(text: str | None) -> int | None:
    """--memory_budget in bytes."""
    if text is None:
        return None
    from dask.utils import parse_bytes

    try:
        budget = int(parse_bytes(text))
    except (ValueError, AttributeError):
        budget = 0
    if budget < SMALLEST_BUDGET:
        raise UsageError(f"memory_budget is {text!r}, but must be an amount of at least 0.5GB, such as 2GB or 1500MiB.")
    return budget


def _inputs(given: Sequence[str]) -> tuple[Path, ...]:
    if not given:
        raise UsageError("Give at least one image: TIFF, PNG, JPEG or OME-Zarr, or folders of them.")
    return tuple(map(_file, given))


def _labels_output(known: argparse.Namespace) -> LabelsOutput:
    if not known.output:
        raise UsageError("Say with -o OUT where the labels go.")
    return LabelsOutput(_file(known.output), known.output.endswith(("/", os.sep)))


def _one_per_image(files: Sequence[str] | None) -> tuple[Path | None, ...] | None:
    """Files of a flag that is given once per image; ``-`` stands for an image without."""
    return tuple(None if file == "-" else _file(file) for file in files) if files else None


def _path(name: str | None) -> Path | None:
    return _file(name) if name else None


def _file(name: str) -> Path:
    """A path as it was given; FileError if it is an address, which a path could no longer tell."""
    require_no_address(name)
    return Path(name)
