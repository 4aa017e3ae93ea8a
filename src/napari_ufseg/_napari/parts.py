"""Qt parts that several panels share."""

from typing import Any

from magicgui.widgets import create_widget
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QPushButton, QWidget
from superqt import QCollapsible


class Folding(QCollapsible):
    """A headline as wide as the dock, which shows and hides what is below it at once."""

    def __init__(self, title: str) -> None:
        super().__init__(title, expandedIcon="▼", collapsedIcon="▶")
        self.setDuration(0)
        layout = self.layout()
        assert layout is not None
        layout.setContentsMargins(0, 0, 0, 0)


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
