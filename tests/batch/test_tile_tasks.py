"""What a worker computes for a tile, in this process: the labels are those of `predict`, whoever does which tile how often."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import zarr

from napari_ufseg import predict
from napari_ufseg.batch import tile_tasks
from napari_ufseg.batch.tile_tasks import TilePlan, end_writing, label_tile, summarise_tiles
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import FileError, ImageError
from napari_ufseg.engine.images.source import open_source
from napari_ufseg.engine.images.tiling import label_chunks
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.prediction.labelling import learn_intensity
from napari_ufseg.engine.prediction.tile_pool import tiles_of
from napari_ufseg.io import create_label_array, open_image


def untrained(**options):
    config = SegmentationConfig.preset("fast", n_features=4, n_classes=12, **options)
    torch.manual_seed(0)
    return SegmentationModel(FeatureNet.of_config(config, 1).eval(), config, 1)


def noise(shape, dtype):
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def begun(folder: Path, model, image, axes):
    """The image as a file, its source, and the plan of labelling it."""
    path = folder / ("image.tif" if axes == "TYX" else "image.zarr")
    if axes == "TYX":
        tifffile.imwrite(path, image, compression="zlib", rowsperstrip=64)
    else:
        zarr.create_array(path, data=image, chunks=(64,) * image.ndim)
    source = open_source(open_image(path).data, axes=axes, spatial_dims=model.config.spatial_dims)
    chunks = label_chunks(source.item_shape, source.chunks, len(source.labels_shape))
    labels = create_label_array(folder / "labels.zarr", source.labels_shape, chunks)
    return source, labels, TilePlan.of(model, source, path, labels, "cpu")


def learnt(plan, source, size=2):
    """The brightness out of summaries of a few tiles each, the last of them first."""
    tiles = tiles_of([source])
    parts = [summarise_tiles(tiles[i : i + size], plan) for i in range(0, len(tiles), size)]
    assert sum(pixels for _, pixels in parts) == source.n_pixels
    whole = parts[-1][0]
    for summary, _ in parts[-2::-1]:
        whole.merge(summary)
    return whole.brightness(source.name)


@pytest.mark.parametrize(
    ("axes", "shape", "dtype", "options"),
    [
        ("YX", (700, 1100), "u1", {}),
        ("TYX", (10, 80, 90), "u2", {"scaling": "percentile"}),
        ("YX", (600, 520), "f4", {"scaling": "percentile", "local_threshold": 0.4}),
        ("ZYX", (70, 65, 80), "u2", {"spatial_dims": 3}),
    ],
)
def test_tiles_in_any_order_and_some_of_them_twice_are_those_of_one_pass(axes, shape, dtype, options, tmp_path):
    model, image = untrained(**options), noise(shape, dtype)
    source, labels, plan = begun(tmp_path, model, image, axes)
    brightness = learnt(plan, source)
    assert brightness == learn_intensity(open_source(image, axes=axes, spatial_dims=source.spatial_dims), model.config)
    n_threads = torch.get_num_threads()
    tiles = tiles_of([source])
    areas = [label_tile(tile, plan, brightness) for tile in [*tiles[::-1], tiles[0]]]
    torch.set_num_threads(n_threads)
    assert areas[-1] == areas[-2]
    expected = predict(model, image, axes=axes, device="cpu")
    np.testing.assert_array_equal(labels[...], expected)
    assert len(set().union(*areas)) > 1
    assert sum(sum(its.values()) for its in areas[:-1]) == expected.size


def test_nothing_more_is_written_for_a_plan_that_has_ended(tmp_path):
    source, labels, plan = begun(tmp_path, untrained(), noise((3, 150, 150), "u1"), "TYX")
    brightness = learnt(plan, source)
    first, *rest = tiles_of([source])
    label_tile(first, plan, brightness)
    end_writing(plan.name)
    for tile in rest:
        assert sum(label_tile(tile, plan, brightness).values()) == tile.box.size
    assert np.any(labels[...], axis=(1, 2)).tolist() == [True, False, False]


def test_a_fault_of_the_image_is_told_as_always(tmp_path):
    image = np.full((300, 600), np.nan, "f4")
    source, _, plan = begun(tmp_path, untrained(), image, "YX")
    with pytest.raises(ImageError, match=r"^The image holds nothing but NaN or infinite values"):
        learnt(plan, source)


@pytest.mark.parametrize(("gone", "words"), [("image", "cannot read"), ("labels", "cannot write in")])
def test_files_that_cannot_be_reached_are_named(gone, words, tmp_path):
    source, _, plan = begun(tmp_path, untrained(), noise((40, 50), "u1"), "YX")
    getattr(plan, gone).rename(tmp_path / "elsewhere")
    with pytest.raises(FileError, match=rf"^A worker on .* {words} "):
        learnt(plan, source)


def test_an_image_that_goes_between_two_tiles_is_an_error(tmp_path):
    source, _, plan = begun(tmp_path, untrained(), noise((700, 1100), "u1"), "YX")
    brightness = learnt(plan, source)
    plan.image.rename(tmp_path / "elsewhere")
    with pytest.raises(FileError, match="has gone while it was read"):
        label_tile(tiles_of([source])[0], plan, brightness)


def test_the_network_of_a_tile_lies_in_memory_as_its_device_likes_it(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_ufseg.engine.device.layout_of", lambda kind, dims: torch.channels_last)  # as on a GPU
    _, _, plan = begun(tmp_path, untrained(), noise((70, 80), np.uint8), "YX")
    network, _, _ = tile_tasks._opened(plan)
    assert network.stages[1][0].weight.is_contiguous(memory_format=torch.channels_last)
    assert plan.model.network.stages[1][0].weight.is_contiguous()  # that of the caller stays as it is


@pytest.mark.parametrize("series", [0, 1])
def test_of_several_images_in_a_file_the_one_of_the_plan_is_labelled(series, tmp_path):
    model, images = untrained(), [noise((64, 80), "u1"), noise((96, 128), "u2")]
    with tifffile.TiffWriter(tmp_path / "x.tif") as tiff:
        for image in images:
            tiff.write(image, metadata=None)
    source = open_source(open_image(tmp_path / "x.tif", series=series).data, axes="YX")
    labels = create_label_array(tmp_path / "labels.zarr", source.labels_shape, (64, 64))
    plan = TilePlan.of(model, source, tmp_path / "x.tif", labels, "cpu", series=series)
    brightness = learnt(plan, source)
    for tile in tiles_of([source]):
        label_tile(tile, plan, brightness)
    np.testing.assert_array_equal(labels[...], predict(model, images[series], device="cpu"))
