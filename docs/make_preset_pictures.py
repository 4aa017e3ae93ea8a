"""Make the small pictures that explain the presets in the dock: the same part of a sample image, segmented by each.

`paper` takes its 1000 epochs, some minutes: python docs/make_preset_pictures.py
"""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
from skimage.transform import resize

from napari_ufseg import SegmentationConfig, segment
from napari_ufseg.engine.config import PRESETS
from napari_ufseg.engine.labels.class_table import class_colours
from napari_ufseg.samples import nuclei

FOLDER = Path(__file__).parents[1] / "src" / "napari_ufseg" / "data" / "presets"
PART = np.s_[150:330, 240:420]
SIZE = 96  # pixels of a picture


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    image = nuclei()[PART]
    colours = (class_colours() * 255).astype(np.uint8)
    for preset in PRESETS:
        result = segment(image, SegmentationConfig.preset(preset))
        _, classes = np.unique(result.labels, return_inverse=True)
        picture = colours[classes.reshape(image.shape)]
        iio.imwrite(FOLDER / f"{preset}.png", (resize(picture, (SIZE, SIZE)) * 255).astype(np.uint8))
        print(preset, classes.max() + 1, "classes", result.stop_reason, len(result.history), "epochs")


if __name__ == "__main__":
    main()
