"""A Zarr whose chunks are pickles that run a program: nothing of it is run, whatever it is opened for."""

import json
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import zarr
from numcodecs import Pickle

from napari_ufseg.cli import main
from napari_ufseg.engine.errors import FileError
from napari_ufseg.io import label_images_of, open_image, read_image, read_labels
from napari_ufseg.io.reading.zarr_pixels import pixels_of

OBJECTS = {"dtype": "|O", "filters": [{"id": "vlen-utf8"}, {"id": "pickle"}]}
ZARR_REFUSES = "is stored as pickles|is not an image that can be read"  # as zarr 3.1 does, which knows no such numbers
HOSTILE = {
    "objects": (OBJECTS, "holds values of type .*, but an image has whole or real numbers"),
    "numbers": ({"dtype": "|u1", "filters": [{"id": "pickle"}]}, ZARR_REFUSES),
    "compressor": ({"dtype": "<f4", "compressor": {"id": "pickle"}}, ZARR_REFUSES),
}


@pytest.fixture(autouse=True)
def unpickling_numcodecs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As versions before 0.16.6, which did not ask."""
    monkeypatch.setattr("numcodecs.pickles.ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """The file that is there if a chunk has run its program."""
    return tmp_path / "it ran"


def write_array(folder: Path, **changes: Any) -> Path:
    """The metadata of an array of one chunk, and no chunk."""
    folder.mkdir(parents=True)
    about = {"zarr_format": 2, "shape": [20, 30], "chunks": [20, 30], "dtype": "|u1", "fill_value": 0, "order": "C"}
    about |= {"compressor": None, "filters": None} | ({"fill_value": ""} if changes.get("dtype") == "|O" else {})
    (folder / ".zarray").write_text(json.dumps({**about, **changes}))
    return folder


def write_group(folder: Path, n_levels: int, **more: Any) -> Path:
    """The metadata of an OME-Zarr image."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    axes = [{"name": name, "type": "space"} for name in "yx"]
    datasets = [{"path": str(level)} for level in range(n_levels)]
    (folder / ".zattrs").write_text(json.dumps({"multiscales": [{"axes": axes, "datasets": datasets}], **more}))
    return folder


def write_hostile(folder: Path, marker: Path, kind: str = "objects") -> Path:
    """An array whose chunk makes the marker when it is read."""
    write_array(folder, **HOSTILE[kind][0])
    program = f"cposix\nsystem\n(Vtouch '{marker}'\ntR.".encode()  # a pickle that calls os.system
    (folder / "0.0").write_bytes(program)
    return folder


def write_good(folder: Path) -> Path:
    (write_array(folder) / "0.0").write_bytes(bytes(600))
    return folder


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("is_ome", [True, False])
def test_it_is_refused_before_a_chunk_is_read(kind: str, is_ome: bool, marker: Path, tmp_path: Path) -> None:
    folder = tmp_path / "x.zarr"
    write_hostile(write_group(folder, 1) / "0" if is_ome else folder, marker, kind)
    for use in (open_image, read_image, read_labels):
        with pytest.raises(FileError, match=HOSTILE[kind][1]) as caught:
            use(folder)
        assert str(folder) in str(caught.value)
        assert not marker.exists()


@pytest.mark.parametrize("part", ["filters", "compressors"])
def test_numbers_in_pickles_if_zarr_takes_them(part: str, tmp_path: Path) -> None:
    array = zarr.create_array({}, shape=(20, 30), dtype="u1", zarr_format=2, **{part: Pickle()})
    with pytest.raises(FileError, match="is stored as pickles"):
        pixels_of(tmp_path, array)


def test_a_level_of_a_good_image(marker: Path, tmp_path: Path) -> None:
    folder = write_group(tmp_path / "x.zarr", 2)
    write_good(folder / "0")
    write_hostile(folder / "1", marker)
    assert open_image(folder).data[...].shape == (20, 30)
    with pytest.raises(FileError, match="holds values of type"):
        open_image(folder, level=1)
    assert not marker.exists()


def test_the_labels_of_a_good_image(marker: Path, tmp_path: Path) -> None:
    folder = write_group(tmp_path / "x.zarr", 1)
    write_good(folder / "0")
    labels = write_group(folder / "labels", 0, labels=["cells"])
    write_hostile(write_group(labels / "cells", 1, **{"image-label": {}}) / "0", marker)
    (found,) = label_images_of(folder)
    with pytest.raises(FileError, match="holds values of type"):
        open_image(found)
    assert not marker.exists()


@pytest.mark.parametrize("place", ["image", "scribbles"])
def test_on_the_command_line(place: str, marker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_hostile(tmp_path / "x.zarr", marker)
    iio.imwrite(tmp_path / "good.png", np.arange(600, dtype=np.uint8).reshape(20, 30))
    words = [str(folder)] if place == "image" else [str(tmp_path / "good.png"), "--scribbles", str(folder)]
    assert main(["segment", *words, "-o", str(tmp_path / "out.tif"), "--epochs", "1"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"ufseg: {folder} holds values of type ")
    assert not marker.exists()
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize("kind", ["labels", "level", "image"])
def test_in_napari(kind: str, marker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_ufseg._napari.layers import reader as _reader

    told: list[str] = []
    monkeypatch.setattr(_reader, "show_warning", told.append)
    folder = write_group(tmp_path / "x.zarr", 2 if kind == "level" else 1)
    if kind != "image":
        write_good(folder / "0")
    if kind == "labels":
        labels = write_group(folder / "labels", 0, labels=["cells"])
        write_hostile(write_group(labels / "cells", 1) / "0", marker)
        assert len(_reader.read_layers(str(folder))) == 1
        assert ["holds values of type" in words for words in told] == [True]
    else:
        write_hostile(folder / {"level": "1", "image": "0"}[kind], marker)
        with pytest.raises(FileError, match="holds values of type"):
            _reader.read_layers(str(folder))
    assert not marker.exists()
