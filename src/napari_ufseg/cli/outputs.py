"""What comes out: where the files go, checked before the work begins, and writing them after it."""

import os
import tempfile
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from napari_ufseg.cli.inputs import InputImage
from napari_ufseg.cli.parser import UsageError
from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.source import ImageSource
from napari_ufseg.engine.tiling import label_chunks
from napari_ufseg.io import (
    LABELS_ENDING,
    TIFF_SUFFIXES,
    ZARR_SUFFIX,
    check_replaceable,
    create_label_zarr,
    finish_label_zarr,
    folder_written_whole,
    is_zarr,
    write_labels,
)

_IN_MEMORY = 2**26  # labels; more of them wait in a file


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
    is_folder = arguments.output.endswith(("/", os.sep)) or (out.is_dir() and not _is_label_name(out))
    one_file = len(inputs) == 1 and (not given[0].is_dir() or is_zarr(given[0]))
    if one_file and not is_folder:
        if not _is_label_name(out):
            raise UsageError(f"Labels are TIFF or OME-Zarr: let {out} end in .tif or .zarr, or in / for a folder.")
        return [out]
    if out.is_file() or (not is_folder and _is_label_name(out)):
        raise UsageError(f"There are labels of several images to write: {out} must be a folder, not a file.")
    return [out / name for name in label_names(inputs)]


def _is_label_name(path: Path) -> bool:
    return path.suffix.lower() in (*TIFF_SUFFIXES, ZARR_SUFFIX)


def label_names(inputs: Sequence[Path]) -> list[str]:
    """``<stem>_labels.tif``, or ``.ome.zarr`` of a Zarr, for each file; equal ones are told apart by suffix or number."""
    stems = Counter(_stem(path).casefold() for path in inputs)
    names: list[str] = []
    for path in inputs:
        base = _stem(path) if stems[_stem(path).casefold()] == 1 else path.name
        ending = ".ome.zarr" if path.is_dir() else ".tif"
        number, name = 1, f"{base}{LABELS_ENDING}{ending}"
        while name.casefold() in (other.casefold() for other in names):
            number += 1
            name = f"{base}_{number}{LABELS_ENDING}{ending}"
        names.append(name)
    return names


def _stem(path: Path) -> str:
    return path.stem.removesuffix(".ome")


def check_writable(path: Path) -> None:
    """Raise FileError now if a file (or a Zarr folder) could not be written to `path` later."""
    if path.suffix.lower() == ZARR_SUFFIX:
        check_replaceable(path)
    elif path.is_dir():
        raise FileError(f"Cannot write {path}: it is a folder.")
    nearest = next(parent for parent in path.absolute().parents if parent.exists())
    if not nearest.is_dir():
        raise FileError(f"Cannot write {path}: {nearest} is not a folder.")
    if not os.access(nearest, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise FileError(f"Cannot write {path}: there is no permission to write in {nearest}.")


@contextmanager
def label_arrays(paths: Sequence[Path], images: Sequence[InputImage]) -> Iterator[list[Any] | None]:
    """Arrays that take the labels and become files when the block ends well; None without paths.

    Labels that are large, and all that become a Zarr, wait on disk and not in memory.
    """
    if not paths:
        yield None
        return
    with ExitStack() as stack:
        yield [stack.enter_context(_label_array(path, image)) for path, image in zip(paths, images, strict=True)]


@contextmanager
def _label_array(path: Path, image: InputImage) -> Iterator[Any]:
    source = image.source
    axes = _axes_of_labels(source, path)
    about: dict[str, Any] = {"axes": axes, "scale": image.labels_scale, "unit": image.file.unit}
    if path.suffix.lower() == ZARR_SUFFIX:
        with folder_written_whole(path) as temporary:
            yield create_label_zarr(
                temporary,
                source.labels_shape,
                chunks=label_chunks(source.item_shape, source.chunks, len(source.labels_shape)),
                **about,
            )
            finish_label_zarr(temporary)
    elif prod(source.labels_shape) <= _IN_MEMORY:
        labels = np.zeros(source.labels_shape, np.uint16)
        yield labels
        write_labels(path, labels, **about)
    else:
        with _waiting_room(path) as temporary:
            array = create_label_zarr(
                temporary,
                source.labels_shape,
                chunks=label_chunks(source.item_shape, source.chunks, len(source.labels_shape)),
                axes=axes,
            )
            yield array
            write_labels(path, array, **about)


@contextmanager
def _waiting_room(path: Path) -> Iterator[Path]:
    """A hidden Zarr beside `path` that is there during the block only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".ufseg-", dir=path.parent) as folder:
        yield Path(folder) / "labels.zarr"


def _axes_of_labels(source: ImageSource, path: Path) -> str:
    """The axes of a label file: as those of the image, with other series called T or Z."""
    axes = source.labels_axes
    for free in "TZ":
        if "Q" in axes and free not in axes:
            axes = axes.replace("Q", free, 1)
    if axes not in ("YX", "ZYX", "TYX", "TZYX"):
        raise FileError(
            f"Cannot write {path}: labels with the axes {source.labels_axes} have no place in TIFF or OME-Zarr; "
            "bring the image into the order TZCYX first."
        )
    return axes
