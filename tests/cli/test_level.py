"""``--level``: a smaller resolution of a pyramid is read, and the labels have its size and scale."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import zarr

from napari_ufseg.io import ImageFile, open_image, read_labels

from .conftest import QUICK, Done, blobs

Ufseg = Callable[..., Done]
LEVELS = [blobs((96, 128)), blobs((48, 64), seed=3), blobs((24, 32), seed=4)]  # each with noise of its own
STEPS = [(0.5, 0.25), (1.0, 0.5), (2.0, 1.0)]  # µm along Y and X


@pytest.fixture(scope="module")
def pyramids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same three resolutions as OME-TIFF and OME-Zarr, and each of them as an image of its own."""
    folder = tmp_path_factory.mktemp("pyramids")
    sizes = {"PhysicalSizeY": 0.5, "PhysicalSizeX": 0.25}
    with tifffile.TiffWriter(folder / "cells.ome.tif") as tiff:
        tiff.write(LEVELS[0], subifds=2, tile=(32, 32), metadata={"axes": "YX", **sizes})
        for level in LEVELS[1:]:
            tiff.write(level, subfiletype=1, tile=(32, 32))
    group = zarr.create_group(folder / "cells.ome.zarr", zarr_format=2)
    for number, level in enumerate(LEVELS):
        group.create_array(str(number), data=level, chunks=(32, 32))
        iio.imwrite(folder / f"level{number}.png", level)
    group.attrs.put({"multiscales": [{"axes": axes(), "datasets": datasets()}]})
    return folder


def axes() -> list[dict[str, str]]:
    return [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]


def datasets() -> list[dict[str, Any]]:
    transforms = [[{"type": "scale", "scale": list(steps)}] for steps in STEPS]
    return [{"path": str(i), "coordinateTransformations": transform} for i, transform in enumerate(transforms)]


def labels_alone(ufseg: Ufseg, pyramids: Path, level: int, out: Path) -> npt.NDArray[np.uint16]:
    """The labels of one resolution that is an image of its own, and the model in ``m.safetensors`` beside them."""
    files = ["-o", out / "alone.tif", "--model_path", out / "m.safetensors"]
    assert ufseg("segment", pyramids / f"level{level}.png", *files, *QUICK).status == 0
    return read_labels(out / "alone.tif")


