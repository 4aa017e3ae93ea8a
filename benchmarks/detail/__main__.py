"""What does a user see at the suggested detail? Images of nuclei with truth, which chooses and merges nothing.

    python benchmarks/detail FOLDER                         # every second image: those that are reported
    python benchmarks/detail FOLDER --half odd --seeds 3    # those that the rule was tuned on
    python benchmarks/detail FOLDER --kind stained          # of one kind alone

FOLDER holds NAME.png with NAME_labels.tif (an id for each nucleus, 0 outside) and
kinds.json (NAME to "fluorescence" or "stained"); halves are told by the place
in the order of names, counted from 1. Scores, means over the images, with the
deviation between the seeds:

- IoU: of that shown class that is the nuclei best with the nuclei. (Here the truth picks one class; it merges none.)
- one background: share of the pixels more than 4 away from any nucleus that have one shown class.
- one thing: share of a nucleus that has one shown class, mean over the nuclei.
- classes: how many are shown.
- wait: time from the end of a run to the suggested detail, over that of the run.

And, for one image of 2048 x 2048 with eight classes, a step of the slider over numpy's take.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from scipy.ndimage import distance_transform_edt
from skimage.color import rgb2gray
from skimage.filters import threshold_otsu
from skimage.io import imread

from napari_ufseg import SegmentationConfig, segment
from napari_ufseg.engine.labels.hierarchy import ClassHierarchy, build_hierarchy

Labels = npt.NDArray[np.integer]
AWAY = 4  # pixels from any nucleus
SCORES = ("IoU", "one background", "one thing", "classes")


def read_images(folder: Path, half: str) -> Iterator[tuple[str, npt.NDArray[np.uint8], Labels]]:
    """Kind, image and truth."""
    kinds = json.loads((folder / "kinds.json").read_text())
    start = {"odd": 0, "even": 1}[half]
    for path in sorted(folder.glob("*.png"))[start::2]:
        image = imread(path)
        image = image[..., :3] if image.ndim == 3 else image
        if image.ndim == 3 and (image == image[..., :1]).all():
            image = image[..., 0]
        yield kinds[path.stem], image, tifffile.imread(path.with_name(f"{path.stem}_labels.tif"))


def scores_of(shown: Labels, truth: Labels) -> list[float]:
    """As in SCORES; nan where the truth has nothing to compare with."""
    names, index = np.unique(shown, return_inverse=True)
    index = index.reshape(shown.shape)
    inside = truth > 0
    shared = np.bincount(index[inside], minlength=len(names))
    union = np.bincount(index.ravel(), minlength=len(names)) + inside.sum() - shared
    away = index[distance_transform_edt(~inside) > AWAY]
    things = np.zeros((int(truth.max()) + 1, len(names)))
    np.add.at(things, (truth[inside], index[inside]), 1)
    things = things[things.sum(1) > 0]
    return [
        float((shared / union).max()) if inside.any() else np.nan,
        float(np.bincount(away).max() / len(away)) if len(away) else np.nan,
        float((things.max(1) / things.sum(1)).mean()) if len(things) else np.nan,
        float(len(names)),
    ]


def otsu(image: npt.NDArray[np.uint8]) -> Labels:
    gray = rgb2gray(image) if image.ndim == 3 else image
    return (gray > threshold_otsu(gray)).astype(np.uint8)


def measure(
    folder: Path, half: str, seeds: int, wanted: str | None
) -> tuple[dict[tuple[str, str], list[list[list[float]]]], list[float]]:
    """For every kind and method the scores by seed and image, and the waits."""
    found: dict[tuple[str, str], list[list[list[float]]]] = defaultdict(lambda: [[] for _ in range(seeds)])
    waits = []
    for kind, image, truth in read_images(folder, half):
        if wanted not in (None, kind):
            continue
        for seed in range(seeds):
            start = time.perf_counter()
            result = segment(image, SegmentationConfig.preset("fast", seed=seed), device="cpu")
            ended = time.perf_counter()
            shown = result.hierarchy.labels_at(result.hierarchy.suggested)
            waits.append((time.perf_counter() - ended) / (ended - start))
            for method, labels in (("all classes", result.labels), ("suggested", shown), ("Otsu", otsu(image))):
                found[kind, method][seed].append(scores_of(labels, truth))
    return found, waits


def slider_step(size: int = 2048, repeats: int = 9) -> list[float]:
    """Times of a step of the slider over those of numpy's take."""
    labels = np.random.default_rng(0).integers(1, 9, (size, size)).astype(np.uint16)
    means = {label: [label / 8] for label in range(1, 9)}
    tree: ClassHierarchy = build_hierarchy(dict.fromkeys(means, 100), means)
    table = np.arange(2**16, dtype=np.uint16)
    ratios = []
    for _ in range(repeats):
        start = time.perf_counter()
        tree.labels_at(2, labels)
        between = time.perf_counter()
        table.take(labels)
        ratios.append((between - start) / (time.perf_counter() - between))
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", choices=("odd", "even"), default="even")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kind", help="of the images of kinds.json; default all")
    arguments = parser.parse_args()
    found, waits = measure(arguments.folder, arguments.half, arguments.seeds, arguments.kind)
    for kind in sorted({kind for kind, _ in found}):
        print(f"\n{kind} ({len(found[kind, 'Otsu'][0])} images, {arguments.half}, {arguments.seeds} seeds)\n")
        print(f"| shown | {' | '.join(SCORES)} |\n| --- |{' --- |' * len(SCORES)}")
        for method in ("all classes", "suggested", "Otsu"):
            by_seed = np.nanmean(np.array(found[kind, method]), axis=1)
            cells = [f"{mean:.3f} ± {spread:.3f}" for mean, spread in zip(by_seed.mean(0), by_seed.std(0), strict=True)]
            print(f"| {method} | {' | '.join(cells)} |")
    for what, values in (("wait / run", waits), ("step of the slider / take", slider_step())):
        print(f"\n{what}: {np.median(values):.4f} ({min(values):.4f} to {max(values):.4f})")


if __name__ == "__main__":
    main()
