"""Snapshots of a session: what is in view of each image, with what is known of the run."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import engine_errors
from napari_ufseg.engine.images.source import ImageSource
from napari_ufseg.engine.images.tiling import Box
from napari_ufseg.engine.labels.corrections import Corrections
from napari_ufseg.engine.network.model import LabelImage
from napari_ufseg.engine.pace import Pace
from napari_ufseg.engine.preview import Preview
from napari_ufseg.engine.training.results import Segmentation, Snapshot
from napari_ufseg.engine.training.trainer import Trainer


class Pictures:
    """Makes the snapshots of one session.

    Parameters
    ----------
    sources : sequence of ImageSource
    preview : Preview
        Knows what is in view.
    trainer : Trainer
    pace : Pace
    corrections : Corrections, optional
        What is kept in every picture.
    is_single : bool
        Whether labels and index are those of one image, or lists.
    """

    def __init__(
        self,
        sources: Sequence[ImageSource],
        preview: Preview,
        trainer: Trainer,
        pace: Pace,
        corrections: Corrections | None,
        *,
        is_single: bool,
    ) -> None:
        self._sources, self._preview = sources, preview
        self._trainer, self._pace = trainer, pace
        self._corrections, self._is_single = corrections, is_single

    def of_training(self, config: SegmentationConfig, epochs: int, *, is_whole: bool, goes_on: bool) -> Snapshot:
        """What the last step has come to.

        Parameters
        ----------
        config : SegmentationConfig
        epochs : int
            How many the run will do at most.
        is_whole : bool
            Whether the last step has seen every pixel that is in view.
        goes_on : bool
            Whether there is time left.
        """
        places = self._preview.places()
        if is_whole:
            labels = self._preview.labels_seen(self._trainer.labels, places)
        else:
            with engine_errors("Showing the labels"):
                labels = self._preview.labels(self._trainer.network, config, places)
        if self._corrections is not None:
            entries = enumerate(zip(self._sources, labels, places, strict=True))
            labels = [self._corrections.kept_of_box(i, source, item, *place) for i, (source, item, place) in entries]
        return self._with(labels, places, epochs, goes_on=goes_on)

    def of_result(
        self, segmentation: Segmentation, epochs: int, labelled: float, seconds_left: float = 0.0
    ) -> Snapshot:
        """What stands in the labels of a result that is being made; `labelled` is the share that does."""
        places = self._preview.places()
        outs = [segmentation.labels] if self._is_single else segmentation.labels
        seen = [
            source.unturned(np.array(out[source.label_index(*place)]))
            for source, out, place in zip(self._sources, outs, places, strict=True)
        ]
        snapshot = self._with(seen, places, epochs, goes_on=False)
        n_classes = len(segmentation.areas) or snapshot.n_classes
        return replace(snapshot, n_classes=n_classes, labelled=labelled, seconds_left=seconds_left)

    def _with(
        self, labels: list[LabelImage], places: Sequence[tuple[int, Box]], epochs: int, *, goes_on: bool
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
            seconds_left=self._pace.seconds_left(max(0, epochs - trainer.epoch)) if goes_on else 0.0,
            index=index[0] if self._is_single else index,
        )
