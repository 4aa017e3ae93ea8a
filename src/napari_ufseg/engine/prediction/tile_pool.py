"""Tiles of images, and how they are computed side by side."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch

from napari_ufseg.engine.images.source import ImageSource, items_of
from napari_ufseg.engine.images.tiling import Box, iter_tiles, tile_edges

Made = TypeVar("Made")


@dataclass(frozen=True)
class View:
    """The view of a user: an item of an image, and the middle of what is seen of it."""

    number: int
    item: int
    centre: tuple[int, ...]


@dataclass(frozen=True)
class Tile:
    """A tile of an item of one of several images."""

    number: int
    item: int
    box: Box


def tiles_of(sources: Sequence[ImageSource]) -> list[Tile]:
    """Every tile of every item of every image."""
    return [
        Tile(number, item, box)
        for number, item in items_of(sources)
        for box in iter_tiles(sources[number].whole, tile_edges(sources[number].item_shape, sources[number].chunks))
    ]


def distance(task: Tile, view: View) -> tuple[bool, int, float]:
    """How far a tile is from a view: first by image, then by item, then by place."""
    middle = [(a + b) / 2 for a, b in zip(task.box.start, task.box.stop, strict=True)]
    away = sum((m - c) ** 2 for m, c in zip(middle, view.centre, strict=False))
    return task.number != view.number, abs(task.item - view.item), away


def workers(device: torch.device) -> int:
    """How many tiles a device should compute at once."""
    return torch.get_num_threads() if device.type == "cpu" else 1


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Sums may depend on how many threads share them; a tile is the work of one. (The setting is the process's.)"""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def map_tiles(
    work: Callable[[Tile], Made], tasks: Sequence[Tile], n_workers: int, stopped: Callable[[], bool]
) -> Iterator[Made]:
    """The results in the order in which they are ready; at most `n_workers` are under way."""

    with _one_thread_each():
        if n_workers == 1 or len(tasks) == 1:
            for task in tasks:
                yield work(task)
                if stopped():
                    return
            return
        waiting = iter(tasks)
        with ThreadPoolExecutor(n_workers, "ufseg-label") as pool:
            running: set[Future[Made]] = {pool.submit(work, task) for task in islice(waiting, n_workers)}
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                if not stopped():
                    running |= {pool.submit(work, task) for task in islice(waiting, len(done))}
