"""Does a training in mixed precision keep the labels?

    python benchmarks/quality/precision.py FOLDER --images 6

Trains on the CPU with torch's autocast to bfloat16 around the network, the
loss in single precision: slow there, but with the numerics that a GPU would
have. Told is the share of pixels whose final label is another one than after
a training in single precision, beside that of another seed, and the
foreground IoU of each.
"""

import argparse
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dataset import read_samples
from methods import as_opened
from scores import best_foreground

from napari_ufseg import SegmentationConfig, segment
from napari_ufseg.engine.network.losses import total_loss
from napari_ufseg.engine.training.trainer import Trainer

CONFIGS = {
    "fast": SegmentationConfig.preset("fast"),
    "generalised, 32 features, 20 epochs": SegmentationConfig.preset(
        "generalised", epochs=20, n_features=32, n_classes=32
    ),
}


@contextmanager
def training_in(dtype: torch.dtype):
    real = Trainer._loss

    def loss(trainer: Trainer, images: torch.Tensor, scribbles: Any, class_targets: Any) -> Any:
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not torch.float32):
            response = trainer.network(images)
        return total_loss(response.float(), trainer.config, scribbles, class_targets)

    Trainer._loss = loss
    try:
        yield
    finally:
        Trainer._loss = real


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=6)
    arguments = parser.parse_args()
    samples = [s for s in read_samples(arguments.folder, "even") if s.nuclei is not None and max(s.image.shape) < 400]
    for name, config in CONFIGS.items():
        rows = []
        for sample in samples[: arguments.images]:
            image = as_opened(sample.image)
            labels = []
            for dtype, seed in ((torch.float32, 0), (torch.bfloat16, 0), (torch.float32, 1)):
                with training_in(dtype):
                    labels.append(segment(image, config.replace(seed=seed), device="cpu").labels)
            ious = [best_foreground(item, sample.nuclei).iou for item in labels]
            rows.append([(labels[0] != labels[1]).mean(), (labels[0] != labels[2]).mean(), *ious])
        changed, by_seed, *ious = np.mean(rows, 0)
        print(f"{name}: {changed:.1%} of the pixels changed by bfloat16, {by_seed:.1%} by another seed")
        print(f"  IoU {ious[0]:.3f} in float32, {ious[1]:.3f} in bfloat16, {ious[2]:.3f} with another seed")


if __name__ == "__main__":
    main()
