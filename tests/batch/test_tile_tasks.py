"""Graphs on the threads of this process: the labels are those of `predict`, and a stop leaves nothing behind it."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import zarr

from napari_ufseg import predict
from napari_ufseg.batch import cluster as blockwise
from napari_ufseg.batch import tile_tasks
from napari_ufseg.batch.cluster import Threads, TilePlan, label_blocks, learn_blocks
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import FileError, ImageError
from napari_ufseg.engine.images.source import open_source
from napari_ufseg.engine.images.tiling import label_chunks
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.prediction.labelling import learn_intensity
from napari_ufseg.io import create_label_array, open_image


def untrained(**options):
    config = SegmentationConfig.preset("fast", n_features=4, n_classes=12, **options)
    torch.manual_seed(0)
    return SegmentationModel(FeatureNet.of_config(config, 1).eval(), config, 1)


def noise(shape, dtype):
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def begun(folder: Path, model, image, axes):
    """The image as a file, its source, and the work of labelling it."""
    path = folder / ("image.tif" if axes == "TYX" else "image.zarr")
    if axes == "TYX":
        tifffile.imwrite(path, image, compression="zlib", rowsperstrip=64)
    else:
        zarr.create_array(path, data=image, chunks=(64,) * image.ndim)
    source = open_source(open_image(path).data, axes=axes, spatial_dims=model.config.spatial_dims)
    chunks = label_chunks(source.item_shape, source.chunks, len(source.labels_shape))
    labels = create_label_array(folder / "labels.zarr", source.labels_shape, chunks)
    return source, labels, TilePlan.of(model, source, path, labels, "cpu")


def finished(steps):
    """What a generator returns, and the last of what it yields."""
    last = None
    while True:
        try:
            last = next(steps)
        except StopIteration as end:
            return end.value, last


@pytest.mark.parametrize(
    ("axes", "shape", "dtype", "options"),
    [
        ("YX", (700, 1100), "u1", {}),
        ("TYX", (10, 80, 90), "u2", {"scaling": "percentile"}),
        ("YX", (600, 520), "f4", {"scaling": "percentile"}),
        ("ZYX", (70, 65, 80), "u2", {"spatial_dims": 3}),
    ],
)
def test_brightness_and_labels_are_those_of_one_pass(axes, shape, dtype, options, tmp_path, monkeypatch):
    monkeypatch.setattr(blockwise, "_MERGED_AT_ONCE", 3)  # so that there are summaries of summaries
    model, image, runner = untrained(**options), noise(shape, dtype), Threads(2)
    source, labels, work = begun(tmp_path, model, image, axes)
    brightness, progress = finished(learn_blocks(runner, work, source))
    assert brightness == learn_intensity(
        open_source(image, axes=axes, spatial_dims=source.spatial_dims), model.config.scaling
    )
    assert progress.pixels == progress.total == image.size
    _, progress = finished(label_blocks(runner, work, source, brightness))
    expected = predict(model, image, axes=axes, device="cpu")
    np.testing.assert_array_equal(labels[...], expected)
    assert len(progress.present) > 1
    assert progress.present == dict(zip(*np.unique(expected, return_counts=True), strict=True))


def test_many_tiles_share_a_summary(tmp_path, monkeypatch):
    monkeypatch.setattr(blockwise, "_MOST_SUMMARIES", 3)
    image = noise((10, 40, 50), "u2")
    source, _, work = begun(tmp_path, untrained(scaling="percentile"), image, "TYX")
    seen = list(learn_blocks(Threads(1), work, source))
    assert [progress.pixels for progress in seen][-1] == image.size
    assert len(seen) == 3


def test_a_fault_of_the_image_is_told_as_always(tmp_path):
    image = noise((300, 600), "f4")
    image[2, 2], image[9, 599] = np.nan, np.inf
    source, _, work = begun(tmp_path, untrained(), image, "YX")
    with pytest.raises(ImageError, match=r"^The image has 2 values that are NaN or infinite"):
        finished(learn_blocks(Threads(2), work, source))


def test_after_a_stop_nothing_more_is_written_and_the_threads_of_torch_are_as_before(tmp_path):
    before = torch.get_num_threads()
    source, labels, work = begun(tmp_path, untrained(), noise((30, 150, 150), "u1"), "TYX")
    brightness, _ = finished(learn_blocks(Threads(2), work, source))
    with closing(label_blocks(Threads(2), work, source, brightness)) as steps:
        next(steps)
    assert torch.get_num_threads() == before
    assert 0 < np.any(labels[...], axis=(1, 2)).sum() < 30
    written = labels[...]
    assert finished(label_blocks(Threads(2), work, source, brightness))[1].pixels == source.n_pixels
    np.testing.assert_array_equal(labels[...], written)  # this work has ended


@pytest.mark.parametrize(("gone", "words"), [("image", "cannot read"), ("labels", "cannot write in")])
def test_files_that_cannot_be_reached_are_named(gone, words, tmp_path):
    source, _, work = begun(tmp_path, untrained(), noise((40, 50), "u1"), "YX")
    getattr(work, gone).rename(tmp_path / "elsewhere")
    with pytest.raises(FileError, match=rf"^A worker on .* {words} "):
        finished(learn_blocks(Threads(1), work, source))


def test_an_image_that_goes_between_two_tiles_is_an_error(tmp_path):
    source, _, work = begun(tmp_path, untrained(), noise((700, 1100), "u1"), "YX")
    brightness, _ = finished(learn_blocks(Threads(2), work, source))
    work.image.rename(tmp_path / "elsewhere")
    with pytest.raises(FileError, match="has gone while it was read"):
        finished(label_blocks(Threads(2), work, source, brightness))


def test_the_network_of_a_tile_lies_in_memory_as_its_device_likes_it(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_ufseg.engine.device.layout_of", lambda kind, dims: torch.channels_last)  # as on a GPU
    _, _, work = begun(tmp_path, untrained(), noise((70, 80), np.uint8), "YX")
    network, _, _ = tile_tasks._opened(work)
    assert network.stages[1][0].weight.is_contiguous(memory_format=torch.channels_last)
    assert work.model.network.stages[1][0].weight.is_contiguous()  # that of the caller stays as it is
