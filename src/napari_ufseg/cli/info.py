"""``ufseg info``: what a saved model is."""

import json
from typing import Any

from napari_ufseg.cli.arguments import InfoArguments
from napari_ufseg.engine.config import options
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.network.model_file import load_model


def run_info(arguments: InfoArguments) -> int:
    """``ufseg info``: what a model is, for people or as JSON."""
    facts = model_facts(load_model(arguments.model))
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return 0
    print(f"Model:     {arguments.model}")
    print(f"Channels:  {facts['n_channels']}")
    print(f"Weights:   {facts['n_weights']:,}")
    print(f"Labels:    {_ranges(facts['labels'])} ({len(facts['labels'])} in all)")
    print("Settings:")
    known = options()
    width = max(map(len, known))
    for name, value in facts["config"].items():
        print(f"  {name:{width}}  {value!s:>10}  {known[name].label}")
    return 0


def model_facts(model: SegmentationModel) -> dict[str, Any]:
    """What there is to say about a model, as plain values."""
    return {
        "n_channels": model.n_channels,
        "n_weights": sum(weights.numel() for weights in model.network.parameters()),
        "labels": sorted(set(model.class_labels)),
        "names": {str(info.label): info.name for info in model.classes.values() if info.name},
        "config": model.config.to_dict(),
    }


def _ranges(labels: list[int]) -> str:
    """[1, 2, 3, 7] -> '1-3, 7'."""
    groups: list[list[int]] = []
    for label in labels:
        if groups and label == groups[-1][-1] + 1:
            groups[-1].append(label)
        else:
            groups.append([label])
    return ", ".join(str(group[0]) if len(group) == 1 else f"{group[0]}-{group[-1]}" for group in groups)
