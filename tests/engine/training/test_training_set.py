import itertools
from types import SimpleNamespace

import dask.array
import numpy as np
import pytest
import torch

from napari_ufseg.engine.errors import MemoryShortageError, StoppedError
from napari_ufseg.engine.images.source import open_sources
from napari_ufseg.engine.images.tiling import tile_edges
from napari_ufseg.engine.training import memory_plan
from napari_ufseg.engine.training.memory_plan import plan_training
from napari_ufseg.engine.training.session import TrainingSession
from napari_ufseg.engine.training.training_set import build_training_set

GB = 10**9


def texture(*shape, seed=0):
    return (np.random.default_rng(seed).random(shape) ** 2 * 255).astype(np.uint8)


@pytest.fixture
def few(monkeypatch):
    """Tiles make up 2**15 pixels and no more, so that they do not fill the images of the tests."""
    monkeypatch.setattr(memory_plan, "SAMPLED_PIXELS", 2**15)


@pytest.fixture
def tiled(few, quick, budget_for):
    """A function: the training set of images that do not fit, in tiles of at most `edge` pixels; 32 unless told."""

    def build(images, scribbles=None, edge=32, axes=None, n_channels=1, **changes):
        config = quick(**{"batch_size": 4, **changes})
        sources = open_sources(images, axes=axes, spatial_dims=config.spatial_dims)
        budget = budget_for(config, config.batch_size * edge**config.spatial_dims, n_channels)
        assert not plan_training(sources, config, budget).is_whole
        return build_training_set(sources, config, scribbles, budget)

    return build


# -- everything, if it fits ---------------------------------------------------------------------


def test_what_fits_is_kept_whole_and_scaled(quick):
    images = [texture(3, 20, 30), texture(2, 40, 10, seed=1)]
    chosen = build_training_set(open_sources(images, axes="TYX"), quick(), None, None)
    assert chosen.is_whole
    assert [(place.number, place.item) for place in chosen.places] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert chosen.scribbles is None
    assert chosen.trained == [0, 1, 2, 3, 4]
    planes = [(image, plane) for image in images for plane in image]
    for (image, plane), tensor in zip(planes, chosen.images, strict=True):
        assert tensor.dtype == torch.float32
        low, high = float(image.min()), float(image.max())
        np.testing.assert_allclose(tensor.numpy()[0], (plane - low) / (high - low), atol=1e-7)


def test_one_byte_decides_whether_everything_is_kept(quick, monkeypatch):
    monkeypatch.setattr(memory_plan, "resident_bytes", lambda: 5 * GB)
    sources, config = open_sources([texture(3, 200, 300)], axes="TYX"), quick()
    needed = 5 * GB + plan_training(sources, config).whole_bytes
    assert plan_training(sources, config, needed).is_whole
    assert not plan_training(sources, config, needed - 1).is_whole


def test_more_features_channels_pixels_and_images_in_a_batch_need_more_memory(quick):
    def needed(shape=(4, 64, 64, 1), **changes):
        return plan_training(open_sources([np.zeros(shape)], axes="TYXC"), quick(**changes)).whole_bytes

    assert needed(n_features=60) > needed()
    assert needed(n_classes=60) > needed()
    assert needed(n_convolutions=4) > needed()
    assert needed((4, 64, 64, 3)) > needed()
    assert needed((4, 64, 65, 1)) > needed()
    assert needed(batch_size=4) > needed(batch_size=2) > needed(batch_size=1)
    assert needed(batch_size=400) == needed(batch_size=4)
    assert needed((5, 64, 64, 1), batch_size=1) > needed(batch_size=1)


def test_without_a_budget_small_images_are_kept_whole(quick):
    assert plan_training(open_sources([texture(20, 30)]), quick(), None).is_whole


# -- tiles, if it does not ----------------------------------------------------------------------


def assert_cut_from(chosen, images, axes="YX"):
    for place, tensor in zip(chosen.places, chosen.images, strict=True):
        image = images[place.number]
        plane = image[place.item] if axes == "TYX" else image
        low, high = float(image.min()), float(image.max())
        assert all(0 <= a < b <= n for a, b, n in zip(place.box.start, place.box.stop, plane.shape, strict=True))
        np.testing.assert_allclose(tensor.numpy()[0], (plane[place.box.slices] - low) / (high - low), atol=1e-7)


