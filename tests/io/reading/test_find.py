"""Which images files and folders stand for."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from napari_ufseg.engine.errors import FileError, UfsegWarning
from napari_ufseg.io import find_images, open_image, read_image


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


def write_parts(folder: Path, files: dict[str, list[tuple[int, int]]], n_images: int = 1, binary: str = "") -> None:
    """OME-TIFF files that name each other; each holds one plane for each (image, Z), with the number of both as value.

    With `binary` only that file has the whole description, and the others name it.
    """
    planes: dict[int, list[str]] = {i: [] for i in range(n_images)}
    for name, held in files.items():
        for ifd, (image, z) in enumerate(held):
            uuid = f'<UUID FileName="{name}">urn:uuid:{name}</UUID>'
            planes[image].append(f'<TiffData IFD="{ifd}" FirstZ="{z}" PlaneCount="1">{uuid}</TiffData>')
    images = "".join(
        f'<Image ID="Image:{i}" Name="pos{i}"><Pixels ID="Pixels:{i}" DimensionOrder="XYZCT" Type="uint16" SizeX="20" '
        f'SizeY="16" SizeZ="{len(data)}" SizeC="1" SizeT="1"><Channel ID="Channel:{i}:0" SamplesPerPixel="1"/>'
        f"{''.join(data)}</Pixels></Image>"
        for i, data in planes.items()
    )
    for name, held in files.items():
        inner = (
            f'<BinaryOnly MetadataFile="{binary}" UUID="urn:uuid:{binary}"/>' if binary not in ("", name) else images
        )
        xml = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{name}">{inner}</OME>'
        stack = np.stack([np.full((16, 20), 100 * image + z, np.uint16) for image, z in held])
        about = {"metadata": None, "photometric": "minisblack", "compression": "zlib"}
        tifffile.imwrite(folder / name, stack, description=xml, **about)


PARTS = {
    "a plane each": ({f"z{z}.ome.tif": [(0, z)] for z in range(4)}, ""),
    "two planes each": ({f"part{i}.tif": [(0, 2 * i), (0, 2 * i + 1)] for i in range(2)}, ""),
    "unequal ones": ({"b.tif": [(0, 0)], "a.tif": [(0, 1), (0, 2), (0, 3)]}, ""),
    "the last one tells of all": ({f"z{z}.ome.tif": [(0, z)] for z in range(4)}, "z3.ome.tif"),
    "the first one tells of all": ({f"z{z}.ome.tif": [(0, z)] for z in range(4)}, "z0.ome.tif"),
    "many": ({f"z{z:02}.ome.tiff": [(0, z)] for z in range(12)}, ""),
}


@pytest.mark.parametrize("kind", PARTS)
def test_files_of_one_ome_tiff_are_one_image(kind: str, tmp_path: Path) -> None:
    files, binary = PARTS[kind]
    write_parts(tmp_path, files, binary=binary)
    Image.new("L", (20, 16)).save(tmp_path / "zz.png")
    n_planes = sum(map(len, files.values()))
    with pytest.warns(UfsegWarning, match="is read as one image with its other files: ") as told:
        found = find_images([tmp_path])
    assert len(told) == 1
    assert [file.name for file in found] == [binary or min(files), "zz.png"]
    planes = read_image(found[0])
    assert planes[:, 0, 0].tolist() == list(range(n_planes))
    with pytest.warns(UfsegWarning, match="one image"):
        assert len(find_images(sorted(tmp_path.glob("*.tif*"), reverse=True))) == 1
    assert find_images([found[0]]) == [found[0]]


@pytest.mark.parametrize("n_planes", [1, 3])
@pytest.mark.parametrize("n_images", [2, 5])
def test_files_that_name_each_other_but_hold_an_image_each_stay_images_of_their_own(
    n_images: int, n_planes: int, tmp_path: Path
) -> None:
    files = {f"pos{i}.ome.tif": [(i, z) for z in range(n_planes)] for i in range(n_images)}
    write_parts(tmp_path, files, n_images)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = find_images([tmp_path])
        assert [file.name for file in found] == sorted(files)
        for number, file in enumerate(found):
            assert np.unique(read_image(file)).tolist() == [100 * number + z for z in range(n_planes)]
            assert open_image(file).note == ""
        (tmp_path / "pos0.ome.tif").rename(tmp_path / "another name.tif")
        assert np.unique(read_image(tmp_path / "another name.tif")).tolist() == list(range(n_planes))
        assert len(find_images([tmp_path])) == n_images


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/x.zarr",
        "http://example.org/a/b.tif",
        "s3://bucket/x.ome.zarr",
        "ftp://example.org/x.png",
        "gs://bucket/x.zarr",
        "file:///home/me/x.tif",
    ],
)
def test_an_address_is_told_as_it_was_given(address: str) -> None:
    with pytest.raises(FileError) as caught:
        find_images([address])
    assert str(caught.value).startswith(f"{address} is an address, but only files and folders can be used")
    with pytest.raises(FileError, match="is an address"):
        open_image(Path(address))


def test_a_name_with_a_colon_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "well:").mkdir()
    Image.new("L", (20, 16)).save(tmp_path / "well:" / "a.png")
    monkeypatch.chdir(tmp_path)
    assert find_images(["well:/a.png"]) == [Path("well:/a.png")]
