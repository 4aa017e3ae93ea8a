"""Table of classes: their names and colours, which are hidden, of which class a region is a part."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.labels.told_numbers import colour as told_colour
from napari_ufseg.engine.labels.told_numbers import whole

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
    shade : str
        ``"#rrggbb"`` that it has without a `colour`, as by its brightness; empty for the one that goes with the label.
    members : tuple of int
        The classes, in ascending order, that are shown as one under this label; empty for a class by itself.
    """

    label: int
    name: str = ""
    colour: str = ""
    is_visible: bool = True
    parent: int | None = None
    becomes: int | None = None
    shade: str = ""
    members: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """The name, or else what everyone calls it."""
        return self.name or ("background" if self.label == BACKGROUND else f"class {self.label}")

    @property
    def rgb(self) -> tuple[float, float, float]:
        """Red, green and blue in [0, 1]."""
        if own := self.colour or self.shade:
            red, green, blue = (int(own[i : i + 2], 16) / 255 for i in (1, 3, 5))
            return red, green, blue
        red, green, blue = class_colours()[(self.label - 1) % N_COLOURS].tolist() if self.label else (0.0, 0.0, 0.0)
        return red, green, blue

    @property
    def has_own_colour(self) -> bool:
        """Whether it has another colour than the one that goes with its label."""
        return bool(self.colour or self.shade)

    @property
    def rgba(self) -> list[int]:
        """Red, green, blue and opacity from 0 to 255, as files have them."""
        return [*(int(value) for value in np.rint(np.array(self.rgb) * 255)), 255]

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing about it that its label does not say."""
        return self == ClassInfo(self.label, members=self.members)


class Detail(NamedTuple):
    """How many classes a label image shows, and of how many."""

    shown: int
    of: int

    @property
    def said(self) -> dict[str, dict[str, int]]:
        """``{"detail": {"shown": 2, "of": 8}}``, as files and metadata say it."""
        return {"detail": self._asdict()}


class ClassTable(Mapping[int, ClassInfo]):
    """Name, colour and the rest for every label; those that nobody has said anything about have the defaults.

    What is said about classes that are shown as one is kept apart from what is said about each; see `shown`.
    It never changes: each change gives another table, so that the one before can be brought back.

    Parameters
    ----------
    infos : iterable of ClassInfo
        Plain ones need not be given.
    detail : Detail, optional
        Which detail of a tree of classes the table is about; None if it is about all of them, or nobody knows.
    """

    def __init__(self, infos: Any = (), detail: Detail | None = None) -> None:
        self.detail = detail
        told = [info for info in infos if not info.is_plain]
        self._infos = {info.label: info for info in told if not info.members}
        self._groups = {info.members: info for info in told if info.members}

    def __getitem__(self, label: int) -> ClassInfo:
        return self._infos.get(label) or ClassInfo(label)

    def __iter__(self) -> Iterator[int]:
        return iter(self._infos)

    def __len__(self) -> int:
        return len(self._infos)

    def __bool__(self) -> bool:
        return bool(self._infos or self._groups or self.detail)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ClassTable):
            return NotImplemented
        mine, its = ((table._infos, table._groups, table.detail) for table in (self, other))
        return mine == its

    __hash__ = None  # type: ignore[assignment]

    def _with(self, infos: Iterable[ClassInfo]) -> Self:
        """Another table with these for single classes, and what is said about groups."""
        return type(self)([*infos, *self._groups.values()], self.detail)

    def changed(self, label: int, members: Sequence[int] = (), **what: Any) -> Self:
        """Another table in which that label has another name, colour, visibility or parent.

        Parameters
        ----------
        label : int
        members : sequence of int
            The classes that are shown under this label, if it is about all of them together.
        **what
            Fields of `ClassInfo`.
        """
        if len(members) < 2:
            return self._with({**self._infos, label: replace(self[label], **what)}.values())
        key = tuple(sorted(members))
        group = replace(self._groups.get(key, ClassInfo(label, members=key)), label=label, **what)
        return type(self)([*self._infos.values(), *{**self._groups, key: group}.values()], self.detail)

    def shown(self, shown_class: Mapping[int, int]) -> Self:
        """The table of the classes that are shown, each with what is said about exactly what it shows.

        Parameters
        ----------
        shown_class : dict of int to int
            What every class is shown as. Labels that are missing are shown as they are. If it is empty, that is nobody
            knows, the table stays about the detail that it is about.
        """
        infos = {label: info for label, info in self._infos.items() if label not in shown_class}
        for label, info in infos.items():
            if info.becomes in shown_class:  # merged into a class that is shown as another
                infos[label] = replace(info, becomes=shown_class[info.becomes])
        for name, members in groups_of(shown_class).items():
            if len(members) == 1:
                infos[name] = self[name]
                continue
            infos[name] = replace(self._groups.get(members, ClassInfo(name)), label=name, members=())
            infos[name] = replace(infos[name], shade=self[name].shade)
            hidden = (label for label in members if label != name)
            infos |= {label: ClassInfo(label, becomes=name, shade=self[label].shade) for label in hidden}
        detail = Detail(len(set(shown_class.values())), len(shown_class)) if shown_class else self.detail
        return type(self)(infos.values(), detail)

    def taking(self, other: "ClassTable", labels: Iterable[int]) -> Self:
        """Another table with what `other` says about these labels, but for what they were merged into."""
        new = {label: replace(other[label], becomes=self[label].becomes) for label in labels}
        return self._with({**self._infos, **new}.values())

    def shaded(self, shades: Mapping[int, str]) -> Self:
        """Another table in which each of these classes has that colour where a user has chosen none."""
        infos = {label: replace(info, shade="") for label, info in self._infos.items()}
        infos |= {label: replace(infos.get(label, ClassInfo(label)), shade=shade) for label, shade in shades.items()}
        return self._with(infos.values())

    @property
    def shades(self) -> dict[int, str]:
        """The colours that `shaded` has given."""
        return {info.label: info.shade for info in self._infos.values() if info.shade}

    @property
    def groups(self) -> list[ClassInfo]:
        """What is said about classes that are shown as one."""
        return list(self._groups.values())

    def split(self, parents: Mapping[int, int]) -> Self:
        """Another table with regions that were split from other labels, and are called after them."""
        new = [
            replace(self[label], name=f"{self[old].title} ({label})", parent=self._oldest(old))
            for label, old in sorted(parents.items())
        ]
        return type(self)([*self._infos.values(), *new, *self._groups.values()])

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
            if its.shade and not infos.get(new, mine).shade and new != BACKGROUND:
                infos[new] = replace(infos.get(new, mine), shade=self[new].shade or its.shade)
        for label, shown in {**{label: label for label in label_of}, **self.label_of}.items():
            end = label_of.get(shown, shown)
            infos[label] = replace(infos.get(label, ClassInfo(label)), becomes=None if end == label else end)
        groups = []
        for group in self._groups.values():
            members = tuple(sorted({label_of.get(label, label) for label in group.members} - {BACKGROUND}))
            if len(members) > 1:
                groups.append(replace(group, label=label_of.get(group.label, group.label), members=members))
        return type(self)([*infos.values(), *groups])

    @property
    def settled(self) -> Self:
        """Another table that has forgotten merges, for labels of a model that knows of them."""
        return type(self)([*(replace(info, becomes=None) for info in self._infos.values()), *self._groups.values()])

    def coloured(self, label_image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """A picture of labels, with the axes of the label image and then red, green, blue and opacity; 0 and what is hidden are clear.

        Parameters
        ----------
        label_image : (...) array of integers
        """
        present, ranks = np.unique(label_image, return_inverse=True)
        infos = [self[label] for label in present.tolist()]
        rgba = [[*info.rgba[:3], 255 * (info.label != BACKGROUND and info.is_visible)] for info in infos]
        picture: npt.NDArray[np.uint8] = np.array(rgba, np.uint8).reshape(-1, 4)[ranks.reshape(label_image.shape)]
        return picture

    @property
    def has_own_look(self) -> bool:
        """Whether a label is hidden or has another colour than its own."""
        return any(info.has_own_colour or not info.is_visible for info in self._infos.values())

    @property
    def parents(self) -> dict[int, int]:
        """The class of every region that was split from one."""
        return {info.label: info.parent for info in self._infos.values() if info.parent is not None}

    def of_labels(self, labels: Iterable[int]) -> Self:
        """Another table with names, colours and visibility of these labels alone, as other images may have them."""
        known = set(labels)
        infos = (replace(self[label], parent=None, becomes=None) for label in sorted(known))
        return type(self)([*infos, *(group for group in self._groups.values() if known.issuperset(group.members))])

    @property
    def label_of(self) -> dict[int, int]:
        """What has become of the pixels of every label that was merged, as the model had given it."""
        return {info.label: info.becomes for info in self._infos.values() if info.becomes is not None}

    @property
    def stands_for(self) -> dict[int, tuple[int, ...]]:
        """The classes, in ascending order, that every label stands for which stands for other than itself alone."""
        groups: dict[int, list[int]] = {}
        for label, shown in sorted(self.label_of.items()):
            groups.setdefault(shown, [] if shown in self.label_of or shown == BACKGROUND else [shown]).append(label)
        return {shown: tuple(sorted(groups[shown])) for shown in sorted(groups)}

    def to_list(self) -> list[dict[str, Any]]:
        """Plain values of every class, as JSON and metadata take them; only what is not the default."""
        default = ClassInfo(-1)
        return [
            {"label": info.label}
            | {key: getattr(info, key) for key in _OTHERS if getattr(info, key) != getattr(default, key)}
            | ({"members": list(info.members)} if info.members else {})
            for info in (*self._infos.values(), *self._groups.values())
        ]

    @classmethod
    def from_list(cls, items: Any) -> Self:
        """The table of what `to_list` gave; what cannot be understood is left out.

        One entry may say the detail, as ``{"detail": {"shown": 2, "of": 8}}``.
        """
        told = items if isinstance(items, list) else []
        details = (_understood_detail(item) for item in told)
        return cls((info for item in told if (info := _understood(item))), next(filter(None, details), None))


_OTHERS = ("name", "colour", "is_visible", "parent", "becomes", "shade")


def groups_of(shown_class: Mapping[int, int]) -> dict[int, tuple[int, ...]]:
    """The classes, in ascending order, that are shown under each label."""
    groups: dict[int, list[int]] = {}
    for label in sorted(shown_class):
        groups.setdefault(shown_class[label], []).append(label)
    return {name: tuple(members) for name, members in groups.items()}


def as_hex(rgb: Any) -> str:
    """``"#rrggbb"`` of red, green and blue in [0, 1]."""
    return "#" + "".join(f"{int(np.rint(255 * value)):02x}" for value in list(rgb)[:3])


def _understood(item: Any) -> ClassInfo | None:
    """One entry of a file, which anybody may have written."""
    try:
        label = whole(item["label"])
        name, is_visible = str(item.get("name", "")), bool(item.get("is_visible", True))
        parent, becomes = (None if item.get(key) is None else whole(item[key]) for key in ("parent", "becomes"))
        colour, shade = (told_colour(item.get(key)) for key in ("colour", "shade"))
        members = tuple(sorted(map(whole, item.get("members", ()))))
        return ClassInfo(label, name, colour, is_visible, parent, becomes, shade, members)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):  # JSON of Python may say Infinity
        return None


def n_left_out(items: Any) -> int:
    """How many entries of a list are about a class and cannot be understood."""
    told = items if isinstance(items, list) else []
    return sum(isinstance(item, dict) and "label" in item and _understood(item) is None for item in told)


def _understood_detail(item: Any) -> Detail | None:
    """The detail that an entry of a file says; None if it says none."""
    try:
        detail = Detail(whole(item["detail"]["shown"]), whole(item["detail"]["of"]))
    except (KeyError, TypeError, ValueError):
        return None
    return detail if 1 <= detail.shown <= detail.of else None
