"""A folder of images labelled with one model: the plan, then file by file, whatever becomes of a single one."""

import os
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import torch

from napari_ufseg.batch.label_file import check_labels_writable, has_labels, label_array, label_names, open_input
from napari_ufseg.engine.config import INTENSITY_CHOICES
from napari_ufseg.engine.device import resolve_device
from napari_ufseg.engine.errors import ConfigError, FileError, StoppedError, UfsegError, engine_errors, go_on
from napari_ufseg.engine.images.axes import checked_axes
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.engine.labels.hierarchy import checked_detail
from napari_ufseg.engine.network.model_file import fingerprint
from napari_ufseg.engine.prediction.labelling import LabellingJob, label_images, learn_intensity
from napari_ufseg.io import LABEL_FORMATS, TIFF, find_images, is_zarr

if TYPE_CHECKING:
    from napari_ufseg.engine.network.model import SegmentationModel

Existing = Literal["skip", "overwrite"]
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
        Gets the folders of `folder` with ``<stem>_labels.tif`` (or as `format` says) in them; made if it is missing.
    recursive : bool
        Take the images in the folders of `folder` too.
    existing : {"skip", "overwrite"}
        What becomes of an image whose label file is there already.
    format : str
        Of the label files: the name of one of `napari_ufseg.io.LABEL_FORMATS`, as ``"tif"`` or ``"ome.zarr"``.
    axes : str, optional
        What each axis of every image is, one letter for each; by default as each file says.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
    level : int
        Resolution level of every image; 0 is the full one.
    series : int or str, optional
        Which of several images in each file, by number or name; by default as `napari_ufseg.io.open_image` says.
    detail : int or {"auto", "all"}
        How many classes the labels show, as in `napari_ufseg.engine.network.model.SegmentationModel.at_detail`.
    intensity : {"auto", "trained", "own"}
        As in `napari_ufseg.predict`.
    nodata, intensity_range
        As in `napari_ufseg.segment`.

    Raises
    ------
    ConfigError
        If `existing`, `format` or `intensity` is another word, or the detail is none.
    ImageError
        If `axes` can be those of no image.
    """

    model: "SegmentationModel"
    folder: Path
    output: Path
    recursive: bool = True
    existing: Existing = "skip"
    format: str = TIFF.name
    axes: str | None = None
    device: str = "auto"
    level: int = 0
    detail: int | str = "auto"
    intensity: str = "auto"
    series: int | str | None = None
    nodata: float | str = "auto"
    intensity_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        checked_detail(self.detail)
        formats = tuple(known.name for known in LABEL_FORMATS)
        words = ("existing", get_args(Existing)), ("format", formats), ("intensity", INTENSITY_CHOICES)
        for name, known in words:
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

    def __str__(self) -> str:
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


_PROBE = 2**20  # bytes that the output folder must take after a file has failed


def run_batch(
    plan: BatchPlan, *, stopped: Callable[[], bool] = lambda: False
) -> Generator[FileProgress | FileDone, None, BatchSummary]:
    """Label every image of a folder into a file of its own, tile by tile.

    An image that cannot be labelled is told and the rest goes on. Only if a
    file could not be read or written, and the output folder then does not
    take another one of 1 MiB either (the disk is full, there is no permission
    any more), the batch ends: each further image would fail for that reason.

    To cancel, close the generator, or let `stopped` be true. The image under
    way is dropped whole, the label files that are finished stay, and another
    run with ``existing="skip"`` does the rest.

    Parameters
    ----------
    plan : BatchPlan
    stopped : callable
        Asked before every image and for every tile.

    Yields
    ------
    FileProgress or FileDone
        For each image one FileDone; before it a FileProgress when it is begun
        and after every tile, unless it is skipped.

    Returns
    -------
    BatchSummary

    Raises
    ------
    FileError, DeviceError
        Before the first image, if there is none, nothing can be written to the
        output folder, or the device is not there.
    """
    files = files_of(plan)
    device = resolve_device(plan.device)
    model = plan.model.at_detail(plan.detail)
    classes = partial(plan.model.classes_at, plan.detail)
    made_by = cache(partial(fingerprint, plan.model))
    inputs = {str(image.resolve()).casefold(): image for image, _ in files}
    counts: dict[Status, int] = {"written": 0, "skipped": 0, "failed": 0}
    reason = ""
    for number, (image, output) in enumerate(files, start=1):
        if stopped() or reason:
            break
        start = time.monotonic()
        status: Status = "written"
        message = ""
        try:
            with engine_errors(f"Labelling {image}"):
                if plan.existing == "skip" and has_labels(output):
                    status = "skipped"
                else:
                    _check_no_input(output, inputs)
                    check_labels_writable(output)
                    at = partial(FileProgress, image, number, len(files))
                    message = yield from _labelled(plan, model, classes, made_by, image, output, device, stopped, at)
        except StoppedError:
            break
        except UfsegError as error:
            status, message = "failed", f"{str(error).rstrip('.')}."
            if isinstance(error, FileError) and not _takes_files(plan.output):
                reason = message
        counts[status] += 1
        yield FileDone(image, output, number, len(files), status, message, time.monotonic() - start)
    return BatchSummary(**counts, left=len(files) - sum(counts.values()), reason=reason)


def _labelled(
    plan: BatchPlan,
    model: "SegmentationModel",
    classes: Callable[[], ClassTable],
    made_by: Callable[[], str],
    image: Path,
    output: Path,
    device: torch.device,
    stopped: Callable[[], bool],
    at: Callable[[float], FileProgress],
) -> Generator[FileProgress, None, str]:
    """Label one image into its file; returns what is worth knowing of the labels."""
    yield at(0.0)
    file = open_input(
        image,
        model.config.spatial_dims,
        axes=plan.axes,
        level=plan.level,
        series=plan.series,
        nodata=plan.nodata,
        intensity_range=plan.intensity_range,
    )
    model.require_channels(file.source)
    with _no_empty_folders(output.parent), label_array(output, file, classes, made_by) as labels:
        own = learn_intensity(file.source, model.config, stopped)
        job = LabellingJob(file.source, model.range_for(own, plan.intensity), labels)
        with closing(label_images(model, [job], device)) as passes:
            for progress in passes:
                go_on(stopped)
                yield at(progress.pixels / progress.total)
        go_on(stopped)
    return " ".join(filter(None, (file.warning, job.brightness.doubt(file.source.name))))


def _check_no_input(output: Path, inputs: dict[str, Path]) -> None:
    """Raise FileError if the label file is one of the images, by a link or another case of its letters."""
    image = inputs.get(str(output.resolve()).casefold())
    if image is not None and output.exists() and output.samefile(image):
        raise FileError(f"Cannot write {output}: it is the image {image}; choose another output folder.")


@contextmanager
def _no_empty_folders(folder: Path) -> Iterator[None]:
    """Remove the folders that were made during the block and have remained empty."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        yield
    finally:
        for place in missing:
            with suppress(OSError):  # it is not empty
                place.rmdir()


def _takes_files(folder: Path) -> bool:
    """Whether a file of a MiB can be written where the labels go; it is removed again."""
    try:
        with tempfile.TemporaryFile(dir=nearest_folder(folder)) as file:
            file.write(os.urandom(_PROBE))
    except OSError:
        return False
    return True
