"""One control per config field, made from the field's own metadata."""

from typing import Any

from magicgui.widgets import create_widget
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_ufseg._napari.parts import Folding, PlainLabel
from napari_ufseg.engine.config import Option, SegmentationConfig, options

FIRST = ("n_classes",)  # always in sight
BASIC = ("min_classes", "nu")
ELSEWHERE = ("spatial_dims",)  # chosen in words, with what is segmented


class ConfigControls(QObject):
    """The controls of all options; `config` reads and sets them together.

    Attributes
    ----------
    basic : QFormLayout
        The options that many users need, but for those that are always in sight.
    advanced : Folding
        All others, grouped, folded at first.
    """

    changed = Signal()

    def __init__(self, config: SegmentationConfig, parent: QWidget) -> None:
        super().__init__(parent)
        self._config = config
        values = config.to_dict()
        self._controls = {
            name: _control(name, option, values[name]) for name, option in options().items() if name not in ELSEWHERE
        }
        self.basic = QFormLayout()
        for name in BASIC:
            self._add(self.basic, name)
        self.advanced = Folding("Advanced", "advanced", "All other options of the method, each with what it does.")
        groups: dict[str, QFormLayout] = {}
        content = QWidget()
        column = QVBoxLayout(content)
        for name, option in options().items():
            if name in BASIC + FIRST + ELSEWHERE:
                continue
            if option.group not in groups:
                heading = QLabel(f"<b>{option.group}</b>")
                column.addWidget(heading)
                groups[option.group] = QFormLayout()
                column.addLayout(groups[option.group])
            self._add(groups[option.group], name)
        self.advanced.addWidget(content)
        for name, control in self._controls.items():
            control.changed.connect(lambda value, name=name: self._take(name, value))

    @property
    def config(self) -> SegmentationConfig:
        """The options; digits that a control does not show are kept as long as it is not touched."""
        return self._config

    @config.setter
    def config(self, config: SegmentationConfig) -> None:
        self._config = config
        for name, control in self._controls.items():
            with control.changed.blocked():
                control.value = getattr(config, name)
        self.changed.emit()

    def set_enabled(self, enabled: bool) -> None:
        """Allow or forbid changes, as during a run."""
        for control in self._controls.values():
            control.enabled = enabled

    def _take(self, name: str, value: Any) -> None:
        self._config = self._config.replace(**{name: value})
        self.changed.emit()

    def pair(self, name: str) -> tuple[QLabel, QWidget]:
        """The name of an option as it is shown, and its control."""
        native = self._controls[name].native
        label = PlainLabel(options()[name].label)
        label.setToolTip(native.toolTip())
        label.setBuddy(native)
        return label, native

    def _add(self, form: QFormLayout, name: str) -> None:
        form.addRow(*self.pair(name))


def _control(name: str, option: Option, value: Any) -> Any:
    settings: dict[str, Any] = {"tooltip": f"{option.help}\n{name}: {option.allowed}"}
    if option.choices:
        settings["choices"] = option.choices
    elif not option.is_switch:
        settings |= {"min": option.minimum, "max": option.maximum, "step": option.step}
    if isinstance(value, float):
        settings["step"] = 1e-5 if (option.minimum or 0) > 0 else 1e-3  # magicgui takes the decimals from it
    control = create_widget(value=value, annotation=type(value), label=option.label, name=name, options=settings,
                            widget_type="ComboBox" if option.choices else None)  # fmt: skip
    native = control.native
    if option.is_switch:
        native.setText("")  # its name stands beside it, as with the others
    if isinstance(value, float):
        native.setSingleStep(option.step)
    native.setObjectName(f"ufseg.option.{name}")
    native.setAccessibleName(option.label)
    return control
