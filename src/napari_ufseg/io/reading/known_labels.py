"""Whether a file says that it holds labels, and what it tells of their classes."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import tifffile
from PIL import Image

from napari_ufseg.engine.errors import counted, warn
from napari_ufseg.engine.labels.class_table import ClassInfo, ClassTable, n_left_out
from napari_ufseg.engine.labels.told_numbers import colour_of_rgba, whole
from napari_ufseg.io.paths import PNG_SUFFIX, TIFF_SUFFIXES, is_below
from napari_ufseg.io.quiet import without_log
from napari_ufseg.io.reading.zarr_store import open_node

if TYPE_CHECKING:
    import zarr

LABELS_SOFTWARE = (
    "napari-ufseg labels"  # in Software, a tag of TIFF and a text of PNG: the file is known as labels by it
)
CLASSES_TAG = 65123  # of a TIFF, a private one: names, colours and detail of classes as JSON
CLASSES_KEY = "napari-ufseg classes"  # of a text in a PNG: the same
UNFINISHED = "napari-ufseg"  # an attribute of a Zarr whose labels are not finished: their axes and scale
MADE_BY_KEY = "made_by"  # beside the classes: the fingerprint of the model that has made the labels


def says_labels(path: Path) -> bool:
    """Whether a file or Zarr folder says of itself that it holds labels; False also for one that cannot be read."""
    with suppress(Exception), without_log():  # whoever opens it tells what is wrong with it
        if path.is_dir():
            return zarr_says_labels(path)
        if path.suffix.lower() in TIFF_SUFFIXES:
            return tiff_says_labels(path)
        return path.suffix.lower() == PNG_SUFFIX and png_says_labels(path)
    return False


def json_of_classes(classes: ClassTable, made_by: str = "") -> str:
    """A table as JSON: a list of what is said about each class, and of what has no label: the detail, and the model."""
    others = [*([classes.detail.said] if classes.detail else []), *([{MADE_BY_KEY: made_by}] if made_by else [])]
    return json.dumps([*classes.to_list(), *others])


def classes_in_json(text: Any) -> ClassTable:
    """The table out of `json_of_classes`; an empty one of what is damaged."""
    with suppress(ValueError, TypeError, OverflowError, RecursionError):
        told = json.loads(text)
        _tell_left_out(n_left_out(told))
        return ClassTable.from_list(told)
    return ClassTable()


def _tell_left_out(n: int) -> None:
    if n:
        warn(f"What a label file says about {counted(n, 'class')} cannot be understood, and is left out.", stacklevel=3)


def classes_of(image_label: Any) -> ClassTable:
    """Names, colours and detail out of the attribute ``image-label``, whoever wrote it.

    A colour that is the label's own counts as none that somebody has chosen.
    """
    said: Mapping[str, Any] = image_label if isinstance(image_label, Mapping) else {}
    entries: dict[Any, dict[str, Any]] = {}
    n_odd = 0
    for key in ("colors", "properties"):
        for item in told if isinstance(told := said.get(key), list) else []:
            if isinstance(item, Mapping):
                try:
                    label = whole(item.get("label-value"))
                except ValueError:
                    n_odd += 1
                    continue
                entries.setdefault(label, {"label": label}).update({**item, "label": label})
    for label, entry in entries.items():
        colour = colour_of_rgba(entry.get("rgba"))
        if not {"colour", "shade"} & set(entry) and colour and entry["rgba"] != ClassInfo(label).rgba:
            entry["colour"] = colour
    _tell_left_out(n_odd + n_left_out(list(entries.values())))
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
    return png_software(file) == LABELS_SOFTWARE


def png_software(file: Path) -> str:
    """What a PNG file says about the program that has made it; empty if it says nothing, or is no PNG."""
    with suppress(Exception), Image.open(file, formats=["PNG"]) as picture:
        return str(picture.info.get("Software", ""))
    return ""


def zarr_says_labels(folder: Path) -> bool:
    """Whether a Zarr folder is an OME-Zarr label image."""
    import zarr

    node = open_node(folder)
    return isinstance(node, zarr.Group) and "image-label" in ome_attributes(node)


def made_by(path: Path) -> str:
    """The fingerprint of the model that has made the labels in a file; empty if it does not say, or cannot be read."""
    with suppress(Exception), without_log():
        if path.is_dir():
            import zarr

            node = open_node(path)
            return _made_by([ome_attributes(node).get("image-label")]) if isinstance(node, zarr.Group) else ""
        if path.suffix.lower() in TIFF_SUFFIXES:
            with tifffile.TiffFile(path) as tiff:
                return _made_by(json.loads(tiff.pages.first.tags.valueof(CLASSES_TAG, "[]")))
        with Image.open(path, formats=["PNG"]) as picture:
            return _made_by(json.loads(picture.info.get(CLASSES_KEY, "[]")))
    return ""


def _made_by(entries: Any) -> str:
    return next((str(entry[MADE_BY_KEY]) for entry in entries if isinstance(entry, dict) and MADE_BY_KEY in entry), "")


def mixture_words(model_file: Path, fingerprint: str, labels: Sequence[str]) -> str:
    """What to tell if labels beside a model file are of another run than it; nothing if they are its own, or not there.

    Parameters
    ----------
    model_file : Path
    fingerprint : str
        Of the model.
    labels : sequence of str
        The label files that it says were written with it, as names in its folder or below.
    """
    for name in labels:
        file = model_file.parent / name
        other = made_by(file) if is_below(name) else ""
        if other and other != fingerprint:
            return (
                f"{file} and {model_file} were not written by the same run ({other} and {fingerprint}): the run that wrote "
                "one of them may have been killed before it wrote the other."
            )
    return ""


def zarr_is_unfinished(folder: Path) -> bool:
    """Whether a path is a Zarr folder in which labels were begun and not finished."""
    with suppress(Exception):
        return folder.is_dir() and UNFINISHED in open_node(folder).attrs
    return False


def ome_attributes(group: "zarr.Group") -> Mapping[str, Any]:
    """The metadata of OME-Zarr: under "ome" since 0.5, at the top before."""
    attributes = group.attrs.asdict()
    metadata: Any = attributes.get("ome", attributes)
    return metadata if isinstance(metadata, Mapping) else {}
