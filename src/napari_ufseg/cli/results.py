"""From a finished run to files: merging, model, chart, report."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from napari_ufseg.cli.chart import write_chart
from napari_ufseg.cli.inputs import Inputs
from napari_ufseg.cli.outputs import OutputPaths
from napari_ufseg.cli.report import Outcome, build_report, write_report
from napari_ufseg.engine.errors import engine_errors
from napari_ufseg.engine.labels.hierarchy import merge_most_similar, relabel
from napari_ufseg.engine.network.model_file import save_model
from napari_ufseg.engine.prediction.labelling import Job, mean_responses, scan


def merge_classes(outcome: Outcome, inputs: Inputs, n_classes: int) -> Outcome:
    """Merge the most similar classes, in the labels and in the model, until `n_classes` are left; 0 is none of them."""
    result = outcome.segmentation
    with engine_errors("Merging classes"):
        jobs = [
            Job(source, scan(source, result.config.scaling), labels)
            for source, labels in zip(inputs.sources, outcome.labels, strict=True)
        ]
        varied = [job for job in jobs if not job.brightness.is_constant]
        if not varied:
            return outcome
        responses = mean_responses(result.model, varied, torch.device(result.device))
        vectors = {label: vector.numpy() for label, vector in responses.items() if label}
        label_of = merge_most_similar(vectors, result.areas, n_classes)
        for labels in outcome.labels:
            _relabel_in_place(labels, label_of)
    areas: dict[int, int] = {}
    for label, pixels in result.areas.items():
        merged = label_of.get(label, label)
        areas[merged] = areas.get(merged, 0) + pixels
    renamed = replace(result, model=result.model.merged(label_of), areas=dict(sorted(areas.items())))
    return replace(outcome, segmentation=renamed, merged=label_of)


def _relabel_in_place(labels: Any, label_of: Mapping[int, int]) -> None:
    """Plane by plane, so that labels on disk needn't fit into memory."""
    for plane in np.ndindex(labels.shape[:-2]):
        labels[plane] = relabel(np.asarray(labels[plane]), label_of)


def write_results(arguments: Namespace, inputs: Inputs, outcome: Outcome, paths: OutputPaths) -> None:
    """Write every file that was asked for beside the labels; with --force, merge classes first."""
    if arguments.force is not None:
        outcome = merge_classes(outcome, inputs, arguments.force)
    if paths.model:
        save_model(outcome.segmentation.model, paths.model)
    if paths.pie:
        unit = "voxels" if outcome.segmentation.config.spatial_dims == 3 else "pixels"
        write_chart(paths.pie, outcome.segmentation.areas, unit)
    if paths.report:
        write_report(paths.report, build_report(arguments, inputs, outcome, paths.all))
