from itertools import permutations

import dask.array
import numpy as np
import pytest
import torch
import zarr

from napari_ufseg.engine.errors import ImageError
from napari_ufseg.engine.images.source import ImageSource, items_of, open_source, open_sources
from napari_ufseg.engine.images.tiling import Box

SIZES = {"T": 2, "Z": 3, "C": 4, "Y": 5, "X": 6, "Q": 7}
PLANES = ["YX", "XY", "YXC", "CYX", "TZCYX", "XYZ", "YXZ", "XZY", "CXTY", "QYX", "XCYT", "ZTYXC"]
VOLUMES = ["ZYX", "YXZ", "XZY", "XYZ", "TZCYX", "CXZYT", "ZXYC", "QXTZYC", "YTZXC"]


def numbered(axes):
    shape = tuple(SIZES[letter] for letter in axes)
    return np.arange(np.prod(shape)).reshape(shape)


def in_plain_order(array, axes, dims):
    """(items, C, [Z], Y, X), by numpy alone."""
    inner = "CYX" if dims == 2 else "CZYX"
    series = [letter for letter in axes if letter not in inner]
    if "C" not in axes:
        array, axes = array[np.newaxis], "C" + axes
    moved = array.transpose([axes.index(letter) for letter in [*series, *inner]])
    return moved.reshape(-1, *moved.shape[len(series) :])


@pytest.mark.parametrize(("axes", "dims"), [(a, 2) for a in PLANES] + [(a, 3) for a in VOLUMES])
def test_every_item_is_read_as_numpy_would(axes, dims):
    array = numbered(axes)
    source = open_source(array, axes=axes, spatial_dims=dims)
    expected = in_plain_order(array, axes, dims)
    assert source.n_items == len(expected)
    assert (source.n_channels, *source.item_shape) == expected.shape[1:]
    box = Box((1,) * dims, tuple(n - 1 for n in source.item_shape))
    for item, its in enumerate(expected):
        assert np.array_equal(source.read(item, source.whole), its)
        assert np.array_equal(source.read(item, box), its[(slice(None), *box.slices)])
    assert source.read(0, box).dtype == array.dtype


@pytest.mark.parametrize(("axes", "dims"), [(a, 2) for a in PLANES] + [(a, 3) for a in VOLUMES])
def test_labels_are_written_where_their_pixels_lie(axes, dims):
    array = numbered(axes)
    source = open_source(array, axes=axes, spatial_dims=dims)
    one_channel = array if "C" not in axes else array.take(0, axes.index("C"))
    assert source.labels_shape == one_channel.shape
    assert source.labels_axes == axes.replace("C", "")
    written = np.full(source.labels_shape, -1)
    halves = [Box((0,) * dims, (2, *source.item_shape[1:])), Box((2, *(0,) * (dims - 1)), source.item_shape)]
    for item in range(source.n_items):
        for box in halves:
            labels = source.read(item, box)[0]
            assert np.array_equal(source.unturned(source.turned(labels)), labels)
            assert source.turned(labels).shape == written[source.label_index(item, box)].shape
            assert np.array_equal(source.unturned(one_channel[source.label_index(item, box)]), labels)
            source.write(written, item, box, labels)
    assert np.array_equal(written, one_channel)


@pytest.mark.parametrize("axes", ["".join(letters) for letters in permutations("ZYX")])
def test_volumes_in_every_order_of_axes_are_the_same_volume(axes):
    volume = numbered("ZYX")
    turned = volume.transpose(["ZYX".index(letter) for letter in axes])
    source = open_source(turned, axes=axes, spatial_dims=3)
    assert np.array_equal(source.read(0, source.whole)[0], volume)
    assert np.array_equal(source.turned(volume), turned)
    assert np.array_equal(source.unturned(turned), volume)


def test_items_are_counted_along_all_other_axes():
    source = open_source(numbered("TZCYX"), axes="TZCYX")
    assert (source.series_axes, source.series_shape, source.n_items) == ((0, 1), (2, 3), 6)
    assert [source.item_at((t, z)) for t in range(2) for z in range(3)] == list(range(6))
    assert np.array_equal(source.read(source.item_at((1, 0)), source.whole), source.data[1, 0])
    volume = open_source(numbered("TZCYX"), axes="TZCYX", spatial_dims=3)
    assert (volume.series_axes, volume.series_shape, volume.n_items) == ((0,), (2,), 2)
    single = open_source(numbered("YX"))
    assert (single.series_shape, single.n_items, single.item_at(())) == ((), 1, 0)
    assert single.label_index(0, Box((1, 2), (3, 4))) == (slice(1, 3), slice(2, 4))
    assert source.label_index(4, Box((1, 2), (3, 4))) == (1, 1, slice(1, 3), slice(2, 4))
    assert list(items_of([single, volume])) == [(0, 0), (1, 0), (1, 1)]


def test_squeezed_labels_go_without_the_axes_of_length_one_that_are_not_spatial():
    array = numbered("ZCYX")[None, :, :, :1, None]
    source = open_source(array, axes="TZCYQX", squeezed=True)
    assert (source.labels_axes, source.labels_shape) == ("ZYX", (3, 1, 6))
    assert source.n_items == 3
    written = np.zeros(source.labels_shape, int)
    for item in range(3):
        source.write(written, item, source.whole, source.read(item, source.whole)[0])
    assert np.array_equal(written, array[0, :, 0, :, 0])
    volume = open_source(array[:, :1], axes="TZCYQX", spatial_dims=3, squeezed=True)
    assert (volume.labels_axes, volume.labels_shape) == ("ZYX", (1, 1, 6))
    assert open_source(array, axes="TZCYQX").labels_axes == "TZYQX"


