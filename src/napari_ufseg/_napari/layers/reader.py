"""TIFF and OME-Zarr as layers with the axes, place and unit that the files tell (File > Open)."""

from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from napari_ufseg._napari.parts import plain, show_warning
from napari_ufseg.engine.errors import FileError, hear_warnings, warn
from napari_ufseg.io import (
    TIFF_SUFFIXES,
    ImageFile,
    MissingLevelError,
    Step,
    images_in,
    is_zarr,
    label_images_of,
    missing_words,
    open_image,
    readable,
    unit_name,
)

LayerData = tuple[Any, dict[str, Any], str]

_IN_MEMORY = 2**27  # bytes; larger images are read piece by piece when they are looked at
_SIDE, _PIECE = 1024, 2**22  # of a piece: pixels along Y and X, and values in all
_MOST_PIECES = 10**6  # of a lazy image: dask makes a list of them
_ORDER = "C?TZYX"  # channels first, since napari lines layers up at the last axis and labels have no channels


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """The reader of a TIFF file or a Zarr folder; None for whatever another plugin must read.

    Parameters
    ----------
    path : str or list of str
        A list means files to be stacked, which is left to napari.
    """
    if not isinstance(path, str):
        return None
    file = Path(path)
    return read_layers if is_zarr(file) or (file.is_file() and file.suffix.lower() in TIFF_SUFFIXES) else None


def read_layers(path: str) -> list[LayerData]:
    """The images of a file, each with the label images it brings along, or one label image.

    Reduced copies and masks are no images of their own.

    Raises
    ------
    FileError
        If the file cannot be read; the message is one sentence.
    """
    told: dict[str, None] = {}  # of several images and resolutions each sentence once
    try:
        with hear_warnings(lambda words: told.update({words: None})):
            return _read(Path(path))
    except FileError as error:
        raise FileError(plain(str(error))) from error  # napari shows it in a label
    finally:
        for words in told:
            show_warning(words)


def _read(file: Path) -> list[LayerData]:
    """The layers of a file."""
    images = _open_images(file)
    is_lazy = sum(_n_bytes(image) for image, _ in images) > _IN_MEMORY
    layers: list[LayerData] = []
    of_labels: dict[Path, None] = {}
    for image, name in images:
        missing = "" if image.is_labels else missing_words(image)  # those of labels lack where nothing is labelled
        notes = f"{file.name}: {' '.join(image.axis_steps.notes)}" if image.axis_steps.notes else ""
        for words in filter(None, (image.note, missing, notes)):
            warn(words)
        layers.append(_layer(image, name, is_labels=image.is_labels, is_lazy=is_lazy))
        of_labels |= dict.fromkeys(label_images_of(file, series=image.series))
    for labels in of_labels:
        try:
            opened = open_image(labels)
            layers.append(_layer(opened, labels.name, is_labels=True, is_lazy=_n_bytes(opened) > _IN_MEMORY))
        except FileError as error:  # the image itself is well
            warn(str(error))
    return layers


def _open_images(file: Path) -> list[tuple[ImageFile, str]]:
    """All images of a file but reduced copies and masks, at the largest resolution that is there, with their names."""
    stem = file.stem.removesuffix(".ome")
    own = {number: one.name or str(number) for number, one in enumerate(images_in(file)) if not one.aside}
    if len(own) < 2:
        return [(_largest(file, None), stem)]
    images: list[tuple[ImageFile, str]] = []
    errors: list[FileError] = []
    for number, name in own.items():
        try:
            images.append((_largest(file, number), f"{stem}: {name}"))
        except FileError as error:  # the others may be well
            errors.append(error)
    if not images:
        raise errors[0]
    for faulty in errors:
        warn(str(faulty))
    return images


def _largest(file: Path, series: int | None) -> ImageFile:
    """An image at full resolution; at the next lower one, which is told, if that is missing."""
    try:
        return open_image(file, series=series, partial=True)
    except MissingLevelError as error:
        warn(str(error))
        return open_image(file, error.others[0], series=series, partial=True)


def _n_bytes(image: ImageFile) -> int:
    return prod(image.data.shape) * image.data.dtype.itemsize


def _levels(full: ImageFile) -> list[ImageFile]:
    """The resolutions of an image; those that are missing are told, and left out."""
    levels = [full]
    for level in range(full.level + 1, full.n_levels):
        try:
            levels.append(open_image(full.path, level, series=full.series, partial=True))
        except MissingLevelError as error:
            warn(str(error))
    return levels


