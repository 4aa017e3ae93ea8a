"""Labels layers -> files."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari.layers import Labels

from napari_ufseg._napari.layers.class_metadata import METADATA_KEY, read_table
from napari_ufseg._napari.layers.region import sliced
from napari_ufseg.engine.errors import UfsegError, engine_errors

_LONGEST = 120  # letters of a name
_CLASSES = " classes"


def write_layer(layer: Labels, path: Path) -> None:
    """Write a layer as uint16 with its scale and place; the ending of the name is the format.

    Raises
    ------
    UfsegError
        If it can't be written; the sentence names the file.
    """
    with engine_errors(f"Saving {path.name}"):
        from napari_ufseg.io import label_file_axes, write_labels

        known = str(layer.metadata.get(METADATA_KEY, {}).get("axes", ""))
        letters = known if len(known) == layer.ndim else f"{'Q' * layer.ndim}TZYX"[-layer.ndim :]
        kept = [i for i, n in enumerate(layer.data.shape) if n > 1 or i >= layer.ndim - 2]
        axes = label_file_axes(path, "".join(letters[i] for i in kept))
        index = tuple(slice(None) if i in kept else 0 for i in range(layer.ndim))
        data = sliced(layer.data, index)
        scale = [float(layer.scale[i]) for i in kept]
        translate = [float(layer.translate[i]) for i in kept]
        place: dict[str, Any] = {"scale": scale, "unit": str(layer.units[-1]), "translate": translate}
        write_labels(path, data, axes=axes, classes=read_table(layer), **place)


def write_layers(layers: Sequence[Labels], folder: Path) -> str:
    """Write every layer into a folder as a TIFF, and go on after one that can't be written.

    Returns
    -------
    str
        How many were written, as a sentence.

    Raises
    ------
    UfsegError
        If some were not; the sentence says how many were, and names the files that were not.
    """
    failures = []
    for layer, path in zip(layers, paths_for(layers, folder), strict=True):
        try:
            write_layer(layer, path)
        except UfsegError as error:
            failures.append(str(error))
    if failures:
        n_saved = len(layers) - len(failures)
        raise UfsegError(f"Saved {n_saved} of {len(layers)} Labels layers in {folder}. {' '.join(failures)}")
    return f"Saved {len(layers)} Labels layers in {folder}"


def paths_for(layers: Sequence[Labels], folder: Path) -> list[Path]:
    """A file for each layer, named after it; no two are the same, also where capitals do not count."""
    from napari_ufseg.io import LABELS_ENDING, TIFF

    taken: set[str] = set()
    paths = []
    for layer in layers:
        name = file_stem(layer)
        stem = name.removesuffix(LABELS_ENDING)
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem} ({number}){LABELS_ENDING}"
        taken.add(name.casefold())
        paths.append(folder / f"{name}{TIFF.ending}")
    return paths


def file_stem(layer: Labels) -> str:
    """The name of a layer without what file systems refuse, ending so that folders of images leave the file out."""
    from napari_ufseg.io import LABELS_ENDING

    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", str(layer.name)).removesuffix(_CLASSES)[:_LONGEST].strip(" .")
    return name if name.endswith(LABELS_ENDING) else f"{name or 'unnamed'}{LABELS_ENDING}"
