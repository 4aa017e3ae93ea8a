"""Zarr folders, opened without reading their pixels."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_ufseg.engine.errors import FileError
from napari_ufseg.io import ImageFile, label_images_of, open_image, read_image

IMAGE = np.arange(2 * 3 * 64 * 48, dtype=np.uint16).reshape(2, 3, 64, 48)
AXES = [
    {"name": "time", "type": "time", "unit": "minute"},
    {"name": "stain", "type": "channel"},
    {"name": "y", "type": "space", "unit": "nanometer"},
    {"name": "x", "type": "space", "unit": "micrometer"},
]


def write_ome_zarr(folder: Path, zarr_format: Any = 2, **changes: Any) -> None:
    """An OME-Zarr image of two levels, as other programs write it."""
    group = zarr.create_group(folder, zarr_format=zarr_format)
    for level in (0, 1):
        data = np.ascontiguousarray(IMAGE[..., :: level + 1, :: level + 1])
        group.create_array(f"s{level}", data=data, chunks=(1, 1, 16, 16))
    datasets = [
        {"path": f"s{i}", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 2**i, 2**i]}]} for i in (0, 1)
    ]
    whole = [{"type": "scale", "scale": [0.5, 1, 250, 0.25]}, {"type": "translation", "translation": [0, 0, 9, 9]}]
    multiscales = [{"axes": AXES, "datasets": datasets, "coordinateTransformations": whole, **changes}]
    ome = {"multiscales": multiscales}
    group.attrs.put({"ome": {"version": "0.5", **ome}} if zarr_format == 3 else ome)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_axes_scale_and_levels(zarr_format: int, tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "x.zarr", zarr_format)
    image = open_image(tmp_path / "x.zarr")
    assert (image.axes, image.unit, image.n_levels) == ("TCYX", "µm", 2)
    assert image.scale == pytest.approx((30, 1, 0.25, 0.25))  # seconds and micrometres
    assert image.translate == pytest.approx((0, 0, 0.009, 9))
    np.testing.assert_array_equal(image.data[1, :, 10:20], IMAGE[1, :, 10:20])
    half = open_image(tmp_path / "x.zarr", level=1)
    assert half.scale == pytest.approx((30, 1, 0.5, 0.5))
    np.testing.assert_array_equal(half.data[...], IMAGE[..., ::2, ::2])
    np.testing.assert_array_equal(read_image(tmp_path / "x.zarr"), IMAGE)
    with pytest.raises(FileError, match=r"no resolution level 2: it has 2 levels, 0 to 1\.$"):
        open_image(tmp_path / "x.zarr", level=2)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_translation_that_a_level_tells(zarr_format: Any, tmp_path: Path) -> None:
    steps = [{"type": "scale", "scale": [1, 1, 2, 2]}, {"type": "translation", "translation": [2, 0, 100, 3]}]
    datasets = [{"path": "s0"}, {"path": "s1", "coordinateTransformations": steps}]
    write_ome_zarr(tmp_path / "x.zarr", zarr_format, datasets=datasets)
    half = open_image(tmp_path / "x.zarr", level=1)
    assert half.scale == pytest.approx((30, 1, 0.5, 0.5))
    assert half.translate == pytest.approx(
        (60, 0, 100 * 0.25 + 0.009, 3 * 0.25 + 9)
    )  # the first is scaled by the second


@pytest.mark.parametrize("told", [True, False])
def test_a_level_without_translation_covers_the_full_one(told: bool, tmp_path: Path) -> None:
    """As the edges of its pixels tell, also if the sizes are odd, or not even its scale is told."""
    group = zarr.create_group(tmp_path / "x.zarr", zarr_format=2)
    scales = [[{"type": "scale", "scale": [0.5 * 2**i, 0.25 * 2**i]}] for i in range(3)]
    datasets = []
    for i, shape in enumerate([(45, 57), (23, 29), (11, 14)]):
        group.create_array(str(i), data=np.zeros(shape, np.uint8))
        datasets.append({"path": str(i), "coordinateTransformations": scales[i if told else 0]})
    whole = [{"type": "translation", "translation": [7, -3]}]
    axes = [{"name": name, "type": "space"} for name in "yx"]
    group.attrs.put({"multiscales": [{"axes": axes, "datasets": datasets, "coordinateTransformations": whole}]})
    for level in range(3):
        np.testing.assert_allclose(edges(open_image(tmp_path / "x.zarr", level)), [(6.75, -3.125), (29.25, 11.125)])


def edges(image: ImageFile) -> list[tuple[float, ...]]:
    """Where the first pixel begins and where the last one ends."""
    ends = (np.full(image.data.ndim, -0.5), np.array(image.data.shape) - 0.5)
    return [tuple(end * image.scale + image.translate) for end in ends]


def test_only_the_chunks_of_a_region_are_decoded(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "x.zarr")
    for chunk in (tmp_path / "x.zarr" / "s0").glob("[0-9]*"):
        if chunk.name != "1.2.0.1":
            chunk.write_bytes(b"no chunk")
    np.testing.assert_array_equal(open_image(tmp_path / "x.zarr").data[1, 2, 3:15, 16:32], IMAGE[1, 2, 3:15, 16:32])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_first_series_of_several(zarr_format: Any, tmp_path: Path) -> None:
    layout = {"bioformats2raw.layout": 3}
    attributes = {"ome": {"version": "0.5", **layout}} if zarr_format == 3 else layout
    zarr.create_group(tmp_path / "x.zarr", zarr_format=zarr_format, attributes=attributes)
    write_ome_zarr(tmp_path / "x.zarr" / "0", zarr_format)
    for path in (tmp_path / "x.zarr", tmp_path / "x.zarr" / "0"):
        image = open_image(path)
        assert (image.path, image.axes, image.data.shape) == (path, "TCYX", IMAGE.shape)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_plain_array(zarr_format: Any, tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "x.zarr", data=IMAGE, zarr_format=zarr_format)
    image = open_image(tmp_path / "x.zarr")
    assert (image.axes, image.scale, image.unit, image.n_levels) == ("??YX", (1, 1, 1, 1), None, 1)
    np.testing.assert_array_equal(image.data[0, 0], IMAGE[0, 0])


@pytest.mark.parametrize(
    ("axes", "letters"),
    [
        (["t", "c", "y", "x"], "TCYX"),  # OME-Zarr 0.3
        ([], "??YX"),  # 0.1
        ([{"name": "angle"}, {"name": "z", "type": "space"}, *AXES[2:]], "?ZYX"),
        ([{"name": "c", "type": "lifetime"}, {"name": "c"}, *AXES[2:]], "?CYX"),
    ],
)
def test_axes_by_type_or_name(axes: Any, letters: str, tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "x.zarr", axes=axes)
    assert open_image(tmp_path / "x.zarr").axes == letters


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("empty", "neither an OME-Zarr image nor a Zarr array"),
        ("group", "is a Zarr group, but holds no OME-Zarr image"),
        ("plate", "images of a plate: name one of them"),
        ("line", "without \\(Y, X\\)"),
        ("bad json", "is not an image that can be read, or it is damaged"),
        ("lost level", r"lacks its resolution level 0 \(s0\), which its metadata name: level 1 is there"),
        ("level is a group", "is damaged: its level s0 is no array"),
    ],
)
def test_what_is_no_image_is_one_sentence(kind: str, sentence: str, tmp_path: Path) -> None:
    folder = tmp_path / "x.zarr"
    if kind == "empty":
        folder.mkdir()
    elif kind == "line":
        zarr.create_array(folder, data=IMAGE[0, 0, 0])
    elif kind in ("group", "plate"):
        zarr.create_group(folder, zarr_format=2, attributes={"plate": {}} if kind == "plate" else {})
    else:
        write_ome_zarr(folder, 3)
        spoilt = {"bad json": "zarr.json", "lost level": "s0/zarr.json", "level is a group": "s0/zarr.json"}[kind]
        node = json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}})
        (folder / spoilt).write_text("{" if kind == "bad json" else node)
        if kind == "lost level":
            (folder / spoilt).unlink()
    with pytest.raises(FileError, match=sentence) as caught:
        open_image(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_label_images_are_found_and_told_from_images(zarr_format: Any, tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "x.zarr" / "0", zarr_format)  # as bioformats2raw does
    zarr.create_group(tmp_path / "x.zarr", zarr_format=zarr_format)
    labels = zarr.create_group(tmp_path / "x.zarr" / "0" / "labels", zarr_format=zarr_format)
    listed = {"labels": ["cells"]}
    labels.attrs.put({"ome": listed} if zarr_format == 3 else listed)
    write_ome_zarr(tmp_path / "x.zarr" / "0" / "labels" / "cells", zarr_format)
    assert label_images_of(tmp_path / "x.zarr") == [tmp_path / "x.zarr" / "0" / "labels" / "cells"]
    assert label_images_of(tmp_path / "x.zarr" / "0" / "labels" / "cells") == []
    assert not open_image(tmp_path / "x.zarr").is_labels


def write_zarr_06(folder: Path, transformations: list[dict[str, Any]], **changes: Any) -> None:
    """An OME-Zarr 0.6 (RFC-5) as ome-zarr-py writes it, of two axes in micrometres."""
    space = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    systems = [
        {"name": "slide", "axes": [{"name": name, "type": "space", "unit": "meter"} for name in "xy"]},
        {"name": "physical", "axes": space},
    ]
    datasets = [{"path": "s0", "coordinateTransformations": transformations}]
    multiscale = {"name": "m", "coordinateSystems": systems, "datasets": datasets, **changes}
    group = zarr.create_group(folder, zarr_format=3)
    group.create_array("s0", data=IMAGE[0, 0], chunks=(16, 16))
    group.attrs.put({"ome": {"version": "0.6.dev3", "multiscales": [multiscale]}})


SCALE, SHIFT = {"type": "scale", "scale": [0.5, 0.25]}, {"type": "translation", "translation": [10, 20]}


@pytest.mark.parametrize(
    ("transformations", "scale", "start"),
    [
        ([{"type": "sequence", "transformations": [SCALE, SHIFT]}], (0.5, 0.25), (10, 20)),
        ([{"type": "sequence", "transformations": [SHIFT, SCALE]}], (0.5, 0.25), (5, 5)),
        ([{"type": "sequence", "transformations": [{"type": "sequence", "transformations": [SCALE]}, SHIFT]}], (0.5, 0.25), (10, 20)),
        ([{"type": "sequence", "transformations": []}], (1, 1), (0, 0)),
        ([SCALE], (0.5, 0.25), (0, 0)),
        ([{"type": "identity"}], (1, 1), (0, 0)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("output", ["physical", {"name": "physical"}])
def test_coordinate_systems_of_version_06(
    transformations: list[dict[str, Any]], scale: Any, start: Any, output: Any, tmp_path: Path
) -> None:
    whole = {"coordinateTransformations": [{"type": "scale", "scale": [7, 7], "input": "physical", "output": "slide"}]}
    told = [{**step, "input": "s0", "output": output} for step in transformations]
    write_zarr_06(tmp_path / "x.zarr", told, **whole)  # which leads on to another system
    image = open_image(tmp_path / "x.zarr")
    assert (image.axes, image.unit, image.scale, image.translate) == ("YX", "µm", scale, start)
    assert image.axis_steps.notes == ()


@pytest.mark.parametrize(
    "odd",
    [
        {"type": "affine", "affine": [[0.5, 0, 1], [0, 0.5, 1]]},
        {"type": "rotation", "rotation": [[0, 1], [1, 0]]},
        {"type": "scale", "path": "scale"},
        {"type": "scale", "scale": [0.5]},
        {"type": "scale", "scale": "0.5"},
        {"type": "translation", "translation": None},
        {},
        "scale",
    ],
)
@pytest.mark.parametrize("is_new", [True, False])
def test_a_transformation_that_is_not_understood_costs_the_place_and_not_the_image(
    odd: Any, is_new: bool, tmp_path: Path
) -> None:
    if is_new:
        write_zarr_06(
            tmp_path / "x.zarr", [{"type": "sequence", "output": "physical", "transformations": [odd, SCALE]}]
        )
    else:
        write_ome_zarr(tmp_path / "x.zarr", coordinateTransformations=[odd])
    image = open_image(tmp_path / "x.zarr")
    assert (set(image.scale), set(image.translate), image.unit) == ({1}, {0}, None)
    assert len(image.axis_steps.notes) == 1
    assert "steps and place are left out" in image.axis_steps.notes[0]
    np.testing.assert_array_equal(image.data[...], IMAGE[0, 0] if is_new else IMAGE)


@pytest.mark.parametrize(
    ("axes", "letters"),
    [(None, "??YX"), ({}, "??YX"), ("yx", "??YX"), ([None, 3, [], {}], "????"), (list("tcyx"), "TCYX")],
)
def test_axes_that_make_no_sense_are_not_known(axes: Any, letters: str, tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "x.zarr", axes=axes)
    assert open_image(tmp_path / "x.zarr").axes == letters
    np.testing.assert_array_equal(read_image(tmp_path / "x.zarr"), IMAGE)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), None, "1", [1], {}, True])
@pytest.mark.parametrize("key", ["properties", "colors"])
def test_an_entry_of_labels_that_makes_no_sense_is_left_out(key: str, value: Any, tmp_path: Path) -> None:
    folder = tmp_path / "l.zarr"
    group = zarr.create_group(folder, zarr_format=2)
    group.create_array("0", data=IMAGE[0, 0], chunks=(16, 16))
    good = {"label-value": 2, "name": "cells", "rgba": [1, 2, 3, 255]}
    said = [
        {"label-value": value, "name": "odd", "rgba": [9, 9, 9, 255]},
        good,
        {**good, "label-value": 3, "rgba": [value] * 4},
    ]
    multiscales = [{"axes": ["y", "x"], "datasets": [{"path": "0"}]}]
    group.attrs.put({"multiscales": multiscales, "image-label": {key: said, "detail": {"shown": value, "of": value}}})
    image = open_image(folder)
    assert (image.is_labels, image.classes[2].name, image.classes[2].colour) == (True, "cells", "#010203")
    np.testing.assert_array_equal(read_image(folder), IMAGE[0, 0])


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("is_consolidated", [False, True])
@pytest.mark.parametrize(("lost", "there"), [([0], "1"), ([1], "0"), ([0, 1], "")])
def test_a_level_that_is_not_there(
    lost: list[int], there: str, is_consolidated: bool, zarr_format: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "x.zarr"
    write_ome_zarr(folder, zarr_format)
    if is_consolidated:  # then the metadata of the group describe it, though it is not there
        zarr.consolidate_metadata(folder)
    for level in lost:
        shutil.rmtree(folder / f"s{level}")
    for level in lost:
        ending = f"level {there} is there" if there else "and no other one is there"
        with pytest.raises(FileError, match=f"lacks its resolution level {level} .*{ending}"):
            open_image(folder, level)
    for level in {0, 1} - set(lost):
        np.testing.assert_array_equal(open_image(folder, level).data[1, 2], IMAGE[1, 2, :: level + 1, :: level + 1])


PLATES = {
    "one well": (["B/3"], {"B/3": ["0"]}),
    "two digits": (["H/12", "A/1"], {"H/12": ["2", "5"], "A/1": ["0"]}),
    "the first well is not there": (["A/1", "C/2"], {"C/2": ["1"]}),
    "the first field is not there": (["A/1"], {"A/1": ["1"]}),
    "the first well has no fields": (["A/1", "B/2"], {"A/1": [], "B/2": ["0"]}),
}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("kind", PLATES)
def test_the_example_of_a_plate_is_an_image_that_is_there(kind: str, zarr_format: Any, tmp_path: Path) -> None:
    told, there = PLATES[kind]
    folder = tmp_path / "plate.zarr"

    def put(path: str, metadata: dict[str, Any]) -> None:
        group = zarr.open_group(folder / path, mode="a", zarr_format=zarr_format)
        group.attrs.put({"ome": metadata} if zarr_format == 3 else metadata)

    put("", {"plate": {"wells": [{"path": well} for well in told]}})
    for well, fields in there.items():
        put(well.split("/")[0], {})
        named = ["0", *fields] if kind == "the first field is not there" else fields
        put(well, {"well": {"images": [{"path": field} for field in named]}})
        for field in fields:
            write_ome_zarr(folder / well / field, zarr_format)
    well = next(well for well in told if there.get(well))
    for place in (folder, folder / well):
        with pytest.raises(FileError, match="holds the images of a plate: name one of them, such as ") as caught:
            open_image(place)
        example = str(caught.value).partition("such as ")[2].rstrip(".")
        assert example == str(folder / well / there[well][0])
        assert open_image(example).data.shape == IMAGE.shape


@pytest.mark.parametrize(
    ("zarr_format", "codec"),
    [
        (2, {"compressor": {"id": "imagecodecs_jpegxl"}}),
        (2, {"compressor": {"id": "b3d", "quant": 1}}),
        (2, {"filters": [{"id": "no_such_filter"}]}),
        (3, {"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "imagecodecs_jpegxl"}]}),
        (3, {"codecs": [{"name": "numcodecs.nothing", "configuration": {}}]}),
        (3, {"codecs": [{"name": "bytes"}, {"name": "https://example.org/codec", "configuration": {}}]}),
    ],
)
def test_a_codec_that_is_not_installed_is_named(zarr_format: Any, codec: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "x.zarr"
    write_ome_zarr(folder, zarr_format)
    file = folder / "s0" / (".zarray" if zarr_format == 2 else "zarr.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | codec))
    described = next(iter(codec.values()))
    last = described if isinstance(described, dict) else described[-1]
    name = last.get("id") or last["name"]
    for read in (open_image, read_image):
        with pytest.raises(FileError, match=f"is stored with the codec {name}, which is not installed here") as caught:
            read(folder)
        assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("kind", ["bfloat16", {"name": "nope"}, "r16", "float8_e4m3", "int4"])
def test_a_type_of_values_that_is_not_known_is_told(kind: Any, tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "x.zarr", data=IMAGE[0, 0], zarr_format=3)
    file = tmp_path / "x.zarr" / "zarr.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"data_type": kind}))
    with pytest.raises(FileError, match=r"x\.zarr holds values of a type that is not known here"):
        open_image(tmp_path / "x.zarr")
