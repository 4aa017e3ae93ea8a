"""An image labelled on the workers of a cluster of dask, tile by tile.

A worker opens the image by itself, reads a tile, and writes its own chunks of
the labels. That can be done twice without harm, so dask may repeat what a lost
worker had begun.
"""

import asyncio
import threading
import warnings
from collections.abc import Generator, Sequence
from concurrent.futures import CancelledError
from contextlib import closing, suppress
from dataclasses import replace
from math import ceil
from typing import Any, Self

import numpy as np

from napari_ufseg.batch.tile_tasks import (
    TilePlan,
    end_writing,
    hand_on,
    label_tile,
    require_files,
    summarise_tiles,
    versions_here,
)
from napari_ufseg.engine.errors import DeviceError, MemoryShortageError, UfsegWarning
from napari_ufseg.engine.images.intensity import IntensityRange, IntensitySummary
from napari_ufseg.engine.images.source import ImageSource
from napari_ufseg.engine.prediction.labelling import Progress
from napari_ufseg.engine.prediction.tile_pool import tiles_of

_PATIENCE = 4  # seconds for a scheduler to answer, and for its first worker
_MOST_SUMMARIES = 1000  # of an image; each may have half a megabyte


class Cluster:
    """Labels images on the workers of a scheduler of dask; a context manager that holds the connection.

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

    def learn_intensity(self, plan: TilePlan, source: ImageSource) -> Generator[Progress, None, IntensityRange]:
        """Learn the brightness of an image, reading every pixel of it once.

        Parameters
        ----------
        plan : TilePlan
        source : ImageSource
            That of the plan, with its data.

        Yields
        ------
        Progress
            After every few tiles.

        Returns
        -------
        IntensityRange
            The same as that of `learn_intensity`.

        Raises
        ------
        FileError
            If a worker cannot get at the files of the plan.
        DeviceError, MemoryShortageError
            If the connection is lost, or several workers die of the same tiles.
        """
        for seen in self._client.run(require_files, plan.image, plan.labels, on_error="return").values():
            if isinstance(seen, Exception):
                raise seen
        tiles = tiles_of([source])
        size = ceil(len(tiles) / _MOST_SUMMARIES)
        groups = [tiles[i : i + size] for i in range(0, len(tiles), size)]
        whole = IntensitySummary(source, plan.model.config)
        progress = Progress(0, source.n_pixels, np.zeros(2**16, np.int64))
        with closing(self._results(summarise_tiles, groups, plan)) as results:
            for summary, pixels in results:
                whole.merge(summary)
                progress = replace(progress, pixels=progress.pixels + pixels)
                yield progress
        return whole.brightness(source.name)

    def label_image(
        self, plan: TilePlan, source: ImageSource, brightness: IntensityRange
    ) -> Generator[Progress, None, None]:
        """Label an image into its Zarr array; the labels are those of `label_images`, bit for bit.

        However it ends, nothing is written any more after it.

        Yields
        ------
        Progress
            After every tile.

        Raises
        ------
        DeviceError, MemoryShortageError
            As for `learn_intensity`.
        """
        progress = Progress(0, source.n_pixels, np.zeros(2**16, np.int64))
        try:
            with closing(self._results(label_tile, tiles_of([source]), plan, brightness=brightness)) as results:
                for areas in results:
                    for label, pixels in areas.items():
                        progress.areas[label] += pixels
                    progress = replace(progress, pixels=progress.pixels + sum(areas.values()))
                    yield progress
        finally:
            self._end(plan)

    def _results(self, task: Any, items: Sequence[Any], plan: TilePlan, **arguments: Any) -> Generator[Any]:
        """What a task makes of each item, as it is ready; those that are not awaited any more are withdrawn."""
        from distributed import KilledWorker, as_completed

        # A task, and not scattered: what was scattered is lost with the workers that hold it, a task is done again.
        handed = self._client.submit(hand_on, plan, key=f"ufseg-plan-{plan.name}")
        futures = self._client.map(task, items, plan=handed, **arguments, pure=False)
        left = {future.key: future for future in futures}
        try:
            completed: Any = as_completed(futures, loop=self._client.loop, with_results=True)  # type: ignore[no-untyped-call]
            del futures  # a result stays on its worker as long as somebody here holds its future
            for future, value in completed:
                if isinstance(value, CancelledError):
                    raise value
                del left[future.key]
                yield value
        except KilledWorker as error:
            raise MemoryShortageError(
                "Several workers died while they computed the same piece of the image, most often for lack of memory: "
                "start fewer workers on a machine, or give each more memory."
            ) from error
        except CancelledError as error:
            raise DeviceError(f"The connection to the scheduler {self._address} was lost.") from error
        finally:
            if rest := [future for future in left.values() if not future.done()]:
                self._client.cancel(rest)

    def _end(self, plan: TilePlan) -> None:
        """Make sure that nothing is written for a plan any more, and clear away what a lost worker left half written."""

        def ask() -> None:
            with suppress(Exception):  # a connection that is lost tells so elsewhere
                self._client.run(end_writing, plan.name, on_error="ignore")

        if self._client.status == "running":
            asking = threading.Thread(target=ask, daemon=True)
            asking.start()
            asking.join(2 * _PATIENCE)  # a worker that hangs must not hang us
        for part in plan.labels.rglob("*.partial"):
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
