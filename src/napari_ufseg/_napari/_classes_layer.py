"""Snapshot -> Labels layer, without ever touching what a user has painted."""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels
from napari.utils.colormaps import CyclicLabelColormap

from napari_ufseg._napari._layers import Plane, geometry_of
from napari_ufseg.colours import class_colours

METADATA_KEY = "napari_ufseg"


class ClassesLayer:
    """The Labels layer ``<image> classes`` of one run.

    It is made, or an untouched one of an earlier run is taken over, with the
    first labels. Painting is blocked until `release`.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer lives.
    source : napari.layers.Image
        The image; only its name and geometry are used, and only now.
    plane : Plane
        What is segmented.
    """

    def __init__(self, viewer: Any, source: Image, plane: Plane) -> None:
        self._viewer = viewer
        self._name = f"{source.name} classes"
        self._shape = plane.labels_shape
        self._geometry = geometry_of(source, plane.index)
        self._about = {"source": source.name, "plane": list(plane.index)}
        self._another_layer_went = False
        self.layer: Labels | None = None

    def notice_removal(self) -> None:
        """To be called when another layer leaves the viewer.

        After that, napari 0.9.2 can crash in OpenGL when a Labels layer is
        merely refreshed; assigning its data, though slower, is safe.
        """
        self._another_layer_went = True

    def show(self, label_image: npt.NDArray[np.uint16]) -> None:
        """Put a (Y, X) label image into the layer."""
        if self.layer is None:
            self.layer = self._untouched_layer()
        if self.layer is None or self.layer.data.shape != self._shape:  # a script may have put other data in
            self.layer = self._new_layer()
        if self.layer.editable:
            self.layer.editable = False  # blocks painting and clears the undo history
        self.layer.data[...] = label_image
        self._redraw(self.layer, thumbnail=False, highlight=False)
        self.layer.editable = False  # an assignment in there has allowed it

    def release(self, about: dict[str, Any]) -> None:
        """Hand the layer to the user: paintable, with a clean history, and with the record of the run."""
        if self.layer is None:
            return
        self.layer.metadata = {
            **self.layer.metadata,
            METADATA_KEY: {**self._about, **about, "digest": _digest(self.layer.data)},
        }
        self.layer.editable = True
        self._redraw(self.layer)

    def _redraw(self, layer: Labels, **what: bool) -> None:
        if self._another_layer_went:
            layer.data = layer.data
        else:
            layer.refresh(extent=False, **what)

    def _new_layer(self) -> Labels:
        data = np.zeros(self._shape, np.uint16)
        layer: Labels = self._viewer.add_labels(
            data, name=self._name, opacity=0.5, colormap=_colormap(), **self._geometry
        )
        return layer

    def _untouched_layer(self) -> Labels | None:
        """An earlier result for the same plane that nobody has changed since."""
        for layer in self._viewer.layers:
            about = layer.metadata.get(METADATA_KEY, {})
            if (
                isinstance(layer, Labels)
                and layer.data.shape == self._shape
                and {key: about.get(key) for key in self._about} == self._about
                and about.get("digest") == _digest(layer.data)
            ):
                for name, value in self._geometry.items():
                    setattr(layer, name, value)
                return layer
        return None


def _colormap() -> CyclicLabelColormap:
    """Colours that depend on the label alone; the first entry is the background."""
    return CyclicLabelColormap(colors=np.concatenate([np.zeros((1, 3)), class_colours()]))


def _digest(data: npt.NDArray[Any]) -> str:
    return hashlib.blake2b(data.tobytes(), digest_size=16).hexdigest()
