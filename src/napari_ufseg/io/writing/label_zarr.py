"""Label images as OME-Zarr, written chunk by chunk, also by several processes at once."""

import os
import shutil
import weakref
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.files import make_temporary_folder
from napari_ufseg.engine.images.tiling import Box, iter_tiles
from napari_ufseg.engine.labels.class_table import N_COLOURS, ClassTable
from napari_ufseg.engine.leftovers import drop_temporary
from napari_ufseg.io.reading.known_labels import MADE_BY_KEY, UNFINISHED
from napari_ufseg.io.replaceable import check_replaceable
from napari_ufseg.io.units import unit_name
from napari_ufseg.io.writing.label_data import LabelsToWrite
from napari_ufseg.io.writing.label_grid import LabelGrid, label_grid

if TYPE_CHECKING:
    import zarr

SMALLEST_LEVEL = 256  # pixels along the longer of Y and X: no lower resolution is made of such a level
_CHUNK = 512  # pixels along Y and X


def write_zarr(temporary: Path, labels: LabelsToWrite) -> None:
    """Write labels as an OME-Zarr label image with lower resolutions, a band of its chunks at a time.

    What is known of the classes becomes ``properties`` and ``colors`` of ``image-label``, and the detail one more key of it.
    """
    grid = labels.grid
    chunks = (1,) * (len(grid.shape) - 2) + (_CHUNK, _CHUNK)
    array = create_label_zarr(
        temporary,
        grid.shape,
        chunks=chunks,
        axes=grid.axes,
        scale=grid.steps.sizes(grid.axes),
        unit=grid.steps.units(grid.axes),
        translate=grid.steps.starts(grid.axes),
        ome_zarr_version=labels.ome_zarr_version,
    )
    band = (*chunks[:-1], max(grid.shape[-1], 1))
    for box in iter_tiles(Box.of_shape(grid.shape), band):
        array[box.slices] = labels[box.slices]
    finish_label_zarr(temporary, colours=labels.colours, classes=labels.classes, made_by=labels.made_by)


def create_label_zarr(
    path: str | os.PathLike[str],
    shape: Sequence[int],
    *,
    chunks: Sequence[int],
    axes: str,
    scale: Sequence[float | None] | None = None,
    unit: str | Sequence[str | None] | None = None,
    translate: Sequence[float] | None = None,
    ome_zarr_version: Literal["0.4", "0.5"] = "0.4",
    overwrite: bool = False,
) -> "zarr.Array[Any]":
    """Begin an OME-Zarr label image, to be filled and then given to `finish_label_zarr`.

    Whoever fills it may do so from several processes, as long as no two of
    them write into the same chunk at once. Until it is finished other programs
    do not take the folder for an image. To keep an older Zarr until then, and
    to leave nothing behind after an error, fill it within `folder_written_whole`.

    Parameters
    ----------
    path : path-like
        The folder, named ``*.zarr``.
    shape, chunks : sequence of int
        Of the label image, and of the pieces it is stored in; a chunk is no
        larger than the image.
    axes, scale, unit, translate
        As for `write_labels`.
    ome_zarr_version : {"0.4", "0.5"}
        0.4 is stored as Zarr format 2, 0.5 as format 3.
    overwrite : bool
        Delete an older Zarr of that name.

    Returns
    -------
    zarr.Array of uint16
        Filled with 0. Chunks that stay 0 take no room.

    Raises
    ------
    FileError
        If the axes are others, the name is taken, or the system refuses to write.
    """
    folder = Path(path)
    grid = label_grid(folder, tuple(shape), axes, scale, unit, translate)
    settings = {
        "axes": grid.axes,
        "scale": grid.steps.sizes(grid.axes),
        "unit": grid.steps.units(grid.axes),
        "translate": grid.steps.starts(grid.axes),
        "version": ome_zarr_version,
    }
    try:
        if overwrite:
            check_replaceable(folder)
            shutil.rmtree(folder, ignore_errors=True)
        elif folder.exists():
            raise FileError(f"Cannot write {folder}: it exists already.")
    except OSError as error:
        raise FileError(f"Cannot write {folder}: {error.strerror or error}.") from error
    return _create_array(folder, grid.shape, chunks, grid.axes, ome_zarr_version, {UNFINISHED: settings})


