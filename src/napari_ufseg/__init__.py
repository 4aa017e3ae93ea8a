"""Unsupervised, live segmentation of microscopy images for napari and for scripts.

The public names are loaded on first use (PEP 562), so that importing this
package costs nothing: neither torch nor napari is imported by it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_ufseg._version import __version__

if TYPE_CHECKING:
    from napari_ufseg.engine.api import iter_segment, predict, segment, train_on
    from napari_ufseg.engine.config import SegmentationConfig
    from napari_ufseg.engine.errors import UfsegError
    from napari_ufseg.engine.labels.matching import merge_by_scribbles
    from napari_ufseg.engine.labels.regions import absorb_small, connected_regions
    from napari_ufseg.engine.network.model_file import load_model, save_model
    from napari_ufseg.engine.prediction.confidence import confidence

_HOMES = {
    "SegmentationConfig": "config",
    "UfsegError": "errors",
    "absorb_small": "labels.regions",
    "confidence": "prediction.confidence",
    "connected_regions": "labels.regions",
    "iter_segment": "api",
    "load_model": "network.model_file",
    "merge_by_scribbles": "labels.matching",
    "predict": "api",
    "save_model": "network.model_file",
    "segment": "api",
    "train_on": "api",
}

__all__ = [
    "SegmentationConfig",
    "UfsegError",
    "__version__",
    "absorb_small",
    "confidence",
    "connected_regions",
    "iter_segment",
    "load_model",
    "merge_by_scribbles",
    "predict",
    "save_model",
    "segment",
    "train_on",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.engine.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
