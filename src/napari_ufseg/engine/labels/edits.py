"""Edits of a label image (merge, absorb, split) with undo, in memory or on disk, box by box."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from numcodecs import Blosc
from skimage import measure

from napari_ufseg.engine.errors import ImageError
from napari_ufseg.engine.images.tiling import Box, iter_tiles
from napari_ufseg.engine.labels.hierarchy import relabel
from napari_ufseg.engine.labels.regions import absorb_small

Labels = npt.NDArray[Any]
Edit = Callable[..., Labels]

_SIDE = 1024  # of a box in memory
_LARGEST_ITEM = 2**28  # pixels that are edited at once where a region may reach anywhere
_DENSE = 2**20  # labels up to this are counted in a table
_CODEC = Blosc(cname="lz4", clevel=3, shuffle=Blosc.SHUFFLE)


class Packed:
    """A compressed copy of an array; class labels take about a fiftieth of their room."""

    def __init__(self, array: Labels) -> None:
        self._shape, self._dtype = array.shape, array.dtype
        self._bytes = bytes(_CODEC.encode(np.ascontiguousarray(array)))

    @property
    def n_bytes(self) -> int:
        """What it takes in memory."""
        return len(self._bytes)

    def array(self) -> Labels:
        """The values again, in a fresh array."""
        values: Labels = np.frombuffer(bytearray(_CODEC.decode(self._bytes)), self._dtype).reshape(self._shape)
        return values


class Change:
    """Undo of an edit: what a label image held where it was changed; `swap` brings it back, and once more undoes that."""

    def __init__(self) -> None:
        self._before: dict[Box, Packed] = {}

    @property
    def n_bytes(self) -> int:
        """What it takes in memory."""
        return sum(packed.n_bytes for packed in self._before.values())

    @property
    def is_empty(self) -> bool:
        """Whether nothing has changed."""
        return not self._before

    def make(self, data: Any, boxes: Sequence[Box], edit: Edit, *others: Any) -> Iterator[float]:
        """Edit the labels in these boxes, and remember those that become others.

        Parameters
        ----------
        data : array-like of integers
            Written in place; a zarr array is read and written a box at a time.
        boxes : sequence of Box
            Of all its axes, none overlapping.
        edit : callable
            Gives the new labels of a box in a fresh array, from the old ones and the same box of the others.
        *others : array-likes
            Of the same shape.

        Yields
        ------
        float
            Share of the pixels that are done, in (0, 1].
        """
        total, done = sum(box.size for box in boxes), 0
        for box in boxes:
            before = np.asarray(data[box.slices])
            after = edit(before, *(np.asarray(other[box.slices]) for other in others))
            if not np.array_equal(before, after):
                self._before[box] = Packed(before)
                data[box.slices] = after
            done += box.size
            yield done / total

    def note(self, data: Any, boxes: Sequence[Box], other: Any) -> None:
        """Remember what `data` holds in these boxes where `other`, of the same shape, holds something else."""
        for box in boxes:
            before = np.asarray(data[box.slices])
            if not np.array_equal(before, other[box.slices]):
                self._before[box] = Packed(before)

    def swap(self, data: Any) -> Generator[float]:
        """Put back what was there, and remember what was there instead; yields the share that is done.

        If it is closed, or fails, before all is done, the labels are as they were.
        """
        swapped: list[Box] = []
        try:
            for number, box in enumerate(list(self._before), start=1):
                self._swap_box(data, box)
                swapped.append(box)
                yield number / len(self._before)
        except BaseException:
            for box in swapped:
                self._swap_box(data, box)
            raise

    def swap_at_once(self, data: Any) -> None:
        """As `swap`, to the end."""
        for box in self._before:
            self._swap_box(data, box)

    def _swap_box(self, data: Any, box: Box) -> None:
        before = Packed(np.asarray(data[box.slices]))
        data[box.slices] = self._before[box].array()
        self._before[box] = before


def boxes_of(data: Any, item_ndim: int, *, whole_items: bool = False) -> list[Box]:
    """The boxes in which a label image is edited.

    Parameters
    ----------
    data : array-like
        Its chunks are not cut, if it has any.
    item_ndim : int
        How many of the last axes make an image of their own: 2 for planes, 3 for volumes.
    whole_items : bool
        Boxes as large as an item, for edits of regions that may reach anywhere in it.

    Raises
    ------
    ImageError
        If an item is too large to be edited as a whole.
    """
    shape = tuple(data.shape)
    item = shape[-item_ndim:]
    if whole_items:
        if prod(item) > _LARGEST_ITEM:
            raise ImageError(
                f"Regions of {' x '.join(map(str, item))} pixels are too many for this: use a lower resolution, or a part of the image."
            )
        edges = (1,) * (len(shape) - item_ndim) + item
    else:
        stored = getattr(data, "chunksize", None) or getattr(data, "chunks", None)  # of dask, of zarr
        edges = stored or (1,) * (len(shape) - 2) + tuple(min(_SIDE, n) for n in shape[-2:])
    return list(iter_tiles(Box.of_shape(shape), edges))


def renaming(label_of: Mapping[int, int]) -> Edit:
    """The edit that gives labels another number; labels that are missing stay as they are."""
    return lambda labels: relabel(labels, label_of)


def absorbing(min_size: int, lead: int) -> Edit:
    """The edit that gives regions under `min_size` pixels to their neighbour, in items behind `lead` axes of length 1."""
    return lambda labels: absorb_small(labels[(0,) * lead], min_size)[(None,) * lead]


def on_shown(shown_class: Mapping[int, int], edit: Edit) -> Edit:
    """The edit of labels of all classes that changes what is shown of them; what it leaves as it is keeps its class.

    Parameters
    ----------
    shown_class : dict of int to int
        What every class is shown as.
    edit : callable
        Of labels as they are shown.
    """

    def change(labels: Labels, *others: Labels) -> Labels:
        shown = relabel(labels, shown_class)
        after = edit(shown, *others)
        return np.where(after != shown, after, labels).astype(labels.dtype)

    return change


class Splitting:
    """The edit that gives every connected region of some labels a number of its own.

    The largest region of the first item that has any keeps the label; the others get numbers from `first_free` on.

    Parameters
    ----------
    labels : iterable of int
        Those that are split.
    first_free : int
        The least number to give.
    largest : int
        The greatest number that fits into the label image.
    lead : int
        Axes of length 1 before those of an item.
    kept : iterable of int
        Labels whose largest region has been found elsewhere already.

    Attributes
    ----------
    next_free : int
        The least number that is not given yet.
    kept : set of int
    parents : dict of int to int
        The old label of every new one.
    """

    def __init__(
        self, labels: Iterable[int], first_free: int, largest: int, lead: int, kept: Iterable[int] = ()
    ) -> None:
        self._labels = sorted(set(labels))
        self.next_free, self._largest, self._lead = first_free, largest, lead
        self.kept = set(kept)
        self.parents: dict[int, int] = {}

    def __call__(self, labels: Labels) -> Labels:
        """The labels of one item, split.

        Raises
        ------
        ImageError
            If there are more regions than numbers.
        """
        item = labels[(0,) * self._lead]
        result = item.copy()
        for old in self._labels:
            regions, n = _regions_of(item == old)
            n_new = n - (old not in self.kept) * bool(n)
            if self.next_free + n_new > self._largest + 1:
                raise ImageError(
                    f"There are more regions than the {self._largest} numbers that labels may have: absorb specks first."
                )
            if not n:
                continue
            numbers = np.arange(self.next_free - 1, self.next_free + n, dtype=result.dtype)  # of region 0, 1, ...
            if old not in self.kept:
                kept = int(np.bincount(regions.ravel())[1:].argmax()) + 1
                numbers[kept + 1 :] -= 1
                numbers[kept] = old
                self.kept.add(old)
            inside = regions > 0
            result[inside] = numbers[regions[inside]]
            self.parents |= dict.fromkeys(range(self.next_free, self.next_free + n_new), old)
            self.next_free += n_new
        labelled: Labels = result[(None,) * self._lead]
        return labelled


def _regions_of(mask: Labels) -> tuple[Labels, int]:
    """Connected regions of a mask, numbered from 1, and how many there are; pixels that touch at a corner only are not."""
    regions, n = measure.label(mask, return_num=True, connectivity=1)  # type: ignore[no-untyped-call]
    return regions, int(n)


def count_labels(data: Any, boxes: Sequence[Box]) -> Iterator[dict[int, int]]:
    """Pixels of every label that occurs, of one box after the other."""
    for box in boxes:
        labels = np.asarray(data[box.slices]).ravel()
        is_dense = labels.dtype in (np.uint8, np.uint16, np.bool_) or 0 <= labels.min() <= labels.max() < _DENSE
        if is_dense:
            counts = np.bincount(labels)
            values = np.flatnonzero(counts)
            counts = counts[values]
        else:
            values, counts = np.unique(labels, return_counts=True)
        yield dict(zip(values.tolist(), counts.tolist(), strict=True))
