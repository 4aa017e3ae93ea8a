"""A step and a unit for each axis, or none: what files tell in any unit, in part, or in a way that makes no sense."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ufseg.batch.label_file import open_input
from napari_ufseg.engine.errors import FileError
from napari_ufseg.io import AxisSteps, open_image, read_image, write_labels

STACK = np.zeros((3, 8, 10), np.uint16)
QUICK = settings(max_examples=40, deadline=None, derandomize=True, database=None)

#: what each unit is in micrometres or seconds, by the names that programs write
LENGTHS = {
    "nm": 1e-3,
    "µm": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "inch": 25_400.0,
    "Å": 1e-4,
    "m": 1e6,
    "km": 1e9,
}
ZARR_LENGTHS = {"angstrom": 1e-4, "nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "inch": 25_400.0}
TIMES = {
    "s": 1.0,
    "sec": 1.0,
    "ms": 1e-3,
    "msec": 1e-3,
    "µs": 1e-6,
    "usec": 1e-6,
    "min": 60.0,
    "minutes": 60.0,
    "h": 3600.0,
    "hr": 3600.0,
}
NO_NUMBERS = ["", "abc", "1,5 2", "nan", "inf", "-inf", "1e999", "0", "None"]
STRANGE = ["furlong", "stage units", "foo", "arb. u.", "kelvin"]


def physical(steps: AxisSteps, letter: str) -> float | None:
    """A step in micrometres or seconds; None if it is not known, or not as such."""
    step = steps[letter]
    ratio = ({"s": 1.0} if letter == "T" else {**LENGTHS, "in": 25_400.0}).get(step.unit or "")
    return None if step.size is None or ratio is None else step.size * ratio


def ome_tiff(path: Path, axes: str = "ZYX", **attributes: Any) -> Path:
    """An OME-TIFF whose Pixels have these attributes, as they stand, and no others that tell a size."""
    told = "".join(f' {name}="{value}"' for name, value in attributes.items())
    frames, planes = ("3", "1") if axes == "TYX" else ("1", "3")
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="urn:uuid:x"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZTC" Type="uint16" SizeX="10" '
        f'SizeY="8" SizeZ="{planes}" SizeC="1" SizeT="{frames}"{told}><Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
        '<TiffData IFD="0" PlaneCount="3"/></Pixels></Image></OME>'
    )
    tifffile.imwrite(path, STACK, description=xml.encode(), metadata=None, photometric="minisblack")
    return path


def escaped(text: str) -> str:
    """As ImageJ writes what is not ASCII."""
    return "".join(letter if letter.isascii() else f"\\u{ord(letter):04X}" for letter in text)


def imagej_tiff(path: Path, axes: str = "ZYX", resolution: tuple[float, float] = (10, 10), **about: Any) -> Path:
    """An ImageJ TIFF with these entries in its description."""
    unit = about.pop("resolutionunit", None)
    about = {key: value if not isinstance(value, str) else escaped(value) for key, value in about.items()}
    tifffile.imwrite(
        path, STACK, imagej=True, resolution=resolution, resolutionunit=unit, metadata={"axes": axes, **about}
    )
    return path


def ome_zarr(folder: Path, scale: list[float], units: list[str | None], axes: str = "zyx") -> Path:
    """An OME-Zarr 0.4 with a scale and a unit, or none, for each axis."""
    group = zarr.create_group(folder, zarr_format=2, overwrite=True)
    group.create_array("0", data=STACK, chunks=STACK.shape)
    kinds = {"t": "time", "z": "space", "y": "space", "x": "space"}
    described = [
        {"name": name, "type": kinds[name]} | ({"unit": unit} if unit else {})
        for name, unit in zip(axes, units, strict=True)
    ]
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}]
    group.attrs.put({"multiscales": [{"version": "0.4", "axes": described, "datasets": datasets}]})
    return folder


def steps_of(path: Path, axes: str | None = None) -> AxisSteps:
    """What a file tells of its axes, or of those that a user names."""
    image = open_image(path)
    return image.steps.along(axes or image.axes)


sizes = st.floats(0.001, 1000, allow_nan=False)
length = st.tuples(sizes, st.sampled_from(sorted(LENGTHS.keys() - {"micron", "um", "inch"})))


@QUICK
@given(st.fixed_dictionaries({}, optional=dict.fromkeys("XYZ", length)))
def test_ome_tells_any_of_the_three_steps_in_any_unit(told: dict[str, tuple[float, str]]) -> None:
    attributes: dict[str, Any] = {}
    for letter, (size, unit) in told.items():
        attributes |= {f"PhysicalSize{letter}": repr(size), f"PhysicalSize{letter}Unit": unit}
    with tempfile.TemporaryDirectory() as folder:
        steps = steps_of(ome_tiff(Path(folder) / "x.ome.tif", **attributes))
    expected = {letter: size * LENGTHS[unit] for letter, (size, unit) in told.items()}
    for letter, other in ("XY", "YX"):
        if other in expected:
            expected.setdefault(letter, expected[other])  # square, which is said
    assert any("square" in note for note in steps.notes) == (len({"X", "Y"} & told.keys()) == 1)
    for letter in "ZYX":
        assert physical(steps, letter) == (pytest.approx(expected[letter], rel=1e-6) if letter in expected else None)
    assert (steps.anisotropy is None) == (len(expected) < 3)


@QUICK
@given(
    sizes, st.sampled_from(sorted(LENGTHS)), st.sampled_from([None, *sorted(LENGTHS)]), st.sampled_from(sorted(TIMES))
)
def test_imagej_has_a_unit_for_each_axis(size: float, unit: str, zunit: str | None, tunit: str) -> None:
    about = {"unit": unit, "spacing": size, "finterval": size, "tunit": tunit} | ({"zunit": zunit} if zunit else {})
    with tempfile.TemporaryDirectory() as folder:
        for axes in ("ZYX", "TYX"):
            path = imagej_tiff(Path(folder) / f"{axes}.tif", axes, (4, 4), **about)
            steps = steps_of(path)
            assert physical(steps, "X") == pytest.approx(0.25 * LENGTHS[unit])
            for named in ("ZYX", "TYX"):  # whatever the file calls the stack, and the user
                steps = steps_of(path, named)
                assert physical(steps, "Z") == (
                    pytest.approx(size * LENGTHS[zunit or unit]) if named[0] == "Z" else None
                )
                assert physical(steps, "T") == (pytest.approx(size * TIMES[tunit]) if named[0] == "T" else None)
                assert steps.notes == ()


@QUICK
@given(st.lists(st.tuples(sizes, st.sampled_from([None, *ZARR_LENGTHS])), min_size=3, max_size=3))
def test_ome_zarr_has_a_unit_for_each_axis_or_none(told: list[tuple[float, str | None]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = ome_zarr(Path(folder) / "x.zarr", [size for size, _ in told], [unit for _, unit in told])
        steps = steps_of(path)
        image = open_input(path, 2)
        write_labels(Path(folder) / "l.zarr", STACK, axes="ZYX", **image.labels_place)
        again = steps_of(Path(folder) / "l.zarr")
    for letter, (size, unit) in zip("ZYX", told, strict=True):
        for read in (steps, again):
            if unit is None:  # a number, and no length
                assert (read[letter].size, read[letter].unit) == (pytest.approx(size), None)
            else:
                assert physical(read, letter) == pytest.approx(size * ZARR_LENGTHS[unit])
    kinds = {unit is None for _, unit in told}
    assert (steps.anisotropy is None) == (len(kinds) == 2)


@pytest.mark.parametrize("value", NO_NUMBERS)
@pytest.mark.parametrize("name", ["PhysicalSizeX", "PhysicalSizeY", "PhysicalSizeZ", "TimeIncrement"])
def test_a_size_that_makes_no_sense_costs_that_size_alone(name: str, value: str, tmp_path: Path) -> None:
    sides = {f"PhysicalSize{letter}": 0.5 for letter in "XYZ"} | {"TimeIncrement": 0.5}
    axes = "TYX" if name == "TimeIncrement" else "ZYX"
    image = open_input(ome_tiff(tmp_path / "x.ome.tif", axes, **{**sides, name: value}), 2)
    np.testing.assert_array_equal(np.asarray(image.file.data[...]), STACK)
    lost = {"PhysicalSizeZ": ["Z"], "TimeIncrement": ["T"]}.get(name, [])
    assert [letter for letter in axes if image.steps[letter].size is None] == lost
    assert (name in image.warning) == (value != "0")  # 0 is how programs say that they do not know
    assert ("square" in image.warning) == (name[-1] in "XY")


@pytest.mark.parametrize("value", NO_NUMBERS)
@pytest.mark.parametrize("name", ["spacing", "finterval"])
def test_a_number_of_imagej_that_makes_no_sense(name: str, value: str, tmp_path: Path) -> None:
    image = open_input(
        imagej_tiff(tmp_path / "x.tif", "ZYX" if name == "spacing" else "TYX", unit="um", **{name: value}), 2
    )
    assert image.steps.sizes("YX") == pytest.approx((0.1, 0.1))
    assert image.steps["Z"].size is None
    assert image.steps["T"].size is None
    assert (name in image.warning) == (value != "0")


@pytest.mark.parametrize("step", [0, -0.5, float("nan"), float("inf"), float("-inf"), "x", None])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_step_of_a_zarr_that_is_none(axis: int, step: Any, tmp_path: Path) -> None:
    scale: list[Any] = [2.0, 0.5, 0.5]
    scale[axis] = step
    image = open_input(ome_zarr(tmp_path / "x.zarr", scale, ["micrometer"] * 3), 2)
    expected = [2.0 if axis or step == -0.5 else None, 0.5, 0.5]  # a side is as long as the other one
    if step == -0.5 and axis == 0:
        expected[0] = 0.5
    assert list(image.steps.sizes("ZYX")) == expected
    assert image.warning


@pytest.mark.parametrize("start", [float("nan"), float("inf"), "x", None])
def test_a_translation_that_is_none_costs_the_place_along_its_axis(start: Any, tmp_path: Path) -> None:
    folder = ome_zarr(tmp_path / "x.zarr", [2.0, 0.5, 0.5], ["micrometer"] * 3)
    group = zarr.open_group(folder, mode="r+")
    metadata: Any = group.attrs["multiscales"]
    metadata[0]["coordinateTransformations"] = [{"type": "translation", "translation": [1, start, 3]}]
    group.attrs.put({"multiscales": metadata})
    image = open_input(folder, 2)
    assert image.steps.sizes("ZYX") == (2, 0.5, 0.5)
    assert image.steps.starts("ZYX") == (1, 0, 3)
    assert "translation along 'y'" in image.warning


@pytest.mark.parametrize("unit", STRANGE)
def test_a_unit_that_is_not_known_is_told_and_is_no_other(unit: str, tmp_path: Path) -> None:
    frames = open_input(imagej_tiff(tmp_path / "t.tif", "TYX", unit="um", finterval=250, tunit=unit), 2)
    assert (frames.steps["T"].size, frames.steps["X"].unit) == (None, "µm")
    assert unit in frames.warning
    deep = open_input(imagej_tiff(tmp_path / "z.tif", unit="um", spacing=2, zunit=unit), 2)
    assert (physical(deep.steps, "Z"), deep.anisotropy, physical(deep.steps, "X")) == (None, None, pytest.approx(0.1))
    assert unit in deep.warning
    ome = open_input(ome_tiff(tmp_path / "x.ome.tif", PhysicalSizeX=1, PhysicalSizeZ=2, PhysicalSizeZUnit=unit), 2)
    assert (physical(ome.steps, "Z"), ome.anisotropy, physical(ome.steps, "X")) == (None, None, 1)
    assert unit in ome.warning
    same = open_input(imagej_tiff(tmp_path / "s.tif", unit=unit, spacing=2), 2)
    assert (same.anisotropy, same.file.unit) == (20, unit)  # of one unit, whichever it is
    assert unit in same.warning


@pytest.mark.parametrize(
    ("resolution", "unit", "expected"),
    [
        ((1911.899, 1911.899), "CENTIMETER", 5.2304),
        ((25_400, 25_400), "INCH", 1.0),
        ((300, 300), "INCH", 84.6667),
        ((2000, 2000), "MILLIMETER", 0.5),
        ((4, 4), "MICROMETER", 0.25),
        ((72, 72), "INCH", None),  # as programs write that know of no size
        ((1, 1), "INCH", None),
        ((10, 10), "NONE", None),
    ],
)
@pytest.mark.parametrize("kind", ["imagej", "ome", "plain"])
def test_the_tags_of_resolution_tell_where_nothing_else_does(
    kind: str, resolution: tuple[float, float], unit: str, expected: float | None, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"imagej": {"imagej": True}, "ome": {"ome": True}, "plain": {"metadata": None}}[kind]
    tifffile.imwrite(tmp_path / "x.tif", STACK[0], resolution=resolution, resolutionunit=unit, **options)
    steps = open_image(tmp_path / "x.tif").axis_steps
    for letter in "YX":
        assert physical(steps, letter) == (None if expected is None else pytest.approx(expected, rel=1e-4))
    assert steps.notes == ()


def test_imagej_takes_no_unit_from_72_pixels_an_inch_for_the_depth_either(tmp_path: Path) -> None:
    steps = steps_of(imagej_tiff(tmp_path / "x.tif", resolution=(72, 72), resolutionunit="INCH", spacing=3))
    assert (steps["Z"].size, steps["Z"].unit, steps.anisotropy) == (3, None, 3)  # pixels
    steps = steps_of(imagej_tiff(tmp_path / "y.tif", resolution=(100, 100), resolutionunit="CENTIMETER", spacing=0.03))
    assert (physical(steps, "Z"), physical(steps, "X"), steps.anisotropy) == (300, 100, 3)


def test_the_tags_are_of_no_use_where_the_metadata_tell(tmp_path: Path) -> None:
    about = {"resolution": (300, 300), "resolutionunit": "INCH"}
    tifffile.imwrite(tmp_path / "x.ome.tif", STACK[0], metadata={"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}, **about)
    assert open_image(tmp_path / "x.ome.tif").axis_steps.sizes("YX") == (0.5, 0.5)
    imagej_tiff(tmp_path / "x.tif", unit="nm", **about)
    assert open_image(tmp_path / "x.tif").axis_steps["X"].unit == "nm"


@pytest.mark.parametrize(
    ("scale", "units", "file_axes", "axes", "expected"),
    [
        ([5, 0.5, 0.5], ["second", "micrometer", "micrometer"], "tyx", "ZYX", (None, 0.5, 0.5)),
        ([5, 0.5, 0.5], ["minute", "micrometer", "micrometer"], "tyx", "TYX", (300, 0.5, 0.5)),
        ([2, 0.5, 0.5], ["micrometer"] * 3, "zyx", "TYX", (None, 0.5, 0.5)),
        ([2, 0.5, 0.25], ["micrometer"] * 3, "zyx", "ZXY", (2, 0.5, 0.25)),  # a step stays with its axis
        ([2, 0.5, 0.25], ["micrometer"] * 3, "zyx", "QYX", (None, 0.5, 0.25)),
        ([5, 0.5, 0.5], ["second", "micrometer", "micrometer"], "zyx", "ZYX", (None, 0.5, 0.5)),  # the file says depth
    ],
)
def test_what_the_user_says_of_an_axis_takes_its_step_along(
    scale: list[float], units: list[str | None], file_axes: str, axes: str, expected: tuple[Any, ...], tmp_path: Path
) -> None:
    image = open_input(ome_zarr(tmp_path / "x.zarr", scale, units, file_axes), 2, axes=axes)
    assert image.labels_place["scale"] == expected
    assert ("left out" in image.warning) == (expected[0] is None and "Q" not in axes)


@pytest.mark.parametrize("name", ["l.tif", "l.ome.tif", "l.zarr", "big.tif"])
@pytest.mark.parametrize(
    ("axes", "scale", "unit", "read"),
    [
        ("ZYX", (None, 0.1, 0.1), "um", (None, 0.1, 0.1)),  # no format is told 1 µm
        ("ZYX", (300, 0.1, 0.1), ("nm", "um", "um"), (0.3, 0.1, 0.1)),
        ("TYX", (250, 0.1, 0.1), ("ms", "um", "um"), (0.25, 0.1, 0.1)),
        ("TZYX", (None, 2, 0.5, 0.25), ("s", "um", "um", "um"), (None, 2, 0.5, 0.25)),
        ("TYX", (1.0, 0.5, 0.5), ("s", "um", "um"), (1.0, 0.5, 0.5)),
        ("ZYX", (5, 0.1, 0.1), ("second", "um", "um"), (None, 0.1, 0.1)),
        ("YX", (-0.5, 0.5), "um", (0.5, 0.5)),
        ("YX", (float("nan"), 0.5), "um", (0.5, 0.5)),
        ("YX", (0.0, float("inf")), "um", (None, None)),
        ("YX", (2e-9, 2e-9), "m", (2e-3, 2e-3)),
        ("YX", (0.003, 0.003), "km", (3e6, 3e6)),
    ],
)
def test_labels_have_the_steps_that_are_known_and_no_others(
    name: str, axes: str, scale: Any, unit: Any, read: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "big.tif":  # as labels above 4 GB
        monkeypatch.setattr("napari_ufseg.io.writing.label_tiff.LARGEST_TIFF", 1)
    labels = np.zeros((3, 3, 8, 10)[-len(axes) :], np.uint16)
    write_labels(tmp_path / name, labels, axes=axes, scale=scale, unit=unit)
    steps = open_image(tmp_path / name).axis_steps
    assert open_image(tmp_path / name).axes == axes
    for letter, expected in zip(axes, read, strict=True):
        assert physical(steps, letter) == (None if expected is None else pytest.approx(expected, rel=1e-4))
        assert (steps[letter].size is None) == (expected is None)


def test_imagej_is_told_that_the_depth_is_not_known(tmp_path: Path) -> None:
    """Without a unit of z Fiji would show 1 of the unit of x."""
    write_labels(tmp_path / "l.tif", STACK, axes="ZYX", scale=(0.1, 0.1), unit="µm")
    with tifffile.TiffFile(tmp_path / "l.tif") as tiff:
        assert tiff.imagej_metadata is not None
        assert "spacing" not in tiff.imagej_metadata
        assert (tiff.imagej_metadata["unit"], tiff.imagej_metadata["zunit"]) == ("\\u00B5m", "pixel")


OME_SPOILT = [
    ('SizeZ="3"', 'SizeZ=""'),
    ('SizeC="1"', 'SizeC="one"'),
    ('SamplesPerPixel="1"', 'SamplesPerPixel=""'),
    ('DimensionOrder="XYZTC"', ""),
    ("</Pixels>", ""),
    ("<Pixels", '<Pixels ID="again"'),
    ("<Pixels", "<Other"),
]


@pytest.mark.parametrize("spoilt", OME_SPOILT)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_description_that_makes_no_sense_costs_the_description_and_not_the_image(
    spoilt: tuple[str, str], compression: str | None, tmp_path: Path
) -> None:
    with tifffile.TiffFile(ome_tiff(tmp_path / "good.ome.tif", PhysicalSizeX=0.5)) as good:
        description = str(good.pages.first.description)
    assert spoilt[0] in description
    stack = np.arange(STACK.size, dtype=np.uint16).reshape(STACK.shape)
    about: dict[str, Any] = {"metadata": None, "photometric": "minisblack", "compression": compression}
    tifffile.imwrite(tmp_path / "x.ome.tif", stack, description=description.replace(*spoilt).encode(), **about)
    tifffile.imwrite(tmp_path / "y.tif", stack, description="ImageJ=1.54\nimages=some\nunit=um\n", **about)
    for name in ("x.ome.tif", "y.tif"):
        image = open_input(tmp_path / name, 2, axes="ZYX")
        np.testing.assert_array_equal(np.asarray(image.file.data[...]), stack)
        planes = f"What {tmp_path / name} says of its planes and its pixels cannot be understood, and is left out: the planes are taken as they are."
        assert image.warning in (planes, f"{tmp_path / name}: Its metadata cannot be understood, and are left out.")
        np.testing.assert_array_equal(read_image(tmp_path / name), stack)
        assert not image.steps.is_known


def test_planes_that_are_missing_are_told_all_the_same(tmp_path: Path) -> None:
    path = ome_tiff(tmp_path / "x.ome.tif")
    with tifffile.TiffFile(path) as good:
        description = str(good.pages.first.description).replace('SizeZ="3"', 'SizeZ="4"')
    description = description.replace('DimensionOrder="XYZTC"', "")
    tifffile.imwrite(path, STACK, description=description.encode(), metadata=None, photometric="minisblack")
    with pytest.raises(FileError, match="tells of 4 planes but holds 3"):
        open_image(path)
