"""What is said about classes <-> a Labels layer: colours on the canvas, a features table, and metadata that are saved."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap

from napari_ufseg.engine.labels.class_table import BACKGROUND, N_COLOURS, ClassInfo, ClassTable, class_colours

METADATA_KEY = "napari_ufseg"
RUN = "run"  # in the metadata: layers of one run share their classes
_CLASSES = "classes"
_CLEAR = np.zeros(4, np.float32)


def class_colormap() -> CyclicLabelColormap:
    """Colours that depend on the label alone; the first entry is the background."""
    return CyclicLabelColormap(colors=np.concatenate([np.zeros((1, 3)), class_colours()]))


def colormap_of(table: ClassTable, labels: Iterable[int]) -> CyclicLabelColormap | DirectLabelColormap:
    """The colours of a table; own ones where a class is hidden or has another colour than its label's.

    Parameters
    ----------
    table : ClassTable
    labels : iterable of int
        Those that occur; what is painted later gets the colour of its label as well, up to `N_COLOURS` beyond.
    """
    if not table.has_own_look:
        return class_colormap()
    known = range(1, max((*labels, *table, N_COLOURS)) + N_COLOURS)
    colours: dict[int | None, Any] = {label: _rgba(table[label]) for label in known}
    return DirectLabelColormap(color_dict={**colours, BACKGROUND: _CLEAR, None: _CLEAR})


def read_table(layer: Labels) -> ClassTable:
    """What the metadata of a layer say about its classes."""
    return ClassTable.from_list(layer.metadata.get(METADATA_KEY, {}).get(_CLASSES))


def write_table(layer: Labels, table: ClassTable, areas: Mapping[int, int]) -> None:
    """Let a layer show a table, and carry it on; features have a row for each label that occurs."""
    about = dict(layer.metadata.get(METADATA_KEY, {}))
    about[_CLASSES] = table.to_list()
    layer.metadata = {**layer.metadata, METADATA_KEY: about}
    labels = sorted(areas)
    layer.features = {
        "index": np.array(labels, dtype=np.int64),
        "name": np.array([table[label].title for label in labels], dtype=object),
        "pixels": np.array([areas[label] for label in labels], dtype=np.int64),
    }
    wanted = colormap_of(table, areas)
    if not (isinstance(wanted, CyclicLabelColormap) and is_plain(layer)):
        layer.colormap = wanted


def is_plain(layer: Labels) -> bool:
    """Whether the layer has the colours that depend on the label alone."""
    colours = layer.colormap
    return isinstance(colours, CyclicLabelColormap) and len(colours.colors) == N_COLOURS + 1


def _rgba(info: ClassInfo) -> Any:
    return np.array([*info.rgb, 1.0], np.float32) if info.is_visible else _CLEAR
