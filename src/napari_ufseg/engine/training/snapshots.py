"""Snapshots of a training: the labels of what is in view of each image, with what is known of the run."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from statistics import median

import numpy as np

from napari_ufseg.engine.errors import engine_errors
from napari_ufseg.engine.images.intensity import IntensityRange
from napari_ufseg.engine.images.source import ImageSource
from napari_ufseg.engine.images.tiling import Box
from napari_ufseg.engine.labels.corrections import Corrections
from napari_ufseg.engine.labels.hierarchy import ClassHierarchy
from napari_ufseg.engine.prediction.labelling import NO_DATA, LabelImage, label_box, to_label_image
from napari_ufseg.engine.prediction.tile_pool import View
from napari_ufseg.engine.training.results import Segmentation, Snapshot
from napari_ufseg.engine.training.trainer import Trainer

PIXELS_IN_VIEW = 2**20
PIXELS_IN_TREE = 2**16  # that the tree of a picture is made by
DRAWING = 1 / 3  # pictures take no more than that, per second of the steps
LABELLING = 0.3  # seconds of labelling per second of an epoch on as many pixels
FIRST = 0.8  # what an epoch takes, per second of the first one, which also prepares memory


class SnapshotMaker:
    """Makes the snapshots of one training session; another thread may move what is in view at any time.

    Parameters
    ----------
    sources : sequence of ImageSource
        At first the middle item of each is in view.
    brightness : sequence of IntensityRange
        Of each.
    trainer : Trainer
        Its network, labels and record are what is shown.
    corrections : Corrections, optional
        What is kept in every picture.
    is_whole : bool
        Whether the trainer sees every pixel of every image.
    is_single : bool
        Whether labels and index are those of one image, or lists.

    Attributes
    ----------
    epoch_pixels : int
        Pixels of an epoch.
    """

    def __init__(
        self,
        sources: Sequence[ImageSource],
        brightness: Sequence[IntensityRange],
        trainer: Trainer,
        corrections: Corrections | None = None,
        *,
        is_whole: bool,
        is_single: bool,
    ) -> None:
        self._sources, self._brightness, self._trainer = sources, brightness, trainer
        self._corrections, self._is_whole, self._is_single = corrections, is_whole, is_single
        self._views = [
            View(number, source.n_items // 2, tuple(n // 2 for n in source.item_shape))
            for number, source in enumerate(sources)
        ]
        self._latest = 0
        self._drawing = 0.0
        self._n_pixels = sum(source.n_pixels for source in sources)
        self.epoch_pixels = sum(image[0].numel() for image in trainer.images)

    # -- what is in view

    @property
    def latest_view(self) -> View:
        """The view that was moved last."""
        return self._views[self._latest]

    def look_at(self, number: int, item: int, centre: Sequence[float] | None = None) -> None:
        """Show another item of image `number`, or another part of it."""
        source = self._sources[number]
        view = replace(self._views[number], item=min(max(0, item), source.n_items - 1))
        if centre is not None:
            view = replace(view, centre=tuple(int(c) for c in centre))
        self._views[number] = view
        self._latest = number

    def places(self) -> list[tuple[int, Box]]:
        """Item and box that are in view, for every image."""
        return [(view.item, _box_around(view.centre, self._sources[view.number].item_shape)) for view in self._views]

    # -- the time that is left

    def add_drawing(self, seconds: float) -> None:
        """Take into account that a picture took so long."""
        self._drawing += seconds

    def seconds_left(self, epochs: int) -> float:
        """Until the end of a run of at most so many more epochs, with its pictures and the labelling of every pixel."""
        epoch = self.seconds_per_epoch()
        pictures = min(DRAWING, self._drawing / self._trainer.elapsed) if self._trainer.elapsed else 0.0
        labelling = LABELLING * epoch * self._n_pixels / self.epoch_pixels
        return epochs * epoch * (1 + pictures) + labelling

    def seconds_per_epoch(self) -> float:
        """The median of the last ones; the first is left out as soon as there is another."""
        seconds = [record.seconds for record in self._trainer.history]
        if len(seconds) < 2:
            return FIRST * (seconds[0] if seconds else self._trainer.elapsed * self._trainer.n_batches)
        return median(seconds[1:][-20:])

    # -- snapshots

    def of_training(self, epochs: int, *, goes_on: bool) -> Snapshot:
        """What the last step has come to.

        Parameters
        ----------
        epochs : int
            How many the run will do at most.
        goes_on : bool
            Whether there is time left.
        """
        places = self.places()
        if self._is_whole and self._trainer.n_batches == 1:
            labels = self._labels_of_step(places)
        else:
            with engine_errors("Showing the labels"):
                labels = self._labels_of_network(places)
        if self._corrections is not None:
            entries = enumerate(zip(self._sources, labels, places, strict=True))
            labels = [self._corrections.kept_of_box(i, source, item, *place) for i, (source, item, place) in entries]
        return self._snapshot(labels, places, epochs, self._trainer.hierarchy(PIXELS_IN_TREE), goes_on=goes_on)

    def of_result(
        self, segmentation: Segmentation, epochs: int, labelled: float, seconds_left: float = 0.0
    ) -> Snapshot:
        """What stands in the labels of a result that is being made; `labelled` is the share that does."""
        places = self.places()
        outs = [segmentation.labels] if self._is_single else segmentation.labels
        seen = [
            source.unturned(np.array(out[source.label_index(*place)]))
            for source, out, place in zip(self._sources, outs, places, strict=True)
        ]
        snapshot = self._snapshot(seen, places, epochs, segmentation.model.hierarchy, goes_on=False)
        n_classes = len(segmentation.areas) or snapshot.n_classes
        return replace(snapshot, n_classes=n_classes, labelled=labelled, seconds_left=seconds_left)

    def _labels_of_step(self, places: Sequence[tuple[int, Box]]) -> list[LabelImage]:
        """What the last step made of the places, where it has seen all items whole."""
        trainer = self._trainer
        first = [0, *np.cumsum([source.n_items for source in self._sources])]
        found = []
        for start, (item, box) in zip(first, places, strict=False):
            labels = to_label_image(trainer.labels[start + item][box.slices], trainer.class_labels)
            gone = trainer.no_data[start + item]
            if gone is not None:
                labels[gone[box.slices].numpy()] = NO_DATA
            found.append(labels)
        return found

    def _labels_of_network(self, places: Sequence[tuple[int, Box]]) -> list[LabelImage]:
        """What the network as it is now makes of the places."""
        trainer = self._trainer
        still = copy.deepcopy(trainer.network).eval()
        return [
            label_box(still, trainer.config, trainer.class_labels, source, its, item, box)
            for source, its, (item, box) in zip(self._sources, self._brightness, places, strict=True)
        ]

    def _snapshot(
        self,
        labels: list[LabelImage],
        places: Sequence[tuple[int, Box]],
        epochs: int,
        tree: ClassHierarchy,
        *,
        goes_on: bool,
    ) -> Snapshot:
        """A snapshot of labels in the order Z, Y, X."""
        shown = [source.turned(item) for source, item in zip(self._sources, labels, strict=True)]
        for item in shown:
            item.flags.writeable = False
        index = [source.label_index(*place) for source, place in zip(self._sources, places, strict=True)]
        trainer = self._trainer
        return Snapshot(
            epoch=trainer.epoch,
            epochs=epochs,
            labels=shown[0] if self._is_single else shown,
            n_classes=trainer.count_classes(),
            losses=trainer.losses,
            elapsed=trainer.elapsed,
            seconds_left=self.seconds_left(max(0, epochs - trainer.epoch)) if goes_on else 0.0,
            index=index[0] if self._is_single else index,
            hierarchy=tree,
        )


def _box_around(centre: Sequence[int], shape: Sequence[int]) -> Box:
    """The whole, or a box of about a million pixels around a point, of the shape of the whole."""
    if prod(shape) <= PIXELS_IN_VIEW:
        return Box.of_shape(shape)
    shrink = (PIXELS_IN_VIEW / prod(shape)) ** (1 / len(shape))
    lengths = [max(1, int(n * shrink)) for n in shape]
    start = [min(max(0, c - n // 2), whole - n) for c, n, whole in zip(centre, lengths, shape, strict=True)]
    return Box(tuple(start), tuple(a + n for a, n in zip(start, lengths, strict=True)))
