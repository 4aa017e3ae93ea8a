"""A folder of images labelled in the thread of a job: every file that is done is told, of the progress within one some."""

import time
from typing import TYPE_CHECKING

from napari_ufseg._napari.background import JobThread

if TYPE_CHECKING:
    from napari_ufseg.batch.folder import BatchPlan, BatchSummary

_EVERY = 0.1  # seconds between two words on how far a file is


def label_folder(plan: "BatchPlan", hand: JobThread) -> "BatchSummary":
    """Run a batch; after a stop the file under way is dropped, and those that are written stay."""
    from napari_ufseg.batch.folder import FileDone, run_batch
    from napari_ufseg.engine.device import release_memory, resolve_device

    events = run_batch(plan, stopped=hand.is_stopped)
    told = 0.0
    try:
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                summary: BatchSummary = end.value
                return summary
            now = time.monotonic()
            if isinstance(event, FileDone) or event.share == 0 or now - told > _EVERY:
                hand.tell(event)
                told = now
    finally:
        release_memory(resolve_device(plan.device))
