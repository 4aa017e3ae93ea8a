"""What the network sees of one plane: the image as (C, Y, X) in [0, 1]."""

from dataclasses import dataclass

import numpy as np

from napari_ufseg.engine.config import InputOptions
from napari_ufseg.engine.images.intensity import learn_range
from napari_ufseg.engine.images.source import open_source


@dataclass(frozen=True)
class Scaled:
    data: np.ndarray
    is_constant: bool


def scaled(image, *, channel_axis=None, scaling="minmax", name="The image"):
    source = open_source(image, channel_axis=channel_axis, name=name)
    kept = []
    brightness = learn_range(
        source, InputOptions(scaling=scaling), [(0, source.whole)], lambda item, box, values: kept.append(values)
    )
    return Scaled(brightness.scaled(kept[0]), brightness.is_constant)
