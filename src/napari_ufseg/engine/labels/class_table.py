"""Table of classes: their names and colours, which are hidden, of which class a region is a part."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt

N_COLOURS = 100


@lru_cache(maxsize=1)
def class_colours() -> npt.NDArray[np.float64]:
    """(100, 3) RGB in [0, 1]: label k has colour ``(k - 1) % 100``, whatever other labels there are.

    Each colour is the one that lies farthest, in CIELAB, from all before it,
    so that the first ones are the easiest to tell apart.
    """
    from skimage.color import rgb2lab

    steps = np.linspace(0, 1, 11)
    candidates = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    lab = rgb2lab(candidates)
    visible = (lab[:, 0] > 35) & (lab[:, 0] < 90)  # on black and on white
    candidates, lab = candidates[visible], lab[visible]
    start = rgb2lab(np.array([[0.0, 0.45, 0.7]]))[0]
    chosen = [int(np.linalg.norm(lab - start, axis=1).argmin())]
    distance = np.full(len(lab), np.inf)
    while len(chosen) < N_COLOURS:
        distance = np.minimum(distance, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    colours: npt.NDArray[np.float64] = candidates[chosen]
    return colours


BACKGROUND = 0


@dataclass(frozen=True)
class ClassInfo:
    """Name, colour and visibility of one class, and what it was merged into or split from.

    Parameters
    ----------
    label : int
        The value in the label image; 0 is the background.
    name : str
        As the user calls it; empty if it has no name.
    colour : str
        ``"#rrggbb"``; empty for the colour that goes with the label.
    is_visible : bool
        Whether it is drawn.
    parent : int or None
        The class that a region was split from.
    becomes : int or None
        The label that merges have given to all pixels that a model had given this one.
    """

    label: int
    name: str = ""
    colour: str = ""
    is_visible: bool = True
    parent: int | None = None
    becomes: int | None = None

    @property
    def title(self) -> str:
        """The name, or else what everyone calls it."""
        return self.name or ("background" if self.label == BACKGROUND else f"class {self.label}")

    @property
    def rgb(self) -> tuple[float, float, float]:
        """Red, green and blue in [0, 1]."""
        if self.colour:
            red, green, blue = (int(self.colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
            return red, green, blue
        red, green, blue = class_colours()[(self.label - 1) % N_COLOURS].tolist() if self.label else (0.0, 0.0, 0.0)
        return red, green, blue

    @property
    def rgba(self) -> list[int]:
        """Red, green, blue and opacity from 0 to 255, as files have them."""
        return [*(int(value) for value in np.rint(np.array(self.rgb) * 255)), 255]

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing about it that its label does not say."""
        return not self.name and not self.colour and self.is_visible and self.parent is None and self.becomes is None


class ClassTable(Mapping[int, ClassInfo]):
    """Name, colour and the rest for every label; those that nobody has said anything about have the defaults.

    It never changes: each change gives another table, so that the one before can be brought back.

    Parameters
    ----------
    infos : iterable of ClassInfo
        Plain ones need not be given.
    """

    def __init__(self, infos: Any = ()) -> None:
        self._infos = {info.label: info for info in infos if not info.is_plain}

    def __getitem__(self, label: int) -> ClassInfo:
        return self._infos.get(label) or ClassInfo(label)

    def __iter__(self) -> Iterator[int]:
        return iter(self._infos)

    def __len__(self) -> int:
        return len(self._infos)

    def changed(self, label: int, **what: Any) -> Self:
        """Another table in which that label has another name, colour, visibility or parent."""
        return type(self)({**self._infos, label: replace(self[label], **what)}.values())

    def split(self, parents: Mapping[int, int]) -> Self:
        """Another table with regions that were split from other labels, and are called after them."""
        new = [
            replace(self[label], name=f"{self[old].title} ({label})", parent=self._oldest(old))
            for label, old in sorted(parents.items())
        ]
        return type(self)([*self._infos.values(), *new])

    def _oldest(self, label: int) -> int:
        parent = self[label].parent
        return label if parent is None else parent

    def merged(self, label_of: Mapping[int, int]) -> Self:
        """Another table in which these labels have become others, all at once: two may change places.

        A name goes along, with its colour, to a label that has none. Nothing else is said of labels that are gone.
        """
        infos = {label: replace(info, becomes=None) for label, info in self._infos.items() if label not in label_of}
        for old, new in label_of.items():
            mine, its = infos.get(new, ClassInfo(new)), self[old]
            if its.name and not mine.name and new != BACKGROUND:
                infos[new] = replace(mine, name=its.name, colour=mine.colour or its.colour)
        for label, shown in {**{label: label for label in label_of}, **self.label_of}.items():
            end = label_of.get(shown, shown)
            infos[label] = replace(infos.get(label, ClassInfo(label)), becomes=None if end == label else end)
        return type(self)(infos.values())

    @property
    def settled(self) -> Self:
        """Another table that has forgotten merges, for labels of a model that knows of them."""
        return type(self)(replace(info, becomes=None) for info in self._infos.values())

    @property
    def has_own_look(self) -> bool:
        """Whether a label is hidden or has another colour than its own."""
        return any(info.colour or not info.is_visible for info in self._infos.values())

    @property
    def parents(self) -> dict[int, int]:
        """The class of every region that was split from one."""
        return {info.label: info.parent for info in self._infos.values() if info.parent is not None}

    def of_labels(self, labels: Iterable[int]) -> Self:
        """Another table with names, colours and visibility of these labels alone, as other images may have them."""
        wanted = [self[label] for label in labels]
        return type(self)(replace(info, parent=None, becomes=None) for info in wanted)

    @property
    def label_of(self) -> dict[int, int]:
        """What has become of the pixels of every label that was merged, as the model had given it."""
        return {info.label: info.becomes for info in self._infos.values() if info.becomes is not None}

    def to_list(self) -> list[dict[str, Any]]:
        """Plain values, as JSON and metadata take them; only what is not the default."""
        default = ClassInfo(-1)
        return [
            {"label": info.label}
            | {
                key: getattr(info, key)
                for key in ("name", "colour", "is_visible", "parent", "becomes")
                if getattr(info, key) != getattr(default, key)
            }
            for info in self._infos.values()
        ]

    @classmethod
    def from_list(cls, items: Any) -> Self:
        """The table of what `to_list` gave; what cannot be understood is left out."""
        return cls(info for item in (items if isinstance(items, list) else []) if (info := _understood(item)))


def as_hex(rgb: Any) -> str:
    """``"#rrggbb"`` of red, green and blue in [0, 1]."""
    return "#" + "".join(f"{int(np.rint(255 * value)):02x}" for value in list(rgb)[:3])


def _understood(item: Any) -> ClassInfo | None:
    """One entry of a file, which anybody may have written."""
    try:
        label, parent, becomes = int(item["label"]), item.get("parent"), item.get("becomes")
        colour = str(item.get("colour", ""))
        if colour and not (len(colour) == 7 and colour[0] == "#" and int(colour[1:], 16) >= 0):
            colour = ""
        name, is_visible = str(item.get("name", "")), bool(item.get("is_visible", True))
        others = (None if other is None else int(other) for other in (parent, becomes))
        return ClassInfo(label, name, colour, is_visible, *others)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
