"""Tiny images and two ways to call ``ufseg``: in this process (fast) and as a process of its own (real)."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import torch

from napari_ufseg import SegmentationConfig, save_model, segment
from napari_ufseg.cli import main

SOURCE = Path(__file__).parents[2] / "src"

#: small and quick; as many epochs as asked for, whatever the image
QUICK = [
    *("--n_features", "4", "--n_classes", "8", "--epochs", "8"),
    *("--min_classes", "1", "--settle_fraction", "0", "--device", "cpu"),
]


def blobs(shape: tuple[int, int] = (48, 64), seed: int = 0) -> npt.NDArray[np.uint8]:
    """Bright discs of different brightness on a dark, noisy ground."""
    generator = np.random.default_rng(seed)
    y, x = np.indices(shape)
    image = generator.normal(40, 6, shape)
    for centre_y, centre_x, radius, level in ((14, 16, 8, 120), (30, 44, 10, 170), (36, 12, 6, 210)):
        image[(y - centre_y) ** 2 + (x - centre_x) ** 2 < radius**2] += level - 40
    return np.clip(image, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Done:
    """How a call ended."""

    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On images this small further threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one image of each kind, and some files that are none."""
    folder = tmp_path_factory.mktemp("images")
    grey = blobs()
    colour = np.stack([grey, np.roll(grey, 9, axis=1), 255 - grey], axis=-1)
    iio.imwrite(folder / "grey.png", grey)
    iio.imwrite(folder / "grey2.png", blobs(seed=1))
    iio.imwrite(folder / "colour.png", colour)
    tifffile.imwrite(folder / "planar.tif", np.moveaxis(colour[..., :2], -1, 0), photometric="minisblack")
    stack = np.stack([blobs(seed=seed) for seed in range(5)])
    tifffile.imwrite(folder / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    (folder / "large").mkdir()
    iio.imwrite(folder / "large" / "large.png", blobs((300, 280), seed=3))
    iio.imwrite(folder / "flat.png", np.full((48, 64), 7, np.uint8))
    scribbles = np.zeros((48, 64), np.uint8)
    scribbles[10:18, 12:20] = 1
    scribbles[0:4] = 2
    tifffile.imwrite(folder / "scribbles.tiff", scribbles)
    tifffile.imwrite(folder / "wrong_scribbles.tiff", scribbles[:20])
    config = SegmentationConfig.preset(
        "generalised", n_features=4, n_classes=8, epochs=8, min_classes=1, settle_fraction=0
    )
    made = segment([grey, blobs(seed=1)], config, device="cpu")
    save_model(made.model, folder / "model.safetensors")
    corrected = made.labels[0].copy()
    corrected[10:18, 12:20] = 40
    tifffile.imwrite(folder / "corrected.tiff", corrected)
    (folder / "broken.png").write_text("no image")
    (folder / "notes.txt").write_text("no image")
    (folder / "empty").mkdir()
    pair = folder / "pair"
    pair.mkdir()
    iio.imwrite(pair / "a.png", grey)
    iio.imwrite(pair / "b.png", blobs((40, 56), seed=2))
    iio.imwrite(pair / ".hidden.png", grey)
    tifffile.imwrite(pair / "a_labels.tif", scribbles)
    return folder


@pytest.fixture
def ufseg(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """``ufseg`` in this process."""

    def call(*words: str | Path) -> Done:
        capsys.readouterr()
        try:
            status = main([str(word) for word in words])
        except SystemExit as end:  # --help and --version
            status = int(end.code or 0)
        return Done(status, *capsys.readouterr())

    return call


def environment() -> dict[str, str]:
    """The environment of a machine without a display."""
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    ours = {
        "PYTHONPATH": str(SOURCE),
        "QT_QPA_PLATFORM": "offscreen",
        "PYTHONWARNINGS": "default",
        "OMP_NUM_THREADS": "1",
    }
    return {**kept, **ours}


def process(*words: str | Path, cwd: Path | None = None) -> Done:
    """``python -m napari_ufseg`` as a process of its own."""
    command = [sys.executable, "-m", "napari_ufseg", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=cwd, timeout=120, check=False)
    return Done(done.returncode, done.stdout, done.stderr)
