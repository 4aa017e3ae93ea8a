"""``ufseg batch``: every image of a folder, labelled with a saved model."""

import argparse
import csv
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ufseg.io import LABEL_FORMATS, TIFF, label_formats_told

if TYPE_CHECKING:
    from napari_ufseg.batch.folder import BatchPlan, BatchSummary, FileDone
    from napari_ufseg.cli.arguments import _Parser

_COLUMNS = ("image", "labels", "status", "message", "seconds")


def fill_batch(parser: "_Parser") -> None:
    """Add the arguments of ``ufseg batch``; loads nothing, since --help must not wait."""
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
    parser.flag(parser, "device", default="auto", help="auto (default), cpu, cuda or mps")
    parser.flag(parser, "report", metavar="FILE", help="write what became of each image, as .csv or .json")


def run_batch_command(arguments: argparse.Namespace) -> int:
    """``ufseg batch``: one line per image; status 2 if one of them failed."""
    from napari_ufseg.batch.folder import BatchPlan, BatchSummary
    from napari_ufseg.batch.label_file import check_writable
    from napari_ufseg.cli.arguments import UsageError
    from napari_ufseg.engine.network.model_file import load_model

    if not arguments.output:
        raise UsageError("Say with -o OUT in which folder the labels go.")
    report = Path(arguments.report) if arguments.report else None
    if report and report.suffix.lower() not in (".csv", ".json"):
        raise UsageError(f"The report is written as CSV or JSON: let the name {report} end in .csv or .json.")
    if report:
        check_writable(report)
    plan = BatchPlan(
        load_model(arguments.model),
        Path(arguments.folder),
        Path(arguments.output),
        recursive=arguments.recursive,
        existing=arguments.existing,
        format=arguments.format,
        axes=arguments.axes,
        device=arguments.device,
        level=arguments.level,
    )
    rows: list[FileDone] = []
    try:
        summary, interrupted = _follow(plan, rows, quiet=arguments.quiet)
    except KeyboardInterrupt:  # the second Ctrl-C
        n = Counter(row.status for row in rows)
        summary, interrupted = BatchSummary(n["written"], n["skipped"], n["failed"]), True
    if report and rows:
        write_batch_report(report, rows)
    if report and not arguments.quiet:
        print(report)
    words = str(summary)
    if interrupted:
        words = f"stopped by Ctrl-C: {words} (with --existing skip the same command does the rest)"
    elif summary.left:
        words = f"given up, since no further labels can be written to {plan.output}: {words}"
    elif summary.skipped:
        words += " (--existing overwrite does the skipped anew)"
    if interrupted or summary.left or not arguments.quiet:
        print(f"ufseg: {words}.", file=sys.stderr)
    return 130 if interrupted else 2 if summary.failed else 0


def _follow(plan: "BatchPlan", rows: "list[FileDone]", *, quiet: bool) -> "tuple[BatchSummary, bool]":
    """Drain `run_batch` into `rows` with a bar on a terminal; how it ended, and whether Ctrl-C was pressed."""
    from tqdm import tqdm

    from napari_ufseg.batch.folder import FileProgress, run_batch
    from napari_ufseg.cli.progress import is_visible, progress_bar, stops_on_ctrl_c

    session: Any = argparse.Namespace(stop=lambda: None)
    layout = "{desc} |{bar:20}| {percentage:3.0f} % {remaining} left"
    with stops_on_ctrl_c(session) as ctrl_c, progress_bar(is_visible(quiet), total=1.0, bar_format=layout) as bar:
        events = run_batch(plan, stopped=lambda: ctrl_c.pressed)
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                return end.value, ctrl_c.pressed
            if isinstance(event, FileProgress):
                bar.set_description_str(f"{event.number}/{event.total} {event.path.name}", refresh=False)
                bar.update((event.number - 1 + event.share) / event.total - bar.n)
                continue
            rows.append(event)
            bar.update(event.number / event.total - bar.n)
            if event.status == "failed":
                tqdm.write(f"ufseg: {event.message}", file=sys.stderr)
                continue
            if event.message:
                tqdm.write(f"ufseg: warning: {event.message}", file=sys.stderr)
            if not quiet:
                done = " (skipped)" if event.status == "skipped" else ""
                tqdm.write(f"{event.output}{done}", file=sys.stdout)


def write_batch_report(path: Path, rows: "list[FileDone]") -> None:
    """Write what became of each image as CSV or JSON, by the ending of the name, whole or not at all."""
    from napari_ufseg.engine.files import written_whole

    values = [
        (str(row.path.resolve()), str(row.output.resolve()), row.status, row.message, round(row.seconds, 3))
        for row in rows
    ]
    with written_whole(path) as temporary:
        if path.suffix.lower() == ".json":
            facts = [dict(zip(_COLUMNS, value, strict=True)) for value in values]
            temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
            return
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            writer.writerows(values)
