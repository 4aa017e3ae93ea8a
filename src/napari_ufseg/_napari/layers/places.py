"""Where the files of a result go, and how they are called: beside the file of its image, or where the last one went."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from napari.layers import Image, Labels

from napari_ufseg._napari.layers.class_metadata import METADATA_KEY
from napari_ufseg._napari.layers.result_layer import belongs_to
from napari_ufseg._napari.layers.saving import file_stem
from napari_ufseg.io import LABELS_ENDING, image_stem, is_zarr


class Destination(NamedTuple):
    """What a dialog offers.

    Parameters
    ----------
    folder : Path or None
        That of the image, if it is there and can be written in.
    stem : str
        Of the file's name.
    """

    folder: Path | None
    stem: str

    def offered(self, ending: str) -> str:
        """The path that a dialog begins with; a name alone stands for the current folder."""
        folder = self.folder or last_folder.path
        return str(folder / f"{self.stem}{ending}") if folder is not None else f"{self.stem}{ending}"


class LastFolder:
    """The folder that was chosen last in a dialog of this session, in whatever dock."""

    def __init__(self) -> None:
        self._path: Path | None = None

    @property
    def path(self) -> Path | None:
        """None if there is none, or not any more."""
        return self._path if self._path is not None and self._path.is_dir() else None

    def note(self, path: Path | None) -> None:
        """Take the folder that was used; None forgets it."""
        self._path = None if path is None else path.absolute()

    def __str__(self) -> str:
        """As a dialog takes it: empty stands for the current folder."""
        return str(self.path or "")


last_folder = LastFolder()


def place_of_labels(layer: Labels, there: Iterable[Any]) -> Destination:
    """Where the labels of a layer go; a layer that still has the name of its run is called after the file of the image.

    Parameters
    ----------
    layer : napari.layers.Labels
    there : iterable of layers
        Those of the viewer.
    """
    there = list(there)
    file = _image_file(layer, there)
    named_by_run = layer.name == f"{layer.metadata.get(METADATA_KEY, {}).get('source')} classes"
    stem = file_stem(layer) if file is None or not named_by_run else f"{image_stem(file)}{LABELS_ENDING}"
    return Destination(folder_of([layer], there), stem)


def place_of_model(layers: Sequence[Labels], there: Iterable[Any]) -> Destination:
    """Where the model goes that has made these layers, called after the (first) image."""
    if not layers:
        return Destination(None, "model")
    there = list(there)
    file = _image_file(layers[0], there)
    first = file_stem(layers[0]).removesuffix(LABELS_ENDING) if file is None else image_stem(file)
    more = f" and {len(layers) - 1} more" if len(layers) > 1 else ""
    return Destination(folder_of(layers, there), f"{first}{more}")


def folder_of(layers: Sequence[Labels], there: Iterable[Any]) -> Path | None:
    """The folder of the first image, or label file, of these layers that can be written in; None if there is none."""
    there = list(there)
    files = [_file_of(_image_of(layer, there) or layer) for layer in layers]
    folders = [file.parent for file in files if file is not None]
    return next((folder for folder in folders if folder.is_dir() and os.access(folder, os.W_OK)), None)


def _image_of(layer: Labels, there: Iterable[Any]) -> Image | None:
    """The image whose classes a layer shows."""
    return next((item for item in there if isinstance(item, Image) and belongs_to(layer, item)), None)


def _image_file(layer: Labels, there: Sequence[Any]) -> Path | None:
    """The file of the image, if no other image is of that file, as its other channels are."""
    image = _image_of(layer, there)
    file = None if image is None else _file_of(image)
    others = [item for item in there if isinstance(item, Image) and item is not image]
    return None if file is None or any(_file_of(item) == file for item in others) else file


def _file_of(layer: Any) -> Path | None:
    """The file, or the outermost Zarr, that a layer was opened from; None if it was made."""
    if layer.source.path is None:
        return None
    file = Path(layer.source.path).absolute()
    return next((folder for folder in reversed(file.parents) if is_zarr(folder)), file)
