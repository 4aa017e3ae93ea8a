"""What comes out: where the files go, checked before the work begins, and writing them after it."""

import os
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_ufseg.cli.parser import UsageError
from napari_ufseg.engine.errors import FileError
from napari_ufseg.io import LABELS_ENDING, TIFF_SUFFIXES


@dataclass(frozen=True)
class OutputPaths:
    """Where each result goes; None (or no labels) if it was not asked for."""

    labels: list[Path]
    model: Path | None = None
    pie: Path | None = None
    report: Path | None = None

    @property
    def all(self) -> list[Path]:
        """Every file that will be written, in the order of writing."""
        return [*self.labels, *(path for path in (self.model, self.pie, self.report) if path)]


def plan_outputs(arguments: Namespace, inputs: Sequence[Path]) -> OutputPaths:
    """Choose all output files of a command and check that they can be written.

    Raises
    ------
    UsageError
        If a name does not fit, or two files (or a file and an input) would be the same.
    FileError
        If the system would refuse to write there.
    """
    extra = {name: getattr(arguments, name, None) for name in ("model_path", "pie", "report")}
    model, pie, report = (Path(name) if name else None for name in extra.values())
    if pie and pie.suffix.lower() != ".png":
        raise UsageError(f"The chart is written as PNG: let the name {pie} end in .png.")
    paths = OutputPaths(label_paths(arguments, inputs), model, pie, report)
    seen = {path.resolve(): "an input" for path in inputs}
    for path in paths.all:
        if path.resolve() in seen:
            raise UsageError(f"{path} would overwrite {seen[path.resolve()]}: choose another name.")
        seen[path.resolve()] = "another output"
        check_writable(path)
    return paths


def label_paths(arguments: Namespace, inputs: Sequence[Path]) -> list[Path]:
    """One label file per input: OUT itself, or ``<stem>_labels.tif`` in the folder OUT."""
    if not arguments.output:
        if getattr(arguments, "show", False):
            return []
        raise UsageError("Say with -o OUT where the labels go.")
    out = Path(arguments.output)
    given = [Path(name) for name in [*arguments.inputs, getattr(arguments, "path", None)] if name]
    is_folder = arguments.output.endswith(("/", os.sep)) or out.is_dir()
    if len(inputs) == 1 and not given[0].is_dir() and not is_folder:
        if out.suffix.lower() not in TIFF_SUFFIXES:
            raise UsageError(f"Labels are written as TIFF: let {out} end in .tif, or in / for a folder.")
        return [out]
    if out.is_file() or (not is_folder and out.suffix.lower() in TIFF_SUFFIXES):
        raise UsageError(f"There are labels of several images to write: {out} must be a folder, not a file.")
    return [out / name for name in label_names(inputs)]


def label_names(inputs: Sequence[Path]) -> list[str]:
    """``<stem>_labels.tif`` for each file; equal stems are told apart by the suffix, then by a number."""
    stems = Counter(path.stem.casefold() for path in inputs)
    names: list[str] = []
    for path in inputs:
        base = path.stem if stems[path.stem.casefold()] == 1 else path.name
        number, name = 1, f"{base}{LABELS_ENDING}.tif"
        while name.casefold() in (other.casefold() for other in names):
            number += 1
            name = f"{base}_{number}{LABELS_ENDING}.tif"
        names.append(name)
    return names


def check_writable(path: Path) -> None:
    """Raise FileError now if a file could not be written to `path` later."""
    if path.is_dir():
        raise FileError(f"Cannot write {path}: it is a folder.")
    nearest = next(parent for parent in path.absolute().parents if parent.exists())
    if not nearest.is_dir():
        raise FileError(f"Cannot write {path}: {nearest} is not a folder.")
    if not os.access(nearest, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise FileError(f"Cannot write {path}: there is no permission to write in {nearest}.")
