"""Work on strips of rows, side by side, with results that do not depend on how many threads share it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import ceil
from typing import TypeVar

import torch

_LANES = 16
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class Rows:
    """Rows ``start`` to ``stop`` of one image of a batch."""

    image: int
    start: int
    stop: int

    @property
    def slices(self) -> tuple[int, slice]:
        """The index of these rows in an array (B, Y, ...)."""
        return self.image, slice(self.start, self.stop)


def lanes_of(n_images: int, n_rows: int) -> list[list[Rows]]:
    """All rows of a batch in order, dealt to lanes of about equal length.

    A lane is the work of one thread and adds up what it finds in its own
    order; the number of lanes is fixed. So sums, and with them the training,
    are the same to the last bit for any number of threads.
    """
    total = n_images * n_rows
    bounds = [total * i // _LANES for i in range(_LANES + 1)]
    lanes = [list(_within_images(*bound, n_rows)) for bound in pairwise(bounds)]
    return [lane for lane in lanes if lane]


def _within_images(start: int, stop: int, n_rows: int) -> Iterator[Rows]:
    while start < stop:
        image = start // n_rows
        end = min(stop, (image + 1) * n_rows)
        yield Rows(image, start - image * n_rows, end - image * n_rows)
        start = end


def strips_of(lane: Sequence[Rows], values_per_row: int, most_values: int) -> Iterator[Rows]:
    """Strips of a lane of about equal height, with at most so many values if one row has no more."""
    height = max(1, most_values // max(1, values_per_row))
    for rows in lane:
        n = rows.stop - rows.start
        parts = ceil(n / height)
        for i in range(parts):
            yield Rows(rows.image, rows.start + n * i // parts, rows.start + n * (i + 1) // parts)


def map_lanes(work: Callable[[list[Rows]], _Out], lanes: Sequence[list[Rows]]) -> list[_Out]:
    """What `work` makes of every lane, in their order; as many threads share it as torch has, without gradients."""
    n_threads = torch.get_num_threads()

    def without_gradients(lane: list[Rows]) -> _Out:
        with torch.no_grad():  # a setting of each thread
            return work(lane)

    if n_threads == 1 or len(lanes) == 1:
        return [without_gradients(lane) for lane in lanes]
    return list(_pool(n_threads).map(without_gradients, lanes))


@lru_cache(maxsize=2)
def _pool(n_threads: int) -> ThreadPoolExecutor:
    """Threads in which torch computes with one thread each."""
    met = threading.Barrier(n_threads)
    pool = ThreadPoolExecutor(n_threads, "ufseg-strip", initializer=_compute_alone)
    list(pool.map(lambda _: met.wait(), range(n_threads)))  # now all have begun
    torch.set_num_threads(n_threads)  # later threads of the process ask for the last number that was set
    return pool


def _compute_alone() -> None:
    """Let torch use one thread where this thread calls it."""
    torch.get_num_threads()  # else the first operation here would set it to the number of the process
    torch.set_num_threads(1)
