"""Zarr folders: OME-Zarr images and plain arrays.

The metadata are read with tolerance, not checked against the rules: those that
other programs break most often (order of the axes, versions) do not matter here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.errors import FileError
from napari_ufseg.io.axis_steps import Step, ToldSteps, as_number, unreadable
from napari_ufseg.io.paths import is_marked
from napari_ufseg.io.reading.image_file import ImageFile
from napari_ufseg.io.reading.known_labels import classes_of, ome_attributes
from napari_ufseg.io.reading.zarr_pixels import pixels_of

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
    node = zarr.open(folder, mode="r")
    if isinstance(node, zarr.Array):
        return _plain(folder, node)
    group, metadata = _first_image(folder, node)
    datasets = metadata["datasets"]
    level = level if 0 <= level < len(datasets) else 0
    array = group[datasets[level]["path"]]
    if not isinstance(array, zarr.Array):
        raise FileError(f"{folder} is damaged: its level {datasets[level]['path']} is no array.")
    described = _described(metadata, level, array.ndim)
    axes = "".join(map(_letter, described))
    steps = _steps(described, *_placed(group, metadata, level, array.shape))
    ome = ome_attributes(group)
    is_labels = "image-label" in ome and array.dtype.kind in "bui"
    about: dict[str, Any] = {"is_labels": is_labels, "classes": classes_of(ome.get("image-label"))}
    return ImageFile(folder, pixels_of(folder, array), axes, steps, len(datasets), level, **about)


def label_folders(folder: Path) -> list[Path]:
    """The label images that an OME-Zarr image brings along; none for a plain array.

    Raises
    ------
    FileError
        As for `open_zarr`.
    """
    import zarr

    node = zarr.open(folder, mode="r")
    if isinstance(node, zarr.Array):
        return []
    image, _ = _first_image(folder, node)
    labels = image.get("labels")
    names = ome_attributes(labels).get("labels", []) if isinstance(labels, zarr.Group) else []
    return [folder / image.path / "labels" / str(name) for name in names]


def _plain(folder: Path, array: "zarr.Array[Any]") -> ImageFile:
    if array.ndim < 2:
        raise FileError(f"{folder} is no image: it has shape {array.shape}, without (Y, X).")
    return ImageFile(folder, pixels_of(folder, array), "?" * (array.ndim - 2) + "YX")


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


def _described(metadata: Mapping[str, Any], level: int, ndim: int) -> list[Mapping[str, Any]]:
    """What is said of each axis: under "axes", or since 0.6 under that of the coordinate systems into which a level goes."""
    told = metadata.get("axes")
    if systems := _mappings(metadata.get("coordinateSystems")):
        outputs = [_name(part.get("output")) for part in _mappings(_transformations(metadata["datasets"][level]))]
        told = next((system for system in systems if system.get("name") in outputs), systems[0]).get("axes")
    axes = told if isinstance(told, list) else []
    described = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in axes]
    if len(described) != ndim:  # as in OME-Zarr 0.1 and 0.2, which had no axes
        described = [{"name": name} for name in ("tczyx" if ndim == 5 else "?" * (ndim - 2) + "yx")]
    return described


def _name(system: Any) -> Any:
    """The name of a coordinate system, which is told by itself or as that of an object."""
    return system.get("name") if isinstance(system, Mapping) else system


def _mappings(told: Any) -> list[Mapping[str, Any]]:
    return [part for part in told if isinstance(part, Mapping)] if isinstance(told, list) else []


def _transformations(part: Mapping[str, Any]) -> list[Any]:
    told = part.get("coordinateTransformations")
    return told if isinstance(told, list) else []


def _placed(
    group: "zarr.Group", metadata: Mapping[str, Any], level: int, shape: tuple[int, ...]
) -> tuple[_Numbers, _Numbers, list[str]]:
    """(ndim,) step and middle of the first pixel of a level, in the units of its axes, and what could not be understood.

    Many programs leave the translation of lower levels out, though every pixel
    of theirs stands for some of the full resolution. Such a level covers the
    area of the full one, as napari draws it.
    """
    datasets = metadata["datasets"]
    here = _transformed(len(shape), datasets[level], metadata)
    if level == 0 or here.is_placed:
        return here.step, here.start, here.notes
    full_shape: Any = getattr(group[datasets[0]["path"]], "shape", shape)
    full = _transformed(len(shape), datasets[0], metadata)
    step = full.step * np.divide(full_shape, np.maximum(shape, 1))
    return step, full.start + (step - full.step) / 2, full.notes


@dataclass
class _Place:
    """Where the pixels of a level lie: step and start along each axis, NaN where they are not known."""

    step: _Numbers
    start: _Numbers
    is_placed: bool = False  # whether the level itself tells its start
    notes: list[str] = field(default_factory=list)

    def add(self, transformation: Any, *, of_level: bool) -> None:
        """Go on by a transformation; after one that is not known, or makes no sense, nothing is known."""
        told = transformation if isinstance(transformation, Mapping) else {}
        kind = told.get("type")
        if kind == "sequence":
            for part in told.get("transformations") or []:
                self.add(part, of_level=of_level)
        elif kind in ("scale", "translation"):
            numbers = self._numbers(told.get(kind))
            if numbers is None:
                self._lose(f"Its {kind} is not {len(self.step)} numbers: steps and place are left out.")
            elif kind == "scale":
                self.step, self.start = self.step * numbers, self.start * numbers
            else:
                self.start = self.start + numbers
                self.is_placed = self.is_placed or of_level
        elif kind != "identity":
            self._lose(f"Its transformation {str(kind)[:40]!r} is not known here: steps and place are left out.")

    def _numbers(self, told: Any) -> _Numbers | None:
        if not isinstance(told, list) or len(told) != len(self.step):
            return None
        return np.array([np.nan if (number := as_number(value)) is None else number for value in told])

    def _lose(self, note: str) -> None:
        self.step, self.start = np.full_like(self.step, np.nan), np.full_like(self.start, np.nan)
        self.notes = [note]


def _transformed(ndim: int, dataset: Mapping[str, Any], metadata: Mapping[str, Any]) -> _Place:
    """The place by the transformations of a level, then of all levels (which since 0.6 lead on to other systems)."""
    place = _Place(np.ones(ndim), np.zeros(ndim))
    for transformation in _transformations(dataset):
        place.add(transformation, of_level=True)
    if not metadata.get("coordinateSystems"):
        for transformation in _transformations(metadata):
            place.add(transformation, of_level=False)
    return place


def _steps(described: Sequence[Mapping[str, Any]], sizes: _Numbers, starts: _Numbers, notes: list[str]) -> ToldSteps:
    """The steps as they are told, each in the unit of its axis."""
    said = list(notes)
    steps = []
    for axis, size, start in zip(described, sizes.tolist(), starts.tolist(), strict=True):
        steps.append(Step.told(size, axis.get("unit"), start))
        if size < 0:
            said.append(f"It is mirrored along {str(axis.get('name'))[:40]!r}: its place along it is left out.")
        elif steps[-1].size is None and not notes:
            said.append(unreadable(f"scale along {str(axis.get('name'))[:40]!r}", size))
        elif np.isnan(start) and not notes:
            said.append(f"Its translation along {str(axis.get('name'))[:40]!r} is no number, and is left out.")
    return ToldSteps(tuple(steps), notes=tuple(said))
