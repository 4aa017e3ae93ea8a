"""A folder of images labelled with one model: file by file, in the same layout, whatever becomes of a single file."""

import os
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import torch

from napari_ufseg.batch.label_file import check_writable, label_array, open_input
from napari_ufseg.batch_plan import BatchPlan, BatchSummary, FileDone, FileProgress, Status, files_of, nearest_folder
from napari_ufseg.engine.device import resolve_device
from napari_ufseg.engine.errors import FileError, StoppedError, UfsegError, engine_errors, go_on
from napari_ufseg.engine.prediction.labelling import Job, label_images, scan
from napari_ufseg.io import ZARR_SUFFIX, check_replaceable, open_image

__all__ = ["BatchPlan", "BatchSummary", "FileDone", "FileProgress", "files_of", "run_batch"]

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
                if plan.existing == "skip" and _is_there(output):
                    status = "skipped"
                else:
                    _check_no_input(output, inputs)
                    check_writable(output)
                    at = partial(FileProgress, image, number, len(files))
                    message = yield from _labelled(plan, image, output, device, stopped, at)
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
    image: Path,
    output: Path,
    device: torch.device,
    stopped: Callable[[], bool],
    at: Callable[[float], FileProgress],
) -> Generator[FileProgress, None, str]:
    """Label one image into its file; returns what is worth knowing of the labels."""
    yield at(0.0)
    file = open_input(image, plan.model.config.spatial_dims, axes=plan.axes, level=plan.level)
    plan.model.require_channels(file.source)
    with _no_empty_folders(output.parent), label_array(output, file, plan.model.classes) as labels:
        job = Job(file.source, scan(file.source, plan.model.config.scaling, stopped), labels)
        with closing(label_images(plan.model, [job], device)) as passes:
            for progress in passes:
                go_on(stopped)
                yield at(progress.pixels / progress.total)
        go_on(stopped)
    constant = f"{file.source.name} is constant: all of it is one class." if job.brightness.is_constant else ""
    return " ".join(filter(None, (file.warning, constant)))


def _is_there(output: Path) -> bool:
    """Whether a label file is there (they are written whole or not at all); FileError if it is something else."""
    if output.suffix == ZARR_SUFFIX:
        check_replaceable(output)
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return False
    try:
        open_image(output)
    except FileError as error:
        raise FileError(
            f"There is a file {output} already, but it holds no labels: remove it, or let existing labels be overwritten."
        ) from error
    return True


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
