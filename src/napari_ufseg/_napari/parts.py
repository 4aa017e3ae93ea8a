"""Qt parts that several panels share."""

from collections.abc import Callable, Sequence
from typing import Any

from magicgui.widgets import create_widget
from napari.utils import notifications
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget
from superqt import QCollapsible

_NOWHERE = "\u200b"  # a space without a width


def plain(text: str) -> str:
    """A text that Qt shows letter by letter, also where it would take what looks like HTML for it, as in a tip.

    Names of files, layers and classes come from anywhere, and one such as ``<img src=/file>`` would be opened and drawn.
    """
    if not Qt.mightBeRichText(text):  # type: ignore[attr-defined]
        return text
    return text.replace("<", f"<{_NOWHERE}").replace("&lt;", f"&{_NOWHERE}lt;")


def show_info(message: str) -> None:
    """Show a notification of napari, letter by letter."""
    notifications.show_info(plain(message))


def show_warning(message: str) -> None:
    """Show a warning of napari, letter by letter."""
    notifications.show_warning(plain(message))


def show_error(message: str) -> None:
    """Show an error as a notification of napari, letter by letter."""
    notifications.show_error(plain(message))


class PlainLabel(QLabel):
    """A label that shows its words letter by letter, whatever names there are in them."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.setTextFormat(Qt.TextFormat.PlainText)


_UNLIMITED = 2**24 - 1  # pixels; Qt's own largest height


class Folding(QCollapsible):
    """A headline as wide as the dock, which shows and hides what is below it at once; the Tab key passes over what is hidden.

    Parameters
    ----------
    title : str
    name : str, optional
        What follows ``ufseg.`` in its Qt object name; the headline is called the same with ``.title`` behind it.
    tip : str, optional
        Tooltip of the headline.
    """

    def __init__(self, title: str, name: str = "", tip: str = "") -> None:
        super().__init__(title, expandedIcon="▼", collapsedIcon="▶")
        self.setDuration(0)
        layout, button = self.layout(), self.toggleButton()
        assert layout is not None
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.setAlignment(Qt.AlignmentFlag(0))  # with one it has no room for words of several lines
        inner = self.content().layout()
        assert inner is not None
        inner.setContentsMargins(4, 0, 0, 0)
        inner.setSpacing(4)
        button.setToolTip(tip)
        button.setAccessibleName(title)
        if name:
            self.setObjectName(f"ufseg.{name}")
            button.setObjectName(f"ufseg.{name}.title")
        self.content().hide()
        self.toggled.connect(self._show_content)

    def unfold(self, is_unfolded: bool) -> None:
        """Show what is below, or hide it."""
        if is_unfolded != self.isExpanded():
            self.expand() if is_unfolded else self.collapse()

    def eventFilter(self, a0: QObject | None, a1: QEvent | None) -> bool:
        """Let the layout see to the height, also of foldings within."""
        return False

    def _show_content(self, is_shown: bool) -> None:
        self.content().setVisible(is_shown)
        self.content().setMaximumHeight(_UNLIMITED)
        self.setMaximumHeight(_UNLIMITED if is_shown else self.toggleButton().sizeHint().height())
        height = (
            QSizePolicy.Policy.Minimum if is_shown else QSizePolicy.Policy.Fixed
        )  # words may need more lines than told
        self.setSizePolicy(QSizePolicy.Policy.Preferred, height)


class Section(Folding):
    """A step of the work in the dock; its headline tells what was done in it.

    Parameters
    ----------
    title, name, tip : str
        As for `Folding`.
    parts : sequence of QWidget
        From top to bottom.

    Signals
    -------
    clicked(bool)
        The user has unfolded it, or folded it.
    """

    clicked = Signal(bool)

    def __init__(self, title: str, name: str, tip: str, parts: Sequence[QWidget]) -> None:
        super().__init__(title, f"section.{name}", tip)
        self._title, self._tip, self._told = title, tip, ""
        self.name = name
        for part in parts:
            self.addWidget(part)
        button = self.toggleButton()
        button.setStyleSheet("text-align: left; border: none; outline: none; font-weight: bold;")
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # what is told may be long
        button.clicked.connect(lambda _: self.clicked.emit(self.isExpanded()))

    def tell(self, words: str, tip: str = "") -> None:
        """Put words behind the title, and others into its tooltip."""
        self._told = words
        self.toggleButton().setToolTip(plain("\n".join(filter(None, (self._tip, tip)))))
        self.setText(f"{self._title}   {words}".rstrip())
        self.toggleButton().setAccessibleName(self.text())

    @property
    def told(self) -> str:
        """What stands behind the title."""
        return self._told


def labelled_choice(label: str, object_name: str, *, tip: str, **settings: Any) -> Any:
    """A magicgui combo box with a name for scripts and for screen readers.

    Parameters
    ----------
    label, object_name, tip : str
        Spoken name, Qt object name and tooltip.
    **settings
        ``value`` and ``choices``, or ``annotation`` for a list of layers.
    """
    options = {"tooltip": tip}
    if "choices" in settings:
        options["choices"] = settings.pop("choices")
        settings["widget_type"] = "ComboBox"
    control = create_widget(label=label, options=options, **settings)
    control.native.setObjectName(object_name)
    control.native.setAccessibleName(label)
    return control


def name_widget(part: QWidget, name: str, title: str, tip: str) -> None:
    """Give a part of the folder panel its name for scripts, for screen readers and for the mouse."""
    part.setObjectName(f"ufseg.folder.{name}")
    part.setAccessibleName(title)
    part.setToolTip(tip)


def named_button(text: str, name: str, tip: str, shortcut: str = "") -> QPushButton:
    """A button with a name for scripts.

    Parameters
    ----------
    text : str
    name : str
        What follows ``ufseg.`` in its Qt object name.
    tip : str
        Its tooltip, to which the shortcut is added.
    shortcut : str, optional
    """
    button = QPushButton(text)
    button.setObjectName(f"ufseg.{name}")
    button.setToolTip(f"{tip} ({shortcut})" if shortcut else tip)
    if shortcut:
        button.setShortcut(QKeySequence(shortcut))
    return button


_TIP = "ufseg.tip"  # a property: what a button is for


def allow(button: QPushButton, why_not: str = "") -> None:
    """Let a button be pressed; or let it be grey, and its tooltip begin with the reason."""
    if button.property(_TIP) is None:
        button.setProperty(_TIP, button.toolTip())
    button.setEnabled(not why_not)
    button.setToolTip(plain("\n".join(filter(None, (why_not, str(button.property(_TIP)))))))


class Form(QWidget):
    """A form that unfolds in the dock, and is hidden until it is opened; Escape closes it."""

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Escape closes it."""
        if event is not None and event.key() == Qt.Key.Key_Escape:
            self.hide()
        else:
            super().keyPressEvent(event)

    def row_of_buttons(self, *buttons: tuple[str, str, str, str, Callable[[], Any]]) -> QWidget:
        """Buttons side by side: text, name, name for who does not see it, tip, and what a click does."""
        row = QWidget()
        inner = QHBoxLayout(row)
        inner.setContentsMargins(0, 0, 0, 0)
        for text, name, title, tip, act in buttons:
            button = named_button(text, name, tip)
            button.setAccessibleName(title)
            button.clicked.connect(act)
            inner.addWidget(button)
        return row
