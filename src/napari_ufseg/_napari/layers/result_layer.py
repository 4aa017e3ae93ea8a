"""Snapshot -> Labels layer, without ever touching what a user has painted."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels

from napari_ufseg._napari.layers.class_metadata import METADATA_KEY, OPACITY, RUN, class_colormap
from napari_ufseg._napari.layers.joined_classes import all_classes
from napari_ufseg._napari.layers.region import ImageRegion
from napari_ufseg.engine.labels.edits import Packed

_IMAGE = "image"  # in the metadata; names may change, this does not
_IN_MEMORY = 2**28  # labels; more of them are kept in a Zarr on disk
_DIGESTED = 2**25


class ResultLayer:
    """The Labels layer ``<image> classes`` of one run, of one plane of a stack ``<image> classes, z=3``.

    It is made, or an untouched one of an earlier run is taken over, with the
    first labels. One that a user has changed is never taken over again, also
    after a run that was meant to go on in it. Painting is blocked until `release`. The labels of lazy and of
    very large images are kept in a Zarr on disk.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer lives.
    part : ImageRegion
        What is segmented.
    run : str
        A name that all layers of the run share, and no others.
    into : Labels, optional
        The layer that takes the labels, whatever it shows now.

    Attributes
    ----------
    part : ImageRegion
    before : array-like or None
        What a layer held, of all classes, that was taken over.
    reference : Labels or None
        An earlier result for the same plane, whose classes this one's are to be called after.
    out : array-like of uint16
        Takes the labels; its shape is ``part.source.labels_shape``.
    folder : Path or None
        Where the labels are kept, if they are not in memory.
    """

    def __init__(self, viewer: Any, part: ImageRegion, run: str, into: Labels | None = None) -> None:
        self._viewer = viewer
        self.part = part
        self._run = run
        self._name = f"{part.layer.name} classes" + (f", {part.plane}" if part.plane else "")
        self._n_edit_dimensions = part.source.spatial_dims
        self._about = {
            _IMAGE: str(part.layer.unique_id),
            "source": part.layer.name,
            "plane": list(part.index),
            "axes": _axes_of_labels(part),
            "level": part.level,
        }
        self._another_layer_went = False
        self.folder: Path | None = None
        self._data = self._new_data(part)
        self.out = part.target(self._data)
        self.layer: Labels | None = None
        self.before: Any = None
        self.reference: Labels | None = None
        self._into = into
        self._is_the_users = into is not None and not _is_untouched(into)

    def notice_removal(self) -> None:
        """To be called when another layer leaves the viewer.

        After that, napari 0.9.2 can crash in OpenGL when a Labels layer is
        merely refreshed; assigning its data, though slower, is safe.
        """
        self._another_layer_went = True

    def show(self, label_image: npt.NDArray[np.uint16] | None = None, index: tuple[Any, ...] = ()) -> None:
        """Put labels into the layer at an index of `out`, or show what stands there already."""
        if label_image is not None:
            self.out[index] = label_image
        if self.layer is None:
            related = [] if self._into is not None else list(self._related_layers())
            self.reference = related[-1] if related else None
            self.layer = self._into or next(filter(_is_untouched, reversed(related)), None)
        if self.layer is None or self.layer.data.shape != self._data.shape:  # a script may have put other data in
            self.layer = self._new_layer()
            self._hide_older()
        if self.layer.data is not self._data:  # a layer that is taken over
            if not self.layer.visible and not self.is_given:
                self.layer.visible = True
                self._hide_older()
            for name, value in self.part.geometry.items():
                setattr(self.layer, name, value)
            self.before = all_classes(self.layer)
            self.layer.data = self._data
            self._note({RUN: self._run})
        if self.layer.editable:
            self.layer.editable = False  # blocks painting and clears the undo history
        self._redraw(self.layer, thumbnail=False, highlight=False)
        self.layer.editable = False  # an assignment in there has allowed it

    @property
    def is_given(self) -> bool:
        """Whether the layer was chosen by the caller."""
        return self._into is not None

    @property
    def packed(self) -> Packed | None:
        """A compressed copy of the labels; None if they are on disk."""
        return Packed(self._data) if isinstance(self._data, np.ndarray) else None

    def release(self, about: dict[str, Any]) -> None:
        """Hand the layer to the user: paintable, with a clean history, and with the record of the run."""
        if self.layer is None:
            return
        kept = {} if self.folder is None else {"kept_in": str(self.folder)}
        digest = None if self._is_the_users else _digest(self.layer.data)
        self._note({**self._about, **about, **kept, "digest": digest})
        self.layer.editable = True
        self._redraw(self.layer)

    def _note(self, about: dict[str, Any]) -> None:
        """Add to the metadata of the layer."""
        assert self.layer is not None
        known = self.layer.metadata.get(METADATA_KEY, {})
        self.layer.metadata = {**self.layer.metadata, METADATA_KEY: {**known, **about}}

    def _redraw(self, layer: Labels, **what: bool) -> None:
        if self._another_layer_went:
            layer.data = layer.data
        else:
            layer.refresh(extent=False, **what)

    def _new_data(self, part: ImageRegion) -> Any:
        if not (part.is_lazy and part.source.series_shape) and prod(part.labels_shape) <= _IN_MEMORY:
            return np.zeros(part.labels_shape, np.uint16)
        from napari_ufseg.engine.images.tiling import label_chunks
        from napari_ufseg.io import create_temporary_labels

        chunks = label_chunks(part.source.item_shape, part.source.chunks, len(part.source.labels_shape))
        for axis in part.singles:
            chunks = (*chunks[:axis], 1, *chunks[axis:])
        array, self.folder = create_temporary_labels(part.labels_shape, chunks)
        return array

    def _new_layer(self) -> Labels:
        with _pointer_elsewhere(self._viewer):
            layer: Labels = self._viewer.add_labels(
                self._data,
                name=self._name,
                opacity=OPACITY,
                colormap=class_colormap(),
                multiscale=False,
                metadata={METADATA_KEY: {**self._about, RUN: self._run}},
                **self.part.geometry,
            )
        layer.n_edit_dimensions = self._n_edit_dimensions
        return layer

    def _hide_older(self) -> None:
        """Hide other results that lie on the same pixels of the image, so that their colours do not mix with these."""
        image = self.part.layer
        here = _bounds_on(image, self.layer)
        for layer in self._viewer.layers:
            if layer == self.layer or not is_ours(layer) or not belongs_to(layer, image):
                continue
            if layer.metadata[METADATA_KEY].get(RUN) != self._run and _overlap(here, _bounds_on(image, layer)):
                layer.visible = False

    def _related_layers(self) -> Iterator[Labels]:
        """Earlier results for the same plane, in memory."""
        for layer in self._viewer.layers:
            about = layer.metadata.get(METADATA_KEY, {})
            if (
                isinstance(layer, Labels)
                and isinstance(layer.data, np.ndarray)
                and layer.data.shape == self._data.shape
                and {key: about.get(key) for key in self._about} == self._about
            ):
                yield layer


def _is_untouched(layer: Labels) -> bool:
    """Whether nobody has changed the labels of a run since it has ended."""
    digest = layer.metadata.get(METADATA_KEY, {}).get("digest")
    return digest is not None and digest == _digest(all_classes(layer))


def is_ours(layer: Any) -> bool:
    """Whether it is a Labels layer that this plugin has made, or read from a file that it has written."""
    return isinstance(layer, Labels) and METADATA_KEY in layer.metadata and not layer.multiscale


def belongs_to(layer: Any, image: Image) -> bool:
    """Whether a layer shows classes of that image."""
    of = layer.metadata.get(METADATA_KEY, {}).get(_IMAGE)
    return isinstance(layer, Labels) and of == str(image.unique_id)


def is_made_for(layer: Any, image: Image) -> bool:
    """Whether this plugin has made a layer to lie over that image: its classes, scribbles on it, or a map of it."""
    told, key = (*layer.metadata.values(), *layer.metadata.get(METADATA_KEY, {}).values()), str(image.unique_id)
    return any(isinstance(value, str) and value == key for value in told)


@contextmanager
def selected_together(viewer: Any, layers: Sequence[ResultLayer]) -> Iterator[None]:
    """Within the block these layers may be added, or taken over; then all of them are selected, so that their images stay chosen.

    napari selects a layer that is added, and of several the last. Where
    another result is selected those that are taken over are selected in its
    place; an image, which may well be theirs, stays selected.
    """
    selection = viewer.layers.selection
    before, were_there = set(selection), [item.layer is not None for item in layers]
    yield
    if set(selection) != before:
        for layer in layers:
            selection.add(layer.layer)
    elif not all(were_there):
        shown = [item.layer for item in layers if item.layer is not None]
        if shown and any(is_ours(layer) and layer not in shown for layer in before):
            viewer.layers.selection = set(shown)
            viewer.layers.selection.active = shown[-1] if len(shown) == 1 else None


def _axes_of_labels(part: ImageRegion) -> str:
    """A letter for each axis of the Labels layer."""
    letters = list(part.source.labels_axes)
    for axis in part.singles:
        letters.insert(axis, "Q")
    return "".join(letters)


def _bounds_on(image: Image, layer: Any) -> npt.NDArray[np.float64]:
    """(2, axes of the layer): between which pixels of an image the labels of a layer lie, by their edges."""
    corners = np.array([np.full(layer.ndim, -0.5), np.array(layer.data.shape) - 0.5])
    bounds = []
    for corner in corners:
        world = np.zeros(image.ndim)
        world[-layer.ndim :] = layer.data_to_world(corner)[-image.ndim :]
        bounds.append(np.asarray(image.world_to_data(world))[-layer.ndim :])
    return np.sort(bounds, axis=0)


def _overlap(some: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> bool:
    """Whether two bounds share more than rounding along all axes that both have."""
    n = min(some.shape[1], others.shape[1])
    (low, high), (other_low, other_high) = some[:, -n:], others[:, -n:]
    return bool((np.minimum(high, other_high) - np.maximum(low, other_low) > 0.01).all())


def _digest(data: Any) -> str | None:
    """A fingerprint of labels in memory; None where taking it would last."""
    if not isinstance(data, np.ndarray) or data.size > _DIGESTED:
        return None
    return hashlib.blake2b(data.tobytes(), digest_size=16).hexdigest()


@contextmanager
def _pointer_elsewhere(viewer: Any) -> Iterator[None]:
    """Let napari not ask a new layer what is below the pointer.

    In 3D, as long as the pointer has not moved, napari 0.9.2 asks with no
    direction to look in, and the error ends the adding of the layer half-way.
    """
    before = viewer.mouse_over_canvas
    viewer.mouse_over_canvas = False
    try:
        yield
    finally:
        viewer.mouse_over_canvas = before
