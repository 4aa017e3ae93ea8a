"""Labels layers -> files."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Self

import numpy as np
from napari.layers import Labels

from napari_ufseg._napari.background import JobThread, Progress
from napari_ufseg._napari.layers.class_metadata import METADATA_KEY, background_of, joined_labels, read_table
from napari_ufseg._napari.layers.layer_steps import layer_steps
from napari_ufseg._napari.layers.region import sliced
from napari_ufseg.engine.errors import StoppedError, UfsegError, engine_errors, go_on
from napari_ufseg.engine.labels.hierarchy import relabel_lazily

_LONGEST = 120  # letters of a name
_MOST_BYTES = 220  # of it; the rest of 255 is for what is put behind it: labels, a number, an ending
_CLASSES = re.compile(
    r" classes((?:, [tz]=\d+)*(?:, plane \d+(?:, \d+)*)?(?: \[\d+\])?)$"
)  # with plane and napari's number


@dataclass(frozen=True)
class LabelsFile:
    """A Labels layer that is to be written, as it was when that was asked for; another thread may write it.

    Parameters
    ----------
    path : Path
        The ending of its name is the format.
    data : array-like of integers
        The labels; not copied.
    about : dict
        The other arguments of `napari_ufseg.io.write_labels`.
    """

    path: Path
    data: Any
    about: dict[str, Any]

    @classmethod
    def of(cls, layer: Labels, path: Path) -> Self:
        """A layer as uint16 with its scale and place.

        Raises
        ------
        UfsegError
            If its axes have no place in such a file.
        """
        with engine_errors(f"Saving {path.name}"):
            from napari_ufseg.io import label_file_axes

            known = str(layer.metadata.get(METADATA_KEY, {}).get("axes", ""))
            letters = known if len(known) == layer.ndim else f"{'Q' * layer.ndim}TZYX"[-layer.ndim :]
            labels = layer.data[0] if layer.multiscale else layer.data
            kept = [i for i, n in enumerate(labels.shape) if n > 1 or letters[i] in "YX"]
            index = tuple(slice(None) if i in kept else 0 for i in range(layer.ndim))
            told, axes = layer_steps(layer, letters), "".join(letters[i] for i in kept)
            about = {
                "axes": label_file_axes(path, axes),
                "classes": read_table(layer),
                "scale": told.sizes(axes),
                "unit": told.units(axes),
                "translate": told.starts(axes),
            }
            data = relabel_lazily(sliced(labels, index), joined_labels(layer))
            return cls(path, data, about)

    @property
    def n_pixels(self) -> int:
        """How many labels there are to write."""
        return prod(self.data.shape)

    def write(self, data: Any = None) -> None:
        """Write it, whole or not at all.

        Parameters
        ----------
        data : array-like, optional
            Stands for the labels, for somebody who wants to know which are read.

        Raises
        ------
        UfsegError
            If it can't be written; the sentence names the file.
        """
        with engine_errors(f"Saving {self.path.name}"):
            from napari_ufseg.io import write_labels

            write_labels(self.path, self.data if data is None else data, **self.about)


def write_files(files: Sequence[LabelsFile], told: str, hand: JobThread | None = None) -> str:
    """Write all of them, and go on after one that can't be written.

    Parameters
    ----------
    files : sequence of LabelsFile
    told : str
        What to say when all are written.
    hand : JobThread, optional
        Of the job whose thread this is: is told how far it is, and ends it between two pieces; what is written stays.

    Returns
    -------
    str
        How many were written, as a sentence.

    Raises
    ------
    UfsegError
        If some were not; the sentence says how many were, and names the files that were not.
    StoppedError
        If the job was stopped.
    """
    failures = []
    watch = None if hand is None else _Watch(hand, sum(file.n_pixels for file in files))
    for file in files:
        try:
            file.write(None if watch is None else _Watched(file.data, watch))
        except StoppedError:
            raise
        except UfsegError as error:
            failures.append(str(error))
    if failures and len(files) > 1:
        n_saved, folder = len(files) - len(failures), files[0].path.parent
        raise UfsegError(f"Saved {n_saved} of {len(files)} Labels layers in {folder}. {' '.join(failures)}")
    if failures:
        raise UfsegError(failures[0])
    return told


class _Watch:
    """How much of some labels has been read to be written."""

    def __init__(self, hand: JobThread, total: int) -> None:
        self._hand, self._total, self._done, self._begun = hand, max(1, total), 0, time.monotonic()

    def note(self, n_pixels: int) -> None:
        """Tell that more of them are read; StoppedError if that is enough."""
        go_on(self._hand.is_stopped)
        self._done += n_pixels
        share = min(1.0, self._done / self._total)
        self._hand.tell(Progress(share, (time.monotonic() - self._begun) * (1 - share) / share))


class _Watched:
    """Labels that tell a `_Watch` when a region of them is read."""

    def __init__(self, data: Any, watch: _Watch) -> None:
        self._data, self._watch = data, watch
        self.shape, self.dtype, self.ndim = data.shape, data.dtype, data.ndim

    def __getitem__(self, region: Any) -> Any:
        part = np.asarray(self._data[region])
        self._watch.note(part.size)
        return part


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
    from napari_ufseg.io import LABELS_ENDING, cut_name

    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", str(layer.name))
    image, plane = (name[: found.start()], found[1]) if (found := _CLASSES.search(name)) else (name, "")
    image = cut_name(image[: max(0, _LONGEST - len(plane))], plane, _MOST_BYTES)
    name = f"{image}{plane}".strip(" .")
    return name if name.endswith(LABELS_ENDING) else f"{name or 'unnamed'}{LABELS_ENDING}"


def background_note(layers: Sequence[Labels]) -> str:
    """What a user should know of a background that has another label than 0, in a sentence to begin with; empty if none has."""
    labels = {label for layer in layers if (label := background_of(layer)) is not None}
    if not labels:
        return ""
    which = " and ".join(map(str, sorted(labels)))
    return f"The background has the label {which}, not 0 (for 0 press Background and save again). "
