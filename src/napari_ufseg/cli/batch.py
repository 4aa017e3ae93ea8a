"""``ufseg batch``: every image of a folder, labelled with a saved model."""

import csv
import json
import os
import sys
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from napari_ufseg.batch.folder import BatchPlan, BatchSummary, FileDone, FileProgress, run_batch
from napari_ufseg.cli.arguments import BatchArguments
from napari_ufseg.cli.inputs import load_told
from napari_ufseg.cli.outputs import check_file_writable, print_shown, print_written
from napari_ufseg.cli.progress import is_visible, progress_bar
from napari_ufseg.cli.signals import asked_by, stops_on_ctrl_c
from napari_ufseg.cli.terminal import fitting, tell, visible
from napari_ufseg.engine.files import written_whole

_COLUMNS = ("image", "labels", "status", "message", "seconds")


def run_batch_command(arguments: BatchArguments) -> int:
    """``ufseg batch``: one line per image; status 2 if one of them failed."""
    report, quiet = arguments.report, arguments.messages.quiet
    if report:
        check_file_writable(report, "report")
    model = load_told(arguments.model)
    plan = BatchPlan(
        model,
        arguments.folder,
        arguments.output,
        recursive=arguments.recursive,
        existing=arguments.existing,
        format=arguments.format,
        axes=arguments.opening.axes,
        device=arguments.device,
        level=arguments.opening.level,
        detail=arguments.detail,
        intensity=arguments.intensity,
        series=arguments.opening.series,
        nodata=arguments.opening.nodata,
        intensity_range=arguments.opening.intensity_range,
    )
    rows: list[FileDone] = []
    try:
        summary, interrupted = _follow(plan, rows, quiet=quiet)
    except KeyboardInterrupt:  # the second Ctrl-C
        n = Counter(row.status for row in rows)
        summary, interrupted = BatchSummary(n["written"], n["skipped"], n["failed"]), True
    if rows:
        print_shown(model.hierarchy, arguments.detail, quiet=quiet)
    if report and rows:
        write_batch_report(report, rows)
        print_written([report], quiet=quiet)
    words = str(summary)
    if interrupted:
        words = f"stopped by {asked_by()}: {words} (with --existing skip the same command does the rest)"
    elif summary.left:
        words = f"given up, since no further labels can be written to {plan.output}: {words}"
    elif summary.skipped:
        words += " (--existing overwrite does the skipped anew)"
    if interrupted or summary.left or not quiet:
        tell(f"{words}.")
    return 130 if interrupted else 2 if summary.failed else 0


def _follow(plan: BatchPlan, rows: list[FileDone], *, quiet: bool) -> tuple[BatchSummary, bool]:
    """Drain `run_batch` into `rows` with a bar on a terminal; how it ended, and whether Ctrl-C was pressed."""
    layout = "{desc} |{bar:20}| {percentage:3.0f} % {remaining} left"
    with stops_on_ctrl_c() as ctrl_c, progress_bar(is_visible(quiet), total=1.0, bar_format=layout) as bar:
        events = run_batch(plan, stopped=lambda: ctrl_c.pressed)
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                return end.value, ctrl_c.pressed
            if isinstance(event, FileProgress):
                bar.set_description_str(f"{event.number}/{event.total} {visible(event.path.name)}", refresh=False)
                bar.update((event.number - 1 + event.share) / event.total - bar.n)
                continue
            rows.append(event)
            bar.update(event.number / event.total - bar.n)
            if event.status == "failed":
                tqdm.write(fitting(f"ufseg: {event.message}", sys.stderr), file=sys.stderr)
                continue
            if event.message:
                tqdm.write(fitting(f"ufseg: warning: {event.message}", sys.stderr), file=sys.stderr)
            if not quiet:
                done = " (skipped)" if event.status == "skipped" else ""
                tqdm.write(fitting(f"{event.output}{done}", sys.stdout), file=sys.stdout)


def _text(words: str) -> str:
    """Words as every reader can decode them: bytes of a name that are no UTF-8 are written as escapes."""
    return "".join(visible(letter) if "\ud800" <= letter <= "\udfff" else letter for letter in words)


def write_batch_report(path: Path, rows: list[FileDone]) -> None:
    """Write what became of each image as CSV or JSON, by the ending of the name, whole or not at all."""
    values = [
        (
            *(_text(os.path.realpath(file)) for file in (row.path, row.output)),
            *(row.status, _text(row.message), round(row.seconds, 3)),
        )
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
