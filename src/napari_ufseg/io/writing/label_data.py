"""A label image that is to be written: its values, its grid, and what is known of its classes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.io.writing.label_grid import LabelGrid

LARGEST_LABEL = int(np.iinfo(np.uint16).max)


@dataclass(frozen=True, eq=False)
class LabelsToWrite:
    """What a writer of label files gets.

    Parameters
    ----------
    path : Path
        The file that was asked for, for the messages and for what its name says; written is another, temporary one.
    values : array of integers
        Of the shape of `grid`; may be lazy.
    grid : LabelGrid
    classes : ClassTable
        Names and colours that a user has chosen.
    colours : bool
        Store the colours of the classes, if the format can.
    ome_zarr_version : {"0.4", "0.5"}
    made_by : str
        The fingerprint of the model that has made them; empty if it is not known.
    """

    path: Path
    values: Any
    grid: LabelGrid
    classes: ClassTable = field(default_factory=ClassTable)
    colours: bool = True
    ome_zarr_version: Literal["0.4", "0.5"] = "0.4"
    made_by: str = ""

    def __getitem__(self, region: Any) -> npt.NDArray[np.uint16]:
        """The labels of a region, read now; FileError if they do not fit into uint16."""
        part = np.asarray(self.values[region])
        if part.size and part.dtype not in (np.uint8, np.uint16, np.bool_):
            least, most = int(part.min()), int(part.max())
            if not 0 <= least <= most <= LARGEST_LABEL:
                raise FileError(
                    f"Cannot write {self.path}: labels from {least} to {most} do not fit into uint16; number them anew "
                    f"from 1 to at most {LARGEST_LABEL}, for example with skimage.segmentation.relabel_sequential."
                )
        return part.astype(np.uint16, copy=False)

    def planes(self) -> Iterator[npt.NDArray[np.uint16]]:
        """The (Y, X) planes, one after the other; of the axes before them the last is the fastest."""
        return (self[index] for index in np.ndindex(self.grid.shape[:-2]))