def test_tiles_lie_within_the_image_and_hold_its_pixels(tiled):
    images = [texture(700, 900)]
    chosen = tiled(images)
    assert not chosen.is_whole
    assert {place.box.shape for place in chosen.places} == {(32, 32)}
    assert 25 <= len(chosen.places) <= 32
    assert len(set(chosen.places)) == len(chosen.places)
    assert_cut_from(chosen, images)


def test_tiles_come_from_all_planes_of_a_stack(tiled):
    images = [texture(40, 64, 48)]
    chosen = tiled(images, axes="TYX", edge=32)
    assert len({place.item for place in chosen.places}) > 10
    assert_cut_from(chosen, images, "TYX")


def test_tiles_of_channels_and_turned_axes(tiled):
    image = texture(2, 800, 300)
    chosen = tiled([image], axes="CXY", n_channels=2)
    low, high = float(image.min()), float(image.max())
    for place, tensor in zip(chosen.places, chosen.images, strict=True):
        expected = image.transpose(0, 2, 1)[(slice(None), *place.box.slices)]
        np.testing.assert_allclose(tensor.numpy(), (expected - low) / (high - low), atol=1e-7)


def test_cubes_of_volumes(tiled):
    image = texture(20, 100, 120)
    chosen = tiled([image], axes="ZYX", spatial_dims=3, edge=24)
    assert {place.box.shape for place in chosen.places} == {(20, 24, 24)}
    assert chosen.images[0].shape == (1, 20, 24, 24)
    assert_cut_from(chosen, [image])


def test_an_image_smaller_than_a_tile_along_one_axis_gives_narrower_tiles(tiled):
    chosen = tiled([texture(2000, 20)])
    assert {place.box.shape for place in chosen.places} == {(32, 20)}


def test_every_part_of_an_image_can_be_in_a_tile(tiled):
    """Also what lies beyond the last whole tile, in which it is read."""
    covered = np.zeros((600, 560), bool)
    for seed in range(60):
        for place in tiled([texture(600, 560)], seed=seed, edge=96, batch_size=1).places:
            covered[place.box.slices] = True
    assert covered[530:590, 100:400].mean() > 0.5
    assert covered[100:500, 515:550].mean() > 0.5
    assert covered.mean() > 0.8


def test_the_same_seed_gives_the_same_tiles_and_another_one_others(tiled):
    first, again, other = (tiled([texture(700, 900)], seed=seed) for seed in (3, 3, 4))
    assert first.places == again.places
    assert first.places != other.places
    assert all(torch.equal(a, b) for a, b in zip(first.images, again.images, strict=True))


def test_how_an_array_is_stored_does_not_change_what_its_tiles_hold(tiled):
    image = texture(700, 900)
    plain, lazy = tiled([image]), tiled([dask.array.from_array(image, chunks=(100, 900))])
    assert plain.brightness == lazy.brightness
    assert_cut_from(lazy, [image])


def test_images_of_different_sizes_share_the_tiles_in_proportion(tiled):
    images = [texture(512, 1024), texture(512, 512, seed=1), texture(256, 512, seed=2)]
    numbers = [place.number for place in tiled(images).places]
    counts = [numbers.count(number) for number in range(3)]
    expected = [32 * share / 7 for share in (4, 2, 1)]
    assert all(abs(count - wished) <= 2 for count, wished in zip(counts, expected, strict=True))
    assert numbers == sorted(numbers)


def test_even_the_smallest_image_gives_a_tile(tiled):
    images = [texture(1000, 1024), texture(24, 40, seed=1)]
    assert {place.number for place in tiled(images).places} == {0, 1}


