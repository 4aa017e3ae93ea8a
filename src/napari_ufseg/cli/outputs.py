"""What comes out: where the files go, checked before the work begins, and writing them after it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_ufseg.batch.label_file import InputImage, check_labels_writable, has_labels, label_array, label_names
from napari_ufseg.cli.arguments import Existing, LabelsOutput, UsageError
from napari_ufseg.cli.progress import is_visible
from napari_ufseg.cli.terminal import say, tell
from napari_ufseg.engine.errors import FileError, counted
from napari_ufseg.engine.files import check_writable
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.engine.labels.hierarchy import ClassHierarchy
from napari_ufseg.io import FileKind, check_no_data_lost, is_zarr, label_endings, label_format, label_titles


@dataclass(frozen=True)
class OutputPaths:
    """Where each result goes; None (or no labels) if it was not asked for.

    Those of `labels` that are in `skipped` are there already, and stay as they are.
    """

    labels: list[Path]
    model: Path | None = None
    pie: Path | None = None
    report: Path | None = None
    skipped: frozenset[Path] = frozenset()

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
    existing: Existing = "overwrite",
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
    existing : {"overwrite", "skip", "fail"}
        What becomes of labels that are there already; with ``"fail"`` no file may be there.

    Raises
    ------
    UsageError
        If a name does not fit, or two files (or a file and an input) would be the same.
    FileError
        If the system would refuse to write there, or data of another kind would be lost.
    """
    try:
        paths = OutputPaths(label_paths(output, given, inputs) if output else [], model, pie, report)
        seen = {path.resolve(): "an input" for path in inputs}
        for path in paths.all:
            if path.resolve() in seen:
                raise UsageError(f"{path} would overwrite {seen[path.resolve()]}: choose another name.")
            seen[path.resolve()] = "another output"
    except OSError as error:
        raise FileError(f"Cannot write {error.filename}: {error.strerror}.") from error
    if existing == "skip":
        paths = replace(paths, skipped=frozenset(filter(has_labels, paths.labels)))
    for path in paths.labels:
        if path not in paths.skipped:
            check_labels_writable(path)
    others: tuple[tuple[Path | None, FileKind], ...] = ((model, "model"), (report, "report"), (pie, "chart"))
    for other, kind in others:
        if other:
            check_file_writable(other, kind)
    if existing == "fail":
        for path in paths.all:
            if path.exists():
                raise FileError(f"There is {path} already: choose another name, or --existing overwrite or skip.")
    return paths


def check_file_writable(path: Path, kind: FileKind) -> None:
    """Raise FileError now if a file that is no label image could not be written later, or would replace what is none."""
    check_writable(path)
    check_no_data_lost(path, kind)


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
    paths: Sequence[Path],
    images: Sequence[InputImage],
    classes: Callable[[], ClassTable] = ClassTable,
    made_by: Callable[[], str] = str,
) -> Iterator[list[Any] | None]:
    """Arrays that take the labels and become files when the block ends well; None without paths.

    Labels that are large, and those that become a Zarr, wait on disk and not in
    memory. What the files say about the classes, and the model, is asked for when the block has ended.
    """
    if not paths:
        yield None
        return
    with ExitStack() as stack:
        yield [
            stack.enter_context(label_array(path, image, classes, made_by))
            for path, image in zip(paths, images, strict=True)
        ]


def print_written(paths: Iterable[Path], *, quiet: bool, skipped: bool = False) -> None:
    """One line per file on stdout, unless `quiet`."""
    if not quiet:
        for path in paths:
            say(f"{path} (skipped)" if skipped else path)


def print_shown(tree: ClassHierarchy, detail: int | str, *, quiet: bool) -> None:
    """Tell who reads along in a terminal how many classes labels show at a detail, and which label the background has."""
    if not tree.n_classes or not is_visible(quiet):
        return
    shown = tree.number_at(detail)
    background = tree.background_at(shown)
    of = "" if shown == tree.n_classes else f" of {tree.n_classes}"
    which = "" if background is None else f"; the background has the label {background}, not 0"
    tell(f"the labels show {counted(shown, 'class')}{of}{which}")
