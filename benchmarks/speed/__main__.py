"""How long a training step, a whole image and a prediction take, and how much memory, against the textbook.

    python benchmarks/speed [--threads 2] [--repeats 5] [-o speed]

The textbook step is written with torch's own layers and losses, as the authors
of the method do. Both kinds of step are made in turn, on the same image and
from the same weights; told are medians with the least and the most, and the
ratio pair by pair. The peak is that of a square matrix product, measured in
the same run.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import steps
import torch

from napari_ufseg import SegmentationConfig, predict, segment
from napari_ufseg.engine.training.session import TrainingSession
from napari_ufseg.samples import nuclei

CASES = {"321 x 481 x 3, 100 features, 100 classes": (100, 100, 0), "321 x 481 x 3, 16 features, 8 classes": (16, 8, 0),
         "1024 x 1024 x 1, 16 features, 8 classes": (16, 8, 1024)}  # fmt: skip


def spread(values: list[float], digits: int = 2) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def compare(n_features: int, n_classes: int, edge: int, repeats: int) -> dict[str, Any]:
    """Both kinds of step in turn."""
    config = SegmentationConfig.preset("paper", n_features=n_features, n_classes=n_classes, epochs=1000, min_classes=1)
    image = steps.noise(edge) if edge else steps.photograph()
    book, ours = steps.Textbook(image, config), steps.engine(image, config)
    theirs, mine = book.step(), ours.step()
    apart = max(abs(mine[name] / theirs[name] - 1) for name in theirs)
    times: dict[str, list[float]] = {"textbook": [], "engine": []}
    peaks: list[float] = []
    for _ in range(repeats):
        peaks.append(steps.product_peak())
        times["textbook"].append(steps.seconds(book.step))
        times["engine"].append(steps.seconds(ours.step))
    work = steps.operations(config, image.shape[2], image.shape[0] * image.shape[1])
    return {
        "textbook s": times["textbook"],
        "engine s": times["engine"],
        "ratio": [a / b for a, b in zip(times["textbook"], times["engine"], strict=True)],
        "share of the product peak": [work / t / p for t, p in zip(times["engine"], peaks, strict=True)],
        "peak GFLOP/s": [p / 1e9 for p in peaks],
        "losses apart by": [apart],
        "memory MB": [memory(kind, n_features, n_classes, edge) / 1e6 for kind in ("textbook", "engine")],
    }


def memory(kind: str, n_features: int, n_classes: int, edge: int) -> float:
    """Bytes that the process grows by, with two steps."""
    words = [sys.executable, str(Path(__file__).with_name("steps.py")), kind, *map(str, (n_features, n_classes, edge))]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def whole_jobs(repeats: int) -> dict[str, list[float]]:
    """Seconds to segment 256 x 256 with the preset fast, to predict a megapixel, and to the first picture."""
    image = nuclei()[:256, :256]
    results = []

    def job() -> None:
        results.append(segment(image, SegmentationConfig.preset("fast"), device="cpu"))

    found = {"256 x 256, preset fast, s": [steps.seconds(job) for _ in range(repeats + 1)][1:]}
    large = np.tile(nuclei(), (2, 2))[:1024, :1024]
    found["prediction, s per megapixel"] = [
        steps.seconds(lambda: predict(results[0].model, large, device="cpu")) / (large.size / 2**20)
        for _ in range(repeats)
    ]
    book = steps.Textbook(steps.photograph(), SegmentationConfig.preset("paper"))
    book.step()
    first, step = zip(*[(steps.seconds(first_labels), steps.seconds(book.step)) for _ in range(repeats)], strict=True)
    found["first labels of 321 x 481 x 3 by the default, s"] = list(first)
    found["share of a textbook step (100 features, 100 classes)"] = [a / b for a, b in zip(first, step, strict=True)]
    return found


def first_labels() -> None:
    """From the image to the first picture of the default preset."""
    next(TrainingSession(steps.photograph(), SegmentationConfig.preset(), device="cpu").run())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(
        f"{platform.machine()}, {given.threads} threads, torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"
    )
    found: dict[str, Any] = {}
    print("| step | textbook s | engine s | ratio | share of peak | memory MB, textbook / engine | losses apart by |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, case in CASES.items():
        f = found[name] = compare(*case, given.repeats)
        print(
            f"| {name} | {spread(f['textbook s'])} | {spread(f['engine s'])} | {spread(f['ratio'])} "
            f"| {spread(f['share of the product peak'])} | {f['memory MB'][0]:.0f} / {f['memory MB'][1]:.0f} "
            f"| {f['losses apart by'][0]:.1e} |",
            flush=True,
        )
    found |= whole_jobs(given.repeats)
    for name in list(found)[len(CASES) :]:
        print(f"{name}: {spread(found[name])}")
    if given.output:
        given.output.with_suffix(".json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
