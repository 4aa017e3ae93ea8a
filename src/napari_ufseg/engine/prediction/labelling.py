"""Labels of any box of an image, and of whole images tile by tile: in bounded memory, the part in view first."""

import copy
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_ufseg.engine.config import InputOptions, SegmentationConfig
from napari_ufseg.engine.device import place_on, resolve_device
from napari_ufseg.engine.errors import ImageError, UfsegWarning, counted, engine_errors
from napari_ufseg.engine.images.intensity import IntensityRange, IntensitySummary, learn_range
from napari_ufseg.engine.images.source import ImageSource, as_list, open_sources
from napari_ufseg.engine.images.tiling import Box, block_edges, iter_tiles
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.network.input_channels import input_channels, seen_box
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.prediction.tile_pool import Tile, View, distance, map_tiles, tiles_of, workers

LabelImage = npt.NDArray[np.uint16]

NO_DATA = 0  # the label of pixels that hold none

_LABELS = np.dtype(np.uint16)


def label_box(
    network: FeatureNet,
    config: SegmentationConfig,
    class_labels: Sequence[int],
    source: ImageSource,
    brightness: IntensityRange,
    item: int,
    box: Box,
) -> LabelImage:
    """The labels of a box of an item, the same bit for bit whatever box is asked for.

    The box, grown by what the network sees beyond a pixel, is read once and
    computed in the cells of a fixed grid (see `block_edges`).

    Parameters
    ----------
    network : FeatureNet
        In eval mode, on the device to use.
    config, class_labels
        As in `SegmentationModel`.
    source : ImageSource
        Where the pixels come from.
    brightness : IntensityRange
        Of the whole image.
    item, box : int and Box
        What to label.

    Returns
    -------
    (Y, X) or (Z, Y, X) array of uint16
        Of the shape of `box`.
    """
    labels = np.full(box.shape, class_labels[0], np.uint16)
    if brightness.is_constant:
        if brightness.leaves_no_data:
            labels[brightness.where_no_data(source.read(item, box))] = NO_DATA
        return labels
    table = np.asarray(class_labels, np.uint16)
    for cell, responses, gone in box_responses(network, config, source, brightness, item, box):
        its = table[responses.max(0).indices.cpu().numpy()]
        labels[cell.within(box).slices] = its if gone is None else np.where(gone, NO_DATA, its)
    return labels


def box_responses(
    network: FeatureNet,
    config: SegmentationConfig,
    source: ImageSource,
    brightness: IntensityRange,
    item: int,
    box: Box,
) -> Iterator[tuple[Box, Tensor, npt.NDArray[np.bool_] | None]]:
    """The response (K, *cell) of the network, cell by cell of the fixed grid, cut to the box; where the cell holds no data, or None."""
    shape = source.item_shape
    edges = block_edges(len(shape))
    outer = box.snapped(edges, shape)
    seen = seen_box(outer.grown(config.halo, shape), shape, config)
    values = source.read(item, seen)
    device = next(network.parameters()).device
    for block in iter_tiles(outer, edges):
        around = block.grown(config.halo, shape)
        sees = seen_box(around, shape, config)
        its = values[(slice(None), *sees.within(seen).slices)]
        inputs = input_channels(its, sees, around, shape, brightness, config)
        with torch.inference_mode():  # never around the yield: an error outside would leave the whole thread in it
            responses = network(inputs[None].to(device))[0]
        cell = Box(tuple(map(max, block.start, box.start)), tuple(map(min, block.stop, box.stop)))
        gone = None
        if brightness.leaves_no_data:
            gone = brightness.where_no_data(values[(slice(None), *cell.within(seen).slices)])
        yield cell, responses[(slice(None), *cell.within(around).slices)], gone


def to_label_image(classes: Tensor, class_labels: Sequence[int]) -> LabelImage:
    """Class indices on any device -> a fresh label image."""
    label_image: LabelImage = np.asarray(class_labels, np.uint16)[classes.cpu().numpy()]
    return label_image


@dataclass(frozen=True)
class LabellingJob:
    """An image to label and the array that takes its labels.

    Parameters
    ----------
    source : ImageSource
        The image.
    brightness : IntensityRange
        Of the whole of it.
    out : array-like of uint16
        Of ``source.labels_shape``; if it is stored in chunks, they must lie in
        the grid of `tile_edges`, so that no two tiles meet in one.
    kept : callable, optional
        Gives the labels of a box of an item with what must stay put over them.
    """

    source: ImageSource
    brightness: IntensityRange
    out: Any
    kept: Callable[[LabelImage, int, Box], LabelImage] | None = None


