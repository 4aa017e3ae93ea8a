"""Where a region of doubt is: the view goes there, and a rectangle is drawn around it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.layers import Image, Shapes

from napari_ufseg._napari.layers.class_metadata import METADATA_KEY
from napari_ufseg._napari.layers.region import ImageRegion
from napari_ufseg._napari.result.confidence_layers import selection_kept

if TYPE_CHECKING:
    from napari_ufseg.engine.prediction.confidence import UncertainRegion

_AROUND = 4  # times the size of a region is seen around it
_KIND = "least_certain_of"
_COLOUR = "#00b4ff"  # stands out from black, from white, and from the colours of the confidence
_EDGE = 4  # pixels of the canvas
_GAP = 1.0  # pixels of the image


class Doubt(NamedTuple):
    """A region of doubt in the Image layer of its margins.

    Parameters
    ----------
    layer : napari.layers.Image
    part : ImageRegion
        What of which image that layer is about.
    item : int
        The plane or volume that the region is in.
    region : UncertainRegion
    """

    layer: Image
    part: ImageRegion
    item: int
    region: "UncertainRegion"

    @property
    def centre(self) -> list[float]:
        """The pixel of the layer in the middle of the region."""
        return self._pixel(self.region.centre)

    @property
    def corners(self) -> Any:
        """(4, D) pixels of the layer: a rectangle around the region, in the plane of its middle."""
        start, stop = self._pixel(self.region.start), self._pixel(self.region.stop)
        low, high = [at - 0.5 - _GAP for at in start[-2:]], [at - 0.5 + _GAP for at in stop[-2:]]
        plane = [float(round(at)) for at in self.centre[:-2]]
        corners = ((low[0], low[1]), (low[0], high[1]), (high[0], high[1]), (high[0], low[1]))
        return np.array([[*plane, *corner] for corner in corners])

    def _pixel(self, within: Sequence[float]) -> list[float]:
        """A position in the plane or volume, along every axis of the layer."""
        pixel = [0.0] * self.layer.ndim
        source = self.part.source
        spatial = dict(zip(sorted(source.spatial, key="ZYX".index), within, strict=True))
        series = iter(np.unravel_index(self.item, source.series_shape)) if source.series_shape else iter(())
        kept = [axis for axis in range(self.layer.ndim) if axis not in self.part.singles]
        for axis, letter in zip(kept, source.labels_axes, strict=True):
            pixel[axis] = float(spatial[letter]) if letter in spatial else float(next(series))
        return pixel


def go_to(viewer: Any, place: Doubt) -> None:
    """Show a region in the middle of the canvas."""
    layer, region = place.layer, place.region
    world = layer.data_to_world(place.centre)
    for axis, value in enumerate(world, start=viewer.dims.ndim - layer.ndim):
        viewer.dims.set_point(axis, value)
    sizes = [b - a for a, b in zip(region.start, region.stop, strict=True)][-2:]
    width = max(n * step for n, step in zip(sizes, layer.scale[-2:], strict=True))
    camera = viewer.scene.camera
    camera.center = (*camera.center[:-2], *world[-2:])
    height, across = layer.data.shape[-2] * layer.scale[-2], layer.data.shape[-1] * layer.scale[-1]
    seen = max(_AROUND * width, min(height, across) / 8)
    camera.zoom = camera.zoom if seen <= 0 else min(viewer.canvas.size) / seen


class DoubtMark:
    """The rectangle, in a Shapes layer that comes with the first one and goes with the last; as wide on the canvas at any zoom.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer

    @property
    def layer(self) -> Shapes | None:
        """What it is drawn in; None if there is none."""
        return next((layer for layer in self._viewer.layers if _KIND in layer.metadata.get(METADATA_KEY, {})), None)

    def put(self, place: Doubt) -> None:
        """Draw it around a region."""
        about, layer = _about(place.part), self.layer
        geometry = {name: getattr(place.layer, name) for name in place.part.geometry}
        if layer is not None and layer.metadata[METADATA_KEY] == about:
            layer.data = [place.corners]
            for name, value in {**geometry, "edge_width": self._edge(place.layer)}.items():
                setattr(layer, name, value)
            return
        self.remove()
        with selection_kept(self._viewer):
            self._viewer.add_shapes(
                [place.corners],
                shape_type="rectangle",
                name=f"{place.part.layer.name} least certain",
                face_color="transparent",
                edge_color=_COLOUR,
                edge_width=self._edge(place.layer),
                metadata={METADATA_KEY: about},
                **geometry,
            )
        self._viewer.scene.camera.events.zoom.connect(self._on_zoom)

    def remove(self) -> None:
        """Take it away."""
        self._viewer.scene.camera.events.zoom.disconnect(self._on_zoom)
        layer = self.layer
        if layer is not None:
            self._viewer.layers.remove(layer)

    def _edge(self, layer: Any) -> float:
        """The width of the line in pixels of a layer."""
        return float(_EDGE / (self._viewer.scene.camera.zoom * np.abs(layer.scale[-2:]).min()))

    def _on_zoom(self) -> None:
        layer = self.layer
        if layer is not None:
            layer.edge_width = self._edge(layer)


def _about(part: ImageRegion) -> dict[str, Any]:
    """What the metadata of the layer say."""
    return {_KIND: str(part.layer.unique_id), "plane": list(part.index), "level": part.level}
