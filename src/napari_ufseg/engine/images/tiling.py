"""Boxes and tiles of pixels: how an image is cut so that the pieces give, bit for bit, what the whole gives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, prod
from typing import Self

BLOCK_2D, BLOCK_3D = 256, 64


@dataclass(frozen=True)
class Box:
    """A box of pixels, one pair of bounds per spatial axis.

    Parameters
    ----------
    start, stop : tuple of int
        First pixel, and first pixel beyond.
    """

    start: tuple[int, ...]
    stop: tuple[int, ...]

    @classmethod
    def of_shape(cls, shape: Sequence[int]) -> Self:
        """The box from the origin."""
        return cls((0,) * len(shape), tuple(shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """Its lengths."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def size(self) -> int:
        """Number of pixels."""
        return prod(self.shape)

    @property
    def slices(self) -> tuple[slice, ...]:
        """As an index."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def grown(self, halo: Sequence[int], shape: Sequence[int]) -> Self:
        """The box with a halo on every side that does not end at the border of an image of that shape."""
        start = tuple(max(0, a - h) for a, h in zip(self.start, halo, strict=True))
        stop = tuple(min(n, b + h) for b, h, n in zip(self.stop, halo, shape, strict=True))
        return type(self)(start, stop)

    def within(self, outer: "Box") -> Self:
        """The same pixels, counted from the corner of `outer`."""
        start = tuple(a - o for a, o in zip(self.start, outer.start, strict=True))
        stop = tuple(b - o for b, o in zip(self.stop, outer.start, strict=True))
        return type(self)(start, stop)

    def overlap(self, other: "Box") -> "Box | None":
        """The pixels of both, or None if there are none."""
        start = tuple(map(max, self.start, other.start))
        stop = tuple(map(min, self.stop, other.stop))
        return Box(start, stop) if all(a < b for a, b in zip(start, stop, strict=True)) else None

    def snapped(self, edges: Sequence[int], shape: Sequence[int]) -> Self:
        """The smallest box of whole cells of a grid of these edges that holds this one, within the image."""
        start = tuple(a // e * e for a, e in zip(self.start, edges, strict=True))
        stop = tuple(min(n, ceil(b / e) * e) for b, e, n in zip(self.stop, edges, shape, strict=True))
        return type(self)(start, stop)


def iter_tiles(box: Box, edges: Sequence[int]) -> Iterator[Box]:
    """The cells of the grid through the corner of `box`, row by row; those at the far borders are smaller."""
    corners = product(*(range(a, b, e) for a, b, e in zip(box.start, box.stop, edges, strict=True)))
    for corner in corners:
        yield Box(corner, tuple(min(c + e, b) for c, e, b in zip(corner, edges, box.stop, strict=True)))


def block_edges(spatial_dims: int) -> tuple[int, ...]:
    """Edges of the cells in which every prediction is computed.

    Sums of floating-point numbers depend a little on how a library orders
    them, and that depends on the size of the array. So that the labels do not
    depend on who asks for which part of an image, each cell of one fixed grid
    is computed by itself, with its halo: the whole is always the same pieces.
    """
    return (BLOCK_2D, BLOCK_2D) if spatial_dims == 2 else (BLOCK_3D,) * 3


def tile_edges(shape: Sequence[int], chunks: Sequence[int], largest: int = 2**22) -> tuple[int, ...]:
    """Edges of the tiles to read and write at a time: whole blocks, and whole chunks of the storage where these are not too large.

    Parameters
    ----------
    shape : sequence of int
        Of an item, (Y, X) or (Z, Y, X).
    chunks : sequence of int
        What is stored together along each axis; 1 if it is not known.
    largest : int
        Most pixels of a tile.
    """
    blocks = block_edges(len(shape))
    wished = [max(c, 2 * b if len(shape) == 2 else b) for c, b in zip(chunks, blocks, strict=True)]
    edges = [ceil(min(w, n) / b) * b for w, n, b in zip(wished, shape, blocks, strict=True)]
    while prod(edges) > largest:
        longest = max(range(len(edges)), key=lambda i: edges[i] / blocks[i])
        if edges[longest] <= blocks[longest]:
            break
        edges[longest] = ceil(edges[longest] / 2 / blocks[longest]) * blocks[longest]
    return tuple(edges)


def label_chunks(shape: Sequence[int], chunks: Sequence[int], ndim: int) -> tuple[int, ...]:
    """Chunks for labels on disk, none of which two tiles share.

    Parameters
    ----------
    shape, chunks
        As for `tile_edges`.
    ndim : int
        Axes of the label image; those before the spatial ones get chunks of 1.
    """
    blocks = block_edges(len(shape))
    edges = tile_edges(shape, chunks)
    inner = [edge if edge <= 4 * block else block for edge, block in zip(edges, blocks, strict=True)]
    return (1,) * (ndim - len(shape)) + tuple(min(n, edge) for n, edge in zip(shape, inner, strict=True))
