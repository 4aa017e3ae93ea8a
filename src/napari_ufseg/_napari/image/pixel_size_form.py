"""What the user says of the size of a pixel: a form that unfolds below the words about the image."""

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QLineEdit, QWidget

from napari_ufseg._napari.layers.pixel_size import PixelSize
from napari_ufseg._napari.parts import Form, PlainLabel

_UNITS = {"pixel": "pixel", "nm": "nanometer", "µm": "micrometer", "mm": "millimeter", "cm": "centimeter", "m": "meter"}
_STEPS = {"Z": "Between planes (Z)", "Y": "Height (Y)", "X": "Width (X)"}
_LEAST, _MOST = 1e-6, 1e6


class PixelSizeForm(Form):
    """A field for each axis of space, a unit, and two buttons; hidden until it is opened.

    Signals
    -------
    entered(PixelSize)
        The user has entered it; the form is closed.
    """

    entered = Signal(object)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        self._fields: dict[str, QLineEdit] = {}
        self._titles: dict[str, QLabel] = {}
        for letter, title in _STEPS.items():
            field = self._fields[letter] = QLineEdit()
            field.setObjectName(f"ufseg.pixel_size.{letter.lower()}")
            field.setAccessibleName(title)
            field.setToolTip(f"How far it is from one pixel to the next along {letter}, a number above 0.")
            field.returnPressed.connect(self.finish)
            label = self._titles[letter] = PlainLabel(title)
            form.addRow(label, field)
        self._fields["Y"].textEdited.connect(self._on_height)
        self._height = ""  # as it was before it was edited
        self._unknown: list[str] = []  # letters of steps that were not known when it was opened
        self.unit = QComboBox()
        self.unit.setObjectName("ufseg.pixel_size.unit")
        self.unit.setAccessibleName("Unit of the pixel size")
        self.unit.setToolTip("The unit of these numbers; pixel if it is not known.")
        form.addRow("Unit", self.unit)
        self.message = PlainLabel()
        self.message.setObjectName("ufseg.pixel_size.message")
        self.message.setWordWrap(True)
        form.addRow(self.message)
        set_tip, leave_tip = (
            "Give the image and its labels this pixel size; no pixel changes.",
            "Leave the pixel size as it is.",
        )
        form.addRow(
            self.row_of_buttons(
                ("Set", "pixel_size.set", "Set the pixel size", set_tip, self.finish),
                ("Cancel", "pixel_size.cancel", "Leave the pixel size as it is", leave_tip, self.hide),
            )
        )
        self.hide()

    def open(self, size: PixelSize) -> None:
        """Show what is known, so that it can be changed."""
        for letter, field in self._fields.items():
            for part in (field, self._titles[letter]):
                part.setVisible(letter in size.steps)
            step = size.steps.get(letter)
            field.setText(f"{step:.6g}" if step is not None else "" if size.is_known else "1")
        self._height = self._fields["Y"].text()
        self._unknown = [letter for letter, field in self._fields.items() if not field.text()]
        units = dict(_UNITS) if size.unit in _UNITS.values() else {size.unit: size.unit, **_UNITS}
        self.unit.clear()
        for word, name in units.items():
            self.unit.addItem(word, name)
        self.unit.setCurrentIndex(self.unit.findData(size.unit))
        self._say("")
        self.show()
        self._fields["Y"].setFocus()
        self._fields["Y"].selectAll()

    def _on_height(self, height: str) -> None:
        """Most pixels are square: the width follows as long as it was the same."""
        if self._fields["X"].text() == self._height:
            self._fields["X"].setText(height)
        self._height = height

    def finish(self) -> bool:
        """Take what is written, if the form is open; False, with a sentence in it, if that is no size."""
        if self.isHidden():
            return True
        steps = {}
        for letter, field in self._fields.items():
            if field.isHidden():
                continue
            if letter in self._unknown and not field.text().strip():
                continue  # and so it stays
            step = _number(field.text())
            if step is None:
                self._say(f"{_STEPS[letter]}: write a number between {_LEAST:f} and {_MOST:.0f}, for example 0.325.")
                field.setFocus()
                return False
            steps[letter] = step
        self.hide()
        self.entered.emit(PixelSize(steps, str(self.unit.currentData())))
        return True

    def _say(self, words: str) -> None:
        self.message.setText(words)
        self.message.setVisible(bool(words))


def _number(text: str) -> float | None:
    """What was written, with a point or a comma; None if that is no size."""
    try:
        number = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return number if _LEAST <= number <= _MOST else None
