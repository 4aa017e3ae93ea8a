"""The dock in an empty viewer: three steps in words, and the samples."""

from typing import Any

import numpy as np
import pytest
from driver import Dock
from npe2 import PluginManager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton

SAMPLES = {"nuclei": "nuclei", "stained_tissue": "stained tissue", "cells": "cell", "time_series": "time series"}


@pytest.fixture
def bare(make_napari_viewer_proxy: Any, qtbot: Any) -> Dock:
    """The dock in an empty viewer."""
    return Dock(make_napari_viewer_proxy(), qtbot)


def is_seen(dock: Dock, name: str) -> bool:
    return dock.part(name).isVisibleTo(dock.widget)


def steps_are_seen(dock: Dock) -> bool:
    """Whether they are there, in the place of the image."""
    seen = {is_seen(dock, name) for name in ("first_steps", *(f"sample.{key}" for key in SAMPLES))}
    told = {is_seen(dock, name) for name in ("image", "words", "pixel_size")}
    assert len(seen) == len(told) == 1
    assert seen != told
    return seen.pop()


def test_the_steps_are_told_as_long_as_there_is_no_image(bare: Dock, picture: np.ndarray) -> None:
    assert steps_are_seen(bare)
    lines = bare.part("first_steps", QLabel).text().splitlines()
    assert lines == ["1  Open an image, or a sample.", "2  Press Segment.", "3  Choose the detail, correct, save."]
    assert not is_seen(bare, "what")
    bare.viewer.add_labels(np.zeros((4, 4), int))
    assert steps_are_seen(bare)
    bare.viewer.add_image(picture, name="a")
    bare.viewer.add_image(picture, name="b")
    assert not steps_are_seen(bare)
    bare.viewer.layers.remove("a")
    assert not steps_are_seen(bare)
    bare.viewer.layers.remove("b")
    assert steps_are_seen(bare)
    bare.viewer.layers.clear()
    bare.viewer.add_image(np.stack([picture] * 2), name="stack")
    assert not steps_are_seen(bare)
    assert is_seen(bare, "what")


def test_a_dock_beside_an_image_begins_without_them(dock: Dock) -> None:
    assert not steps_are_seen(dock)


@pytest.mark.parametrize(("key", "name"), SAMPLES.items())
def test_a_button_opens_its_sample_ready_to_be_segmented(bare: Dock, key: str, name: str) -> None:
    button = bare.part(f"sample.{key}", QPushButton)
    assert button.focusPolicy() & Qt.FocusPolicy.TabFocus
    assert button.toolTip().startswith("Open this sample: ")
    assert button.accessibleName() == f"Open the sample {button.text()}"
    bare.qtbot.keyClick(button, Qt.Key.Key_Space)
    assert name in bare.viewer.layers
    assert bare.part("image").currentText() == name
    assert bare.part("segment").isEnabled()
    assert not steps_are_seen(bare)


def test_all_samples_have_a_button_and_their_sizes_are_told(bare: Dock) -> None:
    manifest = PluginManager.instance().get_manifest("napari-ufseg")
    assert [sample.key for sample in manifest.contributions.sample_data] == list(SAMPLES)
    for key, name in SAMPLES.items():
        bare.click(f"sample.{key}")
        height, width = bare.viewer.layers[name].extent.world[1][-2:] + 1
        assert f"{height:.0f} x {width:.0f}" in bare.part(f"sample.{key}").toolTip()