def test_images_much_larger_than_a_sample_are_trained_on_by_tiles_though_they_fit(quick):
    images = open_sources([texture(600, 700), texture(500, 400, seed=1)])
    n_pixels = 600 * 700 + 500 * 400
    for megapixels, is_whole in ((0.0, True), (n_pixels / 2e6 + 0.01, True), (n_pixels / 2e6, False)):
        plan = plan_training(images, quick(epoch_megapixels=megapixels))
        assert (plan.is_whole, plan.is_short) == (is_whole, False)
    chosen = build_training_set(images, quick(epoch_megapixels=0.2), None, None)
    assert {place.box.shape for place in chosen.places} == {(256, 256)}
    assert sum(place.box.size for place in chosen.places) == pytest.approx(0.2e6, rel=0.4)
    assert {place.number for place in chosen.places} == {0, 1}
    again = build_training_set(images, quick(epoch_megapixels=0.2), None, None)
    other = build_training_set(images, quick(epoch_megapixels=0.2, seed=9), None, None)
    assert again.places == chosen.places != other.places


def test_a_larger_budget_gives_larger_tiles(tiled):
    image = [texture(900, 900)]
    edges = [tiled(image, edge=edge, batch_size=1).places[0].box.shape[0] for edge in (32, 40, 64, 100, 128, 300)]
    assert edges == [32, 32, 64, 96, 128, 256]
    assert tiled(image, edge=64, batch_size=4).places[0].box.shape == (64, 64)


def test_with_too_little_memory_for_a_batch_of_the_smallest_tiles_nothing_is_trained(few, quick, monkeypatch):
    monkeypatch.setattr(memory_plan, "resident_bytes", lambda: 0)
    sources, config = open_sources([texture(400, 400)]), quick(batch_size=4)
    budget = memory_plan.step_bytes(config, 1, 4 * 32 * 32) + 8 * memory_plan.SAMPLED_PIXELS
    assert build_training_set(sources, config, None, budget).places[0].box.shape == (32, 32)
    with pytest.raises(MemoryShortageError, match=r"small tiles, which takes .*GB in all: use fewer features"):
        build_training_set(sources, config, None, budget - 10_000)


@pytest.mark.parametrize("dims", [2, 3])
def test_nothing_fits_into_nothing(quick, dims):
    with pytest.raises(MemoryShortageError, match="too little memory to train even on small tiles"):
        TrainingSession(texture(20, 40, 50), quick(spatial_dims=dims), axes="ZYX", device="cpu", memory_budget=1)


def test_a_constant_image_among_tiles_is_not_trained(tiled):
    chosen = tiled([texture(700, 900), np.full((700, 900), 7, np.uint8)])
    numbers = {place.number for place in chosen.places}
    assert numbers == {0, 1}
    assert {chosen.places[i].number for i in chosen.trained} == {0}
    assert [its.is_constant for its in chosen.brightness] == [False, True]


# -- scribbles ----------------------------------------------------------------------------------


def test_scribbles_are_cut_as_their_image_is(quick):
    marks = [np.random.default_rng(i).integers(0, 3, (5, 6, 2)) for i in range(2)]
    sources = open_sources([texture(5, 4, 6, 2), texture(5, 4, 6, 2)], axes="XCYT")
    chosen = build_training_set(sources, quick(), [marks[0], None], None)
    expected = [*marks[0].transpose(2, 1, 0), *np.zeros((2, 6, 5))]
    assert len(chosen.scribbles) == 4
    assert all(np.array_equal(a.numpy(), b) for a, b in zip(chosen.scribbles, expected, strict=True))
    assert chosen.scribbles[0].dtype == torch.int64


@pytest.mark.parametrize("mark", [(5, 7), (300, 400), (599, 3), (2, 899), (599, 899), (511, 511), (512, 512)])
def test_a_scribble_is_among_the_tiles_wherever_it_is(tiled, mark):
    scribbles = np.zeros((600, 900), np.uint8)
    scribbles[mark] = 3
    chosen = tiled([texture(600, 900)], [scribbles], edge=96, batch_size=1)
    assert chosen.scribbles is not None
    for place, cut in zip(chosen.places, chosen.scribbles, strict=True):
        assert np.array_equal(cut.numpy(), scribbles[place.box.slices])
    with_it = sum(bool(cut.any()) for cut in chosen.scribbles)
    assert 1 <= with_it <= 0.75 * len(chosen.places) + 1