@dataclass(frozen=True)
class Progress:
    """Progress of a labelling: pixels that are done, and the areas of the labels.

    Parameters
    ----------
    pixels, total : int
        Labelled so far, and in all.
    areas : (65536,) array of int
        Pixels of each label so far.
    """

    pixels: int
    total: int
    areas: npt.NDArray[np.int64]

    @property
    def present(self) -> dict[int, int]:
        """Pixels of every label that is present."""
        return {int(label): int(self.areas[label]) for label in np.flatnonzero(self.areas)}


def learn_intensity(
    source: ImageSource, options: InputOptions, stopped: Callable[[], bool] = lambda: False
) -> IntensityRange:
    """Learn the brightness of an image, reading every pixel of it once.

    Raises
    ------
    StoppedError
        If `stopped`, which is asked before every tile, is true.
    """

    pieces = ((tile.item, tile.box) for tile in tiles_of([source]))
    return learn_range(source, options, pieces, stopped=stopped)


def iter_learn_intensity(source: ImageSource, options: InputOptions) -> Generator[Progress, None, IntensityRange]:
    """Learn the brightness of an image as `learn_intensity` does, on as many threads as torch has.

    Yields
    ------
    Progress
        After every tile.

    Returns
    -------
    IntensityRange
        The same as that of `learn_intensity`.
    """

    def summarise(tile: Tile) -> tuple[IntensitySummary, int]:
        part = IntensitySummary(source, options)
        part.add(source.read(tile.item, tile.box), tile.box)
        return part, tile.box.size

    whole = IntensitySummary(source, options)
    progress = Progress(0, source.n_pixels, np.zeros(2**16, np.int64))
    for part, pixels in map_tiles(summarise, tiles_of([source]), torch.get_num_threads(), lambda: False):
        whole.merge(part)
        progress = replace(progress, pixels=progress.pixels + pixels)
        yield progress
    return whole.brightness(source.name)


