"""From a finished run to files: merging, labels, model, chart, report."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import torch

from napari_ufseg.cli.chart import write_chart
from napari_ufseg.cli.inputs import Inputs
from napari_ufseg.cli.outputs import OutputPaths
from napari_ufseg.cli.report import Outcome, build_report, write_report
from napari_ufseg.engine.errors import engine_errors
from napari_ufseg.engine.image import prepare_images
from napari_ufseg.engine.inference import mean_responses
from napari_ufseg.engine.labels import class_areas, merge_most_similar, relabel
from napari_ufseg.engine.model_file import save_model
from napari_ufseg.io import write_labels


def merge_classes(outcome: Outcome, inputs: Inputs, n_classes: int) -> Outcome:
    """Merge the most similar classes, in the labels and in the model, until `n_classes` are left."""
    result = outcome.segmentation
    varied = [image.array for image in inputs.images if not image.is_constant]
    if not varied:
        return outcome
    prepared = prepare_images(varied, channel_axis=inputs.channel_axis, scaling=result.config.scaling)
    with engine_errors("Merging classes"):
        responses = mean_responses(result.model, prepared, torch.device(result.device))
        vectors = {label: vector.numpy() for label, vector in responses.items()}
        label_of = merge_most_similar(vectors, class_areas(outcome.labels), n_classes)
    labels = [relabel(item, label_of) for item in outcome.labels]
    merged = replace(result, labels=labels, model=result.model.merged(label_of))
    return replace(outcome, segmentation=merged, merged=label_of)


def write_results(arguments: Namespace, inputs: Inputs, outcome: Outcome, paths: OutputPaths) -> list[Path]:
    """Write every file that was asked for and return their paths."""
    if arguments.force is not None:
        outcome = merge_classes(outcome, inputs, arguments.force)
    for path, labels in zip(paths.labels, outcome.labels, strict=bool(paths.labels)):
        write_labels(path, labels)
    if paths.model:
        save_model(outcome.segmentation.model, paths.model)
    if paths.pie:
        write_chart(paths.pie, class_areas(outcome.labels))
    if paths.report:
        write_report(paths.report, build_report(arguments, inputs, outcome, paths.all))
    return paths.all
