import contextlib
import threading

import dask.array
import numpy as np
import pytest
import torch
import zarr

from napari_ufseg.engine.api import predict
from napari_ufseg.engine.config import InputOptions
from napari_ufseg.engine.device import resolve_device
from napari_ufseg.engine.errors import ImageError, TrainingError
from napari_ufseg.engine.images.source import open_source
from napari_ufseg.engine.images.tiling import Box, tile_edges
from napari_ufseg.engine.prediction.labelling import (
    LabellingJob,
    box_responses,
    label_box,
    label_images,
    learn_intensity,
    outputs_for,
)
from napari_ufseg.engine.prediction.tile_pool import View

CPU = resolve_device("cpu")
RANDOM = np.random.default_rng(0)


def texture(*shape, dtype=np.uint8, seed=0):
    return (np.random.default_rng(seed).random(shape) ** 2 * 255).astype(dtype)


def random_box(shape):
    start = tuple(int(RANDOM.integers(n)) for n in shape)
    return Box(start, tuple(int(RANDOM.integers(a + 1, n + 1)) for a, n in zip(start, shape, strict=True)))


def border_boxes(shape):
    """The corners, a pixel on either side of every line of the grid, and the whole."""
    edge = 256 if len(shape) == 2 else 64
    yield Box.of_shape(shape)
    for corner in (tuple(0 for _ in shape), tuple(n - 1 for n in shape)):
        yield Box(corner, tuple(c + 1 for c in corner))
    near = tuple(max(0, min(edge, n) - 1) for n in shape)
    yield Box(near, tuple(min(a + 2, n) for a, n in zip(near, shape, strict=True)))


