"""One image file in, one label file out: what is in the one, what the other is called, and how it comes to be."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from napari_ufseg.engine.errors import FileError, ImageError
from napari_ufseg.engine.files import check_writable, temporary_folder
from napari_ufseg.engine.images.axes import ROLES, UNKNOWN
from napari_ufseg.engine.images.source import ImageSource, open_source
from napari_ufseg.engine.images.tiling import label_chunks
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.engine.leftovers import restore
from napari_ufseg.io import (
    LABELS_ENDING,
    OME_ZARR,
    TIFF,
    AxisSteps,
    ImageFile,
    check_replaceable,
    create_label_zarr,
    image_stem,
    label_file_axes,
    label_format,
    missing_words,
    open_image,
    require_chunks,
    require_label_format,
    write_labels,
)

_IN_MEMORY = 2**26  # labels; more of them wait in a file


@dataclass(frozen=True)
class InputImage:
    """One image file, open but not read.

    Parameters
    ----------
    file : ImageFile
        As it is on disk.
    source : ImageSource
        What is trained on or labelled.
    steps : AxisSteps
        What the file tells of those along the axes of `source`, whoever has named them.
    warning : str
        What is worth knowing of the file, as one sentence; empty if there is nothing.
    """

    file: ImageFile
    source: ImageSource
    steps: AxisSteps = field(default_factory=AxisSteps)
    warning: str = ""

    @property
    def path(self) -> Path:
        """As it was given."""
        return self.file.path

    @property
    def anisotropy(self) -> float | None:
        """How much deeper than wide its voxels are; None if the file does not say."""
        return self.steps.anisotropy

    @property
    def labels_place(self) -> dict[str, Any]:
        """The steps and the place of the label image, as `write_labels` takes them."""
        axes = self.source.labels_axes
        names = ("scale", "unit", "translate")
        return dict(zip(names, (self.steps.sizes(axes), self.steps.units(axes), self.steps.starts(axes)), strict=True))


def open_input(
    path: Path,
    spatial_dims: int,
    *,
    axes: str | None = None,
    channel_axis: int | None = None,
    level: int = 0,
    series: int | str | None = None,
    nodata: float | str = "auto",
    intensity_range: Sequence[float] | None = None,
) -> InputImage:
    """Open and check an image without reading its pixels (a PNG or JPEG is read).

    Parameters
    ----------
    path : Path
        The file or Zarr folder.
    spatial_dims : {2, 3}
        Whether planes or volumes are segmented.
    axes : str, optional
        What each axis is, if the file should not be asked; axes of length 1 may be left out. With it the planes that
        are there are taken of a file that is a part of a larger image.
    channel_axis : int, optional
        Which axis holds the channels.
    level : int
        Resolution level; 0 is the full one.
    series : int or str, optional
        Which of several images in the file, by number or name; by default as `open_image` says.
    nodata, intensity_range
        As in `napari_ufseg.segment`.

    Raises
    ------
    FileError, ImageError
        The sentence names the file.
    """
    file = open_image(path, level, series=series, partial=axes is not None)
    if axes is None and channel_axis is not None:
        _check_channel_axis(file, channel_axis)
    source = open_source(
        file.data,
        axes=_axes_of(file, axes),
        channel_axis=channel_axis,
        spatial_dims=spatial_dims,
        name=f"The image {path}",
        squeezed=True,
        nodata=nodata,
        intensity_range=intensity_range,
    )
    source = replace(source, is_rgb=True if file.is_rgb else None)
    guessed = axes is None and channel_axis is None and not file.says_axes and source.axes == "YXC"
    colours = f"The last axis of {path} ({source.n_channels}) is taken for channels." if guessed else ""
    steps = file.steps.along(source.axes)
    notes = f"{path}: {' '.join(steps.notes)}" if steps.notes else ""
    return InputImage(file, source, steps, " ".join(filter(None, (file.note, missing_words(file), colours, notes))))


def _check_channel_axis(file: ImageFile, channel_axis: int) -> None:
    """ImageError if the file calls that axis otherwise; the sentence tells how to overrule it."""
    ndim = len(file.axes)
    letter = file.axes[channel_axis] if -ndim <= channel_axis < ndim else UNKNOWN
    if letter in ("C", UNKNOWN) or file.data.shape[channel_axis] == 1:
        return
    said = f"channel_axis is {channel_axis}, but {file.path} says that its axes are {file.axes}"
    if letter in "YX":
        raise ImageError(f"{said}, where that one is {letter}, the {ROLES[letter]}s: leave channel_axis out.")
    letters = ["Q" if one in ("C", UNKNOWN) else one for one in file.axes]
    letters[channel_axis] = "C"
    raise ImageError(
        f"{said}: to overrule it, name all of them in its place, --axes {''.join(letters)} on the command line "
        f"(axes='{''.join(letters)}' in Python)."
    )


def _axes_of(file: ImageFile, told: str | None) -> str | None:
    """What the user or the file says, one letter for every axis; None if nothing is said."""
    shape = file.data.shape
    if told is None:
        return file.axes if file.says_axes else None
    n_singles = sum(n == 1 for n in shape)
    if len(told) == len(shape) - n_singles and len(told) != len(shape):
        letters = iter(told)
        return "".join("Q" if n == 1 else next(letters) for n in shape)
    return told


def label_names(inputs: Sequence[Path], ending: str | None = None) -> list[str]:
    """The names of the label files of images that are labelled into one folder.

    Parameters
    ----------
    inputs : sequence of Path
        The images.
    ending : str, optional
        Of a format of labels; by default that of a Zarr for a Zarr, else of a TIFF.

    Returns
    -------
    list of str
        ``<stem>_labels<ending>``; equal ones, also but for their case, are told apart by suffix or number.
    """
    stems = Counter(image_stem(path).casefold() for path in inputs)
    names: list[str] = []
    taken: set[str] = set()
    for path in inputs:
        base = image_stem(path) if stems[image_stem(path).casefold()] == 1 else path.name
        its_ending = ending or (OME_ZARR if path.is_dir() else TIFF).ending
        number, name = 1, f"{base}{LABELS_ENDING}{its_ending}"
        while name.casefold() in taken:
            number += 1
            name = f"{base}_{number}{LABELS_ENDING}{its_ending}"
        taken.add(name.casefold())
        names.append(name)
    return names


def check_labels_writable(path: Path) -> None:
    """Raise FileError now if labels could not be written to `path` later, or would replace what is none."""
    is_folder = is_written_as_folder(path)
    check_writable(path, is_folder=is_folder)
    check_replaceable(path, is_folder=is_folder)


def has_labels(path: Path) -> bool:
    """Whether a label file is there (they are written whole or not at all); FileError if it is something else."""
    restore(path)
    if is_written_as_folder(path):
        check_replaceable(path)
    try:
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            return False
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise FileError(f"Cannot write {path}: {error.strerror or error}.") from error
    try:
        open_image(path)
    except FileError as error:
        raise FileError(
            f"There is a file {path} already, but it holds no labels: remove it, or let existing labels be overwritten."
        ) from error
    return True


def is_written_as_folder(path: Path) -> bool:
    """Whether labels of that name are a folder, as OME-Zarr."""
    known = label_format(path)
    return known is not None and known.in_place is not None


@contextmanager
def label_array(
    path: Path, image: InputImage, classes: Callable[[], ClassTable] = ClassTable, made_by: Callable[[], str] = str
) -> Iterator[Any]:
    """An array that takes the labels of an image and becomes a file when the block ends well.

    Labels that are large, and those of a format that is filled in place, wait on
    disk and not in memory. On an error, of the block too, nothing is left, and what stood at
    `path` before stays untouched.

    Parameters
    ----------
    path : Path
        The label file; its ending is the format, see `napari_ufseg.io.write_labels`.
    image : InputImage
        Gives the shape, axes and place.
    classes : callable
        Asked when the block has ended for what the file says about the classes.
    made_by : callable
        Asked then for the fingerprint of the model that has made the labels.

    Raises
    ------
    FileError
        If the labels have no place in the format, the system refuses to write, also while the block fills the array, or
        the image has lost pixels meanwhile.
    """
    source = image.source
    kind = require_label_format(path)
    axes = label_file_axes(path, source.labels_axes)
    about: dict[str, Any] = {"axes": axes, **image.labels_place}
    kind.check_shape(path, source.labels_shape)
    chunks = label_chunks(source.item_shape, source.chunks, len(source.labels_shape))
    if kind.in_place:
        with kind.whole(path) as temporary, _named(temporary, path):
            yield kind.in_place.create(temporary, source.labels_shape, chunks=chunks, **about)
            require_chunks(image.file)
            kind.in_place.finish(temporary, classes=classes(), made_by=made_by())
    elif prod(source.labels_shape) <= _IN_MEMORY:
        labels = np.zeros(source.labels_shape, np.uint16)
        yield labels
        require_chunks(image.file)
        write_labels(path, labels, classes=classes(), made_by=made_by(), **about)
    else:
        with temporary_folder(path) as folder, _named(temporary := folder / "labels.zarr", path):
            array = create_label_zarr(temporary, source.labels_shape, chunks=chunks, axes=axes)
            yield array
            require_chunks(image.file)
            write_labels(path, array, classes=classes(), made_by=made_by(), **about)


@contextmanager
def _named(temporary: Path, path: Path) -> Iterator[None]:
    """Let a message name the file that the user asked for, and not the temporary one."""
    try:
        yield
    except FileError as error:
        raise FileError(str(error).replace(str(temporary), str(path))) from error
