"""Zarr folders: OME-Zarr images and plain arrays.

The metadata are read with tolerance, not checked against the rules: those that
other programs break most often (order of the axes, versions) do not matter here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.errors import FileError, warn
from napari_ufseg.io.axis_steps import Step, ToldSteps, as_number, unreadable
from napari_ufseg.io.paths import is_below, is_marked
from napari_ufseg.io.reading.image_file import ImageFile, MissingLevelError
from napari_ufseg.io.reading.known_labels import classes_of, ome_attributes
from napari_ufseg.io.reading.series import Series, choose_series, told_of_series
from napari_ufseg.io.reading.zarr_pixels import pixels_of
from napari_ufseg.io.reading.zarr_store import open_node

if TYPE_CHECKING:
    import zarr

_LETTERS = {"time": "T", "channel": "C"}
_Numbers = npt.NDArray[np.float64]


def open_zarr(folder: Path, level: int, series: int | str | None = None) -> ImageFile:
    """An image in a Zarr folder; of its levels, `level`, or the full one if there is no such level.

    Parameters
    ----------
    folder : Path
    level : int
    series : int or str, optional
        Number or name of the image; by default as `choose_series` says.

    Raises
    ------
    FileError
        If the folder is no Zarr, or a Zarr without an image of numbers, or the level is not there.
    """
    import zarr

    if not is_marked(folder):
        raise FileError(f"{folder} is named as Zarr, but holds neither an OME-Zarr image nor a Zarr array.")
    with _unknown_is_told(folder):
        node = open_node(folder)
        if isinstance(node, zarr.Array):
            choose_series(folder, [Series("", node.shape, "?" * node.ndim)], series)
            return _plain(folder, node)
        images = _images(folder, node)
        described_images = _as_series(images)
        number = choose_series(folder, described_images, series)
        group, metadata = images[number]
        datasets = metadata["datasets"]
        level = level if 0 <= level < len(datasets) else 0
        array = _level(folder, group, datasets, level)
    described = _described(metadata, level, array.ndim)
    axes = "".join(map(_letter, described))
    steps = _steps(described, *_placed(group, metadata, level, array.shape))
    ome = ome_attributes(group)
    is_labels = "image-label" in ome and array.dtype.kind in "bui"
    about: dict[str, Any] = {"is_labels": is_labels, "classes": classes_of(ome.get("image-label")), "series": number}
    about["note"] = told_of_series(folder, described_images, number) if series is None else ""
    data = pixels_of(folder, array, is_believed=is_labels)
    return ImageFile(folder, data, axes, steps, len(datasets), level, **about)


def series_of_zarr(folder: Path) -> list[Series]:
    """What images a Zarr folder holds.

    Raises
    ------
    FileError
        As for `open_zarr`.
    """
    import zarr

    if not is_marked(folder):
        raise FileError(f"{folder} is named as Zarr, but holds neither an OME-Zarr image nor a Zarr array.")
    with _unknown_is_told(folder):
        node = open_node(folder)
        if isinstance(node, zarr.Array):
            return [Series("", node.shape, "?" * node.ndim)]
        return _as_series(_images(folder, node))


def label_folders(folder: Path, series: int | str | None = None) -> list[Path]:
    """The label images that an OME-Zarr image brings along; none for a plain array.

    Raises
    ------
    FileError
        As for `open_zarr`.
    """
    import zarr

    with _unknown_is_told(folder):
        node = open_node(folder)
        if isinstance(node, zarr.Array):
            return []
        images = _images(folder, node)
        image, _ = images[choose_series(folder, _as_series(images), series)]
        labels = image.get("labels")
    names = ome_attributes(labels).get("labels", []) if isinstance(labels, zarr.Group) else []
    told = [str(name) for name in names] if isinstance(names, list) else []
    if outside := [name for name in told if not _is_within(folder / image.path / "labels", name)]:
        warn(f"{folder} names label images that are not in its folder, which are not opened: {', '.join(outside)}.")
    return [folder / image.path / "labels" / name for name in told if name not in outside]


def _is_within(folder: Path, name: str) -> bool:
    """Whether a name is of something below a folder, and is no link that leads out of it."""
    return is_below(name) and (folder / name).resolve().is_relative_to(folder.resolve())


@contextmanager
def _unknown_is_told(folder: Path) -> Iterator[None]:
    """Let the message name a codec that is not installed, or a type of values that is not known."""
    try:
        yield
    except ValueError as error:
        if type(error).__name__ == "UnknownCodecError":  # of numcodecs, or of zarr
            found = re.search(r"'+([^']+)'+", str(error))
            name = f" {found[1]}" if found else ""
            raise FileError(
                f"{folder} is stored with the codec{name}, which is not installed here: install the package that brings "
                "it, or save the image with another codec, such as Blosc or Zstandard."
            ) from error
        if re.match("No Zarr data type found that matches '|Invalid data_type", str(error)):
            raise FileError(
                f"{folder} holds values of a type that is not known here: save it as whole or real numbers."
            ) from error
        raise


def _level(folder: Path, group: "zarr.Group", datasets: Sequence[Mapping[str, Any]], level: int) -> "zarr.Array[Any]":
    """The array of a level; FileError if it is not there."""
    import zarr

    name = datasets[level]["path"]
    array = _at(folder, group, name)
    if array is None:
        others = [i for i, one in enumerate(datasets) if isinstance(_at(folder, group, one["path"]), zarr.Array)]
        lacks = f"{folder} lacks its resolution level {level} ({name}), which its metadata name"
        if not others:
            raise FileError(f"{lacks}, and no other one is there.")
        there = " or ".join(map(str, others))
        raise MissingLevelError(
            f"{lacks}: level {there} is there (level in Python, --level on the command line).", others
        )
    if not isinstance(array, zarr.Array):
        raise FileError(f"{folder} is damaged: its level {name} is no array.")
    return array


def _plain(folder: Path, array: "zarr.Array[Any]") -> ImageFile:
    if array.ndim < 2:
        raise FileError(f"{folder} is no image: it has shape {array.shape}, without (Y, X).")
    return ImageFile(folder, pixels_of(folder, array), "?" * (array.ndim - 2) + "YX", says_axes=False)


def _at(folder: Path, group: "zarr.Group", name: str) -> Any:
    """What has that name in a group; None if its folder is not there, though metadata of the group may describe it."""
    return group.get(name) if (folder / group.path / name).is_dir() else None


_Image = tuple["zarr.Group", Mapping[str, Any]]  # the group that holds it, and its multiscales metadata


def _images(folder: Path, group: "zarr.Group") -> list[_Image]:
    """The images of a group: its own, or those of the groups in it (bioformats2raw), in their order."""
    metadata = ome_attributes(group)
    if not metadata.get("multiscales") and ("plate" in metadata or "well" in metadata):
        raise FileError(_told_of_plate(folder, group))
    if metadata.get("multiscales"):
        return [(group, multiscales) for multiscales in metadata["multiscales"]]
    images = [image for inner in _inner_groups(group) for image in _own_images(inner)]
    if not images:
        raise FileError(f"{folder} is a Zarr group, but holds no OME-Zarr image (no multiscales).")
    return images


def _own_images(group: "zarr.Group") -> list[_Image]:
    return [(group, multiscales) for multiscales in ome_attributes(group).get("multiscales") or []]


def _inner_groups(group: "zarr.Group") -> Iterator["zarr.Group"]:
    """The groups that hold the images of a group: those that it names, else 0, 1, 2 and so on."""
    import zarr

    names = group.get("OME")
    named = ome_attributes(names).get("series") if isinstance(names, zarr.Group) else None
    for name in named if isinstance(named, list) else map(str, count()):
        inner = group.get(str(name))
        if isinstance(inner, zarr.Group):
            yield inner
        elif not isinstance(named, list):
            return


def _as_series(images: Sequence[_Image]) -> list[Series]:
    """What is told of images; of a single one its shape is no question, and is not looked up."""
    if len(images) == 1:
        return [Series(_name_of(*images[0]), (), "")]
    return [_one_series(group, multiscales) for group, multiscales in images]


def _one_series(group: "zarr.Group", multiscales: Mapping[str, Any]) -> Series:
    array = next(filter(None, (group.get(dataset["path"]) for dataset in multiscales["datasets"])), None)
    shape = tuple(getattr(array, "shape", ()))
    axes = "".join(map(_letter, _described(multiscales, 0, len(shape))))
    return Series(_name_of(group, multiscales), shape, axes)


def _name_of(group: "zarr.Group", multiscales: Mapping[str, Any]) -> str:
    name = str(multiscales.get("name") or "")
    return name if name.strip("/") else ""


def _told_of_plate(folder: Path, group: "zarr.Group") -> str:
    """The sentence that names an image of a plate or well which is there."""
    found = _image_of_plate(group)
    if found is None:
        return f"{folder} holds the images of a plate: name one of them (none that its metadata name is there)."
    return f"{folder} holds the images of a plate: name one of them, such as {folder / found}."


def _image_of_plate(group: "zarr.Group") -> str | None:
    """Where, below a plate or well, an image is that its metadata name."""
    import zarr

    metadata = ome_attributes(group)
    inner, kind = ("wells", "plate") if "plate" in metadata else ("images", "well")
    told = metadata.get(kind)
    for one in told.get(inner) or [] if isinstance(told, Mapping) else []:
        place = str(one.get("path") or "") if isinstance(one, Mapping) else ""
        node = group.get(place) if place else None
        if isinstance(node, zarr.Group):
            below = _image_of_plate(node) if kind == "plate" else ""
            if below is not None:
                return f"{place}/{below}".rstrip("/")
    return None


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
    full_shape: Any = getattr(group.get(datasets[0]["path"]), "shape", None)
    if level == 0 or here.is_placed or full_shape is None:  # the full level is not there
        return here.step, here.start, here.notes
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
