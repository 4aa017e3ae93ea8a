"""A run in the terminal: the progress bar."""

import os
import sys
from collections.abc import Generator
from contextlib import closing
from typing import Any

from tqdm import tqdm

from napari_ufseg.cli.terminal import visible
from napari_ufseg.engine.prediction.labelling import Progress
from napari_ufseg.engine.training.results import Segmentation, Snapshot
from napari_ufseg.engine.training.session import TrainingSession

_BAR = "epoch {n_fmt}/{total_fmt} |{bar:20}| {desc}"


def train(session: TrainingSession, *, quiet: bool = False) -> Segmentation:
    """Drain ``session.run()`` with a progress bar on stderr, if that is a terminal and `quiet` is not set."""
    visible = is_visible(quiet)
    with (
        closing(session.run(every=0.2 if visible else float("inf"))) as run,
        progress_bar(visible, total=session.config.epochs, bar_format=_BAR) as bar,
    ):
        words = ""
        while True:
            try:
                snapshot = next(run)
            except StopIteration as end:
                segmentation: Segmentation = end.value
                ends = filter(None, (str(segmentation.stop_reason), segmentation.count_note))
                bar.set_description_str(f"{words}, end: {', '.join(ends)}")
                return segmentation
            words = _words(snapshot)
            bar.set_description_str(words, refresh=False)
            bar.update(snapshot.epoch - bar.n)
            bar.refresh()


def follow_labelling(passes: Generator[Progress, None, Any], name: str, *, quiet: bool = False) -> None:
    """Drain `label_images` with a progress bar as that of `train`.

    Whatever ends it, nothing is written any more when it returns: Ctrl-C may
    come while the bar is drawn, and the folder of the labels is removed next.
    """
    layout = "{desc} |{bar:20}| {percentage:3.0f} % {remaining} left"
    bar = progress_bar(is_visible(quiet), total=1.0, desc=visible(name), bar_format=layout)
    with closing(passes), bar:
        for progress in passes:
            bar.update(progress.pixels / progress.total - bar.n)


def is_visible(quiet: bool) -> bool:
    """Whether somebody reads along in a terminal."""
    return not quiet and sys.stderr.isatty()


def progress_bar(visible: bool, **options: Any) -> Any:
    """A bar of tqdm on stderr, as wide as the terminal."""
    # terminals that do not know their size say 0; tqdm would then show nothing
    width = os.get_terminal_size(sys.stderr.fileno()).columns or 80 if visible else None
    return tqdm(disable=not visible, file=sys.stderr, ncols=width, nrows=20, **options)


def _words(snapshot: Snapshot) -> str:
    words = [f"{snapshot.n_classes} classes", f"loss {snapshot.losses['total']:.4f}"]
    if snapshot.labelled is not None and snapshot.labelled < 1:
        words.append(f"labels {snapshot.labelled:.0%}")
    if snapshot.seconds_left:
        words.append(f"at most {tqdm.format_interval(snapshot.seconds_left)} left")
    return ", ".join(words)