def test_the_scribble_of_a_small_image_is_not_lost(tiled):
    scribbles = np.zeros((40, 40), np.uint8)
    scribbles[3, 4] = 2
    chosen = tiled([texture(1000, 1024), texture(40, 40, seed=1)], [None, scribbles])
    assert chosen.scribbles is not None
    assert sum(int(cut.sum()) for cut, place in zip(chosen.scribbles, chosen.places, strict=True) if place.number) > 0


def test_a_scribble_in_one_plane_of_a_stack_is_among_the_tiles(tiled):
    scribbles = np.zeros((200, 64, 48), np.uint8)
    scribbles[137, 60, 2] = 5
    chosen = tiled([texture(200, 64, 48)], [scribbles], axes="TYX")
    assert any(place.item == 137 and cut.any() for place, cut in zip(chosen.places, chosen.scribbles, strict=True))


def test_without_scribbles_in_the_images_there_are_none(tiled):
    assert tiled([texture(600, 900)], [np.zeros((600, 900), int)]).scribbles is None


# -- reading ------------------------------------------------------------------------------------


def test_a_whole_image_is_read_once(quick, counted):
    arrays = [counted(texture(3, 40, 50)), counted(texture(2, 30, 20))]
    session = TrainingSession(arrays, quick(), axes="TYX", device="cpu")
    assert session.is_whole
    assert all((array.reads == 1).all() for array in arrays)
    alone = TrainingSession(arrays[0], quick(), axes="TYX", device="cpu")
    alone.step()
    assert alone.snapshot().labels.shape == (40, 50)
    assert (arrays[0].reads == 2).all()


@pytest.mark.parametrize(("shape", "axes"), [((1300, 1100), "YX"), ((5, 2, 300, 200), "TCYX"), ((700, 3, 1200), "YTX")])
def test_an_image_that_does_not_fit_is_read_once_and_never_whole(few, quick, counted, budget_for, shape, axes):
    array = counted(texture(*shape))
    config = quick(batch_size=2)
    n_channels = shape[1] if "C" in axes else 1
    budget = budget_for(config, 2 * 64**2, n_channels)
    session = TrainingSession(array, config, axes=axes, device="cpu", memory_budget=budget)
    assert not session.is_whole
    assert (array.reads == 1).all()
    assert array.largest <= n_channels * np.prod(tile_edges(session.sources[0].item_shape, (1, 1)))
    assert array.largest < array.reads.size


def test_a_real_budget_makes_tiles_of_an_image_too_large_for_it(quick, counted):
    """Room for the fixed part of a step and the kept tiles, but not for four million pixels at once."""
    array = counted(texture(2100, 1900))
    config = quick(n_features=4, n_classes=4, n_convolutions=1, batch_size=4)
    budget = memory_plan.resident_bytes() + 500 * 2**20
    session = TrainingSession(array, config, device="cpu", memory_budget=budget)
    assert not session.is_whole
    assert (array.reads == 1).all()
    assert array.largest <= 512**2
    assert sum(item.numel() for item in session.trainer.images) <= memory_plan.SAMPLED_PIXELS


# -- training on tiles --------------------------------------------------------------------------


