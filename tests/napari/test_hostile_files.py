"""Files that claim what cannot be, in File > Open: one sentence, or layers without it; never a frozen window."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from napari.utils import notifications

from napari_ufseg import save_model
from napari_ufseg._napari.layers.class_metadata import colormap_of
from napari_ufseg._napari.layers.reader import read_layers
from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.io import believe_claims, write_labels

SHAPES = [(10**9, 8, 8), (3, 10**12), (10**12, 3), (10**6, 10**6), (2**40, 2, 2, 2), (10**5, 10**5, 10**5)]


@pytest.mark.parametrize("is_labels", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_shape_that_no_layer_can_have_is_one_sentence(
    shape: tuple[int, ...], is_labels: bool, tmp_path: Path
) -> None:
    axes = [{"name": name, "type": "space"} for name in "qzyx"[-len(shape) :]]
    attributes: dict[str, Any] = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    group = zarr.create_group(
        tmp_path / "x.zarr", zarr_format=2, attributes=attributes | ({"image-label": {}} if is_labels else {})
    )
    group.create_array("0", shape=shape, chunks=tuple(min(n, 8) for n in shape), dtype=np.uint16)
    for believed in (False, True):
        try:
            with believe_claims(believed):
                layers = read_layers(str(tmp_path / "x.zarr"))
        except FileError as error:
            told = str(error)
            assert "\n" not in told
            assert "claims to hold" in told or "cannot be shown" in told
        else:
            assert np.asarray(layers[0][0][(0,) * len(layers[0][0].shape)]) == 0


ODD = [2**62, 2**40, 10**9, 10**30, 2**63]


@pytest.mark.parametrize("label", ODD)
@pytest.mark.parametrize("about", [{"is_visible": False}, {"colour": "#010203"}, {"becomes": 3}, {"shade": "#010203"}])
def test_labels_of_any_size_are_drawn_at_once(label: int, about: dict[str, Any], tmp_path: Path) -> None:
    text = json.dumps([{"label": label, **about}, {"label": 2, "colour": "#ff0000"}])
    plane = np.full((4, 5), 2, np.uint16)
    tags = [(65123, "s", 0, text, True)]
    tifffile.imwrite(tmp_path / "l.tif", plane, software="napari-ufseg labels", extratags=tags)
    with notifications.notification_manager:
        ((data, said, kind),) = read_layers(str(tmp_path / "l.tif"))
    assert kind == "labels"
    assert (data == 2).all()
    assert len(said["colormap"].color_dict) < 1000
    np.testing.assert_allclose(said["colormap"].map(2)[:3], (1, 0, 0))


@pytest.mark.parametrize("label", ODD[:3])
def test_a_colormap_of_large_labels_is_small(label: int) -> None:
    table = ClassTable.from_list([{"label": label, "is_visible": False}])
    colours = colormap_of(table, [1, 5, label])
    assert colours.map(label)[3] == 0
    assert colours.map(5)[3] == 1


def test_a_mixture_is_told_in_the_dock(dock: Any, tmp_path: Path) -> None:
    dock.segment_to_end()
    model = dock.widget.results.model
    write_labels(tmp_path / "l.tif", np.ones((4, 4), np.uint16), made_by="0123456789abcdef")
    save_model(model, tmp_path / "m.safetensors", labels=[tmp_path / "l.tif"])
    with notifications.notification_manager as manager:
        dock.widget.results.load_model(tmp_path / "m.safetensors")
        told = [record.message for record in manager.records]
    assert any("were not written by the same run" in words for words in told)
