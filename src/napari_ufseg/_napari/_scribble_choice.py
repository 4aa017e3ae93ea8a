"""Scribbles, before the first run or over its classes: which Labels layer holds them, and a new one to paint on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QWidget

from napari_ufseg._napari._class_look import METADATA_KEY, class_colormap
from napari_ufseg._napari._layers import Part
from napari_ufseg.engine.errors import ImageError

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
        self.choice.setToolTip(
            "A Labels layer with strokes. Painted before the run, label 1 teaches class 1, label 2 class 2, and so on; 0 is none.\n"
            "Painted after it, they sort its classes: see Merge by scribbles below the table of classes."
        )
        self.new = QPushButton("New")
        self.new.setObjectName("ufseg.new_scribbles")
        self.new.setToolTip("An empty Labels layer over the image, to paint scribbles on.")
        self.new.clicked.connect(self.new_clicked)
        row.addWidget(QLabel("Scribbles"))
        row.addWidget(self.choice, 1)
        row.addWidget(self.new)
        self.reset_choices()

    @property
    def layer(self) -> Labels | None:
        """The layer that is chosen, if it is still there."""
        name = self.choice.currentText()
        found = [layer for layer in self._candidates() if layer.name == name]
        return found[0] if found and self.choice.currentIndex() > 0 else None

    @layer.setter
    def layer(self, layer: Labels | None) -> None:
        self.reset_choices()
        self.choice.setCurrentText(_NONE if layer is None else str(layer.name))

    def reset_choices(self) -> None:
        """Read the list of layers anew."""
        present = self.choice.currentText()
        names = [_NONE, *(str(layer.name) for layer in self._candidates())]
        if names != [self.choice.itemText(i) for i in range(self.choice.count())]:
            self.choice.clear()
            self.choice.addItems(names)
            self.choice.setCurrentText(present if present in names else _NONE)

    def add_layer(self, part: Part) -> Labels:
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

    def arrays(self, parts: Sequence[Part]) -> list[npt.NDArray[Any] | None] | None:
        """The scribbles of each image, None for those that they do not lie on; None if no layer is chosen.

        Raises
        ------
        ImageError
            If they do not fit any of the images.
        """
        layer = self.layer
        if layer is None:
            return None
        data, of = np.asarray(layer.data), layer.metadata.get(_IMAGE)
        fitting = [_fitting(data, part) for part in parts]
        mine = [part.layer.unique_id for part in parts if str(part.layer.unique_id) == of]
        found = [
            array if not mine or part.layer.unique_id in mine else None
            for array, part in zip(fitting, parts, strict=True)
        ]
        if all(array is None for array in found):
            raise ImageError(
                f"The scribbles {layer.name!r} of shape {layer.data.shape} do not fit {parts[0].title}: "
                "press New for a layer that does, or choose none."
            )
        return found

    def over(self, layers: Sequence[Labels], parts: Sequence[Part] | None) -> list[npt.NDArray[Any]] | None:
        """The scribbles over each of some Labels layers, of its shape; None if there are none.

        Parameters
        ----------
        layers : sequence of Labels
        parts : sequence of Part, optional
            What the layers show, if that is known; without it the shape decides.

        Raises
        ------
        ImageError
            If they do not fit any of the layers.
        """
        chosen = self.layer
        if chosen is None:
            return None
        shapes = [tuple(layer.data.shape) for layer in layers]
        if parts is not None and [part.labels_shape for part in parts] == shapes:
            found = self.arrays(parts) or []
        else:
            data = np.asarray(chosen.data)
            found = [data if _without_singles(data.shape) == _without_singles(shape) else None for shape in shapes]
        if all(array is None for array in found):
            raise ImageError(
                f"The scribbles {chosen.name!r} of shape {chosen.data.shape} do not fit {layers[0].name!r}: "
                "press New for a layer that does."
            )
        marks = [
            np.zeros(shape, np.uint8) if array is None else array.reshape(shape)
            for array, shape in zip(found, shapes, strict=True)
        ]
        return marks if any(array.any() for array in marks) else None

    def _candidates(self) -> list[Labels]:
        return [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Labels) and METADATA_KEY not in layer.metadata and not layer.multiscale
        ]


def _fitting(data: npt.NDArray[Any], part: Part) -> npt.NDArray[Any] | None:
    """Scribbles of a part of an image: of its own shape, or the plane of a stack of them."""
    shape = part.source.labels_shape
    if data.shape == part.labels_shape or _without_singles(data.shape) == _without_singles(shape):
        return data.reshape(shape)
    if part.index and data.ndim == len(part.index) + 2 and data.shape[-2:] == shape[-2:]:
        within = all(i < n for i, n in zip(part.index, data.shape, strict=False))
        return data[part.index].reshape(shape) if within else None
    return None


def _without_singles(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(n for n in shape if n > 1)
