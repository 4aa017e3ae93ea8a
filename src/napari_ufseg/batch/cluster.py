"""An image labelled as graphs of dask: the same tiles on the threads of this process or on the workers of a cluster.

Whoever computes a tile opens the image by itself, reads the tile, and writes
its own chunks of the labels. That can be done twice without harm, so dask may
repeat what a lost worker had begun.
"""

import asyncio
import threading
import warnings
from collections.abc import Generator, Hashable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from math import ceil
from queue import SimpleQueue
from typing import Any, Self

import numpy as np
import torch

from napari_ufseg.batch.tile_tasks import (
    TilePlan,
    done_reading,
    end_writing,
    labelled,
    learnt,
    merged,
    require_files,
    scanned,
    the_plan,
    versions_here,
)
from napari_ufseg.engine.errors import DeviceError, MemoryShortageError, UfsegWarning
from napari_ufseg.engine.images.intensity import IntensityRange
from napari_ufseg.engine.images.source import ImageSource
from napari_ufseg.engine.prediction.labelling import Progress
from napari_ufseg.engine.prediction.tile_pool import tiles_of

Graph = dict[Hashable, Any]
Results = Generator[tuple[Hashable, Any]]
_PATIENCE = 4  # seconds for a scheduler to answer, and for its first worker


class Threads:
    """Computes graphs in this process.

    Parameters
    ----------
    number : int
        Tiles that are computed side by side.
    """

    def __init__(self, number: int) -> None:
        self._number = number

    def results(self, graph: Graph, keys: Sequence[Hashable]) -> Results:
        """The wanted keys with their values, as they are ready."""
        from dask.threaded import get

        wanted: Any = list(keys)
        sought, ready, stopped = set(wanted), SimpleQueue[tuple[Hashable, Any] | None](), threading.Event()

        def tell(key: Hashable, value: Any, *_: Any) -> None:
            if stopped.is_set():
                raise CancelledError
            if key in sought:
                ready.put((key, value))

        n_threads = torch.get_num_threads()
        with ThreadPoolExecutor(1) as conductor, ThreadPoolExecutor(self._number, "ufseg-label") as pool:
            told = (None, None, None, tell, None)  # after every task
            run = conductor.submit(get, graph, wanted, pool=pool, callbacks=[told])
            run.add_done_callback(lambda _: ready.put(None))
            try:
                while (item := ready.get()) is not None:
                    yield item
                run.result()
            finally:
                stopped.set()
                torch.set_num_threads(n_threads)

    def begin(self, work: TilePlan) -> None:
        """Nothing to check: the files are those of this process."""

    def end(self, work: TilePlan) -> None:
        """Make sure that nothing is written for a work any more."""
        end_writing(work.name)


class Cluster:
    """Computes graphs on the workers of a scheduler of dask; a context manager that holds the connection.

    Parameters
    ----------
    address : str
        Such as ``"tcp://host:8786"``.

    Raises
    ------
    DeviceError
        If the package distributed is missing, the scheduler does not answer, or it has no workers.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._client: Any = _connected(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    def results(self, graph: Graph, keys: Sequence[Hashable]) -> Results:
        """The wanted keys with their values, as they are ready."""
        from distributed import KilledWorker, as_completed

        futures = self._client.get(graph, list(keys), sync=False)
        try:
            for future, value in as_completed(futures, loop=self._client.loop, with_results=True):  # type: ignore[no-untyped-call]
                if isinstance(value, CancelledError):
                    raise value
                yield future.key, value
        except KilledWorker as error:
            raise MemoryShortageError(
                "Several workers died while they computed the same piece of the image, most often for lack of memory: "
                "start fewer workers on a machine, or give each more memory."
            ) from error
        except CancelledError as error:
            raise DeviceError(f"The connection to the scheduler {self._address} was lost.") from error
        finally:
            if rest := [future for future in futures if not future.done()]:
                self._client.cancel(rest)

    def begin(self, work: TilePlan) -> None:
        """Raise FileError if a worker cannot get at the files of a work."""
        for seen in self._client.run(require_files, work.image, work.labels, on_error="return").values():
            if isinstance(seen, Exception):
                raise seen

    def end(self, work: TilePlan) -> None:
        """Make sure that nothing is written for a work any more, and clear away what a lost worker left half written."""

        def ask() -> None:
            with suppress(Exception):  # a connection that is lost tells so elsewhere
                self._client.run(end_writing, work.name, on_error="ignore")

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(2 * _PATIENCE)  # a worker that hangs must not hang us
        for part in work.labels.rglob("*.partial"):
            part.unlink(missing_ok=True)


def _connected(address: str) -> Any:
    """A client of a scheduler that has workers; a warning if these run other versions."""
    try:
        from distributed import Client, Security
        from distributed.comm.core import connect
    except ImportError:
        raise DeviceError(
            'Work on a cluster needs dask.distributed: python -m pip install "napari-ufseg[distributed]".'
        ) from None

    async def try_it() -> None:  # a client that has met nobody takes long to close
        security: Any = Security()  # type: ignore[no-untyped-call]
        arguments = security.get_connection_args("client")
        comm: Any = await connect(address, timeout=_PATIENCE, **arguments)  # type: ignore[no-untyped-call]
        await comm.close()

    try:
        asyncio.run(try_it())
        client: Any = Client(address, timeout=_PATIENCE, set_as_default=False)  # type: ignore[no-untyped-call]
    except Exception as error:  # of the system, of the transport, or for an address that is none
        raise DeviceError(
            f"There is no scheduler of dask at {address} that answers: start one with `dask scheduler`."
        ) from error
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
        others = client.run(versions_here, on_error="return")
    except TimeoutError:
        client.close()
        raise DeviceError(
            f"The scheduler {address} has no workers: start some with `dask worker {address} --nthreads 1`."
        ) from None
    _compare_versions(others)
    return client


def _compare_versions(others: dict[str, Any]) -> None:
    for worker, its in others.items():
        if isinstance(its, Exception):
            raise DeviceError(f"The worker {worker} has no napari-ufseg that can be loaded: install it there.") from its
        for name, version in versions_here().items():
            if its[name] != version:
                warnings.warn(
                    f"The worker {worker} has {name} {its[name]}, not {version}: labels may differ.",
                    UfsegWarning,
                    stacklevel=2,
                )


_MERGED_AT_ONCE, _MOST_SUMMARIES = 8, 1000


def learn_blocks(
    runner: Threads | Cluster, work: TilePlan, source: ImageSource
) -> Generator[Progress, None, IntensityRange]:
    """Learn the brightness of an image, reading every pixel of it once.

    Parameters
    ----------
    runner : Threads or Cluster
        Whoever computes the graph.
    work : TilePlan
    source : ImageSource
        That of the work, with its data.

    Yields
    ------
    Progress
        After every few tiles.

    Returns
    -------
    IntensityRange
        The same as that of `learn_intensity`.
    """
    runner.begin(work)
    tiles = tiles_of([source])
    size = ceil(len(tiles) / _MOST_SUMMARIES)
    graph: Graph = {"ufseg-work-" + work.name: (the_plan, work)}
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
    found: IntensityRange | None = None
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
    runner: Threads | Cluster, work: TilePlan, source: ImageSource, brightness: IntensityRange
) -> Generator[Progress, None, None]:
    """Label an image into its Zarr array; the labels are those of `label_images`, bit for bit.

    Yields
    ------
    Progress
        After every tile.
    """
    tiles = tiles_of([source])
    graph: Graph = {"ufseg-work-" + work.name: (the_plan, work)}
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
