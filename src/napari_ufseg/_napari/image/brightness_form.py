"""What counts of an image: a form with a histogram, the range that becomes 0 and 1, and the value that holds no data."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QLineEdit, QSizePolicy, QWidget

from napari_ufseg._napari.parts import Form, PlainLabel
from napari_ufseg.engine.config import InputOptions
from napari_ufseg.engine.errors import ConfigError, UfsegError
from napari_ufseg.engine.images.intensity import learn_range
from napari_ufseg.engine.images.source import ImageSource, checked_intensity_range, checked_nodata, open_source
from napari_ufseg.engine.images.tiling import Box

_BINS, _HEIGHT = 96, 84
_BEYOND = 0.2  # of the range, on either side of it
_SEEN = 1024  # edge in pixels of the part in the middle of an image that is looked at
_COLOURS = ("#d0d0d0", "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#0072b2")
_TIP = (
    "How many pixels have which brightness, in the middle of the image, one line a channel. What lies between the two "
    "ends becomes 0 to 1."
)


class BrightnessForm(Form):
    """A histogram, two ends, a value for no data, and three buttons; hidden until it is opened.

    Signals
    -------
    entered(dict)
        ``nodata`` and ``intensity_range``, as in `napari_ufseg.segment`; the form is closed.
    """

    entered = Signal(object)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._sample: ImageSource | None = None
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        self.plot = pg.PlotWidget(background=None)
        self.plot.setObjectName("ufseg.brightness.histogram")
        self.plot.setAccessibleName("Histogram of the brightness")
        self.plot.setToolTip(_TIP)
        self.plot.setFixedHeight(_HEIGHT)
        self.plot.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.plot.setMouseEnabled(False, False)
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        self.plot.hideAxis("left")
        self.plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        form.addRow(self.plot)
        self.ends = [_field(name, title, tip) for name, title, tip in _ENDS]
        row = QWidget()
        inner = QHBoxLayout(row)
        inner.setContentsMargins(0, 0, 0, 0)
        for field in self.ends:
            inner.addWidget(field)
            field.returnPressed.connect(self.finish)
            field.editingFinished.connect(self._draw)
        form.addRow("Range", row)
        self.nodata = QComboBox()
        self.nodata.setObjectName("ufseg.brightness.nodata")
        self.nodata.setAccessibleName("Value of pixels that hold no data")
        self.nodata.setToolTip(
            "Pixels of this value hold no data: they get the label 0 and count for nothing. auto finds fill values and "
            "padding, none finds none; or write a number."
        )
        self.nodata.addItems(["auto", "none"])
        self.nodata.setEditable(True)
        self.nodata.currentTextChanged.connect(self._draw)
        form.addRow("No data", self.nodata)
        self.message = PlainLabel()
        self.message.setObjectName("ufseg.brightness.message")
        self.message.setWordWrap(True)
        form.addRow(self.message)
        form.addRow(
            self.row_of_buttons(
                (
                    "Set",
                    "brightness.set",
                    "Set: brightness",
                    "Take this for the next run; no pixel changes.",
                    self.finish,
                ),
                ("Auto", "brightness.auto", "Auto: brightness", "Go back to what is found by itself.", self._forget),
                ("Cancel", "brightness.cancel", "Cancel: brightness", "Leave it as it is.", self.hide),
            )
        )
        self.hide()

    def open(self, source: ImageSource, light: dict[str, Any]) -> None:
        """Show an image, and what was said of its brightness.

        Parameters
        ----------
        source : ImageSource
        light : dict
            As `entered` has it; may be empty.
        """
        self._sample = None
        self.nodata.setCurrentText(_words(light.get("nodata", "auto")))
        for field, end in zip(self.ends, light.get("intensity_range") or ("", ""), strict=True):
            field.setText(_words(end))
        self._sample = _middle_of(source)
        self._draw()
        self.show()
        self.ends[0].setFocus()

    def finish(self) -> bool:
        """Take what is written, if the form is open; False, with a sentence in it, if that can be none."""
        if self.isHidden():
            return True
        try:
            light = self._written()
        except ConfigError as error:
            self.message.setText(str(error))
            return False
        self.hide()
        self.entered.emit(light)
        return True

    def _forget(self) -> None:
        """Go back to what is found by itself."""
        self.nodata.setCurrentText("auto")
        for field in self.ends:
            field.clear()
        self._draw()

    def _written(self) -> dict[str, Any]:
        ends = [field.text().strip().replace(",", ".") for field in self.ends]
        given = None if not any(ends) else ends
        return {
            "nodata": checked_nodata(self.nodata.currentText().strip()),
            "intensity_range": checked_intensity_range(given),
        }

    def _draw(self, *_: object) -> None:
        """Draw the histogram, and say what would be used."""
        if self._sample is None:
            return
        self.plot.clear()
        values = self._sample.read(0, self._sample.whole)
        try:
            light = self._written()
            source = open_source(self._sample.data, axes=self._sample.axes, name="It", **light)
            found = learn_range(source, InputOptions(scaling="robust"), [(0, source.whole)])
        except UfsegError as error:
            self.message.setText(str(error))
            return
        ends = [end for channel in found.channels for end in (channel.low, channel.high)]
        _draw_counts(self.plot, values[:, ~found.where_no_data(values)], min(ends), max(ends))
        for channel, colour in zip(found.channels, _COLOURS * len(found.channels), strict=False):
            for end in (channel.low, channel.high):
                self.plot.addItem(pg.InfiniteLine(end, pen=pg.mkPen(colour, style=Qt.PenStyle.DashLine)))
        for field, end in zip(self.ends, (found.channels[0].low, found.channels[0].high), strict=True):
            field.setPlaceholderText(f"{end:.6g}" if len(found.channels) == 1 else "each its own")
        used = "; ".join(f"{channel.low:.4g} to {channel.high:.4g}" for channel in found.channels)
        told = [f"{words[:1].upper()}{words[1:]}" for words in found.told]
        self.message.setText(" ".join([f"Used here: {used}.", *told]))


_ENDS = (
    ("low", "Dark end", "The brightness that becomes 0; empty: the 0.1 percentile, without odd pixels."),
    ("high", "Bright end", "The brightness that becomes 1; empty: the 99.9 percentile, without odd pixels."),
)


def _field(name: str, title: str, tip: str) -> QLineEdit:
    field = QLineEdit()
    field.setObjectName(f"ufseg.brightness.{name}")
    field.setAccessibleName(title)
    field.setToolTip(tip)
    return field


def _words(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def _middle_of(source: ImageSource) -> ImageSource:
    """A plane from the middle of an image, or of a large one a part of that, in memory."""
    shape = source.item_shape
    start = [(n - min(n, _SEEN)) // 2 if i >= len(shape) - 2 else n // 2 for i, n in enumerate(shape)]
    edges = [min(n, _SEEN) if i >= len(shape) - 2 else 1 for i, n in enumerate(shape)]
    box = Box(tuple(start), tuple(a + edge for a, edge in zip(start, edges, strict=True)))
    values = source.read(source.n_items // 2, box).reshape(source.n_channels, *edges[-2:])
    if source.is_picture:
        return ImageSource(np.moveaxis(values, 0, -1), "YXC")
    return ImageSource(values, "CYX", is_rgb=False)


def _draw_counts(plot: Any, values: npt.NDArray[Any], low: float, high: float) -> None:
    """How many pixels of each channel have which brightness, as a logarithm; those far outside of the range at the ends."""
    beyond = (high - low) * _BEYOND or 0.5
    edges = np.linspace(low - beyond, high + beyond, _BINS + 1)
    for its, colour in zip(values, _COLOURS * len(values), strict=False):
        numbers = its[np.isfinite(its)] if its.dtype.kind == "f" else its.astype(np.float64)
        counts, _ = np.histogram(numbers.clip(edges[0], edges[-1]), edges)
        plot.plot(edges, np.log1p(counts), stepMode="center", pen=pg.mkPen(colour))
