"""What the user says of an axis -> its name on the layers and on napari's slider."""

from typing import Any

from napari.layers import Image

from napari_ufseg._napari.layers.region import letter_of
from napari_ufseg._napari.layers.result_layer import belongs_to

_NAMED = "TZC"


def name_axis(viewer: Any, image: Image, axis: int, letter: str) -> None:
    """Call an axis of an image, of its classes, and of the slider by its letter; by nothing if it is taken back.

    A name that says no role, as one that the user has given, is kept.

    Parameters
    ----------
    viewer : napari.Viewer
    image : napari.layers.Image
    axis : int
        Of the image.
    letter : str
        What it is.
    """
    place = axis - image.ndim  # from the end, where napari lines layers up
    old, nameless = image.axis_labels[place], str(place)
    if old != nameless and letter_of(old) is None:
        return
    new = letter.lower() if letter in _NAMED else nameless
    if letter_of(old) == letter or old == new:
        return
    dims = viewer.dims
    shown = dims.axis_labels[place]
    for layer in (image, *(layer for layer in viewer.layers if belongs_to(layer, image))):
        if layer.ndim >= -place and layer.axis_labels[place] == old:
            names = list(layer.axis_labels)
            names[place] = new
            layer.axis_labels = tuple(names)
    dims.set_axis_label(dims.ndim + place, new if shown in (old, nameless) else shown)
