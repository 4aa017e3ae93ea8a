"""What a run shows of each image while it trains: the plane in view, or a part of it if it is very large."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
from torch import Tensor

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.images.intensity import Brightness
from napari_ufseg.engine.images.source import ImageSource
from napari_ufseg.engine.images.tiling import Box
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.network.model import LabelImage, label_box, to_label_image
from napari_ufseg.engine.prediction.tile_pool import View

PIXELS_IN_VIEW = 2**20
DRAWING = 1 / 3  # pictures take no more than that, per second of the steps


class Preview:
    """The view of every image; another thread may move them at any time.

    Parameters
    ----------
    sources : sequence of ImageSource
        At first the middle item of each is in view.
    brightness : sequence of Brightness
        Of each.
    class_labels : sequence of int
        The label of every class.
    """

    def __init__(
        self, sources: Sequence[ImageSource], brightness: Sequence[Brightness], class_labels: Sequence[int]
    ) -> None:
        self._sources = sources
        self._class_labels = class_labels
        self._brightness = brightness
        self._views = [
            View(number, source.n_items // 2, tuple(n // 2 for n in source.item_shape))
            for number, source in enumerate(sources)
        ]
        self._latest = 0

    @property
    def latest(self) -> View:
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

    def labels(
        self, network: FeatureNet, config: SegmentationConfig, places: Sequence[tuple[int, Box]]
    ) -> list[LabelImage]:
        """What the network as it is now makes of the places."""
        still = copy.deepcopy(network).eval()
        return [
            label_box(still, config, self._class_labels, source, its, item, box)
            for source, its, (item, box) in zip(self._sources, self._brightness, places, strict=True)
        ]

    def labels_seen(self, classes: Sequence[Tensor], places: Sequence[tuple[int, Box]]) -> list[LabelImage]:
        """What the last step made of the places, where it has seen all items whole: `classes` has one entry for each."""
        first = [0, *np.cumsum([source.n_items for source in self._sources])]
        return [
            to_label_image(classes[start + item][box.slices], self._class_labels)
            for start, (item, box) in zip(first, places, strict=False)
        ]


def _box_around(centre: Sequence[int], shape: Sequence[int]) -> Box:
    """The whole, or a box of about a million pixels around a point, of the shape of the whole."""
    if prod(shape) <= PIXELS_IN_VIEW:
        return Box.of_shape(shape)
    shrink = (PIXELS_IN_VIEW / prod(shape)) ** (1 / len(shape))
    lengths = [max(1, int(n * shrink)) for n in shape]
    start = [min(max(0, c - n // 2), whole - n) for c, n, whole in zip(centre, lengths, shape, strict=True)]
    return Box(tuple(start), tuple(a + n for a, n in zip(start, lengths, strict=True)))
