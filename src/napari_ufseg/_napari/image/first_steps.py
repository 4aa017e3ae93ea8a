"""What to do first, for somebody who has no image open: three steps in words, and the samples as buttons."""

from typing import Any

from qtpy.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from napari_ufseg._napari.parts import PlainLabel, named_button

_PLUGIN = "napari-ufseg"
_STEPS = ("1  Open an image, or a sample.", "2  Press Segment.", "3  Choose the detail, correct, save.")
_SAMPLES = {  # the keys of napari.yaml: text, what it is
    "nuclei": ("Nuclei", "Nuclei under fluorescence, 520 x 696."),
    "stained_tissue": ("Stained tissue", "Colon tissue, stained with hematoxylin and DAB, 512 x 512, in colour."),
    "cells": ("Cell", "A cell under quantitative phase contrast, 660 x 550."),
    "time_series": ("Time series", "Discs that drift, made by a program: 12 time points of 128 x 128, with the truth."),
}


class FirstSteps(QWidget):
    """The steps, and a button for each sample, which opens it.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Any, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = viewer
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        words = PlainLabel("\n".join(_STEPS))
        words.setObjectName("ufseg.first_steps")
        words.setWordWrap(True)
        words.setToolTip("File > Open takes TIFF, OME-Zarr, PNG, JPEG and whatever else napari reads.")
        column.addWidget(words)
        samples = QGridLayout()
        for number, (key, (text, tip)) in enumerate(_SAMPLES.items()):
            button = named_button(text, f"sample.{key}", f"Open this sample: {tip}")
            button.setAccessibleName(f"Open the sample {text}")
            button.clicked.connect(lambda _=False, key=key: self._open(key))
            samples.addWidget(button, number // 2, number % 2)
        column.addLayout(samples)

    def _open(self, key: str) -> None:
        self._viewer.open_sample(_PLUGIN, key)
