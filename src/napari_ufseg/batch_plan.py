"""What a batch labels and what it tells: the plan, the files of it, and what became of each."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from napari_ufseg.batch.label_file import label_names
from napari_ufseg.engine.errors import ConfigError, FileError
from napari_ufseg.engine.images.axes import checked_axes
from napari_ufseg.io import find_images, is_zarr

if TYPE_CHECKING:
    from napari_ufseg.engine.network.model import SegmentationModel

Existing = Literal["skip", "overwrite"]
Format = Literal["tif", "ome.zarr"]
Status = Literal["written", "skipped", "failed"]


@dataclass(frozen=True)
class BatchPlan:
    """What is labelled, with what, and where the labels go.

    Parameters
    ----------
    model : SegmentationModel
        Labels every image.
    folder : Path
        Where the images are.
    output : Path
        Gets the folders of `folder` with ``<stem>_labels.tif`` (or ``.ome.zarr``) in them; made if it is missing.
    recursive : bool
        Take the images in the folders of `folder` too.
    existing : {"skip", "overwrite"}
        What becomes of an image whose label file is there already.
    format : {"tif", "ome.zarr"}
        Of the label files.
    axes : str, optional
        What each axis of every image is, one letter for each; by default as each file says.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
    level : int
        Resolution level of every image; 0 is the full one.

    Raises
    ------
    ConfigError
        If `existing` or `format` is another word.
    ImageError
        If `axes` can be those of no image.
    """

    model: "SegmentationModel"
    folder: Path
    output: Path
    recursive: bool = True
    existing: Existing = "skip"
    format: Format = "tif"
    axes: str | None = None
    device: str = "auto"
    level: int = 0

    def __post_init__(self) -> None:
        for name, known in (("existing", get_args(Existing)), ("format", get_args(Format))):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, but must be one of {', '.join(known)}.")
        if self.axes is not None:
            checked_axes(self.axes, len(self.axes))


@dataclass(frozen=True)
class FileProgress:
    """An image is being labelled.

    Parameters
    ----------
    path : Path
        The image.
    number, total : int
        Which image it is, from 1, and of how many.
    share : float
        Part of its pixels that has labels, from 0 to 1.
    """

    path: Path
    number: int
    total: int
    share: float


@dataclass(frozen=True)
class FileDone:
    """What became of an image.

    Parameters
    ----------
    path, output : Path
        The image, and its label file.
    number, total : int
        Which image it is, from 1, and of how many.
    status : {"written", "skipped", "failed"}
        A file that failed leaves nothing behind; labels that stood there before stay.
    message : str
        One sentence: why it failed, or what is worth knowing of the labels; empty if nothing is.
    seconds : float
        What it took.
    """

    path: Path
    output: Path
    number: int
    total: int
    status: Status
    message: str
    seconds: float


@dataclass(frozen=True)
class BatchSummary:
    """How a batch ended.

    Parameters
    ----------
    written, skipped, failed : int
        Images of each status.
    left : int
        Images that were not reached, since the batch was stopped or could not go on.
    reason : str
        Why it could not go on, in one sentence; empty if it was stopped, or did all.
    """

    written: int = 0
    skipped: int = 0
    failed: int = 0
    left: int = 0
    reason: str = ""

    @property
    def words(self) -> str:
        """The numbers for people, for example ``12 written, 3 skipped, 1 failed``."""
        words = f"{self.written} written, {self.skipped} skipped, {self.failed} failed"
        return f"{words}, {self.left} not done" if self.left else words


def files_of(plan: BatchPlan) -> list[tuple[Path, Path]]:
    """Every image of a plan, in order, with its label file; no two images have the same.

    Raises
    ------
    FileError
        If there is no such folder, or no image in it, or the output folder cannot be one.
    """
    if is_zarr(plan.folder) or plan.folder.is_file():
        raise FileError(f"{plan.folder} is an image and no folder of images: use ufseg predict for it.")
    images = find_images([plan.folder], recursive=plan.recursive)
    _check_output(plan.output, images)
    groups: dict[str, list[Path]] = {}
    for image in images:  # folders that differ by case only may become one
        groups.setdefault(str(image.parent.relative_to(plan.folder)).casefold(), []).append(image)
    names = {
        image: name
        for group in groups.values()
        for image, name in zip(group, label_names(group, f".{plan.format}"), strict=True)
    }
    return [(image, plan.output / image.parent.relative_to(plan.folder) / names[image]) for image in images]


def _check_output(output: Path, images: Sequence[Path]) -> None:
    for image in images:
        if image.is_dir() and output.resolve().is_relative_to(image.resolve()):
            raise FileError(f"Cannot write into {output}: it lies within the image {image}.")
    nearest = nearest_folder(output)
    if not nearest.is_dir():
        raise FileError(f"Cannot write into {output}: {nearest} is not a folder.")
    if not os.access(nearest, os.W_OK):
        raise FileError(f"Cannot write into {output}: there is no permission to write in {nearest}.")


def nearest_folder(folder: Path) -> Path:
    """The folder itself, or that above it which exists."""
    absolute = folder.absolute()
    return next(place for place in (absolute, *absolute.parents) if place.exists())
