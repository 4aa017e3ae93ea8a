"""Whether a file says that it holds labels, and what it tells of their classes."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import tifffile
from PIL import Image

from napari_ufseg.engine.labels.class_table import ClassInfo, ClassTable, as_hex
from napari_ufseg.io.axis_steps import as_number
from napari_ufseg.io.paths import PNG_SUFFIX, TIFF_SUFFIXES
from napari_ufseg.io.quiet import without_log

if TYPE_CHECKING:
    import zarr

LABELS_SOFTWARE = (
    "napari-ufseg labels"  # in Software, a tag of TIFF and a text of PNG: the file is known as labels by it
)
CLASSES_TAG = 65123  # of a TIFF, a private one: names, colours and detail of classes as JSON
CLASSES_KEY = "napari-ufseg classes"  # of a text in a PNG: the same


def says_labels(path: Path) -> bool:
    """Whether a file or Zarr folder says of itself that it holds labels; False also for one that cannot be read."""
    with suppress(Exception), without_log():  # whoever opens it tells what is wrong with it
        if path.is_dir():
            return zarr_says_labels(path)
        if path.suffix.lower() in TIFF_SUFFIXES:
            return tiff_says_labels(path)
        return path.suffix.lower() == PNG_SUFFIX and png_says_labels(path)
    return False


def json_of_classes(classes: ClassTable) -> str:
    """A table as JSON: a list of what is said about each class, and of the detail, which has no label."""
    return json.dumps([*classes.to_list(), *([classes.detail.said] if classes.detail else [])])


def classes_in_json(text: Any) -> ClassTable:
    """The table out of `json_of_classes`; an empty one of what is damaged."""
    with suppress(ValueError, TypeError, OverflowError, RecursionError):
        return ClassTable.from_list(json.loads(text))
    return ClassTable()


def classes_of(image_label: Any) -> ClassTable:
    """Names, colours and detail out of the attribute ``image-label``, whoever wrote it.

    A colour that is the label's own counts as none that somebody has chosen.
    """
    said: Mapping[str, Any] = image_label if isinstance(image_label, Mapping) else {}
    entries: dict[Any, dict[str, Any]] = {}
    for key in ("colors", "properties"):
        items = said.get(key)
        for item in items if isinstance(items, list) else []:
            if isinstance(item, Mapping) and (label := as_number(item.get("label-value"))) is not None:
                entries.setdefault(int(label), {"label": int(label)}).update(item)
    for label, entry in entries.items():
        rgba = entry.get("rgba")
        if not {"colour", "shade"} & set(entry) and _is_colour(rgba) and rgba != ClassInfo(label).rgba:
            entry["colour"] = as_hex([value / 255 for value in rgba])
    return ClassTable.from_list([*entries.values(), {"detail": said.get("detail")}])


def _is_colour(rgba: Any) -> TypeGuard[list[float]]:
    """Whether it is red, green and blue from 0 to 255, and perhaps opacity."""
    is_list = isinstance(rgba, list) and len(rgba) >= 3
    return is_list and all(isinstance(value, int | float) and 0 <= value <= 255 for value in rgba)


def tiff_says_labels(file: Path) -> bool:
    """Whether a TIFF file is one that `write_tiff` has made of labels; of a long stack only the first page is read."""
    with tifffile.TiffFile(file) as tiff:
        return bool(tiff.pages.first.software == LABELS_SOFTWARE)


def png_says_labels(file: Path) -> bool:
    """Whether a PNG file is one that this program has made of labels; its pixels are not read."""
    with Image.open(file) as picture:
        return bool(picture.info.get("Software") == LABELS_SOFTWARE)


def zarr_says_labels(folder: Path) -> bool:
    """Whether a Zarr folder is an OME-Zarr label image."""
    import zarr

    node = zarr.open(folder, mode="r")
    return isinstance(node, zarr.Group) and "image-label" in ome_attributes(node)


def ome_attributes(group: "zarr.Group") -> Mapping[str, Any]:
    """The metadata of OME-Zarr: under "ome" since 0.5, at the top before."""
    attributes = group.attrs.asdict()
    metadata: Any = attributes.get("ome", attributes)
    return metadata if isinstance(metadata, Mapping) else {}
