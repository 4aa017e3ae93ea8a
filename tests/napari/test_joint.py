"""Several images trained together: what is chosen, and that pressing Segment again does the same again."""

from typing import Any

import numpy as np
import pytest
from driver import QUICK, WAIT, Dock
from napari.layers import Labels
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel

from napari_ufseg import predict, segment


@pytest.fixture
def three(dock: Dock, picture: np.ndarray) -> Dock:
    """Images a, b and c are selected; another, cells, is not."""
    images = {"a": picture, "b": picture[:20], "c": picture[:, :30]}
    dock.viewer.layers.selection = {dock.viewer.add_image(image, name=name) for name, image in images.items()}
    return dock


def select(dock: Dock, *names: str) -> None:
    dock.viewer.layers.selection = {dock.viewer.layers[name] for name in names}


def n_labels_layers(dock: Dock) -> int:
    return sum(isinstance(layer, Labels) for layer in dock.viewer.layers)


def pixels(dock: Dock, *names: str) -> list[Any]:
    return [dock.viewer.layers[name].data for name in names]


def test_segment_again_after_a_joint_run_is_joint_again(three: Dock) -> None:
    assert len(three.segment_to_end().labels) == 3
    assert three.part("together", QCheckBox).text() == "All 3 selected images together"
    assert len(three.part("words", QLabel).text().splitlines()) == 3
    three.widget.config = QUICK.replace(seed=1)
    three.segment_to_end()
    expected = segment(pixels(three, "a", "b", "c"), QUICK.replace(seed=1), device="cpu").labels
    for name, labels in zip("abc", expected, strict=True):
        np.testing.assert_array_equal(three.viewer.layers[f"{name} classes"].data, labels)
    assert n_labels_layers(three) == 3  # the untouched layers were taken over


def test_an_image_counts_once_whether_it_or_its_classes_or_both_are_selected(three: Dock) -> None:
    three.segment_to_end()
    three.viewer.layers["b classes"].name = "mine"
    three.viewer.layers["b"].name = "yours"
    select(three, "mine", "c", "c classes")
    assert three.part("together", QCheckBox).text() == "All 2 selected images together"
    assert len(three.segment_to_end().labels) == 2


def test_classes_of_one_image_choose_that_image(three: Dock) -> None:
    three.segment_to_end()
    select(three, "a classes")
    assert three.part("image", QComboBox).currentText() == "a"
    assert three.part("together", QCheckBox).isHidden()
    assert len(three.segment_to_end().labels) == 1


def test_a_selection_that_the_user_made_during_the_run_stays(three: Dock) -> None:
    three.start_endless()
    select(three, "cells")
    epoch = three.part("progress").value()
    three.qtbot.waitUntil(lambda: three.part("progress").value() > epoch)
    three.stop()
    assert [layer.name for layer in three.viewer.layers.selection] == ["cells"]


def test_a_model_is_applied_to_all_chosen_images_and_then_again(three: Dock) -> None:
    model = three.segment_to_end().model
    together = three.part("together", QCheckBox)
    three.viewer.layers["a classes"].paint((5, 5), 99)  # what is painted is kept, and others are made
    for _ in range(2):
        three.click("apply_model")
        three.qtbot.waitUntil(lambda: three.part("apply_model").isEnabled(), timeout=WAIT)
        assert together.text() == "All 3 selected images together"
    for name, data in zip("abc", pixels(three, "a", "b", "c"), strict=True):
        labels = [layer.data for layer in three.viewer.layers if layer.name.startswith(f"{name} classes")][-1]
        np.testing.assert_array_equal(labels, predict(model, data, device="cpu"))
