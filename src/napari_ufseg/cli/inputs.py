"""What goes in: image files, their axes and channels, and scribbles."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.color import rgb2gray

from napari_ufseg.batch.label_file import InputImage, open_input
from napari_ufseg.cli.arguments import ImageOpening, SegmentArguments, UsageError
from napari_ufseg.engine.errors import ImageError, UfsegWarning, counted
from napari_ufseg.engine.images.source import ImageSource, without_singles
from napari_ufseg.engine.labels.corrections import find_corrections
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.network.model_file import fingerprint, labels_with, load_model
from napari_ufseg.engine.prediction.labelling import predict
from napari_ufseg.engine.training.warm_start import WarmStart
from napari_ufseg.io import mixture_words, read_label_numbers


@dataclass(frozen=True)
class Inputs:
    """All that one training gets."""

    images: list[InputImage]
    scribbles: list[npt.NDArray[Any] | None] | None

    @property
    def sources(self) -> list[ImageSource]:
        """The images as the engine takes them."""
        return [image.source for image in self.images]


def load_told(path: Path) -> SegmentationModel:
    """A saved model; a warning if the labels beside it are those of another run."""
    model = load_model(path)
    if words := mixture_words(path, fingerprint(model), labels_with(path)):
        warnings.warn(words, UfsegWarning, stacklevel=2)
    return model


def load_inputs(arguments: SegmentArguments, paths: Sequence[Path], spatial_dims: int) -> Inputs:
    """Open the images and read the scribbles of ``ufseg segment``; a UfsegError names the file at fault."""
    images = [load_image(arguments.opening, path, spatial_dims) for path in paths]
    for image in images:
        if image.source.n_channels != images[0].source.n_channels:
            raise ImageError(
                f"{image.path} has {counted(image.source.n_channels, 'channel')} but {images[0].path} has "
                f"{images[0].source.n_channels}: images that are trained together need the same "
                "(--n_channels 1 or 3 converts colour and grey)."
            )
    scribbles = _load_scribbles(arguments.scribbles, images) if arguments.scribbles else None
    return Inputs(images, scribbles)


def warm_start_of(arguments: SegmentArguments, model: SegmentationModel | None, inputs: Inputs) -> WarmStart | None:
    """What --train_on and --corrected say, with the labels of the model made anew; None without them."""
    if model is None:
        return None
    for image in inputs.images:
        model.require_channels(image.source)
    if not arguments.corrected:
        return WarmStart(model)
    given = _load_scribbles(arguments.corrected, inputs.images, "corrected", "corrected labels")
    predicted = predict(model, [image.source for image in inputs.images], device=arguments.device)
    labels = [made if now is None else now.reshape(made.shape) for made, now in zip(predicted, given, strict=True)]
    return WarmStart(model, find_corrections(predicted, labels, model.class_labels))


def load_image(opening: ImageOpening, path: Path, spatial_dims: int) -> InputImage:
    """Open and check one image; with another number of channels it is converted, and for that read."""
    image = open_input(
        path,
        spatial_dims,
        axes=opening.axes,
        channel_axis=opening.channel_axis,
        level=opening.level,
        series=opening.series,
        nodata=opening.nodata,
        intensity_range=opening.intensity_range,
    )
    if image.warning:
        warnings.warn(image.warning, UfsegWarning, stacklevel=2)
    if opening.n_channels not in (None, image.source.n_channels):
        return replace(image, source=_with_channels(image.source, opening.n_channels, path))
    return image


def _with_channels(source: ImageSource, n_channels: int, path: Path) -> ImageSource:
    """The whole image in memory, as grey or as colour."""
    there = source.n_channels
    values = np.asarray(source.data[...])
    letters = source.axes.replace("C", "") + "C"
    if there == 3 and n_channels == 1:
        values = rgb2gray(np.moveaxis(values, source.axes.index("C"), -1))[..., np.newaxis]
    elif there == 1 and n_channels == 3:
        grey = values[..., np.newaxis] if "C" not in source.axes else np.moveaxis(values, source.axes.index("C"), -1)
        values = np.repeat(grey, 3, axis=-1)
    else:
        raise ImageError(
            f"{path} has {counted(there, 'channel')}, not {n_channels}: "
            "only colour (3) to grey (1) and grey to colour are converted."
        )
    return replace(source, data=values, axes=letters, is_rgb=None)


def _load_scribbles(
    files: Sequence[Path | None], images: Sequence[InputImage], flag: str = "scribbles", what: str = "scribbles"
) -> list[npt.NDArray[Any] | None]:
    if len(files) != len(images):
        raise UsageError(
            f"There {'is' if len(files) == 1 else 'are'} {len(files)} --{flag} for {counted(len(images), 'image')}: "
            "give one for each, '-' for an image without."
        )
    scribbles: list[npt.NDArray[Any] | None] = []
    for file, image in zip(files, images, strict=True):
        labels = None if file is None else read_label_numbers(file)
        if labels is not None:
            shape = image.source.labels_shape
            if without_singles(labels.shape) != without_singles(shape):
                raise ImageError(
                    f"The {what} {file} are {labels.shape}, but the image {image.path} is {shape} "
                    f"({', '.join(image.source.labels_axes)})."
                )
            if labels.dtype.kind not in "bui":
                raise ImageError(f"The {what} {file} hold values of type {labels.dtype}, but labels are whole numbers.")
        scribbles.append(labels)
    return scribbles