def test_a_step_takes_batch_size_tiles_and_an_epoch_all_of_them(few, quick, budget_for):
    config = quick(batch_size=5, epochs=2)
    image = texture(600, 560)
    budget = budget_for(config, 5 * 32**2)
    session = TrainingSession(image, config, device="cpu", memory_budget=budget)
    batches = []
    descend = session.trainer.descend
    session.trainer.descend = lambda batch: batches.append(batch) or descend(batch)
    while session.epoch < 1:
        session.step()
    n = len(session.trainer.images)
    assert sorted(map(len, batches)) == sorted([5] * (n // 5) + [n % 5] * bool(n % 5))
    assert sorted(itertools.chain(*batches)) == list(range(n))


def test_the_session_trains_on_the_same_tiles_for_the_same_seed(few, quick, budget_for, drained):
    config = quick(batch_size=4, epochs=2)
    budget = budget_for(config, 4 * 32**2)
    image = texture(600, 560)
    results = [
        drained(TrainingSession(image, config.replace(seed=s), device="cpu", memory_budget=budget).run(float("inf")))[1]
        for s in (1, 1, 2)
    ]
    assert np.array_equal(results[0].labels, results[1].labels)
    assert [r.losses for r in results[0].history] == [r.losses for r in results[1].history]
    assert not np.array_equal(results[0].labels, results[2].labels)


# -- stopping while it is read ------------------------------------------------------------------


class StopsAfter:
    """An image of tiles of 64 pixels that knows how often it is read, and is wished away at the second time."""

    def __init__(self, shape):
        self.shape, self.dtype, self.chunks = shape, np.dtype(np.uint8), (*(1,) * (len(shape) - 2), 512, 512)
        self.n_reads = 0

    def __getitem__(self, index):
        self.n_reads += 1
        return np.broadcast_to(np.uint8(3), self.shape)[index]

    def is_over(self):
        return self.n_reads >= 2


@pytest.mark.parametrize("budget", [None, 10**9], ids=["whole", "tiles"])
def test_reading_ends_soon_after_a_stop(quick, budget, monkeypatch):
    monkeypatch.setattr(memory_plan, "resident_bytes", lambda: 0)  # whatever other tests have left in this process
    image = StopsAfter((2, 2000, 3000) if budget is None else (2, 20_000, 20_000))
    config = quick(n_features=2, n_classes=2)
    assert plan_training(open_sources([image], axes="TYX"), config, budget).is_whole is (budget is None)
    with pytest.raises(StoppedError):
        TrainingSession(image, config, axes="TYX", device="cpu", memory_budget=budget, stopped=image.is_over)
    assert image.n_reads == 2


def test_what_is_stored_as_one_piece_is_read_as_one(quick, counted):
    image = counted(texture(2, 600, 3000))
    image.chunks = (1, 600, 3000)
    build_training_set(open_sources([image], axes="TYX"), quick(), None, None)
    assert (image.reads == 1).all()
    image.chunks, image.largest = (1, 64, 64), 0
    build_training_set(open_sources([image], axes="TYX"), quick(), None, None)
    assert image.largest < 600 * 3000


# -- memory of a GPU ----------------------------------------------------------------------------


@pytest.fixture
def gpu(monkeypatch):
    """A function: the CUDA device whose free memory is so many bytes; none is needed."""

    def of(free):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 80 * GB))
        return torch.device("cuda")

    return of


def test_the_memory_of_the_gpu_decides_whether_everything_is_trained_on_there(quick, gpu):
    sources = open_sources([np.zeros((3, 1000, 1200), np.uint8)], axes="TYX")
    config = quick(n_features=32, n_classes=32, batch_size=3)
    needed = plan_training(sources, config, None, gpu(40 * GB)).whole_bytes
    assert plan_training(sources, config, None, gpu(2 * needed)).is_whole
    assert not plan_training(sources, config, None, gpu(needed)).is_whole  # some of it must stay free
    assert not plan_training(sources, config, needed - 1, gpu(2 * needed)).is_whole
    small = plan_training(sources, config, None, gpu(needed // 2))
    assert small.is_short
    assert small.run_bytes < needed // 2


def test_images_that_fit_the_gpu_must_fit_the_process_too(quick, gpu, monkeypatch):
    sources, config = open_sources([np.zeros((3, 5000, 6000), np.uint8)], axes="TYX"), quick(batch_size=1)
    assert plan_training(sources, config, None, gpu(10**3 * GB)).is_whole
    monkeypatch.setattr(memory_plan.psutil, "virtual_memory", lambda: SimpleNamespace(available=GB))
    assert not plan_training(sources, config, None, gpu(10**3 * GB)).is_whole


def test_a_gpu_without_room_is_told(quick, gpu):
    with pytest.raises(MemoryShortageError, match=r"too little memory on the GPU to train .*n_features"):
        plan_training(open_sources([np.zeros((900, 900))]), quick(), None, gpu(10**8))


def test_layers_of_torch_need_more_memory_than_a_step_by_strips(quick):
    on_cpu, on_gpu = (memory_plan.step_bytes(quick(), 1, 10**7, torch.device(kind)) for kind in ("cpu", "cuda"))
    assert on_gpu > 1.5 * on_cpu
