"""Multiscale images: the resolution is chosen, told, and what is segmented; its labels lie exactly over the image."""

from itertools import product
from typing import Any

import dask.array as da
import numpy as np
import pytest
from driver import QUICK, WAIT, Dock
from qtpy.QtWidgets import QComboBox, QLabel

from napari_ufseg import segment
from napari_ufseg.samples import nuclei

PLACED = {
    "scale": (0.5, 0.25), "translate": (3, -4), "rotate": 30, "shear": [0.2], "units": ("um", "um"),
    "axis_labels": ("row", "column"), "affine": [[1, 0.1, 5], [0, 1, 6], [0, 0, 1]],
}  # fmt: skip


@pytest.fixture
def odd() -> list[np.ndarray]:
    """Levels of 45 x 57, 23 x 29 and 12 x 15 pixels: none is exactly half of the one before."""
    full = nuclei()[60:240:4, 40:268:4]
    return [full, full[::2, ::2], full[::4, ::4]]


def resolution(dock: Dock) -> QComboBox | None:
    return dock.widget.findChild(QComboBox, "ufseg.resolution")


def choose(dock: Dock, name: str, word: str) -> None:
    dock.part(name, QComboBox).setCurrentText(word)


def words(dock: Dock) -> str:
    """What the dock says of the image, but for the size of its pixels."""
    return dock.part("words", QLabel).text().partition(", pixel")[0]


def assert_same_area(labels: Any, image: Any) -> None:
    """Every corner of the labels, by the edges of their pixels, is that corner of the image in the world."""
    for ends in product((0, 1), repeat=2):
        corners = []
        for layer, shape in ((labels, labels.data.shape), (image, image.data[0].shape)):
            pixel = np.zeros(layer.ndim)
            pixel[-2:] = [n - 0.5 if end else -0.5 for n, end in zip(shape[-2:], ends, strict=True)]
            corners.append(np.asarray(layer.data_to_world(pixel))[-2:])
        np.testing.assert_allclose(*corners, atol=1e-9)


def test_the_resolution_is_offered_for_multiscale_images_only(dock: Dock, odd: list[np.ndarray]) -> None:
    assert resolution(dock) is None
    pyramid = dock.viewer.add_image(odd, name="pyramid", multiscale=True)
    offered = dock.part("resolution", QComboBox)
    assert [offered.itemText(i) for i in range(offered.count())] == ["45 x 57 (full)", "23 x 29", "12 x 15"]
    assert offered.currentText() == "45 x 57 (full)"
    assert words(dock) == "45 x 57, 1 channel"
    choose(dock, "resolution", "23 x 29")
    assert words(dock) == "23 x 29, 1 channel"
    dock.viewer.layers.selection.active = dock.viewer.layers["cells"]
    assert resolution(dock) is None
    assert words(dock) == "40 x 56, 1 channel"
    dock.viewer.layers.selection.active = pyramid
    assert dock.part("resolution", QComboBox).currentText() == "23 x 29"  # it is kept for its image


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_labels_of_every_level_cover_exactly_the_image(dock: Dock, odd: list[np.ndarray], level: int) -> None:
    image = dock.viewer.add_image(odd, name="pyramid", multiscale=True, **PLACED)
    dock.part("resolution", QComboBox).setCurrentIndex(level)
    dock.segment_to_end()
    labels = dock.viewer.layers["pyramid classes"]
    np.testing.assert_array_equal(labels.data, segment(odd[level], QUICK, device="cpu").labels)
    assert_same_area(labels, image)
    assert labels.units == image.units
    assert labels.axis_labels == image.axis_labels
    np.testing.assert_allclose(labels.affine.affine_matrix, image.affine.affine_matrix)


def test_the_estimate_follows_the_resolution(dock: Dock) -> None:
    levels = [da.zeros((n, n), dtype=np.uint8, chunks=1000) for n in (60_000, 300)]
    dock.viewer.add_image(levels, name="huge", multiscale=True, contrast_limits=(0, 3), visible=False)
    dock.qtbot.waitUntil(lambda: "random tiles" in dock.part("estimate", QLabel).text(), timeout=WAIT)
    choose(dock, "resolution", "300 x 300")
    dock.qtbot.waitUntil(lambda: "random tiles" not in dock.part("estimate", QLabel).text(), timeout=WAIT)


@pytest.fixture
def volume(dock: Dock) -> Any:
    """Depth 6, in the lower level 3, as odd rows and columns; rotated and with voxels deeper than wide."""
    full = np.stack([nuclei()[60 + 8 * z : 240 + 8 * z : 4, 40:268:4] for z in range(6)])
    turn = [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]
    return dock.viewer.add_image(
        [full, full[::2, ::2, ::2]], name="volume", multiscale=True, axis_labels=("z", "y", "x"),
        scale=(2, 1, 1), translate=(7, 1, 2), rotate=turn,
    )  # fmt: skip


def test_axes_planes_and_anisotropy_are_those_of_the_level(dock: Dock, volume: Any) -> None:
    full, lower = volume.data
    assert dock.part("axis.0", QComboBox).accessibleName() == "Axis 0 (6)"
    choose(dock, "resolution", "3 x 23 x 29")
    assert dock.part("axis.0", QComboBox).accessibleName() == "Axis 0 (3)"
    choose(dock, "what", "All planes")
    assert words(dock) == "3 planes of 23 x 29, 1 channel"
    dock.viewer.dims.set_point(0, volume.data_to_world((5, 0, 0))[0])
    choose(dock, "what", "Current plane")
    dock.segment_to_end()
    labels = dock.viewer.layers["volume classes, z=4"]  # the first of the two that it covers
    np.testing.assert_array_equal(labels.data[0], segment(lower[2], QUICK, device="cpu").labels)
    assert_same_area(labels, volume)
    edges = [labels.data_to_world((z, 0, 0))[0] for z in (-0.5, 0.5)]  # the third plane is the fifth and the sixth
    np.testing.assert_allclose(edges, [volume.data_to_world((z, 0, 0))[0] for z in (3.5, 5.5)])
    choose(dock, "what", "Volume (3D)")
    assert dock.widget.config.anisotropy == pytest.approx(2 * 2 / np.sqrt(45 / 23 * 57 / 29), abs=1e-3)
    choose(dock, "resolution", f"{len(full)} x 45 x 57 (full)")
    assert dock.widget.config.anisotropy == 2


def test_channels_of_a_lower_level(dock: Dock, odd: list[np.ndarray]) -> None:
    levels = [np.stack([level, 255 - level]) for level in odd]
    names = ("c", "y", "x")
    image = dock.viewer.add_image(levels, name="pyramid", multiscale=True, axis_labels=names, scale=(1, 2, 2))
    choose(dock, "resolution", "23 x 29")
    assert dock.segment_to_end().model.n_channels == 2
    labels = dock.viewer.layers["pyramid classes"]
    assert labels.data.shape == (23, 29)
    assert_same_area(labels, image)


def test_the_plane_in_view_is_drawn_at_a_lower_level_too(dock: Dock, volume: Any) -> None:
    choose(dock, "what", "All planes")
    choose(dock, "resolution", "3 x 23 x 29")
    dock.viewer.dims.set_point(0, volume.data_to_world((3, 0, 0))[0])
    dock.start_endless()
    labels = dock.viewer.layers["volume classes"]
    assert [bool(plane.any()) for plane in labels.data] == [False, True, False]
    dock.stop()
