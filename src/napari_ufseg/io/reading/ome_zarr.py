"""Zarr folders: OME-Zarr images and plain arrays.

The metadata are read with tolerance, not checked against the rules: those that
other programs break most often (order of the axes, versions) do not matter here.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.errors import FileError, warn
from napari_ufseg.io.paths import is_below, is_marked
from napari_ufseg.io.reading.image_file import ImageFile
from napari_ufseg.io.reading.known_labels import classes_of, ome_attributes
from napari_ufseg.io.reading.zarr_pixels import pixels_of
from napari_ufseg.io.reading.zarr_store import open_node
from napari_ufseg.io.units import length_ratio, length_unit, seconds

if TYPE_CHECKING:
    import zarr

_LETTERS = {"time": "T", "channel": "C"}
_Numbers = npt.NDArray[np.float64]


def open_zarr(folder: Path, level: int) -> ImageFile:
    """An image in a Zarr folder; of its levels, `level`, or the full one if there is no such level.

    Raises
    ------
    FileError
        If the folder is no Zarr, or a Zarr without an image of numbers.
    """
    import zarr

    if not is_marked(folder):
        raise FileError(f"{folder} is named as Zarr, but holds neither an OME-Zarr image nor a Zarr array.")
    node = open_node(folder)
    if isinstance(node, zarr.Array):
        return _plain(folder, node)
    group, metadata = _first_image(folder, node)
    datasets = metadata["datasets"]
    level = level if 0 <= level < len(datasets) else 0
    array = group[datasets[level]["path"]]
    if not isinstance(array, zarr.Array):
        raise FileError(f"{folder} is damaged: its level {datasets[level]['path']} is no array.")
    described = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in metadata.get("axes", [])]
    if len(described) != array.ndim:  # as in OME-Zarr 0.1 and 0.2, which had no axes
        described = [{"name": name} for name in ("tczyx" if array.ndim == 5 else "?" * (array.ndim - 2) + "yx")]
    axes = "".join(map(_letter, described))
    placed = _placed(group, metadata, level, array.shape)
    scale, translate, unit = _in_one_unit(axes, described, *placed)
    ome = ome_attributes(group)
    is_labels = "image-label" in ome and array.dtype.kind in "bui"
    about: dict[str, Any] = {"is_labels": is_labels, "classes": classes_of(ome.get("image-label"))}
    return ImageFile(
        folder,
        pixels_of(folder, array, is_believed=is_labels),
        axes,
        scale,
        translate,
        unit,
        len(datasets),
        level,
        **about,
    )


def label_folders(folder: Path) -> list[Path]:
    """The label images that an OME-Zarr image brings along; none for a plain array.

    Raises
    ------
    FileError
        As for `open_zarr`.
    """
    import zarr

    node = open_node(folder)
    if isinstance(node, zarr.Array):
        return []
    image, _ = _first_image(folder, node)
    labels = image.get("labels")
    names = ome_attributes(labels).get("labels", []) if isinstance(labels, zarr.Group) else []
    told = [str(name) for name in names] if isinstance(names, list) else []
    if outside := [name for name in told if not _is_within(folder / image.path / "labels", name)]:
        warn(f"{folder} names label images that are not in its folder, which are not opened: {', '.join(outside)}.")
    return [folder / image.path / "labels" / name for name in told if name not in outside]


def _is_within(folder: Path, name: str) -> bool:
    """Whether a name is of something below a folder, and is no link that leads out of it."""
    return is_below(name) and (folder / name).resolve().is_relative_to(folder.resolve())


def _plain(folder: Path, array: "zarr.Array[Any]") -> ImageFile:
    if array.ndim < 2:
        raise FileError(f"{folder} is no image: it has shape {array.shape}, without (Y, X).")
    ones, zeros = (1.0,) * array.ndim, (0.0,) * array.ndim
    return ImageFile(folder, pixels_of(folder, array), "?" * (array.ndim - 2) + "YX", ones, zeros)


def _first_image(folder: Path, group: "zarr.Group") -> tuple["zarr.Group", Mapping[str, Any]]:
    """The group that holds the (first) image, and its multiscales metadata."""
    import zarr

    metadata = ome_attributes(group)
    if "plate" in metadata or "well" in metadata:
        raise FileError(f"{folder} holds the images of a plate: name one of them, such as {folder / 'A' / '1' / '0'}.")
    if not metadata.get("multiscales") and isinstance(first := group.get("0"), zarr.Group):
        group, metadata = first, ome_attributes(first)
    if not metadata.get("multiscales"):
        raise FileError(f"{folder} is a Zarr group, but holds no OME-Zarr image (no multiscales).")
    return group, metadata["multiscales"][0]


def _letter(axis: Mapping[str, Any]) -> str:
    """The letter of an axis by its type or, for the axes of space and those without a type, its name."""
    name = str(axis.get("name", "")).upper()
    kind = axis.get("type")
    if kind in _LETTERS:
        return _LETTERS[kind]
    known = "ZYX" if kind == "space" else "TCZYX" if kind is None else ""
    return name if len(name) == 1 and name in known else "?"


def _placed(
    group: "zarr.Group", metadata: Mapping[str, Any], level: int, shape: tuple[int, ...]
) -> tuple[_Numbers, _Numbers]:
    """(ndim,) step and middle of the first pixel of a level, in the units of its axes.

    Many programs leave the translation of lower levels out, though every pixel
    of theirs stands for some of the full resolution. Such a level covers the
    area of the full one, as napari draws it.
    """
    datasets = metadata["datasets"]
    step, start, is_told = _transformed(len(shape), datasets[level], metadata)
    if level == 0 or is_told:
        return step, start
    full_shape: Any = getattr(group[datasets[0]["path"]], "shape", shape)
    full, start, _ = _transformed(len(shape), datasets[0], metadata)
    step = full * np.divide(full_shape, np.maximum(shape, 1))
    return step, start + (step - full) / 2


def _transformed(ndim: int, dataset: Mapping[str, Any], metadata: Mapping[str, Any]) -> tuple[_Numbers, _Numbers, bool]:
    """Step and start by the transformations of a level, then of all levels; whether the level tells its start."""
    step, start = np.ones(ndim), np.zeros(ndim)
    is_told = False
    for part in (dataset, metadata):
        for transformation in part.get("coordinateTransformations") or []:
            if transformation.get("type") == "scale":
                factor = np.asarray(transformation["scale"], float)
                step, start = step * factor, start * factor
            elif transformation.get("type") == "translation" and "translation" in transformation:
                start = start + np.asarray(transformation["translation"], float)
                is_told = is_told or part is dataset
    return step, start, is_told


def _in_one_unit(
    axes: str, described: Sequence[Mapping[str, Any]], steps: _Numbers, starts: _Numbers
) -> tuple[tuple[float, ...], tuple[float, ...], str | None]:
    """Steps and starts, lengths in the unit of the last axis of space, times in seconds; and that unit."""
    units = [axis.get("unit") for axis in described]
    lengths = [length_unit(unit) for axis, unit in zip(axes, units, strict=True) if axis in "ZYX"]
    unit = lengths[-1] if lengths else None
    scale, translate = [], []
    for axis, name, step, start in zip(axes, units, steps.tolist(), starts.tolist(), strict=True):
        factor = seconds(name) if axis == "T" else length_ratio(length_unit(name), unit) if axis in "ZYX" else 1.0
        is_usable = isfinite(step) and step > 0
        scale.append(step * factor if is_usable else 1.0)
        translate.append(start * factor if is_usable and isfinite(start) else 0.0)
    return tuple(scale), tuple(translate), unit
