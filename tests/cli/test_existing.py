"""What becomes of files that are at the place of an output: only labels give way to labels, and every file to its own kind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import zarr

from napari_ufseg.io import read_labels, write_labels

from .conftest import QUICK, Done, blobs

Ufseg = Callable[..., Done]


def state(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with what is in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_ome(path: Path, shape: tuple[int, ...], form: int, **more: Any) -> None:
    """An OME-Zarr image that is not one of labels."""
    names = "tczyx"[-len(shape) :]
    axes = [{"name": name, "type": {"t": "time", "c": "channel"}.get(name, "space")} for name in names]
    scale = [{"type": "scale", "scale": [1] * len(shape)}]
    images = {"multiscales": [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}], **more}
    group = zarr.create_group(path, zarr_format=form, attributes=images if form == 2 else {"ome": images})
    group.create_array("0", data=np.ones(shape, np.uint16))


def write_raw_zarr(path: Path, kind: str) -> None:
    """Raw data of many kinds."""
    if kind == "plain array":
        zarr.create_array(path, data=np.ones((9, 9), np.uint16))
    elif kind == "several images":
        group = zarr.create_group(path, zarr_format=2, attributes={"bioformats2raw.layout": 3})
        group.create_array("0/0", data=np.ones((9, 9)))
    elif kind == "plate":
        zarr.create_group(path, zarr_format=2, attributes={"plate": {"wells": []}})
    elif kind == "labels inside":
        write_ome(path, (9, 9), 2)
        zarr.open_group(path / "labels", mode="w", zarr_format=2).attrs["labels"] = ["cells"]
        write_labels(path / "labels" / "cells.zarr", np.ones((9, 9), np.uint16))
    elif kind == "damaged":
        write_ome(path, (9, 9), 2)
        (path / ".zattrs").write_text("{")
    else:
        write_ome(path, (4, 9, 9) if "stack" in kind else (9, 9), 3 if "0.5" in kind else 2)


ZARR_KINDS = [
    *("plane", "stack", "plane 0.5", "stack 0.5"),
    *("plain array", "several images", "plate", "labels inside", "damaged"),
]


@pytest.mark.parametrize("existing", ["overwrite", "fail", "default"])
@pytest.mark.parametrize("kind", ZARR_KINDS)
def test_a_zarr_of_raw_data_is_never_replaced(
    ufseg: Ufseg, images: Path, tmp_path: Path, kind: str, existing: str
) -> None:
    write_raw_zarr(tmp_path / "raw.ome.zarr", kind)
    before = state(tmp_path)
    flag = [] if existing == "default" else ["--existing", existing]
    for command in (["segment"], ["predict", images / "model.safetensors"]):
        done = ufseg(*command, images / "grey.png", "-o", tmp_path / "raw.ome.zarr", *flag)
        assert (done.status, done.out) == (2, "")
        assert done.err.startswith(
            f"ufseg: Cannot write {tmp_path / 'raw.ome.zarr'}: there is a Zarr that does not say"
        )
        assert done.err.count("\n") == 1
        assert state(tmp_path) == before


@pytest.mark.parametrize("name", ["raw.tif", "raw.ome.tif", "raw.tiff", "raw.png"])
def test_an_image_file_of_raw_data_is_never_replaced(ufseg: Ufseg, images: Path, tmp_path: Path, name: str) -> None:
    if name.endswith("png"):
        iio.imwrite(tmp_path / name, blobs())
    else:
        tifffile.imwrite(tmp_path / name, blobs(), photometric="minisblack", bigtiff=name.endswith("ff"))
    before = state(tmp_path)
    done = ufseg("predict", images / "model.safetensors", images / "grey2.png", "-o", tmp_path / name)
    assert done.status == 2
    assert "there is an image that does not say that it is labels" in done.err
    assert state(tmp_path) == before


@pytest.mark.parametrize("name", ["l.tif", "l.ome.tif", "l.png", "l.zarr", "l.ome.zarr"])
def test_labels_give_way_to_labels(ufseg: Ufseg, images: Path, tmp_path: Path, name: str) -> None:
    write_labels(tmp_path / name, np.full((5, 5), 3, np.uint16))
    done = ufseg("predict", images / "model.safetensors", images / "grey.png", "-o", tmp_path / name)
    assert (done.status, done.err) == (0, "")
    assert read_labels(tmp_path / name).shape == (48, 64)


OTHERS = {"model_path": "m.safetensors", "report": "r.json", "pie": "p.png"}
RAW = {
    "TIFF": lambda path: tifffile.imwrite(path, blobs()),
    "PNG": lambda path: iio.imwrite(path, blobs(), extension=".png"),
    "JPEG": lambda path: iio.imwrite(path, blobs(), extension=".jpg"),
    "labels": lambda path: tifffile.imwrite(path, blobs(), software="napari-ufseg labels"),
    "numbers": lambda path: path.write_bytes(bytes(range(256)) * 40),
}


@pytest.mark.parametrize("raw", RAW)
@pytest.mark.parametrize("flag", OTHERS)
def test_other_outputs_replace_their_own_kind_alone(
    ufseg: Ufseg, images: Path, tmp_path: Path, flag: str, raw: str
) -> None:
    place = tmp_path / OTHERS[flag]
    RAW[raw](place)
    before = state(tmp_path)
    done = ufseg("segment", images / "grey.png", "-o", tmp_path / "l.tif", f"--{flag}", place)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"ufseg: Cannot write {place}: there is a file that is no ")
    assert state(tmp_path) == before


def test_a_run_replaces_what_a_run_has_written(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    outputs = [word for flag, name in OTHERS.items() for word in (f"--{flag}", tmp_path / name)]
    job = ["segment", images / "grey.png", "-o", tmp_path / "l.tif", *outputs, *QUICK, "--epochs", "1"]
    assert ufseg(*job, "--existing", "fail").status == 0
    done = ufseg(*job, "--seed", "5")
    assert (done.status, done.err) == (0, "")
    before = state(tmp_path)
    (tmp_path / "l.tif").rename(tmp_path / "other.tif")
    for place in ("m.safetensors", "p.png", "r.json"):
        done = ufseg(*job, "--existing", "fail")
        assert (done.status, done.out) == (2, "")
        assert done.err.startswith(f"ufseg: There is {tmp_path / place} already: ")
        (tmp_path / place).unlink()
    assert state(tmp_path) == {"other.tif": before["l.tif"]}


def test_labels_that_are_there_may_stay(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    model = images / "model.safetensors"
    job = ["predict", model, images / "grey.png", images / "grey2.png", "-o", f"{tmp_path}/"]
    first, second = (tmp_path / f"{name}_labels.tif" for name in ("grey", "grey2"))
    write_labels(first, np.full((5, 5), 3, np.uint16))
    before = first.read_bytes()
    assert ufseg(*job, "--existing", "skip") == Done(0, f"{first} (skipped)\n{second}\n", "")
    assert first.read_bytes() == before
    assert ufseg(*job, "--existing", "skip") == Done(0, f"{first} (skipped)\n{second} (skipped)\n", "")
    done = ufseg(*job, "--existing", "fail")
    assert (done.status, done.out) == (2, "")
    assert ufseg(*job).status == 0
    assert first.read_bytes() != before


def test_images_that_are_trained_together_are_skipped_together(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    job = ["segment", images / "grey.png", images / "grey2.png", "-o", f"{tmp_path}/", "--existing", "skip"]
    first, second = (tmp_path / f"{name}_labels.tif" for name in ("grey", "grey2"))
    write_labels(first, np.full((5, 5), 3, np.uint16))
    before = state(tmp_path)
    done = ufseg(*job)
    assert (done.status, done.out) == (2, "")
    assert f"{second} is missing" in done.err
    write_labels(second, np.full((5, 5), 3, np.uint16))
    assert ufseg(*job) == Done(0, f"{first} (skipped)\n{second} (skipped)\n", "")
    assert state(tmp_path)[first.name] == before[first.name]
