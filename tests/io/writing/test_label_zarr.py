"""OME-Zarr label images: levels, colours, what other programs find in them, and filling them piece by piece."""

import gc
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaozarrs
import zarr

from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.labels.class_table import class_colours
from napari_ufseg.io import (
    create_label_zarr,
    create_temporary_labels,
    finish_label_zarr,
    folder_written_whole,
    open_image,
    write_labels,
)

LABELS = np.random.default_rng(0).integers(0, 3, (2, 1100, 601)).astype(np.uint16)
VERSIONS = pytest.mark.parametrize("version", ["0.4", "0.5"])


def ome(folder: Path) -> Any:
    """The OME metadata, read without any library."""
    if (folder / "zarr.json").is_file():
        return json.loads((folder / "zarr.json").read_text())["attributes"]["ome"]
    return json.loads((folder / ".zattrs").read_text())


@VERSIONS
def test_levels_hold_every_second_pixel(version: Any, tmp_path: Path) -> None:
    write_labels(tmp_path / "l.zarr", LABELS, scale=(2, 0.5, 0.25), unit="µm", ome_zarr_version=version)
    yaozarrs.validate_zarr_store(tmp_path / "l.zarr")
    group = zarr.open_group(tmp_path / "l.zarr", mode="r", zarr_format=2 if version == "0.4" else 3)
    assert sorted(group.array_keys()) == ["0", "1", "2", "3"]
    for level in range(4):
        image = open_image(tmp_path / "l.zarr", level=level)
        step = 2**level
        assert (image.n_levels, image.axes, image.unit) == (4, "ZYX", "µm")
        assert image.scale == (2, 0.5 * step, 0.25 * step)
        np.testing.assert_array_equal(image.data[...], LABELS[:, ::step, ::step])
    assert group["0"].chunks == (1, 512, 512)
    assert group["3"].shape == (2, 138, 76)


@VERSIONS
def test_every_pixel_of_a_lower_level_lies_on_the_pixel_that_it_was(version: Any, tmp_path: Path) -> None:
    write_labels(
        tmp_path / "l.zarr", LABELS, scale=(2, 0.5, 0.25), unit="µm", translate=(4, 7, -1), ome_zarr_version=version
    )
    yaozarrs.validate_zarr_store(tmp_path / "l.zarr")
    full = open_image(tmp_path / "l.zarr")
    assert (full.scale, full.translate) == ((2, 0.5, 0.25), (4, 7, -1))
    for level in range(1, 4):
        image = open_image(tmp_path / "l.zarr", level=level)
        pixels = np.indices(image.data.shape).reshape(3, -1).T
        there = (pixels * image.scale + image.translate - full.translate) / full.scale
        assert np.array_equal(there, there.round())  # and not between two of them
        np.testing.assert_array_equal(image.data[...].ravel(), LABELS[tuple(there.astype(int).T)])


def test_a_translation_of_the_last_axes(tmp_path: Path) -> None:
    write_labels(tmp_path / "l.zarr", LABELS[:, :9, :9], translate=(3, 4))
    assert open_image(tmp_path / "l.zarr").translate == (0, 3, 4)
    write_labels(tmp_path / "l.zarr", LABELS[:, :9, :9], translate=(1, np.nan, 4))  # counts as not known
    assert open_image(tmp_path / "l.zarr").translate == (0, 0, 0)
    with pytest.raises(FileError, match="a translate of 4 numbers does not fit the axes ZYX"):
        write_labels(tmp_path / "l.zarr", LABELS[:, :9, :9], translate=(0, 0, 3, 4))


@VERSIONS
def test_metadata_that_other_programs_look_for(version: Any, tmp_path: Path) -> None:
    write_labels(tmp_path / "l.zarr", LABELS[:, :9, :9], axes="TYX", scale=(3, 1, 1), ome_zarr_version=version)
    metadata = ome(tmp_path / "l.zarr")
    assert (metadata if version == "0.5" else metadata["multiscales"][0])["version"] == version
    assert metadata["image-label"]["version"] == version
    assert metadata["multiscales"][0]["axes"] == [
        {"name": "t", "type": "time", "unit": "second"},
        {"name": "y", "type": "space"},
        {"name": "x", "type": "space"},
    ]
    key = "dimension_separator" if version == "0.4" else "dimension_names"
    described = json.loads((tmp_path / "l.zarr" / "0" / (".zarray" if version == "0.4" else "zarr.json")).read_text())
    assert described[key] == ("/" if version == "0.4" else ["t", "y", "x"])


@VERSIONS
def test_colours_of_the_labels_that_occur(version: Any, tmp_path: Path) -> None:
    labels = np.zeros((300, 40), np.uint16)  # with a level below, in which the label 101 is lost
    labels[0, :4] = [3, 101, 1, 65535]
    write_labels(tmp_path / "l.zarr", labels, ome_zarr_version=version)
    colours = ome(tmp_path / "l.zarr")["image-label"]["colors"]
    assert [colour["label-value"] for colour in colours] == [1, 3, 101, 65535]
    for colour, place in zip(colours, [0, 2, 0, 34], strict=True):
        assert colour["rgba"] == [*np.rint(class_colours()[place] * 255).astype(int), 255]
    write_labels(tmp_path / "l.zarr", labels, ome_zarr_version=version, colours=False)
    assert "colors" not in ome(tmp_path / "l.zarr")["image-label"]


