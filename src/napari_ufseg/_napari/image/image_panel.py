"""Which image is segmented, at which resolution, what its axes are, and which part of it is meant."""

import weakref
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout, QHBoxLayout, QVBoxLayout, QWidget

from napari_ufseg._napari.image.axis_names import name_axis
from napari_ufseg._napari.image.brightness_form import BrightnessForm
from napari_ufseg._napari.image.first_steps import FirstSteps
from napari_ufseg._napari.image.pixel_size_form import PixelSizeForm
from napari_ufseg._napari.layers.levels import level_choices, n_levels, pixels_of
from napari_ufseg._napari.layers.pixel_size import PixelSize, pixel_size, set_pixel_size, take_told_step, told_by
from napari_ufseg._napari.layers.region import (
    BRIGHTNESS,
    Extent,
    ImageRegion,
    anisotropy_of,
    axes_of,
    part_of,
    row_of_axis,
    words_of,
)
from napari_ufseg._napari.layers.result_layer import belongs_to
from napari_ufseg._napari.parts import PlainLabel, labelled_choice, named_button, show_error
from napari_ufseg.engine.errors import ImageError, UfsegError
from napari_ufseg.engine.images.axes import UNKNOWN

NO_IMAGE = "Open an image first: File > Open Sample has some."
_SMALL = 2**24  # pixels; of a stack that has no more all planes are meant unless the user says otherwise
_ROLES = {"choose...": UNKNOWN, "time (T)": "T", "depth (Z)": "Z", "channel (C)": "C", "other": "Q"}


