"""``ufseg info``: what a saved model is, or which classes a label file shows."""

import json
from pathlib import Path
from typing import Any

from napari_ufseg.cli.arguments import InfoArguments, UsageError
from napari_ufseg.cli.inputs import load_told
from napari_ufseg.cli.terminal import say
from napari_ufseg.engine.config import options
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.network.model_file import fingerprint
from napari_ufseg.io import IMAGE_SUFFIXES, MADE_BY_KEY, ImageFile, is_zarr, made_by, open_image


def run_info(arguments: InfoArguments) -> int:
    """``ufseg info``: what a file is, for people or as JSON."""
    file = arguments.file
    labels = _open_labels(file) if is_zarr(file) or file.suffix.lower() in IMAGE_SUFFIXES else None
    facts = model_facts(load_told(file)) if labels is None else label_facts(labels)
    if arguments.json:
        print(json.dumps(facts, indent=2))
    else:
        lines = _model_lines(facts) if labels is None else label_lines(facts)
        for line in (f"{'Model' if labels is None else 'Labels'}:".ljust(11) + str(file), *lines):
            say(line)
    return 0


def _open_labels(file: Path) -> ImageFile:
    """An image file that says that it holds labels; UsageError if it does not."""
    opened = open_image(file)
    if not opened.is_labels:
        raise UsageError(
            f"{file} is not a model, and does not say that it holds labels: ufseg info tells of these two."
        )
    return opened


def model_facts(model: SegmentationModel) -> dict[str, Any]:
    """What there is to say about a model, as plain values."""
    return {
        "n_channels": model.n_channels,
        "n_weights": sum(weights.numel() for weights in model.network.parameters()),
        "labels": sorted(set(model.class_labels)),
        "names": {str(info.label): info.name for info in model.classes.values() if info.name},
        MADE_BY_KEY: fingerprint(model),
        "config": model.config.to_dict(),
    }


def _model_lines(facts: dict[str, Any]) -> list[str]:
    known = options()
    width = max(map(len, known))
    return [
        f"Channels:  {facts['n_channels']}",
        f"Weights:   {facts['n_weights']:,}",
        f"Known as:  {facts[MADE_BY_KEY]}",
        f"Labels:    {_ranges(facts['labels'])} ({len(facts['labels'])} in all)",
        "Settings:",
        *(f"  {name:{width}}  {value!s:>10}  {known[name].label}" for name, value in facts["config"].items()),
    ]


def label_facts(labels: ImageFile) -> dict[str, Any]:
    """What there is to say about a label file, as plain values."""
    classes = labels.classes
    return {
        "shape": list(labels.data.shape),
        "axes": labels.axes,
        "detail": None if classes.detail is None else classes.detail._asdict(),
        "shown_as": {str(shown): list(members) for shown, members in classes.stands_for.items()},
        "hidden": sorted(info.label for info in classes.values() if not info.is_visible),
        "names": {str(info.label): info.name for info in classes.values() if info.name},
        **({MADE_BY_KEY: by} if (by := made_by(labels.path)) else {}),
    }


def label_lines(facts: dict[str, Any]) -> list[str]:
    """The same for people."""
    detail, names = facts["detail"], facts["names"]
    joined = "; ".join(f"{shown} = {', '.join(map(str, members))}" for shown, members in facts["shown_as"].items())
    known = "not told by the file" if detail is None else f"{detail['shown']} of {detail['of']} classes shown"
    lines = [
        f"Shape:     {' x '.join(map(str, facts['shape']))} ({facts['axes']})",
        f"Detail:    {known}{f' ({joined})' if joined else ''}",
    ]
    if facts["hidden"]:
        lines.append(f"Not drawn: {', '.join(map(str, facts['hidden']))}")
    if names:
        lines.append(f"Names:     {', '.join(f'{label} {name}' for label, name in names.items())}")
    if MADE_BY_KEY in facts:
        lines.append(f"Made by:   the model that is known as {facts[MADE_BY_KEY]}")
    return lines


def _ranges(labels: list[int]) -> str:
    """[1, 2, 3, 7] -> '1-3, 7'."""
    groups: list[list[int]] = []
    for label in labels:
        if groups and label == groups[-1][-1] + 1:
            groups[-1].append(label)
        else:
            groups.append([label])
    return ", ".join(str(group[0]) if len(group) == 1 else f"{group[0]}-{group[-1]}" for group in groups)
