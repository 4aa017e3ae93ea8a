"""The formats of label files: one entry here and a writer are all that a new one needs."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.files import written_whole
from napari_ufseg.io.writing.label_data import LabelsToWrite
from napari_ufseg.io.writing.label_png import MOST_PNG_PIXELS, write_png
from napari_ufseg.io.writing.label_tiff import write_tiff
from napari_ufseg.io.writing.label_zarr import create_label_zarr, finish_label_zarr, write_zarr
from napari_ufseg.io.zarr_folder import folder_written_whole


@dataclass(frozen=True)
class FilledInPlace:
    """How a label file is made of labels that come piece by piece, without another array for them.

    Parameters
    ----------
    create : callable
        Begins the file; gives an array to be filled. As `create_label_zarr`.
    finish : callable
        Makes it a label file. As `finish_label_zarr`.
    """

    create: Callable[..., Any]
    finish: Callable[..., None]


@dataclass(frozen=True)
class LabelFormat:
    """One format of label files.

    Parameters
    ----------
    name : str
        The word for it, as in ``--format``; with a dot before it, the ending of files that get no other name.
    title : str
        As people know it: in dialogs, choices and messages.
    endings : tuple of str
        The endings by which a path is known to be one, in small letters; the first is that of a dialog.
    about : str
        What tells it from the others, as the rest of a sentence that begins with `title`; empty for the plainest.
    write : callable
        Writes labels to a temporary path; whoever calls it moves that into place.
    in_place : FilledInPlace, optional
        If it can also be filled piece by piece; such a format is a folder.
    planes_only : bool
        It holds one plane and no stack.
    most_pixels : int, optional
        More of them are refused.
    """

    name: str
    title: str
    endings: tuple[str, ...]
    about: str
    write: Callable[[Path, LabelsToWrite], None]
    in_place: FilledInPlace | None = None
    planes_only: bool = False
    most_pixels: int | None = None

    @property
    def ending(self) -> str:
        """The ending of files that get no other name."""
        return f".{self.name}"

    @property
    def dialog_filter(self) -> str:
        """As file dialogs of Qt have it, such as ``"TIFF (*.tif *.tiff)"``."""
        return f"{self.title} ({' '.join(f'*{ending}' for ending in self.endings)})"

    def whole(self, path: Path) -> AbstractContextManager[Path]:
        """A temporary path beside `path` that is moved into place when the block ends well."""
        return folder_written_whole(path) if self.in_place else written_whole(path)

    def check_shape(self, path: Path, shape: Sequence[int]) -> None:
        """Raise FileError if labels of that shape have no place in this format."""
        rows, columns = shape[-2:]
        others = _listed([f"{other.title} ({other.ending})" for other in LABEL_FORMATS if not other.planes_only])
        if self.planes_only and len(shape) > 2:
            raise FileError(
                f"Cannot write {path}: {self.title} holds one plane, and these labels are a stack of the shape "
                f"{tuple(shape)}: write them as {others}."
            )
        if self.most_pixels is not None and rows * columns > self.most_pixels:
            raise FileError(
                f"Cannot write {path}: {rows} x {columns} pixels are more than programs open of {self.title} "
                f"({self.most_pixels}): write them as {others}."
            )


TIFF = LabelFormat("tif", "TIFF", (".tif", ".tiff"), "", write_tiff)
OME_ZARR = LabelFormat(
    "ome.zarr",
    "OME-Zarr",
    (".zarr",),
    "holds lower resolutions, too",
    write_zarr,
    in_place=FilledInPlace(create_label_zarr, finish_label_zarr),
)
PNG = LabelFormat(
    "png",
    "PNG",
    (".png",),
    "holds one plane without its scale, in the colours of its classes up to label 255",
    write_png,
    planes_only=True,
    most_pixels=MOST_PNG_PIXELS,
)
LABEL_FORMATS = (TIFF, OME_ZARR, PNG)


def label_format(path: Path) -> LabelFormat | None:
    """The format that the ending of a name says; None for any other name."""
    return next((known for known in LABEL_FORMATS if path.suffix.lower() in known.endings), None)


def require_label_format(path: Path) -> LabelFormat:
    """The format that the ending of a name says; FileError for any other name."""
    if known := label_format(path):
        return known
    raise FileError(f"Cannot write {path}: labels are {label_titles()}, so let the name end in {label_endings()}.")


def label_titles() -> str:
    """All formats for a message, as ``"TIFF or OME-Zarr"``."""
    return _listed([known.title for known in LABEL_FORMATS])


def label_endings() -> str:
    """The ending of each format for a message, as ``".tif or .zarr"``."""
    return _listed([known.endings[0] for known in LABEL_FORMATS])


def label_formats_told() -> str:
    """What tells each format from the others, for a tip or a help text."""
    return "; ".join(f"{known.title} {known.about}" for known in LABEL_FORMATS if known.about)


def label_dialog_filters() -> str:
    """All formats, as file dialogs of Qt have them."""
    return ";;".join(known.dialog_filter for known in LABEL_FORMATS)


def _listed(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