def test_no_more_than_a_hundred_colours(tmp_path: Path) -> None:
    write_labels(tmp_path / "l.zarr", np.arange(150).reshape(10, 15))
    values = [colour["label-value"] for colour in ome(tmp_path / "l.zarr")["image-label"]["colors"]]
    assert values == list(range(1, 101))
    assert all(isinstance(value, int) for value in values)
    write_labels(tmp_path / "l.zarr", np.zeros((10, 15), int))  # background alone has no colour
    assert "colors" not in ome(tmp_path / "l.zarr")["image-label"]


@VERSIONS
def test_filling_it_chunk_by_chunk(version: Any, tmp_path: Path) -> None:
    path = tmp_path / "l.zarr"
    array = create_label_zarr(
        path, LABELS.shape, chunks=(1, 200, 200), axes="TYX", scale=(9, 2, 2), unit="nm", translate=(0, 5, 6),
        ome_zarr_version=version,
    )  # fmt: skip
    assert (array.shape, array.chunks, array.dtype, array.path) == (LABELS.shape, (1, 200, 200), np.uint16, "0")
    with pytest.raises(FileError, match="holds no OME-Zarr image"):
        open_image(path)  # not finished
    elsewhere = pickle.loads(pickle.dumps(array))  # as another process gets it
    elsewhere[0, :200, :400] = LABELS[0, :200, :400]
    array[1] = LABELS[1]
    finish_label_zarr(path)
    yaozarrs.validate_zarr_store(path)
    image = open_image(path)
    assert (image.axes, image.scale, image.unit, image.n_levels) == ("TYX", (9, 2, 2), "nm", 4)
    assert image.translate == (0, 5, 6)
    np.testing.assert_array_equal(image.data[1], LABELS[1])
    np.testing.assert_array_equal(image.data[0, :200, :400], LABELS[0, :200, :400])
    assert not image.data[0, 200:].any()
    np.testing.assert_array_equal(open_image(path, level=3).data[1], LABELS[1, ::8, ::8])
    with pytest.raises(FileError, match="Cannot finish"):
        finish_label_zarr(path)


def test_an_older_one_gives_way_only_when_told(tmp_path: Path) -> None:
    path = tmp_path / "l.zarr"
    options: Any = {"shape": (20, 20), "chunks": (10, 10), "axes": "YX"}
    create_label_zarr(path, **options)[:] = 7
    with pytest.raises(FileError, match="exists already"):
        create_label_zarr(path, **options)
    assert not create_label_zarr(path, **options, overwrite=True)[...].any()
    with pytest.raises(FileError, match="Cannot finish"):
        finish_label_zarr(tmp_path / "none.zarr")


@pytest.mark.parametrize("name", ["notes.zarr", "folder.zarr"])
def test_what_is_no_zarr_is_not_replaced(name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.zarr").write_text("mine")
    (tmp_path / "folder.zarr").mkdir()
    (tmp_path / "folder.zarr" / "mine.txt").write_text("mine")
    with pytest.raises(FileError, match="Cannot write"):
        write_labels(tmp_path / name, LABELS[0, :9, :9])
    with pytest.raises(FileError, match="Cannot write"):
        create_label_zarr(tmp_path / name, (9, 9), chunks=(9, 9), axes="YX", overwrite=True)
    assert (tmp_path / "notes.zarr").read_text() == (tmp_path / "folder.zarr" / "mine.txt").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_cannot_be_moved_into_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_labels(tmp_path / "l.zarr", LABELS[0, :9, :9])
    rename = Path.rename

    def refused(self: Path, target: Path) -> Path:
        if target == tmp_path / "l.zarr" and self.parent == tmp_path:
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr("napari_ufseg.engine.leftovers._swapped", lambda new, target: False)  # as where no system can
    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(FileError, match="Permission denied"), folder_written_whole(tmp_path / "l.zarr") as temporary:
        temporary.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["l.zarr"]
    np.testing.assert_array_equal(open_image(tmp_path / "l.zarr").data[...], LABELS[0, :9, :9])


def test_temporary_labels_go_when_nobody_holds_them():
    array, folder = create_temporary_labels((3, 40, 50), (1, 40, 50))
    array[1, 2, 3] = 7
    assert array[1, 2, 3] == 7
    assert folder.is_dir()
    del array
    gc.collect()
    assert not folder.exists()


def test_temporary_labels_that_cannot_be_made_leave_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(zarr, "create_group", full)
    with pytest.raises(FileError, match="No space left"):
        create_temporary_labels((3, 40, 50), (1, 40, 50))
    assert not list(tmp_path.iterdir())


def test_temporary_labels_of_a_dead_program_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import os\nfrom napari_ufseg.io import create_temporary_labels\n"
        "array, folder = create_temporary_labels((3, 4, 5), (1, 4, 5))\narray[:] = 1\nos._exit(9)"
    )
    paths = os.pathsep.join(sys.path)
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": paths}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 9
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array, folder = create_temporary_labels((3, 40, 50), (1, 40, 50))
    assert list(tmp_path.iterdir()) == [folder]
    del array
    gc.collect()
    assert not list(tmp_path.iterdir())
