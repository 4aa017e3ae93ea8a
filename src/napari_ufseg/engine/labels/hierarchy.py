"""The tree of the classes, from all of them to two; label images with labels renamed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_ufseg.engine.errors import ConfigError, ImageError
from napari_ufseg.engine.images.threshold import FLATTEN, half_height
from napari_ufseg.engine.labels.told_numbers import finite, whole

_BINS = 1024
_OF_LIGHT = 0.5  # cosine between a component and the channels that thresholds are of

Points = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class LightRule:
    """How things are told from what they lie on, by their light.

    Parameters
    ----------
    flatten : float
        Power of the values, counted from the lowest class to the highest, before they are compared. Below 1 it takes
        account of bright things varying more than what is dark; 1 is for colours that are even to the eye.
    least_side : float
        The mean side of local thresholds, from -1, below, to 1, above, from which on a class is a thing; lower takes
        more of blurred borders.
    is_lightness : bool
        The first channel is lightness, as the eye has it, so that it tells whether light shines through: then most of
        the picture is bright, what lies in it is darker, however much of it there is, and what is brightest is empty.
    """

    flatten: float
    least_side: float
    is_lightness: bool

    def is_transmitted(self, mean: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]) -> bool:
        """Whether the (K, C) means of classes, whose weights add up to 1, are those of a picture with a light behind it."""
        return self.is_lightness and bool(weight @ mean[:, 0] > _BRIGHT)


GREY = LightRule(FLATTEN, -0.2, False)  # two fifths of a class above: blurred borders, which people count as things
COLOUR = LightRule(1.0, 0.15, True)  # four sevenths: the ground is less even
_BRIGHT = 0.5


@dataclass(frozen=True)
class ClassHierarchy:
    """Which classes are shown as one at each detail: a tree whose leaves are the classes.

    Parameters
    ----------
    areas : dict of int to int
        Pixels of every label that is a leaf, in what was trained on.
    merges : tuple of (int, int)
        Two labels, in whose groups the classes are joined, for every step from all classes to one.
    suggested : int
        The detail that shows things before their surroundings.
    background : int or None
        The class that things lie on: of the larger side at detail 2 the largest. None if nobody knows, or if it is 0 by now.
    brightness : dict of int to float
        How bright each class is, of 0 to 1: lightness in a picture in colours, else the mean over the channels; to order classes.
    label_image : array of integers, or list of them, optional
        What `labels_at` is about.

    Notes
    -----
    Labels that are no leaf, such as those of a class that the training images
    do not have, stay as they are at every detail. So does 0, which is what a
    user has called background: it is never a leaf, and no class becomes 0 by being shown with others.
    """

    areas: Mapping[int, int] = field(default_factory=dict)
    merges: tuple[tuple[int, int], ...] = ()
    suggested: int = 1
    background: int | None = None
    brightness: Mapping[int, float] = field(default_factory=dict)
    label_image: Any = field(default=None, repr=False, compare=False)

    @property
    def n_classes(self) -> int:
        """How many classes there are at the finest detail."""
        return len(self.areas)

    def shown_class(self, detail: int) -> dict[int, int]:
        """What every class is shown as.

        Parameters
        ----------
        detail : int
            How many classes are shown, at least 1; larger shows more. More than there are shows them all.

        Returns
        -------
        dict of int to int
            For every label of a leaf the label of the largest class of its group.

        Raises
        ------
        ConfigError
            If `detail` is no whole number above 0.
        """
        if not _is_number_of_classes(detail):
            raise ConfigError(f"detail is {detail!r}: give a whole number of classes, at least 1.")
        return {label: self._name_of(members) for label, members in self._groups(int(detail)).items()}

    def number_at(self, detail: int | str) -> int:
        """How many classes are shown at a detail, at least 1.

        Parameters
        ----------
        detail : int or {"auto", "all"}
            ``"auto"`` is the suggested detail, ``"all"`` shows every class, and so does a larger number than there are.

        Raises
        ------
        ConfigError
            If it is anything else.
        """
        detail = checked_detail(detail)
        wanted = self.suggested if detail == "auto" else self.n_classes if detail == "all" else int(detail)
        return max(1, min(wanted, self.n_classes))

    def background_at(self, detail: int) -> int | None:
        """What the background is shown as at a detail, as in `shown_class`; None if there is none."""
        return None if self.background is None else self.shown_class(detail)[self.background]

    @property
    def turned(self) -> Self:
        """The same tree with the other side of detail 2 as the background, as for dark things where bright ones were found."""
        sides = self.shown_class(2) if self.areas else {}
        of_background = sides.get(self.background) if self.background is not None else None
        others = [name for name in dict.fromkeys(sides.values()) if name != of_background]
        return replace(self, background=others[0]) if of_background is not None and others else self

    @property
    def things_are_bright(self) -> bool | None:
        """Whether what lies on the background is brighter than it; None where there is no background, or nothing else."""
        sides = self.shown_class(2) if self.background is not None else {}
        own = [label for label in sides if sides[label] == sides[self.background or 0]]
        others = [label for label in sides if label not in own]
        if not others or not self.brightness:
            return None
        mean = [
            np.average([self.brightness[i] for i in side], weights=[self.areas[i] for i in side])
            for side in (own, others)
        ]
        return bool(mean[1] > mean[0])

    def labels_at(self, detail: int, label_image: Any = None) -> Any:
        """The label image at a detail.

        Parameters
        ----------
        detail : int
            As in `shown_class`.
        label_image : array of integers, or list of them, optional
            Default: that of the result which the hierarchy is of. Arrays on disk become lazy dask arrays.

        Returns
        -------
        array of the same dtype and shape, or list of them
            A copy.

        Raises
        ------
        ConfigError
            As `shown_class`.
        ImageError
            If there is no label image.
        """
        shown = self.shown_class(detail)
        image = self.label_image if label_image is None else label_image
        if image is None:
            raise ImageError("The hierarchy of a model has no label image of its own: give one.")
        if isinstance(image, list | tuple):
            return [self.labels_at(detail, item) for item in image]
        return relabel(image, shown) if isinstance(image, np.ndarray) else relabel_lazily(image, shown)

    def detail_after(self, label_of: Mapping[int, int], detail: int) -> int:
        """The detail of `merged(label_of)` that shows what this tree shows at `detail`, but for what was merged.

        Parameters
        ----------
        label_of : dict
            As in `merged`.
        detail : int
            As in `shown_class`.
        """
        groups: list[set[int]] = []
        for label, others in self._groups(detail).items():
            joined = {label_of.get(other, other) for other in (label, *others)} - {0}
            groups = [
                *(group for group in groups if not group & joined),
                joined.union(*(g for g in groups if g & joined)),
            ]
        return len([group for group in groups if group])

    def merged(self, label_of: Mapping[int, int]) -> Self:
        """The same tree after labels were renamed, of which several may have become one.

        Parameters
        ----------
        label_of : dict
            New label for each old one; labels that are missing stay as they are.
        """
        areas = merged_areas(self.areas, label_of)
        light: dict[int, float] = {}
        for label, pixels in self.areas.items():
            new = label_of.get(label, label)
            light[new] = light.get(new, 0.0) + pixels * self.brightness.get(label, 0.0)
        merges = _steps((label_of.get(one, one), label_of.get(other, other)) for one, other in self.merges)
        kept = {label: pixels for label, pixels in areas.items() if label != 0}
        background = None if self.background is None else label_of.get(self.background, self.background) or None
        return replace(
            self,
            areas=kept,
            merges=_without_zero(merges),
            suggested=self.detail_after(label_of, max(1, self.suggested)) if kept else 0,
            background=background,
            brightness={label: light[label] / pixels for label, pixels in kept.items()} if self.brightness else {},
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for a file."""
        return {
            "areas": [[label, pixels] for label, pixels in self.areas.items()],
            "merges": [list(step) for step in self.merges],
            "suggested": self.suggested,
            "background": self.background,
            "brightness": [[label, value] for label, value in self.brightness.items()],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From what `to_dict` gives; ValueError, KeyError or TypeError if it is anything else."""
        areas = {whole(label): whole(pixels) for label, pixels in values["areas"]}
        merges = _steps((whole(one), whole(other)) for one, other in values["merges"])
        suggested = whole(values["suggested"])
        used = {label for step in merges for label in step}
        if not used <= set(areas) or len(merges) != max(0, len(areas) - 1) or suggested < min(1, len(areas)):
            raise ValueError("a tree of classes whose steps do not fit")
        background = values.get("background")
        brightness = {whole(label): finite(value) for label, value in values.get("brightness", ())}
        if (background is not None and background not in areas) or not set(brightness) <= set(areas):
            raise ValueError("a tree of classes that tells of others")
        return cls(areas, merges, suggested, background, brightness)

    def _groups(self, detail: int) -> dict[int, list[int]]:
        """The classes that every class is shown with."""
        group = {label: [label] for label in self.areas}
        for one, other in self.merges[: max(0, self.n_classes - detail)]:
            joined = group[one] + group[other]
            group.update(dict.fromkeys(joined, joined))
        return group

    def _name_of(self, members: list[int]) -> int:
        return max(members, key=lambda label: (self.areas[label], -label))


def checked_detail(detail: Any) -> int | str:
    """A detail as somebody has given it: a whole number of classes, ``"auto"`` or ``"all"``; ConfigError if it is none."""
    if isinstance(detail, str) and detail in ("auto", "all"):
        return detail
    if not _is_number_of_classes(detail):
        raise ConfigError(f"detail is {detail!r}: give a whole number of classes, 'auto' or 'all'.")
    return int(detail)


def _is_number_of_classes(detail: Any) -> bool:
    return isinstance(detail, int | np.integer) and not isinstance(detail, bool) and bool(detail >= 1)


def merged_areas(areas: Mapping[int, int], label_of: Mapping[int, int]) -> dict[int, int]:
    """The pixels of every label after some were renamed, of which several may have become one."""
    merged: dict[int, int] = {}
    for label, pixels in areas.items():
        new = label_of.get(label, label)
        merged[new] = merged.get(new, 0) + pixels
    return merged


def _steps(pairs: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The pairs, without those whose groups are one already."""
    group: dict[int, frozenset[int]] = {}
    kept = []
    for one, other in pairs:
        first, second = (group.get(label, frozenset([label])) for label in (one, other))
        if first != second:
            kept.append((one, other))
            group.update(dict.fromkeys(first | second, first | second))
    return tuple(kept)


def _without_zero(merges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The steps of a tree that has lost its leaf 0; what was joined with its group is joined with the rest of that."""
    rest: int | None = None  # stands for the group of 0, once there is another class in it
    kept = []
    for one, other in merges:
        pair = [rest if label == 0 else label for label in (one, other)]
        if None in pair:
            rest = next(label for label in pair if label is not None)
        else:
            kept.append((int(pair[0] or 0), int(pair[1] or 0)))
    return tuple(kept)


def build_hierarchy(
    areas: Mapping[int, int],
    means: Mapping[int, npt.ArrayLike],
    pixels: Callable[[], Iterable[Points]] | None = None,
    sides: Mapping[int, npt.ArrayLike] | None = None,
    brightness: Mapping[int, float] | None = None,
    rule: LightRule = GREY,
) -> ClassHierarchy:
    """The tree of classes by their appearance: first things from surroundings, then what differs most within these.

    The two classes of detail 2 are told apart along the first principal
    component of the classes' means, weighted by area, which is turned so that
    the rarer side is high; or the darker one, where light shines through. Where the pixels were compared with local
    thresholds, a class is a thing if enough of its pixels lie above these; else,
    and where that parts nothing or the component is hardly one of light, if it
    lies above the `half_height` of all pixels. Within the two sides classes are
    joined by Ward's criterion [1]_, also weighted by area: always those two
    groups next for which the sum of squares within groups grows least.

    Parameters
    ----------
    areas : dict of int to int
        Pixels of each label, above 0.
    means : dict of int to (C,) array
        Mean appearance of each label.
    pixels : callable, optional
        Gives all pixels, as (n, C) arrays. Default, and where 0 is among the labels: every pixel is as the mean of its class.
    sides : dict of int to (L,) array, optional
        Of each label, for each of the first L channels, the mean side of a local threshold that its pixels are on, from -1, below, to 1, above.
    brightness : dict of int to float, optional
        Of each label, to order them from dark to bright. Default: the mean over the channels.
    rule : LightRule
        `GREY`, or `COLOUR` for CIE L*, a* and b*, divided by 100.

    References
    ----------
    .. [1] Ward (1963), https://doi.org/10.1080/01621459.1963.10500845
    """
    labels = sorted(label for label in areas if label != 0)
    light = {
        label: float(np.asarray(means[label]).mean() if brightness is None else brightness[label]) for label in labels
    }
    if len(labels) < 2:
        return ClassHierarchy(
            {label: areas[label] for label in labels},
            (),
            len(labels),
            None if 0 in areas else next(iter(labels), None),
            light,
        )
    area = np.array([areas[label] for label in labels], np.float64)
    mean = np.stack([np.asarray(means[label], np.float64) for label in labels])
    component = principal_component(mean, area, rule)
    is_thing = None
    if sides is not None:
        is_thing = component.is_above(np.stack([np.asarray(sides[label]) for label in labels]), rule.least_side)
    if is_thing is None:
        if pixels is None or 0 in areas:  # of which nobody knows the pixels that are left
            counts = component.histogram(mean, area)
        else:
            counts = np.sum([component.histogram(part) for part in pixels()], axis=0)
        is_thing = sides_of(component.values(mean), counts, rule.flatten)
    steps = ward_steps(mean, area, is_thing)
    merges = tuple((labels[one], labels[other]) for one, other in steps)
    low = [label for label, is_high in zip(labels, is_thing.tolist(), strict=True) if not is_high]
    background = None if 0 in areas else max(low, key=lambda label: (areas[label], -label))
    return ClassHierarchy(dict(zip(labels, area.astype(int).tolist(), strict=True)), merges, 2, background, light)


@dataclass(frozen=True)
class PrincipalComponent:
    """The axis along which classes differ most, from 0, the lowest class, to 1, the highest; `span` is its length."""

    axis: npt.NDArray[np.float64]
    lowest: float
    span: float

    def values(self, points: Points) -> npt.NDArray[np.float64]:
        """Of (n, C) points, (n,); all 0 if the classes do not differ."""
        along: npt.NDArray[np.float64] = points @ self.axis - self.lowest
        return along / self.span if self.span > 0 else np.zeros(len(points))

    def is_above(self, sides: Points, least: float) -> npt.NDArray[np.bool_] | None:
        """Which of (n, L) mean sides of local thresholds, of the first L channels, are high; None where that says nothing."""
        axis = self.axis[: sides.shape[1]]
        length = np.abs(axis).sum()
        above = sides @ axis > least * length
        is_of_light = np.linalg.norm(axis) >= _OF_LIGHT
        return above if is_of_light and above.any() and not above.all() else None

    def histogram(self, points: Points, weight: npt.NDArray[np.float64] | None = None) -> npt.NDArray[np.float64]:
        """How many points there are in each of equal parts of 0 to 1; what lies outside counts in the outermost."""
        part = (self.values(points) * _BINS).clip(0, _BINS - 1).astype(np.intp)
        return np.bincount(part, weight, minlength=_BINS).astype(np.float64)


def principal_component(
    mean: npt.NDArray[np.float64], area: npt.NDArray[np.float64], rule: LightRule = GREY
) -> PrincipalComponent:
    """The first principal component, turned so that what is rarer is high; or darker, where light shines through.

    Parameters
    ----------
    mean : (K, C) array
    area : (K,) array
        The weights.
    rule : LightRule
        Says where light shines through.
    """
    weight = area / area.sum()
    middle = weight @ mean
    centred = mean - middle
    axis = np.linalg.eigh((centred * weight[:, None]).T @ centred)[1][:, -1]
    if rule.is_transmitted(mean, weight) and abs(axis[0]) >= _OF_LIGHT:
        is_low = axis[0] > 0
    else:
        is_low = weight @ (centred @ axis) ** 3 < 0  # the long tail is what differs from most of the image
    axis = -axis if is_low else axis
    values = mean @ axis
    return PrincipalComponent(axis, float(values.min()), float(np.ptp(values)))


def sides_of(values: npt.NDArray[np.float64], counts: npt.NDArray[np.float64], flatten: float) -> npt.NDArray[np.bool_]:
    """Which of the values, 0 to 1, lie above the half height of a histogram over 0 to 1. Neither side is empty.

    Parameters
    ----------
    values : (K,) array
        At least two.
    counts : (n,) array
        Pixels in each of n equal parts.
    flatten : float
        Power of the values before they are compared.
    """
    levels = ((np.arange(len(counts)) + 0.5) / len(counts)) ** flatten
    sides = values.clip(0) ** flatten > half_height(levels[counts > 0], counts[counts > 0])
    if sides.all() or not sides.any():
        sides = np.arange(len(values)) != np.argmin(values)
    return sides


def ward_steps(
    mean: npt.NDArray[np.float64], area: npt.NDArray[np.float64], sides: npt.NDArray[np.bool_]
) -> list[tuple[int, int]]:
    """The order in which groups are joined, as a member of each; the two sides are joined last."""
    member, centre, weight = np.arange(len(area)), mean.copy(), area.copy()
    steps = []
    while len(member) > 1:
        apart = ((centre[:, None] - centre) ** 2).sum(-1)
        costs = weight[:, None] * weight / (weight[:, None] + weight) * apart
        is_pair = np.tri(len(member), k=-1, dtype=bool)  # each once
        if len(member) > 2:
            is_pair &= sides[member][:, None] == sides[member]
        other, one = np.unravel_index(np.argmin(np.where(is_pair, costs, np.inf)), costs.shape)
        steps.append((int(member[one]), int(member[other])))
        centre[one] = (weight[one] * centre[one] + weight[other] * centre[other]) / (weight[one] + weight[other])
        weight[one] += weight[other]
        member, weight = np.delete(member, other), np.delete(weight, other)
        centre = np.delete(centre, other, axis=0)
    return steps


def relabel(label_image: npt.NDArray[Any], label_of: Mapping[int, int]) -> npt.NDArray[Any]:
    """A copy with labels renamed; labels that are missing in `label_of` stay as they are."""
    table = np.arange(max(int(label_image.max()), *label_of, 0) + 1).astype(label_image.dtype)
    for old, new in label_of.items():
        table[old] = new
    renamed: npt.NDArray[Any] = table[label_image]
    return renamed


def relabel_lazily(label_image: Any, label_of: Mapping[int, int]) -> Any:
    """As `relabel`; of an array that is not in memory a dask array, of which nothing is read yet.

    Without any label to rename it is the array itself.
    """
    if not any(old != new for old, new in label_of.items()):
        return label_image
    if isinstance(label_image, np.ndarray):
        return relabel(label_image, label_of)
    import dask.array as da

    lazy: Any = label_image if isinstance(label_image, da.Array) else da.from_array(label_image)  # type: ignore[no-untyped-call]
    return lazy.map_blocks(
        relabel, label_of, dtype=label_image.dtype, meta=np.empty((0,) * label_image.ndim, label_image.dtype)
    )
