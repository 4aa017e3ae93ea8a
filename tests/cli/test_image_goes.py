"""A Zarr that is moved away in mid run, as with a share that is unmounted: status 2, and the old labels stay."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_ufseg.engine.images.source import ImageSource

from .conftest import QUICK, Done, blobs


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Five time points, each a chunk."""
    zarr.create_array(tmp_path / "in.zarr", data=np.stack([blobs(seed=i) for i in range(5)]), chunks=(1, 48, 64))
    return tmp_path / "in.zarr"


def command(name: str, images: Path, image: Path, out: Path) -> list[Any]:
    how = [images / "model.safetensors", image, "--device", "cpu"] if name == "predict" else [image, *QUICK]
    return [name, *how, "--axes", "TYX", "-o", out]


@pytest.mark.parametrize("name", ["predict", "segment"])
@pytest.mark.parametrize("ending", [".tif", ".ome.zarr"])
def test_it_is_one_sentence(
    name: str,
    ending: str,
    images: Path,
    image: Path,
    tmp_path: Path,
    ufseg: Callable[..., Done],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out" / f"l{ending}"
    assert ufseg(*command(name, images, image, out)).status == 0
    before = {path: path.read_bytes() for path in out.parent.rglob("*") if path.is_file()}
    reads: list[int] = []
    read = ImageSource.read

    def read_and_go(source: ImageSource, item: int, box: Any) -> Any:
        values = read(source, item, box)
        reads.append(item)
        if len(reads) == 3:
            image.rename(tmp_path / "elsewhere")
        return values

    monkeypatch.setattr(ImageSource, "read", read_and_go)
    done = ufseg(*command(name, images, image, out), "--quiet")
    assert (done.status, done.out) == (2, "")
    (line,) = done.err.strip().splitlines()
    assert line.startswith(f"ufseg: The image {image} has gone while it was read")
    assert {path: path.read_bytes() for path in out.parent.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["predict", "segment"])
def test_missing_chunks_are_a_warning(
    name: str, images: Path, image: Path, tmp_path: Path, ufseg: Callable[..., Done]
) -> None:
    (image / "c" / "2" / "0" / "0").unlink()
    done = ufseg(*command(name, images, image, tmp_path / "l.tif"), "--quiet")
    assert done.status == 0
    first, *others = done.err.splitlines()
    assert first == f"ufseg: warning: Of the image {image} 1 of 5 chunks is missing: 0 is read there."
    assert [line.partition(".zarr: ")[2] for line in others] in ([], ["about 3072 pixels of 0 hold no data (label 0)."])