@pytest.mark.parametrize("name", ["cells.ome.tif", "cells.ome.zarr"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_segment_reads_that_level(name: str, level: int, ufseg: Ufseg, pyramids: Path, tmp_path: Path) -> None:
    out, report = tmp_path / "l.ome.tif", tmp_path / "r.json"
    words = [] if level == 0 else ["--level", str(level)]
    assert ufseg("segment", pyramids / name, "-o", out, "--report", report, *words, *QUICK).status == 0
    np.testing.assert_array_equal(read_labels(out), labels_alone(ufseg, pyramids, level, tmp_path))
    assert (open_image(out).scale, open_image(out).unit) == (STEPS[level], "µm")
    told = json.loads(report.read_text())
    assert (told["level"], told["input"][0]["shape"]) == (level, list(LEVELS[level].shape))


def edges(image: ImageFile) -> list[float]:
    """Where the first pixel begins and where the last one ends, along each axis."""
    ends = (np.full(image.data.ndim, -0.5), np.array(image.data.shape) - 0.5)
    return [place for end in ends for place in (end * image.scale + image.translate).tolist()]


@pytest.mark.parametrize("name", ["cells.ome.tif", "cells.ome.zarr"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_labels_of_a_level_lie_exactly_over_the_image(
    name: str, level: int, ufseg: Ufseg, pyramids: Path, tmp_path: Path
) -> None:
    out, again = tmp_path / "l.ome.zarr", tmp_path / "again"
    model = tmp_path / "m.safetensors"
    words = ["--level", str(level)]
    assert ufseg("segment", pyramids / name, "-o", out, "--model_path", model, *words, *QUICK).status == 0
    assert edges(open_image(out)) == pytest.approx(edges(open_image(pyramids / name)))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / name).symlink_to(pyramids / name)
    assert ufseg("batch", model, folder, "-o", again, "--format", "ome.zarr", *words).status == 0
    assert edges(open_image(again / "cells_labels.ome.zarr")) == pytest.approx(edges(open_image(pyramids / name)))


def test_the_translation_of_a_level_goes_to_its_labels(ufseg: Ufseg, tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "i.ome.zarr", zarr_format=2)
    described = datasets()
    for number, (level, dataset) in enumerate(zip(LEVELS, described, strict=True)):
        group.create_array(str(number), data=level, chunks=(32, 32))
        dataset["coordinateTransformations"] += [{"type": "translation", "translation": [100 + number, -50]}]
    group.attrs.put({"multiscales": [{"axes": axes(), "datasets": described}]})
    out = tmp_path / "l.ome.zarr"
    assert ufseg("segment", tmp_path / "i.ome.zarr", "-o", out, "--level", "2", *QUICK).status == 0
    assert (open_image(out).scale, open_image(out).translate) == (STEPS[2], (102, -50))


@pytest.mark.parametrize("ending", [".tif", ".ome.zarr"])  # in memory, and by tiles that open the image themselves
def test_predict_reads_that_level(ending: str, ufseg: Ufseg, pyramids: Path, tmp_path: Path) -> None:
    expected = labels_alone(ufseg, pyramids, 1, tmp_path)
    for name in ("cells.ome.tif", "cells.ome.zarr"):
        out = tmp_path / f"{name}-labels{ending}"
        done = ufseg("predict", tmp_path / "m.safetensors", pyramids / name, "-o", out, "--level", "1")
        assert (done.status, done.out) == (0, f"{out}\n")
        np.testing.assert_array_equal(read_labels(out), expected)
        assert open_image(out).scale == STEPS[1]


def test_batch_reads_that_level_and_tells_of_images_without_it(ufseg: Ufseg, pyramids: Path, tmp_path: Path) -> None:
    expected = labels_alone(ufseg, pyramids, 1, tmp_path)
    done = ufseg("batch", tmp_path / "m.safetensors", pyramids, "-o", tmp_path / "out", "--level", "1")
    assert done.status == 2
    written = sorted((tmp_path / "out").iterdir())
    assert len(written) == 2
    for labels in written:
        np.testing.assert_array_equal(read_labels(labels), expected)
    assert done.err.count("has no resolution level 1: it has only one, level 0.\n") == 3
    assert done.err.endswith("ufseg: 2 written, 0 skipped, 3 failed.\n")


@pytest.mark.parametrize(
    ("name", "level", "sentence"),
    [
        ("cells.ome.tif", "3", "has no resolution level 3: it has 3 levels, 0 to 2."),
        ("cells.ome.zarr", "3", "has no resolution level 3: it has 3 levels, 0 to 2."),
        ("cells.ome.zarr", "-1", "has no resolution level -1: it has 3 levels, 0 to 2."),
        ("level0.png", "1", "has no resolution level 1: it has only one, level 0."),
        ("cells.ome.tif", "small", "Argument --level: invalid int value: 'small': see ufseg segment --help."),
    ],
)
def test_a_level_that_is_not_there_is_told(
    name: str, level: str, sentence: str, ufseg: Ufseg, pyramids: Path, tmp_path: Path
) -> None:
    done = ufseg("segment", pyramids / name, "-o", tmp_path / "l.tif", "--level", level)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.endswith(f"{sentence}\n")
    assert list(tmp_path.iterdir()) == []


def test_scribbles_are_of_the_size_of_that_level(ufseg: Ufseg, pyramids: Path, tmp_path: Path) -> None:
    scribbles = np.zeros(LEVELS[1].shape, np.uint8)
    scribbles[10:18, 12:20] = 1
    tifffile.imwrite(tmp_path / "s.tif", scribbles)
    files = ["--scribbles", tmp_path / "s.tif", "-o", tmp_path / "l.tif"]
    words = ["segment", pyramids / "cells.ome.zarr", *files, *QUICK]
    assert ufseg(*words, "--level", "1").status == 0
    assert "(48, 64), but the image" in ufseg(*words).err
