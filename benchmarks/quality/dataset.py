"""Images with truth: nuclei/NAME.png + NAME_labels.tif, natural/NAME.png + NAME_groundtruth.npz."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from skimage.io import imread

KINDS = {"gray-dark": "fluorescence", "color-bright": "stained tissue", "gray-bright": "bright field"}


@dataclass(frozen=True)
class Sample:
    """One image (Y, X, 3) uint8 with either its nuclei or the segmentations of several people."""

    name: str
    kind: str
    image: npt.NDArray[np.uint8]
    nuclei: npt.NDArray[np.uint16] | None = None
    people: list[npt.NDArray[np.uint16]] = field(default_factory=list)


def read_samples(folder: Path, half: str = "all") -> Iterator[Sample]:
    """The images of a folder, in order of their names; a half is every second one of each kind of truth."""
    every = {"all": slice(None), "even": slice(0, None, 2), "odd": slice(1, None, 2)}[half]
    kinds_file = folder / "nuclei" / "kinds.json"
    kinds = json.loads(kinds_file.read_text()) if kinds_file.exists() else {}
    for path in sorted((folder / "nuclei").glob("*.png"))[every]:
        truth = tifffile.imread(path.with_name(f"{path.stem}_labels.tif"))
        kind = next((KINDS[word] for word in kinds.get(path.stem, []) if word in KINDS), "nuclei")
        yield Sample(path.stem, kind, imread(path)[..., :3], nuclei=truth)
    for path in sorted((folder / "natural").glob("*.png"))[every]:
        with np.load(path.with_name(f"{path.stem}_groundtruth.npz")) as truths:
            yield Sample(path.stem, "natural", imread(path)[..., :3], people=[truths[name] for name in truths.files])