def create_label_array(path: str | os.PathLike[str], shape: Sequence[int], chunks: Sequence[int]) -> "zarr.Array[Any]":
    """A bare Zarr array for labels at work, without the metadata of an image.

    Parameters
    ----------
    path : path-like
        The folder.
    shape, chunks : sequence of int
        Of any number of axes.

    Returns
    -------
    zarr.Array of uint16
        Filled with 0. Chunks that stay 0 take no room.

    Raises
    ------
    FileError
        If the system refuses to write.
    """
    return _create_array(path, shape, chunks, "", "0.4", {})


def _create_array(
    path: str | os.PathLike[str],
    shape: Sequence[int],
    chunks: Sequence[int],
    axes: str,
    ome_zarr_version: Literal["0.4", "0.5"],
    attributes: dict[str, Any],
) -> "zarr.Array[Any]":
    """A new group with those attributes and an array named 0."""
    import zarr

    try:
        group = zarr.create_group(path, zarr_format=3 if ome_zarr_version == "0.5" else 2, attributes=attributes)
        return _add_level(group, "0", shape, chunks, axes)
    except OSError as error:
        raise FileError(f"Cannot write {path}: {error.strerror or error}.") from error


def create_temporary_labels(shape: Sequence[int], chunks: Sequence[int]) -> "tuple[zarr.Array[Any], Path]":
    """A Zarr array for labels that are too many for memory, and its folder.

    The folder is removed when nobody holds the array any more, at the latest
    at the end of the program.

    Parameters
    ----------
    shape, chunks : sequence of int
        As for `create_label_array`.

    Raises
    ------
    FileError
        If the system refuses to write.
    """
    folder = make_temporary_folder()
    try:
        array = create_label_array(folder / "labels.zarr", shape, chunks)
    except BaseException:
        drop_temporary(folder)
        raise
    weakref.finalize(array, drop_temporary, folder)
    return array, folder


def finish_label_zarr(
    path: str | os.PathLike[str], *, colours: bool = True, classes: ClassTable | None = None, made_by: str = ""
) -> None:
    """Add the lower resolutions and the metadata to a label image that has been filled.

    Every second pixel along Y and X makes the next resolution, so that no
    label comes up that was not there. Each stays where it is: the levels have
    one translation, that of the first pixel. No more than four chunks are in memory.

    Parameters
    ----------
    path : path-like
        As it was given to `create_label_zarr`.
    colours : bool
        Store the colours of the labels, of the first hundred that occur.
    classes : ClassTable, optional
        Names and colours that a user has chosen.
    made_by : str
        The fingerprint of the model that has made the labels.

    Raises
    ------
    FileError
        If nothing was begun there, or the system refuses to write.
    """
    import zarr

    folder = Path(path)
    try:
        group = zarr.open_group(folder, mode="r+")
        settings: Any = group.attrs[UNFINISHED]
        levels, present = _add_lower_levels(group, settings["axes"])
        place = (settings[name] for name in ("scale", "unit", "translate"))
        grid = label_grid(folder, levels[0].shape, settings["axes"], *place)
        shown = present if colours else ()
        group.attrs.put(label_metadata(grid, len(levels), shown, settings["version"], classes, made_by))
    except (KeyError, FileNotFoundError) as error:
        raise FileError(f"Cannot finish {folder}: there is no label image that was begun and not finished.") from error
    except OSError as error:
        raise FileError(f"Cannot write {folder}: {error.strerror or error}.") from error


def _add_level(
    group: "zarr.Group", name: str, shape: Sequence[int], chunks: Sequence[int], axes: str
) -> "zarr.Array[Any]":
    """An empty array in the group, compressed so that every reader of its format can read it."""
    is_v3 = group.metadata.zarr_format == 3
    blosc: dict[str, Any] = {"cname": "zstd", "clevel": 3}
    if is_v3:
        compressor: dict[str, Any] = {"name": "blosc", "configuration": {**blosc, "shuffle": "shuffle"}}
    else:
        compressor = {"id": "blosc", **blosc, "shuffle": 1, "blocksize": 0}
    return group.create_array(
        name,
        shape=tuple(shape),
        chunks=tuple(max(1, min(length, chunk)) for length, chunk in zip(shape, chunks, strict=True)),
        dtype=np.uint16,
        fill_value=0,
        compressors=compressor,
        chunk_key_encoding={"name": "default" if is_v3 else "v2", "separator": "/"},
        dimension_names=list(axes.lower()) if is_v3 else None,
    )


