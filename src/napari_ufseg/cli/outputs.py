"""What comes out: where the files go, checked before the work begins, and writing them after it."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_ufseg.batch.label_file import InputImage, label_array, label_names
from napari_ufseg.batch.label_file import check_writable as check_writable
from napari_ufseg.cli.arguments import LabelsOutput, UsageError
from napari_ufseg.cli.progress import is_visible
from napari_ufseg.engine.errors import counted
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.engine.labels.hierarchy import ClassHierarchy
from napari_ufseg.io import is_zarr, label_endings, label_format, label_titles


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


def plan_outputs(
    output: LabelsOutput | None,
    given: Sequence[Path],
    inputs: Sequence[Path],
    *,
    model: Path | None = None,
    pie: Path | None = None,
    report: Path | None = None,
) -> OutputPaths:
    """Choose all output files of a command and check that they can be written.

    Parameters
    ----------
    output : LabelsOutput, optional
        Where the labels go; None for nowhere.
    given : sequence of Path
        The files and folders that the user has named.
    inputs : sequence of Path
        The images that they stand for.
    model, pie, report : Path, optional
        Further files.

    Raises
    ------
    UsageError
        If a name does not fit, or two files (or a file and an input) would be the same.
    FileError
        If the system would refuse to write there.
    """
    paths = OutputPaths(label_paths(output, given, inputs) if output else [], model, pie, report)
    seen = {path.resolve(): "an input" for path in inputs}
    for path in paths.all:
        if path.resolve() in seen:
            raise UsageError(f"{path} would overwrite {seen[path.resolve()]}: choose another name.")
        seen[path.resolve()] = "another output"
        check_writable(path)
    return paths


def label_paths(output: LabelsOutput, given: Sequence[Path], inputs: Sequence[Path]) -> list[Path]:
    """One label file per input: OUT itself, or ``<stem>_labels.tif`` in the folder OUT."""
    out = output.path
    is_folder = output.says_folder or (out.is_dir() and not label_format(out))
    one_file = len(inputs) == 1 and (not given[0].is_dir() or is_zarr(given[0]))
    if one_file and not is_folder:
        if not label_format(out):
            raise UsageError(f"Labels are {label_titles()}: let {out} end in {label_endings()}, or in / for a folder.")
        return [out]
    if out.is_file() or (not is_folder and label_format(out)):
        raise UsageError(f"There are labels of several images to write: {out} must be a folder, not a file.")
    return [out / name for name in label_names(inputs)]


@contextmanager
def label_arrays(
    paths: Sequence[Path], images: Sequence[InputImage], classes: Callable[[], ClassTable] = ClassTable
) -> Iterator[list[Any] | None]:
    """Arrays that take the labels and become files when the block ends well; None without paths.

    Labels that are large, and those that become a Zarr, wait on disk and not in
    memory. What the files say about the classes is asked for when the block has ended.
    """
    if not paths:
        yield None
        return
    with ExitStack() as stack:
        yield [
            stack.enter_context(label_array(path, image, classes)) for path, image in zip(paths, images, strict=True)
        ]


def print_written(paths: Iterable[Path], *, quiet: bool) -> None:
    """One line per file on stdout, unless `quiet`."""
    if not quiet:
        for path in paths:
            print(path)


def print_shown(tree: ClassHierarchy, detail: int | str, *, quiet: bool) -> None:
    """Tell who reads along in a terminal how many classes labels show at a detail, and which label the background has."""
    if not tree.n_classes or not is_visible(quiet):
        return
    shown = tree.number_at(detail)
    background = tree.background_at(shown)
    of = "" if shown == tree.n_classes else f" of {tree.n_classes}"
    which = "" if background is None else f"; the background has the label {background}, not 0"
    print(f"ufseg: the labels show {counted(shown, 'class')}{of}{which}", file=sys.stderr)
