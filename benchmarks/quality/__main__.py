"""How good are the labels? Ours and classical methods on images with truth, over several seeds.

    python benchmarks/quality                       # the four small images that come with it
    python benchmarks/quality FOLDER -o RESULTS     # RESULTS.json and RESULTS.md
    python benchmarks/quality FOLDER --methods fast otsu "k-means 8" --half odd --seeds 3

FOLDER holds nuclei/NAME.png with NAME_labels.tif (an id for each nucleus, 0
outside), or natural/NAME.png with NAME_groundtruth.npz (segmentations of
several people), or both. ``paper`` takes 1000 steps an image and is run only
if it is asked for. Scores:

- fg IoU: classes are merged into foreground and background as the truth
  likes best. Look at the number of classes too: more make it easier.
- AP 0.5: TP / (TP + FP + FN) at IoU 0.5, one to one; instances are the
  connected components of that foreground. Mean over images. For "tidy", parts
  of it, and holes in it, under 15 pixels were absorbed first, for every method.
- segments IoU: for every true segment the highest IoU of any predicted
  segment; mean over the segments of all people and images (all), or of the
  person with most segments (fine) or fewest (coarse). For the classes, and
  for the connected regions of them (of ours: `connected_regions` with the image).
- seconds by the wall clock, and of the processor (all threads). The images are read before.
"""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from dataset import Sample, read_samples
from methods import METHODS, Method
from report import Run, tables, to_markdown
from scores import average_precision, best_foreground, instances_of, segment_score

from napari_ufseg import absorb_small

HERE = Path(__file__).parent


def run_method(name: str, method: Method, sample: Sample, seed: int) -> Run:
    start, start_cpu = time.perf_counter(), time.process_time()
    classes = method.classes(sample.image, seed)
    regions = method.regions(sample.image, classes)
    seconds = {"seconds": [time.perf_counter() - start], "CPU seconds": [time.process_time() - start_cpu]}
    scores: dict[str, list[float]] = {}
    if sample.nuclei is not None:
        foreground = best_foreground(classes, sample.nuclei)
        scores["fg IoU"] = [foreground.iou]
        scores["AP 0.5"] = [average_precision(instances_of(foreground.mask), sample.nuclei)]
        tidy = absorb_small(foreground.mask.astype(np.uint8)) > 0
        scores["AP 0.5 tidy"] = [average_precision(instances_of(tidy), sample.nuclei)]
    if sample.people:
        for what, labels in {"classes": classes, "regions": regions}.items():
            best = segment_score(labels, sample.people)
            scores |= {f"{what} IoU {which}": list(getattr(best, which)) for which in ("all", "fine", "coarse")}
    counts = {"classes": [float(len(np.unique(classes)))], "regions": [float(len(np.unique(regions)))]}
    return Run(name, sample.name, sample.kind, seed, {**scores, **counts, **seconds})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=HERE / "data")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[name for name in METHODS if name != "paper"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--half", choices=("all", "even", "odd"), default="all", help="even: tune; odd: report")
    parser.add_argument("-o", "--output", type=Path, default=Path("quality"), help="without an ending")
    arguments = parser.parse_args()
    samples = list(read_samples(arguments.folder, arguments.half))
    if not samples:
        parser.error(f"{arguments.folder} holds no images in nuclei/ or natural/.")
    runs: list[Run] = []
    for name in arguments.methods:
        method = METHODS[name]
        for seed in range(arguments.seeds if method.has_luck else 1):
            runs += [run_method(name, method, sample, seed) for sample in samples]
        print(f"{name}: done", flush=True)
        write(runs, arguments.output)
    print()
    print(to_markdown(runs))


def write(runs: list[Run], output: Path) -> None:
    """After every method, so that a long run can be looked at."""
    found = {
        group: {method: {score: asdict(f) for score, f in figures.items()} for method, figures in table.items()}
        for group, table in tables(runs).items()
    }
    text = json.dumps({"tables": found, "runs": [asdict(run) for run in runs]}, indent=1)
    output.with_name(f"{output.name}.json").write_text(text)
    output.with_name(f"{output.name}.md").write_text(to_markdown(runs))


if __name__ == "__main__":
    main()