def test_a_source_says_what_it_is():
    assert open_source(numbered("TZCYX"), axes="TZCYX").summary == "2 time points of 3 planes of 5 x 6, 4 channels"
    assert open_source(numbered("TZYX"), axes="TZYX", spatial_dims=3).summary == "2 time points of 3 x 5 x 6, 1 channel"


def test_small_letters_negative_channel_axes_and_questions_that_channel_axis_answers():
    array = np.zeros((5, 9, 24, 32))
    assert open_source(array, axes="tcyx").axes == "TCYX"
    assert open_source(array, axes="t?yx", channel_axis=-3).axes == "TCYX"
    assert open_source(array[0], channel_axis=-3).axes == "CYX"
    assert open_source(array[0].T, channel_axis=-1).axes == "YXC"


def test_axes_and_channel_axis_that_contradict_each_other_are_not_both_taken_in_silence():
    array = np.zeros((3, 24, 32))
    assert open_source(array, axes="CYX", channel_axis=0).axes == "CYX"
    try:
        source = open_source(array, axes="TYX", channel_axis=0)
    except ImageError:
        return
    assert source.axes == "CYX"


def test_axes_of_a_wrong_number_are_refused_even_with_a_question_mark():
    with pytest.raises(ImageError, match=r"^The axes '\?YX' name 3 axes, but the image has 2"):
        open_source(np.zeros((24, 32)), axes="?YX")


def test_a_source_is_taken_as_it_is():
    source = ImageSource(numbered("XY"), "XY")
    assert open_source(source) is source
    assert open_sources([source])[0] is source


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        ({"spatial_dims": 3}, "The image (24 x 32, 4 channels) has no depth axis Z: a volume needs one"),
        ({"axes": "TYX", "spatial_dims": 3}, "The image (24 time points of 32 x 4, 1 channel) has no depth axis Z"),
        ({"axes": "CYXZ"}, "The axes 'CYXZ' name 4 axes, but the image has 3."),
    ],
)
def test_axes_that_do_not_fit_are_refused(kwargs, sentence):
    with pytest.raises(ImageError) as caught:
        open_source(np.zeros((24, 32, 4)), **kwargs)
    assert str(caught.value).startswith(sentence)


def test_messages_number_the_images_of_a_list():
    with pytest.raises(ImageError, match=r"^Image 2 has a single pixel"):
        open_sources([np.zeros((24, 32)), np.zeros((1, 1))])
    with pytest.raises(ImageError, match=r"^Image 1 \(24 x 32, 1 channel\) has no depth axis Z"):
        open_sources([np.zeros((24, 32)), np.zeros((24, 32))], spatial_dims=3)


def test_chunks_of_lazy_arrays_are_told_in_the_order_of_items(tmp_path):
    array = numbered("XTZCY").astype(np.uint16)
    stored = zarr.open_array(str(tmp_path / "a.zarr"), mode="w", shape=array.shape, chunks=(2, 1, 3, 4, 5), dtype="u2")
    lazy = dask.array.from_array(array, chunks=(2, 1, 3, 4, 5))
    for data in (stored, lazy):
        assert open_source(data, axes="XTZCY").chunks == (5, 2)
        assert open_source(data, axes="XTZCY", spatial_dims=3).chunks == (3, 5, 2)
    uneven = dask.array.from_array(array, chunks=((1, 3, 2), 1, 3, 4, 5))
    assert open_source(uneven, axes="XTZCY").chunks == (5, 3)
    assert open_source(array, axes="XTZCY").chunks == (1, 1)


def test_an_array_that_tells_every_chunk_along_every_axis_can_be_read():
    class LikeXarray:
        shape, dtype, chunks = (5, 6), np.dtype(float), ((3, 2), (4, 2))

        def __getitem__(self, index):
            return np.ones(self.shape)[index]

    source = open_source(LikeXarray())
    assert all(isinstance(n, int) for n in source.chunks)


def test_a_tensor_is_taken_as_an_array():
    assert np.array_equal(open_source(torch.ones(5, 6)).read(0, Box((0, 0), (2, 3))), np.ones((1, 2, 3)))


class Broken:
    shape, dtype = (5, 6), np.dtype(float)

    def __init__(self, error):
        self.error = error

    def __getitem__(self, index):
        raise self.error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError("the disk is gone\nsee the log"), "Image 2 cannot be read: OSError: the disk is gone"),
        (KeyError(), "Image 2 cannot be read: KeyError: no further message"),
        (ImageError("One of ours."), "One of ours."),
    ],
)
def test_what_goes_wrong_while_reading_is_said_in_one_line(error, sentence):
    source = open_source(Broken(error), name="Image 2")
    with pytest.raises(ImageError) as caught:
        source.read(0, source.whole)
    assert str(caught.value) == sentence


def test_a_lack_of_memory_while_reading_stays_one():
    with pytest.raises(MemoryError):
        open_source(Broken(MemoryError())).read(0, Box((0, 0), (5, 6)))


def test_opening_reads_nothing(counted):
    array = counted(numbered("TZCYX"))
    source = open_source(array, axes="TZCYX", spatial_dims=3)
    assert source.summary
    assert source.chunks == (1, 1, 1)
    assert array.reads.sum() == 0