def label_images(
    model: SegmentationModel,
    jobs: Sequence[LabellingJob],
    device: torch.device,
    *,
    first: View | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[Progress, None, Progress]:
    """Label images into their arrays; every tile is read once and written once.

    Parameters
    ----------
    model : SegmentationModel
    jobs : sequence of LabellingJob
    device : torch.device
        On the CPU as many tiles are computed side by side as torch has threads.
    first : View, optional
        The tiles nearest to it come first.
    stopped : callable
        Asked after every tile; once it is true, no more tiles are begun.

    Yields
    ------
    Progress
        After every tile.

    Returns
    -------
    Progress
        Where it ended; after a stop `pixels` is less than `total`.
    """
    tasks = tiles_of([job.source for job in jobs])
    if first is not None:
        tasks.sort(key=lambda task: distance(task, first))
    total = sum(task.box.size for task in tasks)
    areas = np.zeros(2**16, np.int64)
    network = place_on(copy.deepcopy(model.network), device).eval()
    writing = threading.Lock()
    done: set[Tile] = set()

    def label(task: Tile) -> LabelImage:
        job = jobs[task.number]
        labels = label_box(network, model.config, model.class_labels, job.source, job.brightness, task.item, task.box)
        if job.kept is not None:
            labels = job.kept(labels, task.item, task.box)
        with writing:  # two tiles may meet in one chunk of a stored array
            job.source.write(job.out, task.item, task.box, labels)
            done.add(task)
        return labels

    progress = Progress(0, total, areas)
    for labels in map_tiles(label, tasks, workers(device), stopped):
        areas += np.bincount(labels.ravel(), minlength=2**16)
        progress = Progress(progress.pixels + labels.size, total, areas)
        yield progress
    for task in tasks:  # after a stop: what the arrays held before is no label
        if task not in done:
            empty = np.zeros(task.box.shape, np.uint16)
            jobs[task.number].source.write(jobs[task.number].out, task.item, task.box, empty)
    return progress


def predict(
    model: SegmentationModel,
    image: Any,
    *,
    axes: str | None = None,
    channel_axis: int | None = None,
    device: str = "auto",
    out: Any = None,
    detail: int | str = "all",
    intensity: str = "auto",
    nodata: float | str = "auto",
    intensity_range: tuple[float, float] | None = None,
) -> Any:
    """Label another image with the classes of a trained model.

    Parameters
    ----------
    model : SegmentationModel
        From `segment` or `load_model`.
    image : array or list of arrays
        (Y, X), (Y, X, C), or any order with `axes` or `channel_axis`; as many
        channels as in training. Lazy arrays (dask, zarr) are read tile by tile.
    axes : str, optional
        One letter per axis, for example ``"TZCYX"``.
    channel_axis : int, optional
        Which axis holds the channels.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
    out : array-like of uint16, or list of them, optional
        Takes the labels, for example a zarr array for an image larger than memory.
    detail : int or {"auto", "all"}
        How many classes are shown, by the model's tree of them; larger shows more. ``"auto"`` is what
        the model suggests. A model without a tree, as one of an older version, gives all its classes.
    intensity : {"auto", "trained", "own"}
        By what brightness the image is scaled: as the images that the model was trained on, by its own, or
        as these if its numbers are of the same kind (see `choose_range`), which is told where it makes a difference.
    nodata, intensity_range
        As in `napari_ufseg.segment`; a range takes the place of what `intensity` says.

    Returns
    -------
    array of uint16 with the shape of the image without channels, or a list of them for a list
        Labels 1 to K, and 0 where the image holds no data; `out` if it was given. A constant image gives the first
        label everywhere, with a warning.

    Raises
    ------
    ImageError
        If the image cannot be used or has another number of channels.
    DeviceError, MemoryShortageError
        If the device is not there or too small.
    ConfigError
        If the detail is none, or `intensity` another word.
    """
    model = model.at_detail(detail)
    place = resolve_device(device)
    jobs, gives = jobs_of(
        model,
        image,
        _LABELS,
        axes=axes,
        channel_axis=channel_axis,
        out=out,
        intensity=intensity,
        nodata=nodata,
        intensity_range=intensity_range,
    )
    for job in jobs:
        if doubt := job.brightness.doubt(job.source.name):
            warnings.warn(doubt, UfsegWarning, stacklevel=2)
    with engine_errors("Prediction"):
        for _ in label_images(model, jobs, place):
            pass
    return gives


def jobs_of(
    model: SegmentationModel,
    image: Any,
    dtype: np.dtype[Any],
    *,
    axes: str | None,
    channel_axis: int | None,
    out: Any,
    intensity: str = "auto",
    **light: Any,
) -> tuple[list[LabellingJob], Any]:
    """The images of a call as jobs, and what the call gives: an array, or a list of them for a list of images.

    Parameters
    ----------
    model, image, axes, channel_axis, out, intensity, **light
        As in `predict`; `light` are `nodata` and `intensity_range`.
    dtype : dtype
        Of what the arrays take.

    Raises
    ------
    ImageError
        As `predict`.
    """
    images, single = as_list(image)
    with engine_errors("Preparing the image"):
        dims = model.config.spatial_dims
        sources = open_sources(images, axes=axes, channel_axis=channel_axis, spatial_dims=dims, **light)
        for source in sources:
            model.require_channels(source)
        outs = outputs_for(sources, ([out] if single else out) if out is not None else None, dtype)
        jobs = [
            LabellingJob(source, model.range_for(learn_intensity(source, model.config), intensity), its)
            for source, its in zip(sources, outs, strict=True)
        ]
    return jobs, outs[0] if single else outs


def outputs_for(
    sources: Sequence[ImageSource], given: Sequence[Any] | None = None, dtype: np.dtype[Any] = _LABELS
) -> list[Any]:
    """Arrays for the labels, or for what else every pixel gets: those that are given, checked, or zeros in memory."""
    if given is None:
        return [np.zeros(source.labels_shape, dtype) for source in sources]
    if len(given) != len(sources):
        arrays = f"{counted(len(given), 'output array')} for {counted(len(sources), 'image')}"
        raise ImageError(f"There {'is' if len(given) == 1 else 'are'} {arrays}: give one for each.")
    for out, source in zip(given, sources, strict=True):
        if np.dtype(out.dtype) != dtype:
            raise ImageError(f"The output array has values of type {out.dtype}: {dtype} is needed.")
        if tuple(out.shape) != source.labels_shape:
            raise ImageError(
                f"The output array has shape {tuple(out.shape)}, but the labels of {source.name[0].lower()}"
                f"{source.name[1:]} have {source.labels_shape}."
            )
    return list(given)
