"""The report of a run: everything that is needed to understand it and to repeat it."""

import json
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from napari_ufseg.cli.inputs import Inputs
from napari_ufseg.engine.device import peak_memory_bytes
from napari_ufseg.engine.files import written_whole
from napari_ufseg.engine.provenance import versions
from napari_ufseg.engine.training.results import Segmentation


@dataclass(frozen=True)
class Outcome:
    """A finished run.

    Parameters
    ----------
    segmentation : Segmentation
        After merging, if classes were merged.
    seconds : float
        From the first step to the labels.
    interrupted : bool
        True if the user pressed Ctrl-C.
    merged : dict of int to int, optional
        New label of each old one, if classes were merged.
    """

    segmentation: Segmentation
    seconds: float
    interrupted: bool = False
    merged: Mapping[int, int] | None = None

    @property
    def labels(self) -> list[Any]:
        """One label image per input."""
        labels = self.segmentation.labels
        return labels if isinstance(labels, list) else [labels]


def build_report(arguments: Namespace, inputs: Inputs, outcome: Outcome, outputs: list[Path]) -> dict[str, Any]:
    """The report as plain values; docs/command-line.md explains each key."""
    result = outcome.segmentation
    areas = result.areas
    return {
        "input": [
            {
                "path": str(image.path.resolve()),
                "shape": list(image.file.data.shape),
                "dtype": str(image.file.data.dtype),
                "axes": image.source.axes,
                "what": image.source.words,
            }
            for image in inputs.images
        ],
        "n_channels": inputs.sources[0].n_channels,
        "channel_axis": arguments.channel_axis,
        "level": arguments.level,
        "scribbles": inputs.scribble_paths,
        "preset": arguments.preset,
        "config": result.config.to_dict(),
        "seed": result.config.seed,
        "device": result.device,
        "versions": versions(),
        "epochs_run": len(result.history),
        "stop_reason": str(result.stop_reason),
        "kept_epoch": result.kept_epoch,
        "interrupted": outcome.interrupted,
        "is_complete": result.is_complete,
        "classes": {
            "number": len(areas),
            "pixels": {str(label): count for label, count in areas.items()},
            "merged": None if outcome.merged is None else {str(old): new for old, new in outcome.merged.items()},
        },
        "losses_per_epoch": [record.losses for record in result.history],
        "classes_per_epoch": [record.n_classes for record in result.history],
        "changed_per_epoch": [record.changed for record in result.history],
        "seconds_per_epoch": [record.seconds for record in result.history],
        "total_seconds": outcome.seconds,
        "peak_memory_bytes": peak_memory_bytes(torch.device(result.device)),
        "outputs": [str(path.resolve()) for path in outputs],
    }


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write the report as JSON, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
