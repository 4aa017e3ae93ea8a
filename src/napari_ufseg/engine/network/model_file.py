"""Models on disk: a safetensors file, which holds numbers and text and can hold nothing that runs."""

import errno
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from napari_ufseg._version import __version__
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import ConfigError, ModelFileError
from napari_ufseg.engine.files import written_whole
from napari_ufseg.engine.images.intensity import IntensityRange
from napari_ufseg.engine.images.source import MAX_CHANNELS
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.engine.labels.hierarchy import ClassHierarchy
from napari_ufseg.engine.labels.told_numbers import whole
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.network.model import SegmentationModel

_FORMAT = "napari-ufseg model 1"
_LONGEST_HEADER = 10**8  # bytes, as safetensors has it


def save_model(
    model: SegmentationModel, path: str | os.PathLike[str], *, labels: Sequence[str | os.PathLike[str]] = ()
) -> None:
    """Write a model to a file, whole or not at all.

    Parameters
    ----------
    model : SegmentationModel
        ``segmentation.model``; its BatchNorm statistics are those of the training images.
    path : path-like
        Any name; ``.safetensors`` tells other programs what it is.
    labels : sequence of path-like
        Label files that were written with it. Those in its folder or below are named in the file, so that it can be told
        if they are those of another run.

    Raises
    ------
    FileError
        If the system refuses to write there.
    """
    header = {"format": _FORMAT, "version": __version__, **_facts(model)}
    if labels:
        folder = Path(path).absolute().parent
        below = [Path(file).absolute() for file in labels if Path(file).absolute().is_relative_to(folder)]
        header["labels"] = json.dumps([file.relative_to(folder).as_posix() for file in below])
    with written_whole(path) as temporary:
        temporary.write_bytes(save(_tensors(model), metadata=header))


def fingerprint(model: SegmentationModel) -> str:
    """A hash of all that a model is; labels carry that of the model that has made them."""
    found = hashlib.sha256(json.dumps(_facts(model), sort_keys=True).encode())
    for name, value in sorted(_tensors(model).items()):
        found.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def _facts(model: SegmentationModel) -> dict[str, str]:
    return {
        "config": json.dumps(model.config.to_dict()),
        "n_channels": str(model.n_channels),
        "class_labels": json.dumps(model.class_labels),
        "classes": json.dumps(model.classes.to_list()),
        "hierarchy": json.dumps(model.hierarchy.to_dict()),
        "intensity": json.dumps([its.to_dict() for its in model.intensity]),
    }


def _tensors(model: SegmentationModel) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in model.network.state_dict().items()}


def labels_with(path: str | os.PathLike[str]) -> list[str]:
    """The label files that a model file says were written with it, as names in its folder or below; none if it says none."""
    try:
        names = json.loads(_header_of(Path(path)).get("labels", "[]"))
    except (OSError, ValueError, RecursionError):
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def load_model(path: str | os.PathLike[str]) -> SegmentationModel:
    """Read a model that `save_model` wrote; nothing in the file is ever executed.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    SegmentationModel

    Raises
    ------
    ModelFileError
        If the file is missing, is not such a model, or is damaged.
    """
    file = Path(path)
    _require_file(file)
    try:
        header = _header_of(file)
        if header.get("format") != _FORMAT:
            raise ModelFileError(
                f"{file} is not a model of napari-ufseg (format {header.get('format')!r}, not {_FORMAT!r})."
            )
        tensors = load(file.read_bytes())
    except (SafetensorError, OSError, ValueError, RecursionError, MemoryError, KeyError) as error:
        raise ModelFileError(
            f"{file} is not a model of napari-ufseg: it is no safetensors file, or it is damaged."
        ) from error
    try:
        return _built(header, tensors)
    except MemoryError as error:
        raise ModelFileError(f"The model {file} does not fit into memory.") from error
    except _NotFiniteError as error:
        raise ModelFileError(
            f"{file} is a damaged model of napari-ufseg: the weights {error} are not finite, or below 0 where that cannot be."
        ) from error
    except (ArithmeticError, ConfigError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(
            f"{file} is a damaged model of napari-ufseg: its header and its weights do not fit."
        ) from error


def _header_of(file: Path) -> dict[str, str]:
    """The texts in the header of a safetensors file, whose own reader takes no names that are no UTF-8."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if length > _LONGEST_HEADER:
            raise ValueError(f"a header of {length} bytes")
        told = json.loads(opened.read(length))
    texts = told.get("__metadata__", {}) if isinstance(told, dict) else {}
    return {key: text for key, text in texts.items() if isinstance(text, str)} if isinstance(texts, dict) else {}


class _NotFiniteError(ValueError):
    """Weights that no training has made: infinite, or no numbers, or variances below 0."""


def _require_file(file: Path) -> None:
    """Raise ModelFileError with the reason if there is no file that can be read."""
    try:
        if file.is_file():
            with file.open("rb"):
                return
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise ModelFileError(f"Cannot read the model {file}: {error.strerror or error}.") from error
    raise ModelFileError(f"There is no model file {file}.")


def _built(header: dict[str, str], tensors: dict[str, torch.Tensor]) -> SegmentationModel:
    config = SegmentationConfig.from_dict(json.loads(header["config"]))
    n_channels = int(header["n_channels"])
    if not 1 <= n_channels <= MAX_CHANNELS:
        raise ValueError(f"{n_channels} channels")
    with torch.device("meta"):  # a network without weights: a file may claim one of any size
        claimed = {name: value.shape for name, value in FeatureNet.of_config(config, n_channels).state_dict().items()}
    if claimed != {name: value.shape for name, value in tensors.items()}:
        raise ValueError("weights of another network")
    for name, value in sorted(tensors.items()):
        if not value.isfinite().all() or (name.endswith("running_var") and (value < 0).any()):
            raise _NotFiniteError(name)
    network = FeatureNet.of_config(config, n_channels)
    network.load_state_dict(tensors)
    class_labels = tuple(whole(label) for label in json.loads(header["class_labels"]))
    if len(class_labels) != config.n_classes:
        raise ValueError(f"{len(class_labels)} labels for {config.n_classes} classes")
    if not all(0 <= label < 2**16 for label in class_labels):
        raise ValueError("labels that do not fit into a label image")
    classes = ClassTable.from_list(json.loads(header.get("classes", "[]")))
    tree = json.loads(header.get("hierarchy", "null"))
    known = ClassHierarchy() if tree is None else ClassHierarchy.from_dict(tree)
    if not set(known.areas) <= set(class_labels):
        raise ValueError("a tree of other classes")
    intensity = tuple(IntensityRange.from_dict(its) for its in json.loads(header.get("intensity", "[]")))
    return SegmentationModel(network.eval(), config, n_channels, class_labels, classes, known, intensity)