@pytest.fixture
def threads():
    """A function that sets the number of torch's threads, until the test is over."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


# -- any box is a part of the whole -------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(1, 300), (300, 1), (2, 257), (255, 256), (256, 257), (257, 511), (512, 255), (513, 513), (37, 600)]
)
def test_the_labels_of_a_box_are_those_of_the_whole_there(model_of, shape):
    model = model_of(n_convolutions=2, scaling="percentile")
    image = texture(*shape)
    whole = predict(model, image, device="cpu")
    assert len(np.unique(whole)) > 1
    source = open_source(image)
    brightness = learn_intensity(source, InputOptions(scaling="percentile"))
    for box in [*border_boxes(shape), *(random_box(shape) for _ in range(4))]:
        part = label_box(model.network, model.config, model.class_labels, source, brightness, 0, box)
        assert part.dtype == np.uint16
        assert np.array_equal(part, whole[box.slices])


def test_so_they_are_in_every_plane_of_a_stack_with_channels(model_of):
    model = model_of(n_channels=2)
    image = texture(3, 270, 2, 2, 260)
    whole = predict(model, image, axes="TXZCY", device="cpu")
    assert whole.shape == (3, 270, 2, 260)
    source = open_source(image, axes="TXZCY")
    brightness = learn_intensity(source, InputOptions(scaling="minmax"))
    for item in range(source.n_items):
        for box in [Box.of_shape(source.item_shape), random_box(source.item_shape)]:
            part = label_box(model.network, model.config, model.class_labels, source, brightness, item, box)
            assert np.array_equal(part, source.unturned(whole[source.label_index(item, box)]))


@pytest.mark.parametrize("shape", [(1, 66, 70), (33, 64, 65), (70, 1, 130), (2, 65, 129)])
def test_so_they_are_in_volumes(model_of, shape):
    model = model_of(spatial_dims=3, n_convolutions=2)
    image = texture(*shape)
    whole = predict(model, image, axes="ZYX", device="cpu")
    assert len(np.unique(whole)) > 1
    source = open_source(image, axes="ZYX", spatial_dims=3)
    brightness = learn_intensity(source, InputOptions(scaling="minmax"))
    for box in [*border_boxes(shape), *(random_box(shape) for _ in range(2))]:
        part = label_box(model.network, model.config, model.class_labels, source, brightness, 0, box)
        assert np.array_equal(part, whole[box.slices])


# -- wherever the image lies and however it is stored -------------------------------------------


@pytest.mark.parametrize(("n_threads", "scaling"), [(1, "minmax"), (2, "percentile")])
def test_numpy_dask_zarr_and_memory_maps_give_the_same_labels(model_of, threads, tmp_path, n_threads, scaling):
    image = texture(2, 300, 530, dtype=np.uint16)
    model = model_of(n_convolutions=2, scaling=scaling)
    threads(1)
    expected = predict(model, image, axes="TYX", device="cpu")
    threads(n_threads)
    mapped = np.memmap(tmp_path / "image", np.uint16, "w+", shape=image.shape)
    mapped[:] = image
    forms = [image, mapped, np.asfortranarray(image)]
    for chunks in [(1, 300, 530), (2, 100, 137), (1, 37, 530), (1, 256, 512)]:
        forms.append(dask.array.from_array(image, chunks=chunks))
    forms.append(zarr.create_array(str(tmp_path / "a.zarr"), data=image, chunks=(1, 300, 128)))
    for form in forms:
        assert np.array_equal(predict(model, form, axes="TYX", device="cpu"), expected)
    assert torch.get_num_threads() == n_threads


def test_where_brightness_is_sampled_the_form_of_the_array_does_not_matter_either(model_of, monkeypatch):
    monkeypatch.setattr("napari_ufseg.engine.images.intensity._SAMPLED_VALUES", 10_000)
    image = texture(530, 600, dtype=np.float32)
    image += RANDOM.normal(size=image.shape).astype(np.float32)
    model = model_of(scaling="percentile")
    expected = predict(model, image, device="cpu")
    for chunks in [(530, 600), (100, 37)]:
        assert np.array_equal(predict(model, dask.array.from_array(image, chunks=chunks), device="cpu"), expected)


def test_labels_go_into_an_array_that_was_given(model_of, tmp_path):
    image = texture(530, 600)
    model = model_of()
    expected = predict(model, image, device="cpu")
    stored = zarr.create_array(str(tmp_path / "a.zarr"), shape=image.shape, chunks=(256, 256), dtype="u2")
    assert predict(model, image, device="cpu", out=stored) is stored
    assert np.array_equal(stored[:], expected)
    in_memory = np.zeros(image.shape, np.uint16)
    several = predict(model, [image], device="cpu", out=[in_memory])
    assert several[0] is in_memory
    assert np.array_equal(in_memory, expected)


def test_volumes_go_into_a_stored_array_in_the_order_of_the_image(model_of, tmp_path):
    volume = texture(66, 5, 70)
    model = model_of(spatial_dims=3)
    expected = predict(model, volume.transpose(1, 2, 0), axes="ZYX", device="cpu")
    stored = zarr.create_array(str(tmp_path / "a.zarr"), shape=volume.shape, chunks=(64, 5, 64), dtype="u2")
    predict(model, volume, axes="XZY", device="cpu", out=stored)
    assert np.array_equal(stored[:], expected.transpose(2, 0, 1))


class InChunks:
    """An array that, as stored ones do, changes part of a chunk by reading and writing the whole of it."""

    dtype = np.dtype(np.uint16)

    def __init__(self, shape):
        self.labels, self.shape = np.zeros(shape, np.uint16), shape
        self._both_have_read = threading.Barrier(2)

    def __setitem__(self, index, values):
        chunk = self.labels.copy()
        with contextlib.suppress(threading.BrokenBarrierError):  # they come one after the other, as they should
            self._both_have_read.wait(0.3)
        chunk[index] = values
        self.labels = chunk


def test_two_tiles_that_meet_in_a_chunk_of_the_output_are_both_kept(model_of, threads):
    image = texture(40, 600)
    model = model_of()
    expected = predict(model, image, device="cpu")
    threads(2)
    out = InChunks(image.shape)
    predict(model, image, device="cpu", out=out)
    assert np.array_equal(out.labels, expected)


def test_outputs_are_checked():
    sources = [open_source(np.zeros((5, 6))), open_source(np.zeros((3, 5, 6, 2)), axes="TYXC")]
    assert [(out.shape, out.dtype.name, out.any()) for out in outputs_for(sources)] == [
        ((5, 6), "uint16", False),
        ((3, 5, 6), "uint16", False),
    ]
    with pytest.raises(ImageError) as caught:
        outputs_for(sources, [np.zeros((5, 6), np.uint16)])
    assert str(caught.value) == "There is 1 output array for 2 images: give one for each."
    with pytest.raises(ImageError) as caught:
        outputs_for(sources[1:], [np.zeros((5, 6, 3), np.uint16)])
    assert str(caught.value) == ("The output array has shape (5, 6, 3), but the labels of the image have (3, 5, 6).")


def test_an_output_whose_type_cannot_hold_the_labels_is_refused(model_of):
    model = model_of(n_classes=4)
    model = model.merged({label: label + 300 for label in range(1, 5)})
    image = texture(20, 30)
    out = np.zeros(image.shape, np.uint8)
    with pytest.raises(ImageError):
        predict(model, image, device="cpu", out=out)


# -- the halo -----------------------------------------------------------------------------------


def in_one_pass(model, source, brightness):
    network = model.network.double()
    try:
        with torch.no_grad():
            return network(torch.from_numpy(brightness.scaled(source.read(0, source.whole)))[None].double())[0]
    finally:
        network.float()


def assert_as_in_one_pass(model, image, axes):
    source = open_source(image, axes=axes, spatial_dims=model.config.spatial_dims)
    brightness = learn_intensity(source, InputOptions(scaling="minmax"))
    expected = in_one_pass(model, source, brightness)
    seen = torch.zeros(source.item_shape, dtype=torch.int64)
    for cell, response, _ in box_responses(model.network, model.config, source, brightness, 0, source.whole):
        assert float((response - expected[(slice(None), *cell.slices)]).abs().max()) < 1e-4
        seen[cell.slices] += 1
    assert (seen == 1).all()
    two = expected.topk(2, dim=0).values
    clear = (two[0] - two[1] > 1e-3).numpy()
    assert clear.mean() > 0.99
    labels = predict(model, image, axes=axes, device="cpu")
    assert np.array_equal(labels[clear], expected.argmax(0).numpy()[clear] + 1)
    assert len(np.unique(labels)) > 1


@pytest.mark.parametrize("n_convolutions", [1, 2, 3, 4])
def test_cells_give_what_one_pass_over_the_whole_image_gives(model_of, n_convolutions):
    assert_as_in_one_pass(model_of(n_convolutions=n_convolutions), texture(300, 530), "YX")


@pytest.mark.parametrize("anisotropy", [1, 2, 5])
@pytest.mark.parametrize("n_convolutions", [1, 2, 3, 4])
def test_cells_give_what_one_pass_over_the_whole_volume_gives(model_of, n_convolutions, anisotropy):
    model = model_of(spatial_dims=3, n_convolutions=n_convolutions, anisotropy=anisotropy, n_features=3, n_classes=3)
    assert_as_in_one_pass(model, texture(70, 12, 68), "ZYX")


# -- how often pixels are read ------------------------------------------------------------------


def test_prediction_reads_pixels_twice_and_more_often_only_at_the_borders_of_tiles(model_of, counted):
    image = texture(2100, 1900)
    model, array = model_of(), counted(image)
    labels = predict(model, array, device="cpu")
    halo = model.config.halo[0]
    edge_y, edge_x = tile_edges(image.shape, (1, 1))
    near = [
        (np.arange(n) % edge < halo) | (np.arange(n) % edge >= edge - halo)
        for n, edge in zip(image.shape, (edge_y, edge_x), strict=True)
    ]
    inner = ~near[0][:, None] & ~near[1][None]
    assert (array.reads[inner] == 2).all()
    assert inner.mean() > 0.98
    assert array.reads.min() == 2
    assert array.reads.max() <= 5
    assert array.largest <= (edge_y + 2 * halo) * (edge_x + 2 * halo)
    assert np.array_equal(labels, predict(model, image, device="cpu"))


def test_every_plane_of_a_stack_with_channels_is_read_twice(model_of, counted):
    array = counted(texture(3, 2, 40, 50))
    predict(model_of(n_channels=2), array, axes="TCYX", device="cpu")
    assert (array.reads == 2).all()
    assert array.largest == 2 * 40 * 50


def test_the_volume_is_read_twice_but_for_the_halo(model_of, counted):
    array = counted(texture(70, 20, 130))
    model = model_of(spatial_dims=3, n_convolutions=2)
    predict(model, array, axes="ZYX", device="cpu")
    assert array.reads.min() == 2
    assert (array.reads[:62, :, :62] == 2).all()
    assert array.reads.max() <= 5
    assert array.largest <= 68**3


# -- label_images -------------------------------------------------------------------------------


def jobs_of(model, *images, axes="TYX"):
    sources = [open_source(image, axes=axes) for image in images]
    return [
        LabellingJob(s, learn_intensity(s, model.config), out)
        for s, out in zip(sources, outputs_for(sources), strict=True)
    ]


@pytest.mark.parametrize("n_threads", [1, 2])
def test_progress_counts_the_pixels_that_have_their_labels(model_of, threads, n_threads):
    threads(n_threads)
    model = model_of()
    jobs = jobs_of(model, texture(3, 20, 30), texture(1, 530, 30))
    seen = []
    for progress in label_images(model, jobs, CPU):
        seen.append((progress.pixels, sum(progress.present.values())))
        assert progress.total == 3 * 20 * 30 + 530 * 30
    assert [pixels for pixels, _ in seen] == [areas for _, areas in seen]
    assert [pixels for pixels, _ in seen] == sorted({pixels for pixels, _ in seen})
    assert len(seen) == 5
    everything = np.concatenate([job.out.ravel() for job in jobs])
    assert progress.present == {int(k): int((everything == k).sum()) for k in np.unique(everything)}
    assert progress.pixels == progress.total


def test_what_is_looked_at_comes_first(model_of, threads):
    threads(1)  # of two the second may have done another tile before the first is looked at
    model = model_of()
    jobs = jobs_of(model, texture(4, 20, 30), texture(5, 30, 1100))
    order, before = [], [job.out.copy() for job in jobs]
    for _ in label_images(model, jobs, CPU, first=View(1, 3, (15, 700))):
        for number, job in enumerate(jobs):
            new = np.argwhere((job.out > 0) & (before[number] == 0))
            if len(new):
                order.append((number, int(new[0, 0]), int(new[0, 2]) // 512))
            before[number] = job.out.copy()
    assert len(order) == 4 + 5 * 3
    assert order[0] == (1, 3, 1)
    assert {place[:2] for place in order[:3]} == {(1, 3)}
    assert {place[0] for place in order[:15]} == {1}
    assert {place[1] for place in order[3:9]} == {2, 4}


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_stop_ends_it_before_everything_is_labelled(model_of, threads, n_threads):
    threads(n_threads)
    model = model_of()
    jobs = jobs_of(model, texture(9, 20, 30))
    asked = threading.Event()
    for progress in label_images(model, jobs, CPU, stopped=asked.is_set):
        asked.set()
        pixels = progress.pixels
    assert 0 < pixels <= n_threads * 600
    assert pixels == (jobs[0].out > 0).sum()
    assert torch.get_num_threads() == n_threads


@pytest.mark.parametrize("n_threads", [1, 2])
def test_dropping_it_and_errors_put_the_threads_back(model_of, threads, n_threads):
    threads(n_threads)
    model = model_of()
    labels = label_images(model, jobs_of(model, texture(9, 20, 30)), CPU)
    next(labels)
    labels.close()
    assert torch.get_num_threads() == n_threads

    class Full:
        shape, dtype = (9, 20, 30), np.dtype(np.uint16)

        def __setitem__(self, index, values):
            raise OSError("the disk is full")

    with pytest.raises(TrainingError, match=r"^Prediction failed: OSError: the disk is full$"):
        predict(model, texture(9, 20, 30), axes="TYX", device="cpu", out=Full())
    assert torch.get_num_threads() == n_threads


def test_what_cannot_be_read_is_an_image_error_also_from_another_thread(model_of, threads):
    class Failing:
        shape, dtype = (9, 20, 30), np.dtype(float)

        def __init__(self):
            self.reads = 0

        def __getitem__(self, index):
            self.reads += 1
            if self.reads > 12:
                raise OSError("the network is gone\nat line 7")
            return np.random.default_rng(0).random(self.shape)[index]

    threads(2)
    with pytest.raises(ImageError) as caught:
        predict(model_of(), Failing(), axes="TYX", device="cpu")
    assert str(caught.value) == "The image cannot be read: OSError: the network is gone"
