"""An image labelled as graphs of dask: the same tiles on the threads of this process or on the workers of a cluster.

Whoever computes a tile opens the image by itself, reads the tile, and writes
its own chunks of the labels. That can be done twice without harm, so dask may
repeat what a lost worker had begun.
"""

from collections.abc import Generator, Hashable
from contextlib import closing
from dataclasses import replace
from math import ceil

import numpy as np

from napari_ufseg.batch.cluster import Cluster, Graph, Threads
from napari_ufseg.batch.tile_tasks import Work, done_reading, labelled, learnt, merged, scanned, the_work
from napari_ufseg.engine.images.intensity import Brightness
from napari_ufseg.engine.images.source import ImageSource
from napari_ufseg.engine.prediction.labelling import Progress
from napari_ufseg.engine.prediction.tile_pool import tasks_of

__all__ = ["Cluster", "Threads", "Work", "label_blocks", "scan_blocks"]

_MERGED_AT_ONCE, _MOST_SUMMARIES = 8, 1000


def scan_blocks(runner: Threads | Cluster, work: Work, source: ImageSource) -> Generator[Progress, None, Brightness]:
    """Learn the brightness of an image, reading every pixel of it once.

    Parameters
    ----------
    runner : Threads or Cluster
        Whoever computes the graph.
    work : Work
    source : ImageSource
        That of the work, with its data.

    Yields
    ------
    Progress
        After every few tiles.

    Returns
    -------
    Brightness
        The same as that of `scan`.
    """
    runner.begin(work)
    tiles = tasks_of([source])
    size = ceil(len(tiles) / _MOST_SUMMARIES)
    graph: Graph = {"ufseg-work-" + work.name: (the_work, work)}
    parts: list[Hashable] = []
    read: dict[Hashable, int] = {}
    for i in range(0, len(tiles), size):
        parts.append((f"ufseg-scan-{work.name}", i))
        graph[parts[-1]] = (scanned, "ufseg-work-" + work.name, tiles[i : i + size])
        told = (f"ufseg-read-{work.name}", i)
        graph[told] = (done_reading, parts[-1])
        read[told] = sum(tile.box.size for tile in tiles[i : i + size])
    level = 0
    while len(parts) > 1:
        level += 1
        few = [parts[i : i + _MERGED_AT_ONCE] for i in range(0, len(parts), _MERGED_AT_ONCE)]
        parts = [(f"ufseg-merge-{work.name}", level, i) for i in range(len(few))]
        graph |= {part: (merged, some) for part, some in zip(parts, few, strict=True)}
    root = "ufseg-brightness-" + work.name
    graph[root] = (learnt, parts[0], source.name)
    progress = Progress(0, sum(read.values()), np.zeros(2**16, np.int64))
    found: Brightness | None = None
    with closing(runner.results(graph, [*read, root])) as results:
        for key, value in results:
            if key == root:
                found = value
            else:
                progress = replace(progress, pixels=progress.pixels + read[key])
                yield progress
    assert found is not None
    return found


def label_blocks(
    runner: Threads | Cluster, work: Work, source: ImageSource, brightness: Brightness
) -> Generator[Progress, None, None]:
    """Label an image into its Zarr array; the labels are those of `label_images`, bit for bit.

    Yields
    ------
    Progress
        After every tile.
    """
    tiles = tasks_of([source])
    graph: Graph = {"ufseg-work-" + work.name: (the_work, work)}
    keys = [(f"ufseg-label-{work.name}", i) for i in range(len(tiles))]
    for key, tile in zip(keys, tiles, strict=True):
        graph[key] = (labelled, "ufseg-work-" + work.name, brightness, tile)
    progress = Progress(0, sum(tile.box.size for tile in tiles), np.zeros(2**16, np.int64))
    try:
        with closing(runner.results(graph, keys)) as results:
            for _, areas in results:
                for label, pixels in areas.items():
                    progress.areas[label] += pixels
                progress = replace(progress, pixels=progress.pixels + sum(areas.values()))
                yield progress
    finally:
        runner.end(work)
