"""What do corrections by hand teach? Strokes from the truth, then *Continue*, held against what else could be done with them.

    python benchmarks/quality/corrections.py FOLDER --half even --seeds 3
    python benchmarks/quality/corrections.py FOLDER --half even --seeds 3 --merges truth

On every image of FOLDER/nuclei the default preset makes classes. The user is
simulated, and paints 0.5 % of the pixels, as strokes 3 pixels wide within the
truth, background and foreground in turn. The classes are merged by these strokes
alone (`merge_by_scribbles`), then the training goes on (`train_on`). Scored is
the foreground IoU over the pixels that were not painted, of the class that is
foreground best of all before anything is merged, after the merges, and after the
training, of the network alone; and the share of painted pixels to which the
network gives the user's class (in the layer they all keep it).

With ``--where errors`` every other pair of strokes begins where the best class
is wrong. With ``--merges truth`` each class is merged beforehand into foreground
or background, whichever most of its pixels are, and every other pair of strokes
begins where that is wrong.

Beside it stand k-means (8) with merges made in the same way, a random forest
on scikit-image's multiscale features, trained on the strokes alone (needs
scikit-learn, and is left out without it), the same forest trained on as many
random pixels of the truth, and, with ``--merges truth``, the network trained on with all pixels of the
truth, which bounds what any strokes could teach it.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from dataset import Sample, read_samples
from methods import as_opened, k_means
from scipy.ndimage import distance_transform_edt
from skimage.draw import line
from skimage.feature import multiscale_basic_features

from napari_ufseg import SegmentationConfig, merge_by_scribbles, predict, segment, train_on

Mask = npt.NDArray[np.bool_]
WIDTH, LENGTH, SHARE = 3, 0.06, 0.005


def strokes(shown: Mask, truth: Mask, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """0 where nothing is painted, 1 background, 2 foreground; every other pair where what is shown is wrong, if it is."""
    marks = np.zeros(truth.shape, np.uint8)
    anywhere = {want: distance_transform_edt(truth == want) for want in (False, True)}
    wrong = {want: distance_transform_edt((shown != truth) & (truth == want)) for want in (False, True)}
    for number in range(2000):
        if np.count_nonzero(marks) >= SHARE * truth.size:
            break
        want = bool(number % 2)
        for depth in ((wrong if number // 2 % 2 == 0 else anywhere)[want], anywhere[want]):
            weight = np.where((marks == 0) & (depth >= 2), depth, 0).ravel()
            if weight.sum() > 0:
                middle = divmod(int(random.choice(weight.size, p=weight / weight.sum())), truth.shape[1])
                tries = [_stroke(truth == want, middle, random) for _ in range(6)]
                marks[max(tries, key=np.count_nonzero)] = 1 + want
                break
    return marks


def _stroke(inside: Mask, middle: tuple[int, int], random: np.random.Generator) -> Mask:
    """A straight stroke through a pixel, in any direction, as far as it stays inside."""
    angle, length = random.uniform(0, np.pi), max(9, LENGTH * min(inside.shape))
    ends = [
        (middle[0] + sign * np.sin(angle) * length / 2, middle[1] + sign * np.cos(angle) * length / 2)
        for sign in (-1, 1)
    ]
    limits = np.array(inside.shape) - 1
    (y0, x0), (y1, x1) = (np.clip(np.round(end), 0, limits).astype(int) for end in ends)
    rows, columns = line(y0, x0, y1, x1)
    on = inside[rows, columns]
    painted = np.zeros(inside.shape, bool)
    for dy in range(-(WIDTH // 2), WIDTH // 2 + 1):
        for dx in range(-(WIDTH // 2), WIDTH // 2 + 1):
            painted[np.clip(rows[on] + dy, 0, limits[0]), np.clip(columns[on] + dx, 0, limits[1])] = True
    return painted & inside


def merged(classes: npt.NDArray[np.integer], truth: Mask) -> Mask:
    """Each class becomes what most of its pixels are."""
    inside = np.bincount(classes.ravel(), truth.ravel())
    return (inside > np.bincount(classes.ravel()) / 2)[classes]


def forest() -> Callable[[], object] | None:
    try:
        from sklearn.ensemble import RandomForestClassifier
    except ImportError:
        return None
    return lambda: RandomForestClassifier(50, max_depth=10, max_samples=0.5, n_jobs=2, random_state=0)


def measure(sample: Sample, seed: int, merges: str, where: str) -> dict[str, float]:
    image, truth = as_opened(sample.image), sample.nuclei > 0
    first = segment(image, SegmentationConfig.preset(seed=seed), device="cpu")
    best = max((first.labels == k for k in np.unique(first.labels)), key=lambda mask: jaccard(mask, truth))
    by_truth = merges == "truth"
    shown = merged(first.labels, truth) if by_truth else best if where == "errors" else truth
    marks = strokes(shown, truth, np.random.default_rng(seed))
    painted = marks > 0

    def iou(mask: Mask) -> float:
        return jaccard(mask[~painted], truth[~painted])

    def sorted_out(classes: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
        """2 is foreground."""
        if by_truth:
            return np.where(painted, marks, 1 + merged(classes, truth)).astype(np.uint16)
        return merge_by_scribbles(classes.astype(np.uint16), marks)

    labels = sorted_out(first.labels)
    start = time.perf_counter()
    after = train_on(image, first.model, labels, corrected=painted, device="cpu")
    seconds = time.perf_counter() - start
    network = predict(after.model, image, device="cpu")
    assert (after.labels[painted] == marks[painted]).all()
    found = {
        "best class before any merge": iou(best),
        "merged": iou(labels == 2),
        "Continue": iou(network == 2),
        "painted pixels kept by the network": float((network == marks)[painted].mean()),
        "seconds": seconds,
        "k-means (8) and merges": iou(sorted_out(1 + k_means(8).classes(sample.image, seed)) == 2),
    }
    if by_truth:
        long = first.config.replace(correction_weight=5.0, epochs=100)
        everywhere, all_of_it = np.ones_like(truth), (1 + truth).astype(np.uint16)
        bound = train_on(image, first.model, all_of_it, corrected=everywhere, config=long, device="cpu")
        found["network with all of the truth"] = iou(predict(bound.model, image, device="cpu") == 2)
    return found | of_forests(image, truth, painted, seed, iou)


def of_forests(
    image: npt.NDArray[Any], truth: Mask, painted: Mask, seed: int, iou: Callable[[Mask], float]
) -> dict[str, float]:
    """A random forest trained on the painted pixels, and one on as many random ones."""
    make = forest()
    if make is None:
        return {}
    features = multiscale_basic_features(image, channel_axis=-1 if image.ndim == 3 else None, sigma_max=16)
    points = features.reshape(-1, features.shape[-1])
    drawn = np.random.default_rng(seed).choice(truth.size, np.count_nonzero(painted), replace=False)
    found = {}
    for name, chosen in (("forest, strokes", np.flatnonzero(painted)), ("forest, random pixels", drawn)):
        trained = make().fit(points[chosen], truth.ravel()[chosen])
        found[name] = iou(trained.predict(points).reshape(truth.shape))
    return found


def jaccard(mask: Mask, truth: Mask) -> float:
    return float((mask & truth).sum() / max(1, (mask | truth).sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", choices=("all", "even", "odd"), default="all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--merges", choices=("scribbles", "truth"), default="scribbles")
    parser.add_argument("--where", choices=("anywhere", "errors"), default="anywhere")
    arguments = parser.parse_args()
    samples = [sample for sample in read_samples(arguments.folder, arguments.half) if sample.nuclei is not None]
    rows: list[list[dict[str, float]]] = []
    for sample in samples:
        rows.append([measure(sample, seed, arguments.merges, arguments.where) for seed in range(arguments.seeds)])
        print(sample.name, sample.kind, {name: round(value, 3) for name, value in rows[-1][0].items()}, flush=True)
    print("\n| | mean over images | between seeds |\n| --- | --- | --- |")
    for name in rows[0][0]:
        of_seed = [statistics.mean(row[seed][name] for row in rows) for seed in range(arguments.seeds)]
        print(f"| {name} | {statistics.mean(of_seed):.3f} | {min(of_seed):.3f} to {max(of_seed):.3f} |")
    for name in ("best class before any merge", "merged"):
        by = [
            statistics.mean(row[seed]["Continue"] - row[seed][name] for row in rows) for seed in range(arguments.seeds)
        ]
        rises = [sum(row[seed]["Continue"] > row[seed][name] for row in rows) for seed in range(arguments.seeds)]
        print(
            f'| {len(rows)} images: above "{name}" in | {statistics.mean(rises):.1f}, by {statistics.mean(by):+.3f} | {min(rises)} to {max(rises)} |'
        )


if __name__ == "__main__":
    main()
