"""What a file that is written may take the place of: one of its own kind, and no other, since raw data cannot be made again."""

from pathlib import Path
from typing import Literal

from napari_ufseg.engine.errors import FileError
from napari_ufseg.io.paths import LABELS_ENDING, image_stem, is_marked
from napari_ufseg.io.reading.known_labels import png_software, says_labels, zarr_is_unfinished

FileKind = Literal["model", "report", "chart"]
CHART_SOFTWARE = "napari-ufseg chart"  # in Software, a text of PNG
_START = 4096  # bytes of a file that tell of which kind it is
_IMAGES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\x89PNG", b"\xff\xd8\xff")  # how TIFF, BigTIFF, PNG and JPEG begin
_ELSEWHERE = "which is not replaced by labels: choose another name, or move it away"


def check_replaceable(path: Path, *, is_folder: bool = True) -> None:
    """Raise FileError if labels must not take the place of what stands at `path`.

    Labels may be replaced, and what is empty; of files also those that are called labels, or are no image. Anything
    else may not.

    Parameters
    ----------
    path : Path
    is_folder : bool
        The labels become a folder, as a Zarr is one.
    """
    try:
        if path.is_dir() != is_folder and path.exists():
            what = "a file of that name" if is_folder else "a folder of that name"
            raise FileError(f"Cannot write {path}: there is {what}.")
        if not path.exists() or _is_empty(path) or says_labels(path) or zarr_is_unfinished(path):
            return
        if not is_folder:
            if image_stem(path).endswith(LABELS_ENDING) or not _is_image(path):
                return
            raise FileError(
                f"Cannot write {path}: there is an image that does not say that it is labels, {_ELSEWHERE}."
            )
        if not is_marked(path):
            raise FileError(f"Cannot write {path}: there is a folder of that name that is no Zarr.")
    except OSError as error:
        raise FileError(f"Cannot write {path}: {error.strerror or error}.") from error
    raise FileError(f"Cannot write {path}: there is a Zarr that does not say that it is labels, {_ELSEWHERE}.")


def _is_image(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(_START).startswith(_IMAGES)


def _is_empty(path: Path) -> bool:
    return not any(path.iterdir()) if path.is_dir() else path.stat().st_size == 0


def check_no_data_lost(path: Path, kind: FileKind) -> None:
    """Raise FileError if a file that is no label image would take the place of one of another kind.

    Parameters
    ----------
    path : Path
    kind : {"model", "report", "chart"}
        What is to be written.
    """
    try:
        if not path.is_file() or not path.stat().st_size:
            return
        with path.open("rb") as file:
            start = file.read(_START)
        is_same = {"model": _is_model, "report": _is_text, "chart": _is_chart}[kind](path, start)
    except OSError as error:
        raise FileError(f"Cannot write {path}: {error.strerror or error}.") from error
    if not is_same:
        raise FileError(
            f"Cannot write {path}: there is a file that is no {kind}, which is not replaced by one: choose another name, "
            "or move it away."
        )


def _is_model(path: Path, start: bytes) -> bool:
    return start[8:9] == b"{"  # safetensors: the length of a header, and the header as JSON


def _is_text(path: Path, start: bytes) -> bool:
    return b"\0" not in start and not start.startswith(_IMAGES)


def _is_chart(path: Path, start: bytes) -> bool:
    return png_software(path) == CHART_SOFTWARE
