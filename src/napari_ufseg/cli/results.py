"""From a finished run to files: merging, model, chart, and the report of all that is needed to repeat it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_ufseg.cli.arguments import SegmentArguments
from napari_ufseg.cli.chart import write_chart
from napari_ufseg.cli.inputs import Inputs
from napari_ufseg.cli.outputs import OutputPaths
from napari_ufseg.engine.device import peak_memory_bytes
from napari_ufseg.engine.errors import engine_errors
from napari_ufseg.engine.files import written_whole
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.engine.labels.hierarchy import merged_areas, relabel
from napari_ufseg.engine.network.model_file import fingerprint, save_model
from napari_ufseg.engine.training.results import Segmentation, versions


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
    classes : ClassTable
        What label files say about the classes that the labels show.
    detail : int, optional
        How many classes the labels show, if not all that the model has.
    """

    segmentation: Segmentation
    seconds: float
    interrupted: bool = False
    merged: Mapping[int, int] | None = None
    classes: ClassTable = field(default_factory=ClassTable)
    detail: int | None = None

    @property
    def made_by(self) -> str:
        """The fingerprint of the model, by which labels and all other files of the run are known as belonging together."""
        return fingerprint(self.segmentation.model)

    @property
    def labels(self) -> list[Any]:
        """One label image per input."""
        labels = self.segmentation.labels
        return labels if isinstance(labels, list) else [labels]


def build_report(arguments: SegmentArguments, inputs: Inputs, outcome: Outcome, outputs: list[Path]) -> dict[str, Any]:
    """The report as plain values; docs/command-line.md explains each key."""
    result = outcome.segmentation
    areas, tree = result.areas, result.model.hierarchy
    return {
        "input": [
            {
                "path": str(image.path.resolve()),
                "shape": list(image.file.data.shape),
                "dtype": str(image.file.data.dtype),
                "axes": image.source.axes,
                "what": image.source.summary,
            }
            for image in inputs.images
        ],
        "n_channels": inputs.sources[0].n_channels,
        "channel_axis": arguments.opening.channel_axis,
        "level": arguments.opening.level,
        "series": [image.file.series for image in inputs.images],
        "scribbles": None if arguments.scribbles is None else [str(file or "-") for file in arguments.scribbles],
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
            "detail": outcome.detail,
            "background": tree.background_at(tree.number_at("auto")),
            "merged": None if outcome.merged is None else {str(old): new for old, new in outcome.merged.items()},
        },
        "losses_per_epoch": [record.losses for record in result.history],
        "classes_per_epoch": [record.n_classes for record in result.history],
        "changed_per_epoch": [record.changed for record in result.history],
        "seconds_per_epoch": [record.seconds for record in result.history],
        "total_seconds": outcome.seconds,
        "peak_memory_bytes": peak_memory_bytes(torch.device(result.device)),
        "made_by": outcome.made_by,
        "outputs": [str(path.resolve()) for path in outputs],
    }


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write the report as JSON, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def show_at_detail(outcome: Outcome, detail: int | str) -> Outcome:
    """The same run with labels that show so many classes; its model has all of them, and suggests this detail."""
    tree = outcome.segmentation.model.hierarchy
    classes = outcome.segmentation.model.classes_at(detail)
    if not tree.n_classes:  # nothing was there to tell apart
        return replace(outcome, classes=classes)
    shown = tree.number_at(detail)
    model = replace(outcome.segmentation.model, hierarchy=replace(tree, suggested=shown))
    if detail == "all":
        return replace(outcome, segmentation=replace(outcome.segmentation, model=model), classes=classes)
    with engine_errors("Choosing the detail"):
        label_of = tree.shown_class(shown)
        for labels in outcome.labels:
            _relabel_in_place(labels, label_of)
    areas = merged_areas(outcome.segmentation.areas, label_of)
    segmentation = replace(outcome.segmentation, model=model, areas=dict(sorted(areas.items())))
    return replace(outcome, segmentation=segmentation, merged=label_of, classes=classes, detail=shown)


def merge_classes(outcome: Outcome, n_classes: int) -> Outcome:
    """Merge the most similar classes, in the labels and in the model, until `n_classes` are left; 0 is none of them."""
    shown = show_at_detail(outcome, n_classes)
    label_of = dict(shown.merged or {})
    model = shown.segmentation.model.merged(label_of)
    told = replace(model, classes=model.classes.merged(label_of))
    merged = with_classes(replace(shown.segmentation, model=model), told.classes.settled)
    return replace(shown, segmentation=merged, classes=told.classes_at("all"), detail=None)


def with_classes(segmentation: Segmentation, classes: ClassTable) -> Segmentation:
    """The same with what is said about the classes of its model."""
    return replace(segmentation, model=replace(segmentation.model, classes=classes))


def _relabel_in_place(labels: Any, label_of: Mapping[int, int]) -> None:
    """Plane by plane, so that labels on disk needn't fit into memory."""
    for plane in np.ndindex(labels.shape[:-2]):
        labels[plane] = relabel(np.asarray(labels[plane]), label_of)


def at_detail_asked(arguments: SegmentArguments, outcome: Outcome) -> Outcome:
    """The run with labels as --force or --detail says."""
    if arguments.force is not None:
        return merge_classes(outcome, arguments.force)
    return show_at_detail(outcome, arguments.detail)


def write_beside_labels(arguments: SegmentArguments, inputs: Inputs, outcome: Outcome, paths: OutputPaths) -> None:
    """Write every file that was asked for beside the labels; each says by a hash to which labels it belongs."""
    if paths.model:
        save_model(outcome.segmentation.model, paths.model, labels=paths.labels)
    if paths.pie:
        unit = "voxels" if outcome.segmentation.config.spatial_dims == 3 else "pixels"
        write_chart(paths.pie, outcome.segmentation.areas, unit, outcome.classes, outcome.made_by)
    if paths.report:
        write_report(paths.report, build_report(arguments, inputs, outcome, paths.all))
