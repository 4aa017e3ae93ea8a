"""What is said about classes <-> a Labels layer: colours on the canvas, a features table, and metadata that are saved."""

from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap

from napari_ufseg.engine.labels.class_table import BACKGROUND, N_COLOURS, ClassInfo, ClassTable, class_colours

METADATA_KEY = "napari_ufseg"
OPACITY = 0.5  # of classes, over the image
RUN = "run"  # in the metadata: layers of one run share their classes
_CLASSES, _ALL_CLASSES, _DETAIL = "classes", "all_classes", "detail"
_JOINED, _BACKGROUND = "joined_by_colour", "background"
LARGEST_LABEL = 2**16 - 1  # of what is made here
_CLEAR = 0.0, 0.0, 0.0, 0.0


class DirectColormap(DirectLabelColormap):  # type: ignore[misc]
    """Colours by label, as napari's own; a table of the colours of all labels of 8 or 16 bit is made at once, not label by label."""

    def _map_without_cache(self, values: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float32]:
        colours = {label: colour for label, colour in self.color_dict.items() if label is not None}
        labels = np.array(sorted(colours), np.int64)
        table = np.array([*(colours[label] for label in labels.tolist()), self.default_color], np.float32)
        place = np.searchsorted(labels, values).clip(max=len(labels) - 1)
        mapped: npt.NDArray[np.float32] = table[np.where(labels[place] == values, place, len(labels))]
        return mapped


def class_colormap() -> CyclicLabelColormap:
    """Colours that depend on the label alone; the first entry is the background."""
    return CyclicLabelColormap(colors=np.concatenate([np.zeros((1, 3)), class_colours()]))


def colormap_of(
    table: ClassTable, labels: Iterable[int], joined_by_colour: Mapping[int, int] | None = None
) -> CyclicLabelColormap | DirectColormap:
    """The colours of a table; own ones where a class is hidden or has another colour than its label's.

    Parameters
    ----------
    table : ClassTable
    labels : iterable of int
        Those that occur; what is painted later gets the colour of its label as well, up to `N_COLOURS` beyond.
    joined_by_colour : dict of int to int, optional
        Labels that are drawn as others.
    """
    colours = _colours_of(table, labels, joined_by_colour or {})
    return DirectColormap(color_dict=colours) if colours else class_colormap()


def _colours_of(
    table: ClassTable, labels: Iterable[int], drawn_as: Mapping[int, int]
) -> dict[int | None, tuple[float, ...]]:
    """The colours of labels, where a class has another one than its label's; else none."""
    if not table.has_own_look and not drawn_as:
        return {}
    told = {*labels, *table, *drawn_as}  # few, but a file may tell of labels of any size
    most = max((label for label in told if label <= LARGEST_LABEL), default=0)
    known = sorted({*range(1, max(most, N_COLOURS) + N_COLOURS), *(told - {BACKGROUND})})
    colours: dict[int | None, tuple[float, ...]] = {label: _rgba(table[drawn_as.get(label, label)]) for label in known}
    return {**colours, BACKGROUND: _CLEAR, None: _CLEAR}


def read_table(layer: Labels) -> ClassTable:
    """What the metadata of a layer say about the classes that it shows."""
    return _table_in(layer, _CLASSES)


def read_classes(layer: Labels) -> ClassTable:
    """What the metadata of a layer say about all classes, also of those that are shown as one."""
    return _table_in(layer, _ALL_CLASSES, _CLASSES)


def metadata_of(table: ClassTable) -> dict[str, Any]:
    """What metadata say about the classes that are shown, and of their detail."""
    return {_CLASSES: table.to_list(), **(table.detail.said if table.detail else {})}


def _table_in(layer: Labels, *keys: str) -> ClassTable:
    """The table under the first of these keys that there is, with the detail that is shown."""
    about = layer.metadata.get(METADATA_KEY, {})
    told = next((about[key] for key in keys if key in about), None)
    return ClassTable.from_list([*(told if isinstance(told, list) else []), {_DETAIL: about.get(_DETAIL)}])


def write_table(
    layer: Labels,
    classes: ClassTable,
    table: ClassTable,
    areas: Mapping[int, int],
    joined_by_colour: Mapping[int, int] | None = None,
    background: int | None = None,
) -> None:
    """Let a layer show a table, and carry it on; features have a row for each label that occurs.

    Parameters
    ----------
    layer : napari.layers.Labels
    classes : ClassTable
        Of all classes.
    table : ClassTable
        Of the classes that are shown.
    areas : dict of int to int
        Pixels of each of them.
    joined_by_colour : dict of int to int, optional
        Labels of the layer that are drawn, and called, as others.
    background : int, optional
        The class that is taken for the background.
    """
    drawn_as = dict(joined_by_colour or {})
    about = dict(layer.metadata.get(METADATA_KEY, {}))
    for key in (_DETAIL, _JOINED, _BACKGROUND):
        about.pop(key, None)
    if background is not None:
        about[_BACKGROUND] = background
    about |= {**metadata_of(table), _ALL_CLASSES: classes.to_list()}
    if drawn_as:
        about[_JOINED] = drawn_as
    layer.metadata = {**layer.metadata, METADATA_KEY: about}
    labels = sorted({*areas, *(label for label, other in drawn_as.items() if other in areas)})
    shown = [drawn_as.get(label, label) for label in labels]
    layer.features = {
        "index": np.array(labels, dtype=np.int64),
        "name": np.array([title_of(table, label, background) for label in shown], dtype=object),
        "pixels": np.array([areas[label] for label in shown], dtype=np.int64),
    }
    draw_classes(layer, table, areas, drawn_as)


def title_of(table: ClassTable, label: int, background: int | None) -> str:
    """What a class is called where nobody has given it a name: background, or by its number."""
    info = table[label]
    return f"background ({label})" if label == background and not info.name else info.title


def draw_classes(
    layer: Labels, table: ClassTable, areas: Mapping[int, int], joined_by_colour: Mapping[int, int]
) -> None:
    """Give a layer the colours of a table, unless it has them; the arguments are those of `write_table`."""
    colours = _colours_of(table, areas, joined_by_colour)
    if not colours:
        if not is_plain(layer):
            layer.colormap = class_colormap()
        return
    drawn = _drawn.get(layer)
    if drawn is None or drawn[0] != colours or layer.colormap is not drawn[1]:
        layer.colormap = DirectColormap(color_dict=colours)
        _drawn[layer] = colours, layer.colormap


_drawn: "WeakKeyDictionary[Labels, tuple[dict[int | None, tuple[float, ...]], Any]]" = WeakKeyDictionary()


def background_of(layer: Labels) -> int | None:
    """The class that is taken for the background and keeps its number; None if there is none."""
    label = layer.metadata.get(METADATA_KEY, {}).get(_BACKGROUND)
    return None if label is None else int(label)


def joined_labels(layer: Labels) -> dict[int, int]:
    """What the labels of a layer are drawn as, where that is not themselves."""
    return dict(layer.metadata.get(METADATA_KEY, {}).get(_JOINED, {}))


def is_plain(layer: Labels) -> bool:
    """Whether the layer has the colours that depend on the label alone."""
    colours = layer.colormap
    return isinstance(colours, CyclicLabelColormap) and len(colours.colors) == N_COLOURS + 1


def _rgba(info: ClassInfo) -> tuple[float, ...]:
    return (*info.rgb, 1.0) if info.is_visible else _CLEAR
