"""A Zarr folder that goes, is replaced or lacks chunks: that is told, and not read as empty."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_ufseg.engine.errors import FileError, UfsegWarning
from napari_ufseg.io import missing_words, open_image, read_image, require_chunks
from napari_ufseg.io.reading import zarr_pixels

IMAGE = np.arange(1, 1 + 50 * 60, dtype=np.uint16).reshape(50, 60)


def write_nested(folder: Path, zarr_format: Any) -> Path:
    """An OME-Zarr image of 4 x 4 chunks; the folder of the array."""
    group = zarr.create_group(folder, zarr_format=zarr_format)
    multiscales = {"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "s0"}]}]}
    group.attrs.put({"ome": multiscales} if zarr_format == 3 else multiscales)
    group.create_array("s0", data=IMAGE, chunks=(16, 16))
    return folder / "s0"


def go(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere.zarr"))


def replace(folder: Path) -> None:
    go(folder)
    write_nested(folder, 3 if (folder.with_name("elsewhere.zarr") / "zarr.json").exists() else 2)


def lose_array(folder: Path) -> None:
    shutil.rmtree(folder / "s0")


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(("change", "words"), [(go, "has gone"), (lose_array, "has gone"), (replace, "has changed")])
def test_it_goes_between_two_reads(change: Callable[..., None], words: str, zarr_format: int, tmp_path: Path) -> None:
    write_nested(tmp_path / "x.zarr", zarr_format)
    data = open_image(tmp_path / "x.zarr").data
    np.testing.assert_array_equal(data[10:20, 10:20], IMAGE[10:20, 10:20])
    change(tmp_path / "x.zarr")
    for read in (lambda: data[10:20, 10:20], lambda: np.asarray(data)):
        with pytest.raises(FileError, match=f"^The image .*x.zarr {words} while it was read") as caught:
            read()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("is_late", [True, False])
def test_it_goes_during_a_read(is_late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_nested(tmp_path / "x.zarr", 2)
    data = open_image(tmp_path / "x.zarr").data
    read = zarr.Array.__getitem__

    def read_and_go(array: Any, region: Any) -> Any:
        values = read(array, region) if is_late else None
        go(tmp_path / "x.zarr")
        return values if is_late else read(array, region)

    monkeypatch.setattr(zarr.Array, "__getitem__", read_and_go)
    with pytest.raises(FileError, match="has gone while it was read"):
        data[10:20, 10:20]


@pytest.mark.parametrize(
    ("options", "chunk", "words"),
    [
        ({"zarr_format": 2, "fill_value": 7}, "3.3", "1 of 16 chunks is missing: 7 is read there"),
        ({"zarr_format": 3}, "c/0/3", "1 of 16 chunks is missing: 0 is read there"),
        ({"zarr_format": 3, "shards": (32, 32)}, "c/1/1", "1 of 4 shards is missing: 0"),
        ({"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}}, "2/1", "1 of 16 chunks is"),
        ({"zarr_format": 3, "chunk_key_encoding": {"name": "default", "separator": "."}}, "c.2.1", "1 of 16 chunks is"),
        ({"zarr_format": 3, "chunk_key_encoding": {"name": "v2", "separator": "."}}, "2.1", "1 of 16 chunks is"),
    ],
)
def test_missing_chunks_are_counted(options: Any, chunk: str, words: str, tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "x.zarr", data=IMAGE, chunks=(16, 16), **options)
    (tmp_path / "x.zarr" / "9.9").touch()  # outside of the image
    (tmp_path / "x.zarr" / "1.1.part").touch()
    whole = open_image(tmp_path / "x.zarr")
    assert missing_words(whole) == ""
    (tmp_path / "x.zarr" / chunk).unlink()
    assert words in missing_words(open_image(tmp_path / "x.zarr"))
    with pytest.raises(FileError, match="has lost 1 of its chunks"):
        require_chunks(whole)


def test_chunks_that_were_missing_before_are_not_lost(tmp_path: Path) -> None:
    folder = write_nested(tmp_path / "x.zarr", 3)
    shutil.rmtree(folder / "c" / "1")
    image = open_image(tmp_path / "x.zarr")
    assert "4 of 16 chunks are missing" in missing_words(image)
    require_chunks(image)
    go(tmp_path / "x.zarr")
    require_chunks(image)  # whatever was read was there


def test_too_many_chunks_are_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zarr_pixels, "_MOST_COUNTED", 15)
    folder = write_nested(tmp_path / "x.zarr", 2)
    (folder / "0.0").unlink()
    image = open_image(tmp_path / "x.zarr")
    assert missing_words(image) == ""
    (folder / "0.1").unlink()
    require_chunks(image)


KEYS: list[tuple[dict[str, Any], str, str]] = [  # how the metadata call chunks, and how they are stored
    ({"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}}, "{}/{}", "{}.{}"),
    ({"zarr_format": 2}, "{}.{}", "{}/{}"),
    ({"zarr_format": 3}, "c/{}/{}", "c.{}.{}"),
    ({"zarr_format": 3}, "c/{}/{}", "{}.{}"),
    ({"zarr_format": 3}, "c/{}/{}", "{}/{}"),
    ({"zarr_format": 3, "chunk_key_encoding": {"name": "default", "separator": "."}}, "c.{}.{}", "c/{}/{}"),
    ({"zarr_format": 3, "chunk_key_encoding": {"name": "v2", "separator": "."}}, "{}.{}", "c.{}.{}"),
]


@pytest.mark.parametrize("renamed", ["all", "some", "all of too many to count"])
@pytest.mark.parametrize(("options", "told", "stored"), KEYS)
def test_chunks_by_other_names_than_the_metadata_say_are_an_error(
    options: Any, told: str, stored: str, renamed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if renamed == "all of too many to count":
        monkeypatch.setattr(zarr_pixels, "_MOST_COUNTED", 15)
    folder = tmp_path / "x.zarr"
    zarr.create_array(folder, data=IMAGE, chunks=(16, 16), **options)
    assert missing_words(open_image(folder)) == ""
    for y, x in np.ndindex(2 if renamed == "some" else 4, 4):
        (folder / stored.format(y, x)).parent.mkdir(parents=True, exist_ok=True)
        (folder / told.format(y, x)).rename(folder / stored.format(y, x))
    for read in (lambda: missing_words(open_image(folder)), lambda: read_image(folder)):
        with pytest.raises(
            FileError, match=r"The metadata of .*x\.zarr do not fit its chunks: one that they call "
        ) as caught:
            read()
        assert "separator" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_image_without_any_chunk_is_told(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "x.zarr", shape=(50, 60), dtype=np.uint16, chunks=(16, 16), zarr_format=2)
    assert "none of 16 chunks is there: all of it is read as 0." in missing_words(open_image(tmp_path / "x.zarr"))
    with pytest.warns(UfsegWarning, match="none of 16 chunks is there"):
        assert not read_image(tmp_path / "x.zarr").any()
