"""A trained network as a thing to keep, and the labels it gives to any part of an image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import ImageError, counted
from napari_ufseg.engine.images.intensity import Brightness
from napari_ufseg.engine.images.source import ImageSource
from napari_ufseg.engine.images.tiling import Box, block_edges, iter_tiles
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.network.input_channels import input_channels, seen_box

LabelImage = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class SegmentationModel:
    """A trained network in eval mode with all that prediction needs.

    Parameters
    ----------
    network : FeatureNet
        On the CPU; prediction works on a copy on its device.
    config : SegmentationConfig
        How it was trained; the scaling of images is taken from here.
    n_channels : int
        Channels that an image must have.
    class_labels : (K,) tuple of int
        Label that is shown for each class index; k + 1 unless classes were merged.
    classes : ClassTable
        Names and colours of these labels, as a user has chosen them.
    """

    network: FeatureNet
    config: SegmentationConfig
    n_channels: int
    class_labels: tuple[int, ...] = field(default=())
    classes: ClassTable = field(default_factory=ClassTable, compare=False)

    def __post_init__(self) -> None:
        if not self.class_labels:
            object.__setattr__(self, "class_labels", tuple(range(1, self.config.n_classes + 1)))

    def merged(self, label_of: dict[int, int]) -> Self:
        """The same model with labels renamed, so that it predicts merged classes.

        Parameters
        ----------
        label_of : dict
            New label for each old one; labels that are missing stay as they are.
        """
        return replace(self, class_labels=tuple(label_of.get(label, label) for label in self.class_labels))

    def require_channels(self, source: ImageSource) -> None:
        """Raise ImageError unless an image has the channels that the model was trained on."""
        if source.n_channels != self.n_channels:
            raise ImageError(
                f"The model was trained on {counted(self.n_channels, 'channel')}, but "
                f"{source.name[0].lower()}{source.name[1:]} has {source.n_channels}: choose an image with the same channels, or train a new model."
            )


def label_box(
    network: FeatureNet,
    config: SegmentationConfig,
    class_labels: Sequence[int],
    source: ImageSource,
    brightness: Brightness,
    item: int,
    box: Box,
) -> LabelImage:
    """The labels of a box of an item, the same bit for bit whatever box is asked for.

    The box, grown by what the network sees beyond a pixel, is read once and
    computed in the cells of a fixed grid (see `block_edges`).

    Parameters
    ----------
    network : FeatureNet
        In eval mode, on the device to use.
    config, class_labels
        As in `SegmentationModel`.
    source : ImageSource
        Where the pixels come from.
    brightness : Brightness
        Of the whole image.
    item, box : int and Box
        What to label.

    Returns
    -------
    (Y, X) or (Z, Y, X) array of uint16
        Of the shape of `box`.
    """
    if brightness.is_constant:
        return np.full(box.shape, class_labels[0], np.uint16)
    labels = np.empty(box.shape, np.uint16)
    table = np.asarray(class_labels, np.uint16)
    for cell, responses in box_responses(network, config, source, brightness, item, box):
        labels[cell.within(box).slices] = table[responses.max(0).indices.cpu().numpy()]
    return labels


def box_responses(
    network: FeatureNet, config: SegmentationConfig, source: ImageSource, brightness: Brightness, item: int, box: Box
) -> Iterator[tuple[Box, Tensor]]:
    """The response (K, *cell) of the network, cell by cell of the fixed grid, cut to the box."""
    shape = source.item_shape
    edges = block_edges(len(shape))
    outer = box.snapped(edges, shape)
    seen = seen_box(outer.grown(config.halo, shape), shape, config)
    values = source.read(item, seen)
    device = next(network.parameters()).device
    for block in iter_tiles(outer, edges):
        around = block.grown(config.halo, shape)
        sees = seen_box(around, shape, config)
        its = values[(slice(None), *sees.within(seen).slices)]
        inputs = input_channels(its, sees, around, shape, brightness, config)
        with torch.inference_mode():  # never around the yield: an error outside would leave the whole thread in it
            responses = network(inputs[None].to(device))[0]
        cell = Box(tuple(map(max, block.start, box.start)), tuple(map(min, block.stop, box.stop)))
        yield cell, responses[(slice(None), *cell.within(around).slices)]


def to_label_image(classes: Tensor, class_labels: Sequence[int]) -> LabelImage:
    """Class indices on any device -> a fresh label image."""
    label_image: LabelImage = np.asarray(class_labels, np.uint16)[classes.cpu().numpy()]
    return label_image
