"""Label images as PNG: numbers of a palette with the colours of the classes, or 16-bit grey."""

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from napari_ufseg.io.reading.known_labels import CLASSES_KEY, LABELS_SOFTWARE, json_of_classes
from napari_ufseg.io.writing.label_data import LabelsToWrite

MOST_PNG_PIXELS = 89_478_485  # Pillow takes a picture of more for an attack, and warns or refuses to open it
_COLOURS = 256  # of a palette


def write_png(temporary: Path, labels: LabelsToWrite) -> None:
    """Write a plane of labels as PNG, whose values are the labels.

    Up to label 255 it has a palette with the colours of the classes (8-bit
    grey if they are not wanted), above that it is 16-bit grey. A text called
    Software says that these are labels, and a second one has names, colours and
    detail of the classes as JSON. A PNG has no place for scale and axes.
    """
    plane = labels[...]
    if plane.max(initial=0) < _COLOURS:
        picture = Image.fromarray(plane.astype(np.uint8))
        if labels.colours:
            colours = [labels.classes[label].rgba[:3] for label in range(_COLOURS)]
            picture.putpalette(np.array(colours, np.uint8).tobytes())
    else:
        picture = Image.fromarray(plane)
    said = PngInfo()
    said.add_text("Software", LABELS_SOFTWARE)
    if labels.classes or labels.made_by:
        said.add_text(CLASSES_KEY, json_of_classes(labels.classes, labels.made_by))
    picture.save(temporary, format="PNG", pnginfo=said, bits=16 if picture.mode == "I;16" else 8)
