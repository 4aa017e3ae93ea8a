"""A trained network as a thing to keep, and its labels for other images."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.device import resolve_device
from napari_ufseg.engine.errors import ImageError, UfsegWarning, engine_errors
from napari_ufseg.engine.image import PreparedImage, as_list, prepare_each
from napari_ufseg.engine.network import FeatureNet

LabelImage = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class SegmentationModel:
    """A trained network in eval mode with all that prediction needs.

    Parameters
    ----------
    network : FeatureNet
        On the CPU; `predict` works on a copy on its device.
    config : SegmentationConfig
        How it was trained; the scaling of images is taken from here.
    n_channels : int
        Channels that an image must have.
    class_labels : (K,) tuple of int
        Label that is shown for each class index; k + 1 unless classes were merged.
    """

    network: FeatureNet
    config: SegmentationConfig
    n_channels: int
    class_labels: tuple[int, ...] = field(default=())

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


def predict(
    model: SegmentationModel, image: Any, *, channel_axis: int | None = None, device: str = "auto"
) -> LabelImage | list[LabelImage]:
    """Label another image with the classes of a trained model.

    Parameters
    ----------
    model : SegmentationModel
        From `segment` or `load_model`.
    image : array or list of arrays
        (Y, X), (Y, X, C), or any order with `channel_axis`; as many channels as in training.
    channel_axis : int, optional
        Which axis holds the channels.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.

    Returns
    -------
    (Y, X) array of uint16, or a list of them for a list
        Labels 1 to K. A constant image gives the first label everywhere, with a warning.

    Raises
    ------
    ImageError
        If the image cannot be used or has another number of channels.
    DeviceError, MemoryShortageError
        If the device is not there or too small.
    """
    images, single = as_list(image)
    place = resolve_device(device)
    with engine_errors("Preparing the image"):
        prepared = prepare_each(images, channel_axis=channel_axis, scaling=model.config.scaling)
    for item in prepared:
        if item.n_channels != model.n_channels:
            raise ImageError(
                f"The model was trained on {model.n_channels} channel(s), but the image has {item.n_channels}: "
                "choose an image with the same channels, or train a new model."
            )
    with engine_errors("Prediction"):
        labels = predict_prepared(model, prepared, place)
    return labels[0] if single else labels


def predict_prepared(
    model: SegmentationModel, images: Sequence[PreparedImage], device: torch.device
) -> list[LabelImage]:
    """Labels of images that are prepared already."""
    network = model.network.to(device)
    try:
        return [
            _constant_labels(item, model.class_labels[0])
            if item.is_constant
            else to_label_image(responses.argmax(1)[0], model.class_labels)
            for item, responses in zip(images, _responses(network, images, device), strict=True)
        ]
    finally:
        model.network.cpu()


def mean_responses(
    model: SegmentationModel, images: Sequence[PreparedImage], device: torch.device
) -> dict[int, Tensor]:
    """For every label that is present, the mean response vector (K,) over its pixels in all images."""
    network = model.network.to(device)
    lut = torch.tensor(model.class_labels, device=device)
    sums: dict[int, Tensor] = {}
    counts: dict[int, int] = {}
    for responses in _responses(network, images, device):
        labels = lut[responses.argmax(1)[0]]
        for label in torch.unique(labels).tolist():
            chosen = responses[0][:, labels == label]
            sums[label] = sums.get(label, torch.zeros(1)) + chosen.sum(1).cpu()
            counts[label] = counts.get(label, 0) + chosen.shape[1]
    model.network.cpu()
    return {label: sums[label] / counts[label] for label in sorted(sums)}


def _responses(network: FeatureNet, images: Sequence[PreparedImage], device: torch.device) -> Any:
    network.eval()
    for item in images:
        with torch.inference_mode():  # never around the yield: an error outside would leave the whole thread in it
            responses = network(torch.from_numpy(item.data)[None].to(device))
        yield responses


def to_label_image(classes: Tensor, class_labels: Sequence[int]) -> LabelImage:
    """(Y, X) class indices on any device -> a fresh (Y, X) label image."""
    label_image: LabelImage = np.asarray(class_labels, np.uint16)[classes.cpu().numpy()]
    return label_image


def _constant_labels(item: PreparedImage, label: int) -> LabelImage:
    warnings.warn("The image is constant: all of it is one class.", UfsegWarning, stacklevel=4)
    return np.full(item.plane_shape, label, np.uint16)
