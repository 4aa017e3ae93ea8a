"""The samples as napari layers (File > Open Sample)."""

from typing import Any

from napari_ufseg import samples

LayerData = tuple[Any, dict[str, Any], str]


def nuclei() -> list[LayerData]:
    """Nuclei under fluorescence."""
    return [(samples.nuclei(), {"name": "nuclei"}, "image")]


def stained_tissue() -> list[LayerData]:
    """Colon tissue, stained."""
    return [(samples.stained_tissue(), {"name": "stained tissue", "rgb": True}, "image")]


def cells() -> list[LayerData]:
    """One cell under phase contrast."""
    return [(samples.cells(), {"name": "cell"}, "image")]


def time_series() -> list[LayerData]:
    """Drifting discs, and the truth as a hidden Labels layer."""
    series = samples.time_series()
    axes = {"axis_labels": ("t", "y", "x")}
    return [
        (series.image, {"name": "time series", **axes}, "image"),
        (series.truth, {"name": "time series truth", "visible": False, **axes}, "labels"),
    ]