def _add_lower_levels(group: "zarr.Group", axes: str) -> tuple[list["zarr.Array[Any]"], list[int]]:
    """All levels, the first one and those made of it, and the labels above 0 that occur, in order."""
    full: Any = group["0"]
    levels = [full]
    seen = np.zeros(np.iinfo(np.uint16).max + 1, bool)
    while max(levels[-1].shape[-2:]) > SMALLEST_LEVEL:
        last = levels[-1]
        shape = (*last.shape[:-2], *((length + 1) // 2 for length in last.shape[-2:]))
        levels.append(_add_level(group, str(len(levels)), shape, full.chunks, axes))
        _halve(last, levels[-1], seen)
    if len(levels) == 1:
        for box in iter_tiles(Box.of_shape(full.shape), full.chunks):
            seen[full[box.slices]] = True
    return levels, [int(label) for label in np.flatnonzero(seen) if label]


def _halve(source: "zarr.Array[Any]", target: "zarr.Array[Any]", seen: npt.NDArray[np.bool_]) -> None:
    """Fill `target` with every second pixel of `source`, and mark the labels of the latter."""
    for box in iter_tiles(Box.of_shape(target.shape), target.chunks):
        twice = tuple(slice(2 * part.start, 2 * part.stop) for part in box.slices[-2:])
        values: Any = source[(*box.slices[:-2], *twice)]
        seen[values] = True
        target[box.slices] = values[..., ::2, ::2]


def label_metadata(
    grid: LabelGrid,
    n_levels: int,
    labels: Sequence[int],
    version: Literal["0.4", "0.5"],
    classes: ClassTable | None = None,
    made_by: str = "",
) -> dict[str, Any]:
    """The attributes of the Zarr group that holds the levels ``"0"``, ``"1"``, ...

    Parameters
    ----------
    grid : LabelGrid
        Of level 0.
    n_levels : int
        Each level holds every second pixel along Y and X of the one before.
    labels : sequence of int
        Those that get a colour; no more than the first hundred do.
    version : {"0.4", "0.5"}
        Of OME-Zarr.
    classes : ClassTable, optional
        Names, colours other than those of the labels, and the detail.
    made_by : str
        The fingerprint of the model that has made the labels.
    """
    from yaozarrs import v04, v05

    models: Any = v05 if version == "0.5" else v04
    multiscale = models.Multiscale(
        axes=[_axis(letter, grid) for letter in grid.axes],
        datasets=[{"path": str(level), **_transformation(grid, level)} for level in range(n_levels)],
        type="nearest",
    )
    table = classes or ClassTable()
    shown = [*islice(labels, N_COLOURS), *(label for label in labels[N_COLOURS:] if table[label].has_own_colour)]
    colours = [{"label-value": label, "rgba": table[label].rgba} for label in shown]
    image = models.LabelImage(
        multiscales=[multiscale], image_label=models.ImageLabel(version=version, colors=colours or None)
    )
    attributes: dict[str, Any] = image.model_dump(mode="json", by_alias=True, exclude_none=True)
    for colour in attributes["image-label"].get("colors", []):
        colour["label-value"] = int(colour["label-value"])  # the model has made it a float
    if table.detail:
        attributes["image-label"] |= table.detail.said
    if made_by:
        attributes["image-label"][MADE_BY_KEY] = made_by
    if entries := table.to_list():
        attributes["image-label"]["properties"] = [_properties(entry) for entry in entries]
    return {"ome": attributes} if version == "0.5" else attributes


def _axis(letter: str, grid: LabelGrid) -> dict[str, str]:
    axis = {"name": letter.lower(), "type": "time" if letter == "T" else "space"}
    unit = unit_name(grid.steps[letter].unit)
    return axis | ({"unit": unit} if unit else {})


def _transformation(grid: LabelGrid, level: int) -> dict[str, Any]:
    """Scale and translation of a level.

    The pixels of a level are some of those of the one before, at the places
    where they were: the first pixel is the same one, and so is the translation
    (a half-pixel shift would be right for means of 2 x 2). It is told for every
    level, since readers give one to a level that has none.
    """
    scale = [(grid.steps[letter].size or 1.0) * (2**level if letter in "YX" else 1) for letter in grid.axes]
    start = list(grid.steps.starts(grid.axes))
    return {
        "coordinateTransformations": [{"type": "scale", "scale": scale}, {"type": "translation", "translation": start}]
    }


def _properties(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What is said about a class, as OME-Zarr has it; its colour is in ``colors`` as well."""
    return {"label-value": entry["label"]} | {key: value for key, value in entry.items() if key != "label"}
