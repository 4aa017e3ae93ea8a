"""Which images files and folders stand for."""

from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from napari_ufseg.engine.errors import FileError
from napari_ufseg.io import find_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images, results and other things, two of the images in folders of their own."""
    for name in ("b.PNG", "a.tif", "c.jpeg", ".hidden.png", "notes.txt", "a_labels.tif", "a_labels.ome.tif", "f.zarr"):
        (tmp_path / name).touch()
    for name in ("d.zarr", "e.ome.zarr", "d_labels.zarr", "e_labels.ome.zarr", ".hidden.zarr", "folder.png"):
        (tmp_path / name).mkdir()
    (tmp_path / "d.zarr" / "inner.png").touch()
    for name in ("deep/er/x.tif", "deep/w.zarr/inner.png", ".git/x.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    return tmp_path


DIRECT = ["a.tif", "b.PNG", "c.jpeg", "d.zarr", "e.ome.zarr"]


def test_a_folder_in_order_without_results(folder: Path) -> None:
    assert [file.name for file in find_images([folder])] == DIRECT


def test_each_once_and_as_named(folder: Path) -> None:
    named = [folder / "c.jpeg", folder, folder / "a_labels.tif", folder / "e_labels.ome.zarr", folder / "d.zarr"]
    names = [file.name for file in find_images(named)]
    assert names == ["c.jpeg", "a.tif", "b.PNG", "d.zarr", "e.ome.zarr", "a_labels.tif", "e_labels.ome.zarr"]


def test_folders_in_a_folder(folder: Path) -> None:
    found = [file.relative_to(folder).as_posix() for file in find_images([folder], recursive=True)]
    assert found == [*DIRECT[:3], "d.zarr", "deep/er/x.tif", "deep/w.zarr", "e.ome.zarr"]


def test_a_zarr_without_the_name_of_one(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / ".zgroup").write_text("{}")
    assert find_images([tmp_path / "0"]) == [tmp_path / "0"]


def test_pictures_that_are_labels_are_left_out(tmp_path: Path) -> None:
    said = PngInfo()
    said.add_text("Software", "napari-ufseg labels")
    picture = Image.new("L", (3, 2))
    picture.save(tmp_path / "ours.png", pnginfo=said)
    for name in ("a.png", "b.jpg", "a_labels.png", "b_labels.jpg"):
        picture.save(tmp_path / name)
    (tmp_path / "damaged.png").write_bytes((tmp_path / "ours.png").read_bytes()[:20])
    assert [file.name for file in find_images([tmp_path])] == ["a.png", "b.jpg", "damaged.png"]
    assert find_images([tmp_path / "ours.png"]) == [tmp_path / "ours.png"]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no image"):
        find_images([tmp_path])
    with pytest.raises(FileError, match="holds no image"):
        find_images([tmp_path], recursive=True)
    with pytest.raises(FileError, match="no file or folder"):
        find_images([tmp_path / "none"])
