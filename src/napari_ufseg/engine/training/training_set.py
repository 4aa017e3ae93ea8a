"""What a network is trained on: every item of every image, or random tiles of what does not fit into memory."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import go_on
from napari_ufseg.engine.images.intensity import IntensityRange, learn_range
from napari_ufseg.engine.images.source import ImageSource
from napari_ufseg.engine.images.tiling import Box, iter_tiles, tile_edges
from napari_ufseg.engine.labels.corrections import Corrections
from napari_ufseg.engine.network.input_channels import input_channels, seen_box
from napari_ufseg.engine.training.memory_plan import CPU, TrainingPlan, plan_training


@dataclass(frozen=True)
class Place:
    """Where a training image comes from: a box of an item of one of the images."""

    number: int
    item: int
    box: Box


@dataclass(frozen=True)
class TrainingSet:
    """Images in memory, ready to be trained on.

    Parameters
    ----------
    images : list of (D, Y, X) or (D, Z, Y, X) float tensors
        Their input channels (see `input_channels`), on the CPU.
    scribbles : list of (Y, X) or (Z, Y, X) int64 tensors, or None
        0 for none; None if there is no scribble at all. With corrections they are groups, counted from 1.
    places : list of Place
        Where each comes from.
    brightness : list of IntensityRange
        One per source.
    is_whole : bool
        Whether every pixel of every source is there; else they are random tiles.
    targets : list of (Y, X) or (Z, Y, X) int64 tensors, or None
        With corrections, the group that every pixel is meant to have.
    no_data : sequence of (Y, X) or (Z, Y, X) bool tensors, or None
        Where each image holds no data; None where it does everywhere. Empty if all do.
    """

    images: list[Tensor]
    scribbles: list[Tensor] | None
    places: list[Place]
    brightness: list[IntensityRange]
    is_whole: bool
    targets: list[Tensor] | None = None
    no_data: Sequence[Tensor | None] = ()

    def where_no_data(self, i: int) -> Tensor | None:
        """Where image `i` holds no data; None if it does everywhere."""
        return self.no_data[i] if self.no_data else None

    @property
    def trained(self) -> list[int]:
        """The numbers of the images that are not constant."""
        return [i for i, place in enumerate(self.places) if not self.brightness[place.number].is_constant]


class _Pick:
    """Keeps the pixels of the training images of one source, with the halo of their input, while it is read piece by piece."""

    def __init__(self, places: Sequence[Place], shape: Sequence[int], config: SegmentationConfig) -> None:
        self.places = places
        self._seen = {place: seen_box(place.box, shape, config) for place in places}
        self._pieces: dict[Place, npt.NDArray[Any]] = {}
        self._shape, self._config = shape, config
        self._of_item: dict[int, list[Place]] = defaultdict(list)
        for place in places:
            self._of_item[place.item].append(place)

    def visit(self, item: int, box: Box, values: npt.NDArray[Any]) -> None:
        for place in self._of_item.get(item, ()):
            seen = self._seen[place]
            part = seen.overlap(box)
            if part is None:
                continue
            if place not in self._pieces:
                self._pieces[place] = np.empty((len(values), *seen.shape), values.dtype)
            inside = values[(slice(None), *part.within(box).slices)]
            self._pieces[place][(slice(None), *part.within(seen).slices)] = inside

    def take(self, place: Place, brightness: IntensityRange) -> tuple[Tensor, Tensor | None]:
        """The input channels of a place, and where it holds no data, if it does; its pixels are not kept any longer."""
        values, seen = self._pieces.pop(place), self._seen[place]
        gone = None
        if brightness.leaves_no_data:
            gone = torch.from_numpy(brightness.where_no_data(values[(slice(None), *place.box.within(seen).slices)]))
        return input_channels(values, seen, place.box, self._shape, brightness, self._config), gone


def build_training_set(
    sources: Sequence[ImageSource],
    config: SegmentationConfig,
    scribbles: Sequence[Any] | None,
    memory_budget: int | None,
    corrections: Corrections | None = None,
    *,
    device: torch.device = CPU,
    stopped: Callable[[], bool] = lambda: False,
) -> TrainingSet:
    """Read the images, every pixel once, and keep what the network is trained on.

    Everything is kept if training on it fits into the memory. If not, random
    square tiles (cubes in volumes) are: as many as make up a million pixels,
    of a size that lets `batch_size` of them be trained at once. They are drawn
    with the seed of the config; a part of them holds scribbles, if there are any.

    Parameters
    ----------
    sources : sequence of ImageSource
    config : SegmentationConfig
    scribbles : sequence of arrays or None, optional
        Of the sources' `labels_shape`.
    memory_budget : int, optional
        Bytes that the process may take. Default: half of the memory that is
        free, and 2 GB where tiles are needed.
    corrections : Corrections, optional
        Take the place of the scribbles.
    device : torch.device, optional
        Where it will be computed; its memory counts, too.
    stopped : callable, optional
        Whether it is no longer wanted; asked before every tile that is read.

    Raises
    ------
    MemoryShortageError
        If not even small tiles fit.
    ImageError
        If an image cannot be read.
    StoppedError
        If it was stopped.
    """
    if corrections is not None:
        scribbles = [corrections.marks(number) for number in range(len(sources))]
    plan = plan_training(sources, config, memory_budget, device)
    random = np.random.default_rng([config.seed, 1])
    images: list[Tensor] = []
    places: list[Place] = []
    brightness: list[IntensityRange] = []
    no_data: list[Tensor | None] = []
    for number, source in enumerate(sources):
        if plan.tile_edge is None:
            chosen = [Place(number, item, source.whole) for item in range(source.n_items)]
        else:
            n_pixels = plan.epoch_pixels * source.n_pixels // sum(each.n_pixels for each in sources)
            chosen = list(_draw(source, number, plan.tile_edge, n_pixels, scribbles and scribbles[number], random))
        pick = _Pick(chosen, source.item_shape, config)
        learnt = learn_range(source, config, _pieces(source, plan), pick.visit, stopped)
        brightness.append(learnt)
        for place in chosen:
            image, gone = pick.take(place, learnt)
            images.append(image)
            no_data.append(gone)
        places += chosen
    cut = None if scribbles is None else _cut(sources, scribbles, places, stopped)
    if cut is not None and not any(bool(item.any()) for item in cut):
        cut = None
    targets = None
    if corrections is not None:
        meant = [corrections.targets(number) for number in range(len(sources))]
        targets = _cut(sources, meant, places, stopped)
    return TrainingSet(images, cut, places, brightness, plan.is_whole, targets, no_data)


def _pieces(source: ImageSource, plan: TrainingPlan) -> list[tuple[int, Box]]:
    """Items and boxes to read at a time: tiles, but whole items rather than a part of what is stored together."""
    edges = tile_edges(source.item_shape, source.chunks)
    cuts_chunks = any(edge < min(c, n) for edge, c, n in zip(edges, source.chunks, source.item_shape, strict=True))
    boxes = [source.whole] if plan.is_whole and cuts_chunks else list(iter_tiles(source.whole, edges))
    return [(item, box) for item in range(source.n_items) for box in boxes]


def _draw(
    source: ImageSource, number: int, edge: int, n_pixels: int, scribbles: Any, random: np.random.Generator
) -> Iterator[Place]:
    """Random tiles of one source, every other one around a scribbled pixel, if there are any."""
    shape = tuple(min(edge, n) for n in source.item_shape)
    marked = [] if scribbles is None else _scribbled(source, scribbles)
    drawn: set[Place] = set()
    for i in range(max(1, round(n_pixels / np.prod(shape)))):
        if marked and i % 2 == 0:
            item, pixel = marked[random.integers(len(marked))]
            wished = [p - int(random.integers(s)) for p, s in zip(pixel, shape, strict=True)]
        else:
            item = int(random.integers(source.n_items))
            wished = [int(random.integers(n - s + 1)) for n, s in zip(source.item_shape, shape, strict=True)]
        corner = tuple(int(np.clip(w, 0, n - s)) for w, n, s in zip(wished, source.item_shape, shape, strict=True))
        place = Place(number, item, Box(corner, tuple(c + s for c, s in zip(corner, shape, strict=True))))
        if place not in drawn:
            drawn.add(place)
            yield place


def _scribbled(source: ImageSource, scribbles: Any) -> list[tuple[int, npt.NDArray[Any]]]:
    """Item and place of every pixel that carries a scribble."""
    found = []
    for item in range(source.n_items):
        marks = source.unturned(scribbles[source.label_index(item, source.whole)])
        found += [(item, pixel) for pixel in np.argwhere(marks)]
    return found


def _cut(
    sources: Sequence[ImageSource], labels: Sequence[Any], places: Sequence[Place], stopped: Callable[[], bool]
) -> list[Tensor]:
    """The labels, one array per source, of every place."""
    found = []
    for place in places:
        go_on(stopped)
        found.append(_cut_scribbles(sources, labels, place))
    return found


def _cut_scribbles(sources: Sequence[ImageSource], scribbles: Sequence[Any], place: Place) -> Tensor:
    its = scribbles[place.number]
    if its is None:
        return torch.zeros(place.box.shape, dtype=torch.int64)
    source = sources[place.number]
    return torch.from_numpy(source.unturned(its[source.label_index(place.item, place.box)]).astype(np.int64))
