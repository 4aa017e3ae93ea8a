"""The confidence of a result: an Image layer for each of its Labels layers, shown in its place."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from napari_ufseg._napari.layers.class_metadata import METADATA_KEY
from napari_ufseg._napari.layers.region import ImageRegion
from napari_ufseg._napari.result.result import Result

_KIND = "confidence_of"


class ConfidenceLayers(QObject):
    """Those of one result at a time: while one is shown the Labels layer that it is about is hidden.

    It is the same whether that was asked for here or in the layer list.

    Parameters
    ----------
    viewer : napari.Viewer

    Signals
    -------
    switched()
        One is shown or hidden now, or has left the viewer.
    """

    switched = Signal()

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._pairs: list[tuple[Image, Labels]] = []
        self._hidden: list[Labels] = []  # by this, and not by the user

    @property
    def is_shown(self) -> bool:
        """Whether any is."""
        return any(image.visible for image, _ in self._pairs)

    def look_at(self, result: Result | None) -> None:
        """Follow those of a result, as far as there are some; those of another one make way for its labels."""
        before, self._pairs = self._pairs, list(self._found(result))
        for image, labels in [pair for pair in before if pair not in self._pairs]:
            image.events.visible.disconnect(self._on_visible)
            if image in self._viewer.layers:
                image.visible = False
            self._show_again(labels)
        for image, _ in self._pairs:
            image.events.visible.connect(self._on_visible)
        removed = self._viewer.layers.events.removed
        (removed.connect if self._pairs else removed.disconnect)(self._on_removed)

    def has_all(self, result: Result) -> bool:
        """Whether there is one for every image of a result."""
        return result.origin is not None and len(list(self._found(result))) == len(result.origin.parts)

    def put(self, part: ImageRegion, margins: Any) -> Image:
        """Put margins into the layer of an image, a new one that is not shown yet if there is none."""
        known = self._layer_of(part)
        if known is not None:
            known.data = margins
            return known
        with selection_kept(self._viewer):
            new: Image = self._viewer.add_image(
                margins,
                name=f"{part.layer.name} confidence",
                colormap="inferno",
                contrast_limits=(0, 1),
                opacity=0.7,
                visible=False,
                metadata={METADATA_KEY: _about(part)},
                **part.geometry,
            )
        return new

    def show(self, is_shown: bool = True) -> None:
        """Show all of the result that is looked at, or its labels again."""
        for image, _ in list(self._pairs):
            image.visible = is_shown

    def _found(self, result: Result | None) -> Iterator[tuple[Image, Labels]]:
        if result is None or result.origin is None:
            return
        for part, labels in zip(result.origin.parts, result.layers, strict=False):
            image = self._layer_of(part)
            if image is not None:
                yield image, labels

    def _layer_of(self, part: ImageRegion) -> Image | None:
        for layer in self._viewer.layers:
            if layer.metadata.get(METADATA_KEY) == _about(part) and layer.data.shape == part.labels_shape:
                found: Image = layer
                return found
        return None

    def _on_visible(self, event: Any) -> None:
        for image, labels in self._pairs:
            if image == event.source and image.visible:
                self._hide(labels)
            elif image == event.source:
                self._show_again(labels)
        self.switched.emit()

    def _on_removed(self, event: Any) -> None:
        gone = [pair for pair in self._pairs if pair[0] == event.value]
        for image, labels in gone:
            image.events.visible.disconnect(self._on_visible)
            self._pairs.remove((image, labels))
            self._show_again(labels)
        if gone:
            self.switched.emit()

    def _hide(self, labels: Labels) -> None:
        if labels.visible and labels in self._viewer.layers:
            labels.visible = False
            self._hidden.append(labels)

    def _show_again(self, labels: Labels) -> None:
        if labels in self._hidden:
            self._hidden.remove(labels)
            labels.visible = True


@contextmanager
def selection_kept(viewer: Any) -> Iterator[None]:
    """Within the block layers may be added, of which napari selects each; afterwards the same ones as before are."""
    selection = viewer.layers.selection
    before, active = set(selection), selection.active
    yield
    viewer.layers.selection = before
    viewer.layers.selection.active = active


def _about(part: ImageRegion) -> dict[str, Any]:
    """What the metadata of a layer say."""
    return {_KIND: str(part.layer.unique_id), "plane": list(part.index), "level": part.level}