def _layer(full: ImageFile, name: str, *, is_labels: bool, is_lazy: bool) -> LayerData:
    """A layer of an image file, opened at full resolution."""
    is_rgb = full.is_rgb and not is_labels
    order = _order(full, is_rgb)
    axes = [i for i in order if not (is_rgb and full.axes[i] == "C")]  # those that are axes of the layer
    letters = "".join(full.axes[i] for i in axes)
    steps = [full.axis_steps[letter] for letter in letters]
    about: dict[str, Any] = {
        "name": name,
        "axis_labels": _axis_labels(letters),
        "scale": tuple(step.size or 1.0 for step in steps),
        "translate": tuple(step.start for step in steps),
        "units": tuple(unit_name(step.unit) or "pixel" for step in steps),
    }
    if is_labels:
        from napari_ufseg._napari.layers.class_metadata import METADATA_KEY, OPACITY, colormap_of, metadata_of

        said = {"axes": letters, **metadata_of(full.classes)}
        about |= {"colormap": colormap_of(full.classes, ()), "opacity": OPACITY, "metadata": {METADATA_KEY: said}}
    else:
        about["rgb"] = is_rgb
        if full.steps.others:
            from napari_ufseg._napari.layers.pixel_size import TOLD_STEPS

            about["metadata"] = {TOLD_STEPS: _told_steps(full)}
    levels = [full] if is_labels and not is_lazy else _levels(full)  # one level can be painted on
    data = [_turned(level, order, is_lazy) for level in levels]
    about["multiscale"] = len(levels) > 1
    return data if len(levels) > 1 else data[0], about, "labels" if is_labels else "image"


def _told_steps(image: ImageFile) -> dict[str, list[Any]]:
    """Size and unit of the steps along T and Z, whichever of these axes the file has got."""
    told = {**dict(zip(image.axes, image.steps.by_axis, strict=False)), **image.steps.others}
    return {letter: [told[letter].size, unit_name(told[letter].unit) or "pixel"] for letter in "TZ" if told.get(letter, Step()).can_be(letter)}  # fmt: skip


def _order(image: ImageFile, is_rgb: bool) -> list[int]:
    """The axes of a file in the order of a layer, without those of length 1; colour is last."""
    order = range(image.data.ndim)
    if not {"Y", "X"} <= set(image.axes):
        return list(order)
    kept = [i for i in order if image.data.shape[i] > 1 or image.axes[i] in "YX"]
    return sorted(kept, key=lambda i: len(_ORDER) if is_rgb and image.axes[i] == "C" else _ORDER.index(image.axes[i]))


def _axis_labels(letters: str) -> tuple[str, ...]:
    """The letters as napari's axis labels; an axis that is not known keeps napari's own label."""
    ndim = len(letters)
    return tuple(str(i - ndim) if letter == "?" else letter.lower() for i, letter in enumerate(letters))


def _turned(image: ImageFile, order: Sequence[int], is_lazy: bool) -> Any:
    """The pixels in memory, or as a lazy array of dask, with their axes in that order."""
    if not is_lazy:
        with readable(image.path):
            data: Any = np.array(image.data[...])
    else:
        import dask.array as da

        pieces = prod(-(-size // step) for size, step in zip(image.data.shape, _chunks(image), strict=True))
        if pieces > _MOST_PIECES:
            raise FileError(
                f"{image.path} cannot be shown: its shape {image.data.shape} makes {pieces} pieces, and more than "
                f"{_MOST_PIECES} are too many for a layer of napari."
            )
        nothing = np.empty((0,) * image.data.ndim, image.data.dtype)
        data = da.from_array(_Regions(image), _chunks(image), name=False, meta=nothing)  # type: ignore[no-untyped-call]
    singles = [i for i in range(data.ndim) if i not in order]
    return data.transpose([*singles, *order])[(0,) * len(singles)]


class _Regions:
    """The pixels of an image, of which nothing can be had but regions.

    Anything that has a method ``copy``, as a memory map has, is copied by dask, and so read whole.
    """

    def __init__(self, image: ImageFile) -> None:
        self._image = image
        self.shape, self.dtype, self.ndim = image.data.shape, image.data.dtype, image.data.ndim

    def __getitem__(self, region: Any) -> Any:
        with readable(self._image.path):
            return self._image.data[region]


def _chunks(image: ImageFile) -> tuple[int, ...]:
    """The pieces in which a lazy image is read: whole chunks, strips or tiles, but not too many small ones."""
    shape = image.data.shape
    stored = getattr(image.data, "chunks", None) or (1,) * len(shape)
    grown = [letter in "YX" or (letter == "C" and i == len(shape) - 1) for i, letter in enumerate(image.axes)]
    larger = tuple(
        min(size, step * max(1, _SIDE // step)) if grows else step
        for size, step, grows in zip(shape, stored, grown, strict=True)
    )
    return larger if prod(larger) <= _PIECE else stored