class ImagePanel(QWidget):
    """The image, its resolution, the roles of its axes, and what of it is segmented.

    Parameters
    ----------
    viewer : napari.Viewer

    Signals
    -------
    changed()
        Another image, resolution, axis role or part was chosen.
    """

    changed = Signal()

    def __init__(self, viewer: Any, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._told: weakref.WeakKeyDictionary[Image, str] = weakref.WeakKeyDictionary()
        self._levels: weakref.WeakKeyDictionary[Image, int] = weakref.WeakKeyDictionary()
        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        self.image = labelled_choice(
            "Image", "ufseg.image", annotation=Image, tip="The image to segment; follows the active layer."
        )
        self.together = QCheckBox()
        self.together.setObjectName("ufseg.together")
        self.together.setToolTip("Train one network on all selected images: they get the same classes.")
        self.together.setChecked(True)
        self._what = labelled_choice(
            "Label",
            "ufseg.what",
            value=Extent.PLANE.value,
            choices=tuple(what.value for what in Extent),
            tip="Current plane: the one that you see. All planes, where a stack begins if it is small: each is an image "
            "of the training, all get the same classes.\nVolume: 3D convolutions that look along Z, too.",
        )
        self._is_told_what = False  # by the user or by a script
        self._words = PlainLabel()
        self._words.setObjectName("ufseg.words")
        self._words.setWordWrap(True)
        self._image_title = PlainLabel("Image")
        self._form.addRow(self._image_title, self.image.native)
        self._form.addRow("", self.together)
        self._what_title = PlainLabel("Label")
        self._form.addRow(self._what_title, self._what.native)
        self.pixels = PixelSizeForm(self)
        self.pixels.entered.connect(self._on_pixel_size)
        self._change = named_button("Change...", "pixel_size", "Say how large a pixel is, and in which unit.")
        self._change.setAccessibleName("Change the pixel size")
        self._change.clicked.connect(self._open_or_close_pixels)
        self.brightness = BrightnessForm(self)
        self.brightness.entered.connect(self._on_brightness)
        self._light = named_button(
            "Brightness...", "brightness", "See which brightness is used of the image and what is left out, or say it."
        )
        self._light.clicked.connect(self._open_or_close_brightness)
        self._form.addRow(self._row_of_words())
        self._form.addRow(self.pixels)
        self._form.addRow(self.brightness)
        self._first_steps = FirstSteps(viewer, self)
        self._form.addRow(self._first_steps)
        self._image: Image | None = None
        self._of_image: list[Any] = []  # controls that come and go with the image
        self.image.changed.connect(self._on_image)
        self._what.changed.connect(self._on_what)
        viewer.layers.selection.events.changed.connect(self._on_change)
        self._on_image()

    @property
    def what(self) -> Extent:
        """What is segmented; of flat images their one plane, whatever was chosen for others."""
        return Extent.PLANE if self.is_flat else Extent(self._what.value)

    @what.setter
    def what(self, what: Extent) -> None:
        self._is_told_what = True
        self._what.value = what.value

    @property
    def is_flat(self) -> bool:
        """Whether all images that are chosen have but one plane."""
        layers = self.layers
        return bool(layers) and all(map(self._is_flat, layers))

    @property
    def layers(self) -> list[Image]:
        """The images that one run would take, in the order of the layer list; empty if there is none."""
        image, images = self.image.value, self._selected
        if image in images and len(images) > 1 and self.together.isChecked():
            return images
        return [] if image is None else [image]

    @property
    def _selected(self) -> list[Image]:
        """The images that are selected, or whose classes are."""
        selection = self._viewer.layers.selection
        return [
            image
            for image in self.image.choices
            if image in selection or any(belongs_to(layer, image) for layer in selection)
        ]

    def parts(self, layers: Sequence[Image] | None = None) -> list[ImageRegion]:
        """What of these layers, or of those that are chosen, is segmented now.

        Raises
        ------
        ImageError
            If there is none, or an axis is not known.
        """
        chosen = self.layers if layers is None else layers
        if not chosen:
            raise ImageError("There is no image to work on: open one first (File > Open Sample has some).")
        for layer in chosen:
            self._require_seen_plane(layer)
        point = tuple(self._viewer.dims.point)
        return [part_of(layer, self.axes(layer), self._what_of(layer), point, self.level(layer)) for layer in chosen]

    def _require_seen_plane(self, layer: Image) -> None:
        """ImageError if the plane that is meant is not the one that is seen, as from the side."""
        if self._what_of(layer) is not Extent.PLANE or self._is_flat(layer):
            return
        dims, axes = self._viewer.dims, self.axes(layer)[: layer.ndim]
        rows_and_columns = {dims.ndim - layer.ndim + i for i, letter in enumerate(axes) if letter in "YX"}
        if dims.ndisplay == 2 and set(dims.displayed) != rows_and_columns:
            raise ImageError(
                f"The view shows the layer {str(layer.name)!r} from the side, but planes of rows and columns (Y, X) are "
                "segmented: turn the view back (the button Roll dimensions below the layer list), or choose all planes."
            )

    def level(self, layer: Image) -> int:
        """The resolution that is chosen for a layer; 0 is the full one."""
        return min(self._levels.get(layer, 0), n_levels(layer) - 1)

    def axes(self, layer: Image) -> str:
        """A letter for each axis of a layer: what it says itself, and what the user has said."""
        known = axes_of(layer)
        told = self._told.get(layer, known)
        return told if len(told) == len(known) else known

    @property
    def anisotropy(self) -> float | None:
        """That of the image, by the scale of its layer; None if no volume is segmented."""
        image = self.image.value
        if image is None or self.what is not Extent.VOLUME:
            return None
        return anisotropy_of(image, self.axes(image), self.level(image))

    def tell_axes(self, layer: Image, axes: str) -> None:
        """Say what the axes of a layer are, as the choices under Axes do."""
        self._told[layer] = axes
        for axis, letter in enumerate(self.axes(layer)[: layer.ndim]):
            if letter not in "YX":
                self._name(layer, axis, letter)
        self._on_image()

    def _name(self, image: Image, axis: int, letter: str) -> None:
        """Let an axis have that name, and the step that the file tells of such an axis."""
        name_axis(self._viewer, image, axis, letter)
        take_told_step(self._viewer, image, self.axes(image), axis)

    def reset_choices(self, event: Any = None) -> None:
        """Read the list of images anew; the last one that goes is not signalled by the choice itself."""
        self.image.reset_choices(event)
        if self.image.value is not self._image:
            self._on_image()

    def set_enabled(self, enabled: bool) -> None:
        """Allow or forbid changes, as during a run."""
        for control in (self._what, *self._of_image):
            control.enabled = enabled
        self.together.setEnabled(enabled)
        for button in (self._change, self._light):
            button.setEnabled(enabled)
        if not enabled:
            self.pixels.hide()
            self.brightness.hide()

    def _row_of_words(self) -> QWidget:
        row = QWidget()
        inner = QHBoxLayout(row)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.addWidget(self._words, 1)
        buttons = QVBoxLayout()
        for button in (self._change, self._light):
            buttons.addWidget(button)
        buttons.addStretch()
        inner.addLayout(buttons)
        return row

    def _open_or_close_pixels(self) -> None:
        image = self.image.value
        self.brightness.hide()
        if image is not None and self.pixels.isHidden():
            self.pixels.open(pixel_size(image, self.axes(image)))
        else:
            self.pixels.hide()

    def _open_or_close_brightness(self) -> None:
        image = self.image.value
        if image is None or not self.brightness.isHidden():
            self.brightness.hide()
            return
        self.pixels.hide()
        try:
            (part,) = self.parts([image])
            self.brightness.open(part.source, image.metadata.get(BRIGHTNESS, {}))
        except UfsegError as error:
            show_error(str(error))

    def _on_brightness(self, light: dict[str, Any]) -> None:
        """Note it for all images that are chosen; they would be segmented with one rule as well."""
        self.tell_brightness(self.layers, light)

    def tell_brightness(self, layers: Sequence[Image], light: Mapping[str, Any]) -> None:
        """Say what counts of images, as the form does."""
        for layer in layers:
            layer.metadata = {**layer.metadata, BRIGHTNESS: dict(light)}
        self._on_change()

    def _on_pixel_size(self, size: PixelSize) -> None:
        """Set it for all images that are chosen; they would be segmented with one anisotropy as well."""
        set_pixel_size(self._viewer, [(layer, self.axes(layer)) for layer in self.layers], size)
        self._on_change()

    def _what_of(self, layer: Image) -> Extent:
        """A flat image has but one plane, whatever is chosen for the others."""
        return Extent.PLANE if self._is_flat(layer) and self.what is not Extent.VOLUME else self.what

    def _is_flat(self, layer: Image) -> bool:
        return not set(self.axes(layer)) - set("CYX")

    def _on_image(self, _: Any = None) -> None:
        """Offer the resolutions of the image, and a role for every axis that could be one thing or another."""
        self._drop()
        self.pixels.hide()
        self.brightness.hide()
        self._listen(self._image, False)
        image = self._image = self.image.value
        self._listen(image, True)
        if image is not None:
            if image.multiscale:
                self._add_resolution(image)
            self._add_roles(image)
        self._on_change()

    def _listen(self, image: Image | None, follow: bool) -> None:
        """Follow the pixel size and the data of an image, or do so no longer."""
        if image is None:
            return
        of_size = (image.events.scale, image.events.units, image.events.affine, image.events.shear)
        for events, callback in ((of_size, self._on_change), ((image.events.data,), self._on_data)):
            for event in events:
                if follow:
                    event.connect(callback)
                else:
                    event.disconnect(callback)

    def _on_data(self, _: Any = None) -> None:
        """The image holds other pixels, perhaps with other axes."""
        if self.image.enabled:  # a run goes on with what it has begun with
            self._on_image()

    def _add_resolution(self, image: Image) -> None:
        choice = labelled_choice(
            "Resolution",
            "ufseg.resolution",
            value=self.level(image),
            choices=level_choices(image, self.axes(image)),
            tip="Rows and columns of the image that is segmented. A lower resolution is quicker and sees wider "
            "surroundings;\nits labels lie over the image all the same.",
        )

        def take(level: int) -> None:
            self._levels[image] = level
            self._drop(1)
            self._add_roles(image)
            self._on_change()

        choice.changed.connect(take)
        self._insert("Resolution", choice)

    def _add_roles(self, image: Image) -> None:
        shape = pixels_of(image, self.level(image)).shape
        for axis, letter in enumerate(self.axes(image)[: image.ndim]):
            if letter in "YX" or (letter == "Q" and pixels_of(image).shape[axis] == 1):
                continue
            self._add_role(image, axis, letter, shape[axis])

    def _add_role(self, image: Image, axis: int, letter: str, n: int) -> None:
        value = next(word for word, its in _ROLES.items() if its == letter)
        title = row_of_axis(axis, n)
        role = labelled_choice(
            title, f"ufseg.axis.{axis}", value=value, choices=tuple(_ROLES), tip="What this axis is."
        )

        def tell(word: str) -> None:
            letters = list(self.axes(image))
            letters[axis] = _ROLES[word]
            self._told[image] = "".join(letters)
            self._name(image, axis, letters[axis])
            self._on_change()

        role.changed.connect(tell)
        self._insert(title, role)

    def _insert(self, title: str, control: Any) -> None:
        """Put a control of the image below the others of it."""
        self._of_image.append(control)
        self._form.insertRow(len(self._of_image), title, control.native)

    def _drop(self, first: int = 0) -> None:
        """Take out the controls of the image from the first of these on."""
        for control in self._of_image[first:]:
            self._form.removeRow(control.native)
        del self._of_image[first:]

    def _on_what(self, _: Any = None) -> None:
        self._is_told_what = True
        self._on_change()

    def _propose_what(self, layers: Sequence[Image]) -> None:
        """Mean all planes of small stacks, until somebody has said what is meant."""
        stacks = [layer for layer in layers if not self._is_flat(layer)]
        if stacks and not self._is_told_what:
            what = Extent.PLANES if all(map(self._is_small, stacks)) else Extent.PLANE
            with self._what.changed.blocked():
                self._what.value = what.value

    def _is_small(self, layer: Image) -> bool:
        """Whether all planes of a layer can be segmented at once, without a question and without a long wait."""
        pixels, axes = pixels_of(layer, self.level(layer)), self.axes(layer)
        n_pixels = prod(n for n, letter in zip(pixels.shape, axes, strict=False) if letter != "C")
        return isinstance(pixels, np.ndarray) and UNKNOWN not in axes and n_pixels <= _SMALL

    def _on_change(self, _: Any = None) -> None:
        layers = self.layers
        self._propose_what(layers)
        for part in (self._image_title, self.image.native, self._words, self._change, self._light):
            part.setVisible(bool(layers))
        self._first_steps.setVisible(not layers)
        for part in (self._what_title, self._what.native):
            part.setVisible(bool(layers) and not self.is_flat)
        n_selected = len(self._selected)
        self.together.setText(f"All {n_selected} selected images together")
        self.together.setVisible(n_selected > 1)
        self._words.setText("\n".join(self._describe(layer) for layer in layers))
        self.changed.emit()

    def _describe(self, layer: Image) -> str:
        what, axes = self._what_of(layer), self.axes(layer)
        size = pixel_size(layer, axes)
        words = f"{words_of(layer, axes, what, self.level(layer))}, {size.words}"
        if size.is_known:
            words += f" ({told_by(layer)})"
        words += _light_in_words(layer.metadata.get(BRIGHTNESS, {}))
        words = ". ".join([words, *(note.removesuffix(".") for note in size.notes)])
        shape = pixels_of(layer, self.level(layer)).shape
        if UNKNOWN in axes and what is not Extent.PLANE:
            axis = axes.index(UNKNOWN)
            words += f". Choose above what {row_of_axis(axis, shape[axis])} is."
        elif what is Extent.PLANE and set(axes) - set("CYX"):
            n_series = sum(letter not in "CYX" and n > 1 for letter, n in zip(axes, shape, strict=False))
            words = f"{'One of' if n_series == 1 else 'One plane of'} {words}"
        return words


def _light_in_words(light: Mapping[str, Any]) -> str:
    """What somebody has said of the brightness of an image, to go on after its size; empty if nothing."""
    ends, nodata = light.get("intensity_range"), light.get("nodata", "auto")
    said = [] if ends is None else [f"brightness {ends[0]:.6g} to {ends[1]:.6g}"]
    if nodata != "auto":
        said.append("all of it holds data" if nodata == "none" else f"no data where it is {nodata:.6g}")
    return "".join(f", {words}" for words in said)
