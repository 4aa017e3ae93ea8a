"""Names of files: which endings are images, and what marks a folder as Zarr or a file as labels."""

import os
import re
from pathlib import Path

from napari_ufseg.engine.errors import FileError

TIFF_SUFFIXES = (".tif", ".tiff")
PNG_SUFFIX = ".png"
IMAGE_SUFFIXES = (*TIFF_SUFFIXES, PNG_SUFFIX, ".jpg", ".jpeg")
LABELS_ENDING = "_labels"
ZARR_SUFFIX = ".zarr"
LONGEST_NAME = 255  # bytes that the name of a file may have
_MARKS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(?=[^/])")  # of two letters at least: one is a drive of Windows


def require_no_address(path: str | os.PathLike[str]) -> None:
    """Raise FileError if a path is an address of the web or of a store, such as ``https://...`` or ``s3://...``."""
    text = os.fspath(path)
    if (found := _ADDRESS.match(text)) and not os.path.lexists(text):
        address = text if "://" in text else f"{found[1]}://{text[found.end() :]}"  # a Path has one slash
        raise FileError(
            f"{address} is an address, but only files and folders can be used: download it, or mount its place."
        )


def image_stem(path: Path) -> str:
    """The name of an image without its ending, as label files are called after it."""
    return path.stem.removesuffix(".ome")


def is_zarr(path: Path) -> bool:
    """Whether a path is a folder that is named as Zarr or holds the files of one."""
    return path.is_dir() and (path.suffix.lower() == ZARR_SUFFIX or is_marked(path))


def cut_name(name: str, ending: str, most: int = LONGEST_NAME) -> str:
    """A name that with its ending has no more bytes than file systems take, cut between two letters."""
    room = most - len(os.fsencode(ending))
    encoded = name.encode(errors="surrogateescape")
    return name if len(encoded) <= room else encoded[:room].decode(errors="ignore").rstrip(" .\u200d")


def is_below(name: str) -> bool:
    """Whether a name that a file tells is of something in its folder or below, on any system; else it must not be opened."""
    parts = name.replace("\\", "/").split("/")
    return bool(name) and "\0" not in name and ":" not in parts[0] and "" not in parts and ".." not in parts


def is_marked(folder: Path) -> bool:
    """Whether a folder holds the files that make it a Zarr array or group."""
    return os.access(folder, os.X_OK) and any((folder / mark).is_file() for mark in _MARKS)
