"""Memory and time of training and prediction on images that are large: planes of 1 to 64 megapixels, and a stack on disk.

Each command runs as a process of its own; its peak is what the system says of it. The images are the
sample image of nuclei, repeated, with noise, so that they do not compress to nothing.

    python benchmarks/large.py FOLDER [--stack-gb 4] [--epochs 5] [--repeats 3]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import tifffile

from napari_ufseg.io import create_label_zarr, finish_label_zarr
from napari_ufseg.samples import nuclei

EDGES = (1024, 2048, 4096, 8192)


def pixels(y: int, x: int, height: int, width: int, seed: int) -> np.ndarray:
    """A part of an endless image of nuclei, uint16."""
    tile = nuclei().astype(np.uint16) * 200
    rows, columns = (np.arange(y, y + height) % tile.shape[0]), (np.arange(x, x + width) % tile.shape[1])
    noise = np.random.default_rng([seed, y, x]).integers(0, 400, (height, width), np.uint16)
    return tile[np.ix_(rows, columns)] + noise


def make_plane(path: Path, edge: int) -> None:
    if path.exists():
        return
    tiles = (pixels(y, x, 512, 512, 0) for y in range(0, edge, 512) for x in range(0, edge, 512))
    tifffile.imwrite(path, tiles, shape=(edge, edge), dtype=np.uint16, tile=(512, 512), compression="zlib")


def make_stack(path: Path, gigabytes: float) -> int:
    """An OME-Zarr image of planes of 4096 x 4096; gives the number of planes."""
    n_planes = max(1, round(gigabytes * 1e9 / (2 * 4096**2)))
    if not path.exists():
        array = create_label_zarr(path, (n_planes, 4096, 4096), chunks=(1, 1024, 1024), axes="ZYX")
        for z in range(n_planes):
            array[z] = pixels(37 * z, 91 * z, 4096, 4096, z)
        finish_label_zarr(path, colours=False)
    return n_planes


def measured(words: list[str]) -> tuple[float, float]:
    """Wall seconds and peak resident gigabytes of one command."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "napari_ufseg", *words, "--quiet"])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"failed: {' '.join(words)}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stack-gb", type=float, default=4.0)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    rows = []
    print("| image | megapixels | train s | train GB | predict s | predict GB | predict s per megapixel |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    cases = [(f"{edge} x {edge}", given.folder / f"{edge}.tif", edge**2 / 2**20) for edge in EDGES]
    for _, path, _ in cases:
        make_plane(path, int(path.stem))
    if given.stack_gb:
        n = make_stack(given.folder / "stack.ome.zarr", given.stack_gb)
        cases.append((f"stack of {n} x 4096 x 4096", given.folder / "stack.ome.zarr", n * 16.0))
    for name, path, megapixels in cases:
        model, ending = given.folder / "model.safetensors", ".ome.zarr" if path.suffix == ".zarr" else ".tif"
        out = given.folder / f"labels{ending}"
        repeats = given.repeats if megapixels <= 64 else 1
        options = ["--epochs", str(given.epochs), "--model_path", str(model), "--settle_fraction", "0"]
        train = [measured(["segment", str(path), "-o", str(out), *options]) for _ in range(1)]
        predict = [measured(["predict", str(model), str(path), "-o", str(out)]) for _ in range(repeats)]
        seconds = statistics.median(s for s, _ in predict)
        row = [name, megapixels, train[0][0], train[0][1], seconds, max(g for _, g in predict), seconds / megapixels]
        rows.append(row)
        print(
            f"| {name} | {megapixels:.0f} | {row[2]:.0f} | {row[3]:.2f} | {row[4]:.1f} | {row[5]:.2f} | {row[6]:.3f} |",
            flush=True,
        )
    (given.folder / "large.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
