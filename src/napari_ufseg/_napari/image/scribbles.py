"""Scribbles, before the first run or over its classes: which Labels layer holds them, and a new one to paint on."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QWidget

from napari_ufseg._napari.layers.class_metadata import METADATA_KEY, class_colormap
from napari_ufseg._napari.layers.region import ImageRegion
from napari_ufseg._napari.parts import PlainLabel
from napari_ufseg.engine.errors import ImageError
from napari_ufseg.engine.images.source import without_singles

_NONE = "none"
_IMAGE = "napari_ufseg_scribbles"  # in the metadata: what the layer was made for
_BRUSH = 6


class ScribbleChoice(QWidget):
    """A list of the Labels layers that this plugin has not made, and a button.

    Parameters
    ----------
    viewer : napari.Viewer

    Signals
    -------
    new_clicked()
        The user wants an empty layer for scribbles.
    """

    new_clicked = Signal()

    def __init__(self, viewer: Any, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = viewer
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self.choice = QComboBox()
        self.choice.setObjectName("ufseg.scribbles")
        self.choice.setAccessibleName("Scribbles")
        self._shown: list[Labels | None] = [None]  # in the order of the list
        self._is_dropped = False  # because another image was chosen
        self.choice.activated.connect(self._on_activated)
        self.choice.setToolTip(
            "A Labels layer with strokes. Painted before the run, label 1 teaches class 1, label 2 class 2, and so on; 0 is none.\n"
            "Painted after it, they sort its classes: see Merge by scribbles below the table of classes."
        )
        self.new = QPushButton("New")
        self.new.setObjectName("ufseg.new_scribbles")
        self.new.setToolTip("An empty Labels layer over the image, to paint scribbles on.")
        self.new.clicked.connect(self.new_clicked)
        row.addWidget(PlainLabel("Scribbles"))
        row.addWidget(self.choice, 1)
        row.addWidget(self.new)
        self.reset_choices()

    @property
    def layer(self) -> Labels | None:
        """The layer that is chosen, if it is still there."""
        chosen = self._shown[max(0, self.choice.currentIndex())]
        return chosen if chosen is not None and chosen in self._viewer.layers else None

    @layer.setter
    def layer(self, layer: Labels | None) -> None:
        self._is_dropped = False
        self.reset_choices()
        self._choose(layer)

    def reset_choices(self) -> None:
        """Read the list of layers anew; a layer that was renamed stays chosen."""
        present = self._shown[max(0, self.choice.currentIndex())]
        self._shown = [None, *self._candidates()]
        self.choice.clear()
        self.choice.addItems([_NONE if layer is None else str(layer.name) for layer in self._shown])
        self._choose(present)

    def follow(self, images: Sequence[Image]) -> None:
        """Let go what was made for another image than these, and take up again what was made for one of them."""
        present = self._for(images)
        if present != self.layer:
            self._is_dropped = present is None
            self._choose(present)

    def _for(self, images: Sequence[Image]) -> Labels | None:
        """The layer that is chosen; where that is of another image, and after it was let go, one of these if there is any."""
        chosen, wanted = self.layer, {str(image.unique_id) for image in images}
        if chosen is not None and not self._made_for_another(chosen, wanted):
            return chosen
        if chosen is None and not self._is_dropped:
            return None
        return next((layer for layer in reversed(self._candidates()) if layer.metadata.get(_IMAGE) in wanted), None)

    def _choose(self, layer: Labels | None) -> None:
        self.choice.setCurrentIndex(
            next((i for i, item in enumerate(self._shown) if item is not None and item == layer), 0)
        )

    def _on_activated(self, _: int) -> None:
        self._is_dropped = False

    def _made_for_another(self, layer: Labels, wanted: Collection[str]) -> bool:
        """Whether a layer was made for an image that is still there, and not one of those."""
        of, there = layer.metadata.get(_IMAGE), {str(item.unique_id) for item in self._viewer.layers}
        return of in there and of not in wanted

    def add_layer(self, part: ImageRegion) -> Labels:
        """An empty layer over an image, chosen and ready to be painted on."""
        layer: Labels = self._viewer.add_labels(
            np.zeros(part.labels_shape, np.uint8),
            name=f"{part.layer.name} scribbles",
            colormap=class_colormap(),
            metadata={_IMAGE: str(part.layer.unique_id)},
            **part.geometry,
        )
        layer.n_edit_dimensions = 2
        layer.brush_size, layer.mode = _BRUSH, "paint"
        self.layer = layer
        return layer

    def arrays(self, parts: Sequence[ImageRegion]) -> list[npt.NDArray[Any] | None] | None:
        """The scribbles of each image, None for those that they do not lie on; None if no layer is chosen.

        Raises
        ------
        ImageError
            If they do not fit any of the images.
        """
        layer = self._for([part.layer for part in parts])
        if layer is None:
            return None
        data, of = np.asarray(layer.data), layer.metadata.get(_IMAGE)
        ids = [str(part.layer.unique_id) for part in parts]
        found = [
            _fitting(data, part) if of not in ids or of == its else None for part, its in zip(parts, ids, strict=True)
        ]
        if all(array is None for array in found):
            raise ImageError(
                f"The scribbles {layer.name!r} of shape {layer.data.shape} do not fit {parts[0].title}: "
                "press New for a layer that does, or choose none."
            )
        return found

    def over(self, layers: Sequence[Labels], parts: Sequence[ImageRegion] | None) -> list[npt.NDArray[Any]] | None:
        """The scribbles over each of some Labels layers, of its shape; None if there are none.

        Parameters
        ----------
        layers : sequence of Labels
        parts : sequence of ImageRegion, optional
            What the layers show, if that is known; without it the shape decides.

        Raises
        ------
        ImageError
            If they do not fit any of the layers.
        """
        shapes = [tuple(layer.data.shape) for layer in layers]
        if parts is not None and [part.labels_shape for part in parts] == shapes:
            found = self.arrays(parts)
        else:
            found = self._by_shape(layers)
        if found is None:
            return None
        marks = [
            np.zeros(shape, np.uint8) if array is None else array.reshape(shape)
            for array, shape in zip(found, shapes, strict=True)
        ]
        return marks if any(array.any() for array in marks) else None

    def _by_shape(self, layers: Sequence[Labels]) -> list[npt.NDArray[Any] | None] | None:
        """As `arrays`, for Labels layers of which nobody knows what they show."""
        chosen = self.layer
        if chosen is None:
            return None
        data = np.asarray(chosen.data)
        shape = without_singles(data.shape)
        found = [data if without_singles(layer.data.shape) == shape else None for layer in layers]
        if all(array is None for array in found):
            raise ImageError(
                f"The scribbles {chosen.name!r} of shape {data.shape} do not fit {layers[0].name!r}: "
                "press New for a layer that does."
            )
        return found

    def _candidates(self) -> list[Labels]:
        return [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Labels) and METADATA_KEY not in layer.metadata and not layer.multiscale
        ]


def is_scribbles(layer: Labels) -> bool:
    """Whether a layer was made to be scribbled on."""
    return _IMAGE in layer.metadata


def _fitting(data: npt.NDArray[Any], part: ImageRegion) -> npt.NDArray[Any] | None:
    """Scribbles of a part of an image: of its own shape, or the plane of a stack of them."""
    shape = part.source.labels_shape
    if data.shape == part.labels_shape or without_singles(data.shape) == without_singles(shape):
        return data.reshape(shape)
    if part.index and data.ndim == len(part.index) + 2 and data.shape[-2:] == shape[-2:]:
        within = all(i < n for i, n in zip(part.index, data.shape, strict=False))
        return data[part.index].reshape(shape) if within else None
    return None
