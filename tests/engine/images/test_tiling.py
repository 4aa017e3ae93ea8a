from math import prod

import numpy as np
import pytest

from napari_ufseg.engine.images.tiling import Box, block_edges, iter_tiles, tile_edges

RANDOM = np.random.default_rng(0)


def random_shapes(dims, n, largest):
    for _ in range(n):
        yield tuple(int(s) for s in RANDOM.integers(1, largest, dims))


def random_box(shape):
    start = tuple(int(RANDOM.integers(n)) for n in shape)
    return Box(start, tuple(int(RANDOM.integers(a + 1, n + 1)) for a, n in zip(start, shape, strict=True)))


def pixels(box, shape):
    mask = np.zeros(shape, bool)
    mask[box.slices] = True
    return mask


def test_a_box_knows_its_shape_and_size():
    box = Box((2, 3, 4), (5, 7, 9))
    assert (box.shape, box.size) == ((3, 4, 5), 60)
    assert box.slices == (slice(2, 5), slice(3, 7), slice(4, 9))
    assert Box.of_shape((3, 4)) == Box((0, 0), (3, 4))


@pytest.mark.parametrize("dims", [2, 3])
def test_tiles_cover_every_pixel_of_a_box_once(dims):
    for shape in random_shapes(dims, 40, 30):
        box, edges = random_box(shape), tuple(int(e) for e in RANDOM.integers(1, 12, dims))
        count = np.zeros(shape, int)
        for tile in iter_tiles(box, edges):
            assert all(0 < n <= e for n, e in zip(tile.shape, edges, strict=True))
            assert tile.overlap(box) == tile
            count[tile.slices] += 1
        assert np.array_equal(count, pixels(box, shape))


@pytest.mark.parametrize("dims", [2, 3])
def test_a_snapped_box_is_the_smallest_of_whole_cells(dims):
    for shape in random_shapes(dims, 40, 30):
        box, edges = random_box(shape), tuple(int(e) for e in RANDOM.integers(1, 12, dims))
        touched = np.zeros(shape, bool)
        for cell in iter_tiles(Box.of_shape(shape), edges):
            if pixels(cell, shape)[box.slices].any():
                touched[cell.slices] = True
        snapped = box.snapped(edges, shape)
        assert np.array_equal(pixels(snapped, shape), touched)
        assert box.overlap(snapped) == box


@pytest.mark.parametrize("dims", [2, 3])
def test_a_grown_box_ends_at_the_borders_of_the_image(dims):
    for shape in random_shapes(dims, 40, 20):
        box, halo = random_box(shape), tuple(int(h) for h in RANDOM.integers(0, 6, dims))
        grown = box.grown(halo, shape)
        axes = np.indices(shape)
        near = [(axis >= a - h) & (axis < b + h) for axis, a, b, h in zip(axes, box.start, box.stop, halo, strict=True)]
        assert np.array_equal(pixels(grown, shape), np.all(near, axis=0))
        assert grown.overlap(Box.of_shape(shape)) == grown


def test_within_counts_from_the_corner_of_another_box():
    for shape in random_shapes(3, 40, 20):
        image = np.arange(prod(shape)).reshape(shape)
        outer = random_box(shape)
        inner = random_box(outer.shape)
        moved = Box(
            tuple(a + o for a, o in zip(inner.start, outer.start, strict=True)),
            tuple(b + o for b, o in zip(inner.stop, outer.start, strict=True)),
        )
        assert moved.within(outer) == inner
        assert np.array_equal(image[outer.slices][inner.slices], image[moved.slices])


@pytest.mark.parametrize(("dims", "largest_size"), [(2, 60_000), (3, 3_000)])
def test_tiles_are_whole_blocks_of_a_bounded_size(dims, largest_size):
    blocks = block_edges(dims)
    for shape in random_shapes(dims, 200, largest_size):
        chunks = tuple(int(RANDOM.integers(1, n + 1)) if RANDOM.random() < 0.5 else 1 for n in shape)
        edges = tile_edges(shape, chunks)
        assert all(e > 0 and e % b == 0 for e, b in zip(edges, blocks, strict=True))
        assert prod(edges) <= 2**22
        assert all(e - b < n for e, b, n in zip(edges, blocks, shape, strict=True)), "no block lies outside"


def test_tiles_hold_whole_chunks_where_these_are_of_a_good_size():
    assert tile_edges((5000, 5000), (1, 1)) == (512, 512)
    assert tile_edges((5000, 5000), (1024, 1024)) == (1024, 1024)
    assert tile_edges((5000, 5000), (128, 256)) == (512, 512)
    assert tile_edges((5000, 5000), (1, 5000)) == (512, 5120)
    assert tile_edges((300, 40), (1, 1)) == (512, 256)
    assert tile_edges((300, 300, 300), (128, 64, 1)) == (128, 64, 64)


def test_a_tile_is_never_smaller_than_a_block_however_little_is_allowed():
    assert tile_edges((5000, 5000), (5000, 5000), largest=10) == (256, 256)
    assert tile_edges((500, 500, 500), (500, 1, 1), largest=10) == (64, 64, 64)
