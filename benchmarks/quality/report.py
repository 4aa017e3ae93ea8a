"""From the scores of single runs to a table of means and spreads."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Run:
    """What one method gave on one image with one seed; each score is a list of values, one for most."""

    method: str
    image: str
    kind: str
    seed: int
    scores: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """A score over images and seeds."""

    mean: float
    std_of_mean: float
    std_per_image: float


def figure(runs: Sequence[Run], score: str) -> Figure | None:
    """The mean of all values, the std over seeds of that mean, and the mean over images of the std over seeds."""
    runs = [run for run in runs if score in run.scores]
    if not runs:
        return None
    seeds, images = (sorted({getattr(run, name) for run in runs}) for name in ("seed", "image"))
    per_seed = [np.mean(_values(runs, score, seed=seed)) for seed in seeds]
    per_image = [np.std([np.mean(_values(runs, score, seed=s, image=i)) for s in seeds]) for i in images]
    return Figure(fmean(per_seed), float(np.std(per_seed)), fmean(per_image))


def _values(runs: Sequence[Run], score: str, **where: Any) -> list[float]:
    chosen = [run for run in runs if all(getattr(run, name) == value for name, value in where.items())]
    return [value for run in chosen for value in run.scores[score]]


def tables(runs: Sequence[Run]) -> dict[str, dict[str, dict[str, Figure]]]:
    """Figures by group of images, method and score."""
    nuclei = [run for run in runs if run.kind != "natural"]
    kinds = list(dict.fromkeys(run.kind for run in runs))
    groups = {"nuclei, all": nuclei} if len({run.kind for run in nuclei}) > 1 else {}
    groups |= {kind: [run for run in runs if run.kind == kind] for kind in kinds}
    return {group: _table(members) for group, members in groups.items()}


def _table(runs: Sequence[Run]) -> dict[str, dict[str, Figure]]:
    names = list(dict.fromkeys(score for run in runs for score in run.scores))
    table = {}
    for method in dict.fromkeys(run.method for run in runs):
        its = [run for run in runs if run.method == method]
        table[method] = {name: value for name in names if (value := figure(its, name))}
    return table


def to_markdown(runs: Sequence[Run]) -> str:
    """One table for each group; after the foreground IoU and AP the two spreads between seeds."""
    seeds = len({run.seed for run in runs})
    lines = [
        f"Machine: {platform.processor() or platform.machine()}, {os.cpu_count()} cores. Seeds: {seeds}.",
        "± a / b: std over seeds of the mean / mean over images of the std over seeds.",
    ]
    for group, table in tables(runs).items():
        names = list(dict.fromkeys(name for figures in table.values() for name in figures))
        count = len({run.image for run in runs if group in ("nuclei, all", run.kind)} - _others(runs, group))
        lines += ["", f"### {group} ({count} images)", "", f"| method | {' | '.join(names)} |"]
        lines += ["| --- |" + " --- |" * len(names)]
        lines += [
            f"| {method} | {' | '.join(_cell(figures.get(n), n) for n in names)} |" for method, figures in table.items()
        ]
    return "\n".join(lines) + "\n"


def _others(runs: Sequence[Run], group: str) -> set[str]:
    return {run.image for run in runs if run.kind == "natural"} if group == "nuclei, all" else set()


def _cell(value: Figure | None, name: str) -> str:
    if value is None:
        return "-"
    if not ("IoU" in name or "AP" in name):
        return f"{value.mean:.2f}" if value.mean < 100 else f"{value.mean:.0f}"
    spread = f" ± {value.std_of_mean:.3f} / {value.std_per_image:.3f}" if value.std_per_image else ""
    return f"{value.mean:.3f}{spread}"
