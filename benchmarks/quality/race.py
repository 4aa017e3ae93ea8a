"""How much sooner is the default done than the textbook with the settings of the publication?

    python benchmarks/quality/race.py FOLDER --images 4 --epochs 1000

On the first 256 x 256 images of FOLDER/nuclei the preset `paper` is trained
and scored after every epoch. Its own best epoch is the first with the highest
foreground IoU, of all epochs, and of those with at most 8 classes, which is
what the default has: more classes make a high IoU easier. It is trained by the engine, whose numbers are those of the
textbook; the time is that of a textbook step, the median of five, times the
epochs. Against it stands the wall time of `segment` with the default preset.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from dataset import read_samples
from methods import as_opened
from scores import best_foreground

from napari_ufseg import SegmentationConfig, segment
from napari_ufseg.engine.training.session import TrainingSession

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))
import steps


def race(image: np.ndarray, truth: np.ndarray, epochs: int) -> dict[str, float]:
    paper = SegmentationConfig.preset("paper", epochs=epochs, min_classes=2)
    session = TrainingSession(image, paper, device="cpu")
    scores, n_classes = [], []
    for _ in range(epochs):
        session.step()
        scores.append(best_foreground(session.trainer.labels[0].numpy(), truth).iou)
        n_classes.append(session.trainer.count_classes())
        if n_classes[-1] <= paper.min_classes:
            break
    best = int(np.argmax(scores))
    few = int(np.argmax(np.where(np.array(n_classes) <= 8, scores, -1)))
    book = steps.Textbook(image if image.ndim == 3 else image[..., None], paper)
    book.step()
    step = statistics.median(steps.seconds(book.step) for _ in range(5))
    start = time.perf_counter()
    fast = segment(image, SegmentationConfig.preset(), device="cpu")
    seconds = time.perf_counter() - start
    return {
        "paper, best epoch": best + 1,
        "paper, its classes": n_classes[best],
        "paper, its IoU": scores[best],
        "paper, best epoch of few classes": few + 1,
        "paper, few classes, IoU": scores[few] if n_classes[few] <= 8 else np.nan,
        "textbook step, s": step,
        "default, s": seconds,
        "default, IoU": best_foreground(fast.labels, truth).iou,
        "ratio to the best epoch": step * (best + 1) / seconds,
        "ratio to that of few classes": step * (few + 1) / seconds if n_classes[few] <= 8 else np.nan,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=1000)
    arguments = parser.parse_args()
    small = [s for s in read_samples(arguments.folder) if s.nuclei is not None and s.image.shape[:2] == (256, 256)]
    segment(as_opened(small[0].image), SegmentationConfig.preset(epochs=1), device="cpu")  # what is loaded once
    rows = []
    for sample in small[: arguments.images]:
        rows.append(race(as_opened(sample.image), sample.nuclei, arguments.epochs))
        print(sample.name, {name: round(value, 3) for name, value in rows[-1].items()}, flush=True)
    for name in rows[0]:
        values = [row[name] for row in rows]
        print(f"{name:32} {statistics.median(values):8.2f} ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    main()
