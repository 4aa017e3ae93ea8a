"""Numbers and colours of classes that no file can have are left out, whatever they are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st

from napari_ufseg.engine.errors import UfsegWarning
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.engine.labels.told_numbers import LARGEST, colour, colour_of_rgba, whole
from napari_ufseg.io import open_image, write_labels

ODD_LABELS = [
    10**30,
    -(10**30),
    2**63,
    -1,
    float("inf"),
    float("-inf"),
    float("nan"),
    2.5,
    True,
    "x",
    None,
    [],
    {},
    1e300,
]
ODD_COLOURS = [
    "#1_2_34",
    "#0x1234",
    "# 12345",
    "#+12345",
    "#-12345",
    "#12345",
    "#1234567",
    "123456",
    "#١٢٣٤٥٦",
    "red",
    7,
    [],
]
ODD_RGBA = [
    [1e300] * 3,
    [float("nan")] * 4,
    [-1, 0, 0],
    ["1", "2", None],
    [256, 0, 0],
    "abc",
    [1, 2],
    [True] * 3,
    [10**400] * 3,
]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("odd", ODD_LABELS, ids=repr)
@pytest.mark.parametrize("key", ["label", "parent", "becomes", "members"])
def test_an_entry_with_an_odd_number_is_left_out(odd: Any, key: str) -> None:
    if odd is None and key != "label":
        return  # none is no parent
    entry = {"label": 3, "name": "cells", key: [odd] if key == "members" else odd}
    assert ClassTable.from_list([entry, {"label": 4, "name": "ground"}]) == ClassTable.from_list(
        [{"label": 4, "name": "ground"}]
    )


@pytest.mark.parametrize("odd", ODD_COLOURS, ids=repr)
def test_an_odd_colour_is_left_out(odd: Any) -> None:
    table = ClassTable.from_list([{"label": 3, "name": "cells", "colour": odd, "shade": odd}])
    assert table == ClassTable.from_list([{"label": 3, "name": "cells"}])
    assert len(table[3].rgba) == 4


@given(anything)
def test_whatever_is_told_is_understood_or_left_out(value: Any) -> None:
    for key in ("label", "parent", "becomes", "members", "colour", "shade", "name", "detail", "is_visible"):
        table = ClassTable.from_list([{"label": 1, key: value}, {key: value}, value])
        for info in table.values():
            assert 0 <= info.label <= LARGEST
            assert all(0 <= part <= 255 for part in info.rgba)
    assert colour(value) == "" or len(colour(value)) == 7
    assert colour_of_rgba(value) in ("", colour(colour_of_rgba(value)))


@pytest.mark.parametrize("value", [0, 3, 3.0, np.uint16(3), np.float32(3), LARGEST])
def test_whole_numbers_are_taken(value: Any) -> None:
    assert whole(value) == value
    assert type(whole(value)) is int


def write_zarr(path: Path, **image_label: Any) -> None:
    write_labels(path, np.ones((4, 5), np.uint16))
    group = zarr.open_group(path, mode="r+")
    about: Any = dict(group.attrs["image-label"])  # type: ignore[call-overload]
    (path / ".zattrs").write_text(json.dumps({**group.attrs.asdict(), "image-label": {**about, **image_label}}))


@pytest.mark.parametrize("odd", ODD_LABELS[:8], ids=repr)
@pytest.mark.parametrize("key", ["colors", "properties"])
def test_a_label_zarr_with_an_odd_label_is_read(odd: Any, key: str, tmp_path: Path) -> None:
    good = {"label-value": 1, "rgba": [1, 2, 3, 255], "name": "cells", "is_visible": False}
    write_zarr(tmp_path / "l.zarr", **{key: [{**good, "label-value": odd}, good]})
    with pytest.warns(UfsegWarning, match="about 1 class cannot be understood"):
        image = open_image(tmp_path / "l.zarr")
    assert list(image.classes) == [1]
    assert image.classes[1].colour == "#010203"
    assert (np.asarray(image.data[...]) == 1).all()


@pytest.mark.parametrize("odd", ODD_RGBA, ids=repr)
def test_a_label_zarr_with_an_odd_colour_is_read(odd: Any, tmp_path: Path) -> None:
    write_zarr(tmp_path / "l.zarr", colors=[{"label-value": 1, "rgba": odd}])
    assert open_image(tmp_path / "l.zarr").classes[1].colour == ""


@pytest.mark.parametrize("odd", ODD_LABELS[:8], ids=repr)
def test_a_label_tiff_with_an_odd_label_is_read(odd: Any, tmp_path: Path) -> None:
    text = json.dumps([{"label": odd, "is_visible": False}, {"label": 2, "name": "cells"}])
    tags = [(65123, "s", 0, text, True)]
    tifffile.imwrite(tmp_path / "l.tif", np.ones((4, 5), np.uint16), software="napari-ufseg labels", extratags=tags)
    with pytest.warns(UfsegWarning, match="about 1 class cannot be understood"):
        image = open_image(tmp_path / "l.tif")
    assert list(image.classes) == [2]
