"""Which images some files and folders stand for."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from napari_ufseg.engine.errors import FileError, warn
from napari_ufseg.engine.leftovers import restore
from napari_ufseg.io.paths import IMAGE_SUFFIXES, LABELS_ENDING, ZARR_SUFFIX, is_zarr, require_no_address
from napari_ufseg.io.reading.known_labels import says_labels
from napari_ufseg.io.reading.tiff.series import files_beside

_MOST_NAMED = 4  # files that a sentence names one by one


def find_images(paths: Iterable[str | os.PathLike[str]], *, recursive: bool = False) -> list[Path]:
    """The images that some files and folders stand for, each once; an image that is spread among files is its first one.

    Parameters
    ----------
    paths : iterable of path-like
        Files and Zarr folders are taken as they are. Of any other folder all
        TIFF, PNG and JPEG files and all folders ``*.zarr`` that lie directly in
        it are taken, in order of their names, except hidden ones and label
        images: those named so (``*_labels.tif``, ``*_labels.png``, ``*_labels.ome.zarr``), and
        those that this program has written under any name.
    recursive : bool
        Take those in the folders of a folder too. One that may not be read is itself among what is found, so that
        opening it tells why.

    Raises
    ------
    FileError
        If a path does not exist, or a folder holds no image.
    """
    found: dict[Path, Path] = {}
    for path in map(_checked, paths):
        restore(path)
        try:
            for file in _images_in(path, recursive) if path.is_dir() and not is_zarr(path) else [path]:
                if not file.exists():
                    raise FileError(f"There is no file or folder {path}.")
                found.setdefault(file.resolve(), file)
        except OSError as error:  # a name that is too long, a folder that may not be entered
            raise FileError(f"Cannot read {path}: {error.strerror or error}.") from error
    return _without_parts(found)


def _checked(path: str | os.PathLike[str]) -> Path:
    require_no_address(path)
    return Path(path)


def _without_parts(found: dict[Path, Path]) -> list[Path]:
    """The files without those that are read with another one, as the planes of an OME-TIFF; that is told.

    Parameters
    ----------
    found : dict
        Each file as it was given, by its real path.
    """
    parts: set[Path] = set()
    for real, file in found.items():
        if real in parts:
            continue
        beside = [other for path in files_beside(file) if (other := path.resolve()) in found and other not in parts]
        parts.update(beside)
        if beside:
            names = ", ".join(found[other].name for other in beside[:_MOST_NAMED])
            more = f" and {len(beside) - _MOST_NAMED} more" if len(beside) > _MOST_NAMED else ""
            warn(f"{file} is read as one image with its other files: {names}{more}.", stacklevel=3)
    return [file for real, file in found.items() if real not in parts]


def _images_in(folder: Path, recursive: bool) -> list[Path]:
    try:
        images = list(_walk(folder, recursive))
    except OSError as error:
        raise FileError(f"Cannot read the folder {folder}: {error.strerror or error}.") from error
    if not images:
        raise FileError(f"The folder {folder} holds no image (TIFF, PNG, JPEG or OME-Zarr).")
    return images


def _walk(folder: Path, recursive: bool) -> Iterator[Path]:
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.startswith("."):
            continue
        if path.suffix.lower() == ZARR_SUFFIX or path.is_file():
            if _is_wanted(path):
                yield path
        elif recursive and path.is_dir() and not path.is_symlink():
            if os.access(path, os.R_OK | os.X_OK):
                yield from _walk(path, recursive)
            else:
                yield path


def _is_wanted(path: Path) -> bool:
    """Whether a path is an image by its name, and not the result of an earlier run."""
    suffix = path.suffix.lower()
    if suffix not in ((ZARR_SUFFIX,) if path.is_dir() else IMAGE_SUFFIXES):
        return False
    stem = path.stem[:-4] if path.stem.lower().endswith(".ome") else path.stem
    return not (stem.endswith(LABELS_ENDING) or says_labels(path))
