"""How it is segmented: preset, options and device."""

from importlib import resources

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_ufseg._napari.method.device_choice import DeviceChoice
from napari_ufseg._napari.method.option_controls import ConfigControls
from napari_ufseg._napari.parts import labelled_choice
from napari_ufseg.engine.config import PRESET_HELP, PRESETS, SegmentationConfig
from napari_ufseg.engine.errors import counted

_ICON = 24  # pixels; the tooltip has the picture at its own size


class MethodPanel(QWidget):
    """Preset and number of classes; `more` has the options that are seldom needed, and is laid out by its owner.

    Parameters
    ----------
    preset, device : str
        What it begins with.

    Signals
    -------
    changed()
        Another preset, option or device.
    """

    changed = Signal()

    def __init__(self, preset: str, device: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._measured: float | None = None  # anisotropy of the image
        self._preset = labelled_choice(
            "Preset", "ufseg.preset", value=preset, choices=tuple(PRESETS), tip="Starting point for all options."
        )
        _explain(self._preset.native)
        self._device = DeviceChoice(device, self)
        self._reset = QPushButton("Reset to preset")
        self._reset.setObjectName("ufseg.reset")
        self._reset.setToolTip("Undo your changes to the options.")
        self._controls = ConfigControls(SegmentationConfig.preset(preset), self)
        self.advanced = self._controls.advanced
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._preset.native, 1)
        for part in self._controls.pair("n_classes"):
            row.addWidget(part)
        self.more = QWidget(self)
        column = QVBoxLayout(self.more)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(self._controls.basic)
        last = QFormLayout()
        last.addRow("Device", self._device.native)
        column.addLayout(last)
        column.addWidget(self._reset)
        column.addWidget(self.advanced)
        self._preset.changed.connect(self._reset_to_preset)
        self._reset.clicked.connect(self._reset_to_preset)
        self._controls.changed.connect(self._on_change)
        self._device.changed.connect(self._on_change)
        self._on_change()

    @property
    def config(self) -> SegmentationConfig:
        """All options, as the controls show them."""
        return self._controls.config

    @config.setter
    def config(self, config: SegmentationConfig) -> None:
        self._controls.config = config

    def measure(self, anisotropy: float | None) -> None:
        """Show the anisotropy of the image that is chosen, unless it was shown before and the user has changed it."""
        if anisotropy is not None and anisotropy != self._measured:
            self._measured = anisotropy
            self._controls.config = self._controls.config.replace(anisotropy=anisotropy)

    def measure_anew(self) -> None:
        """Let the next `measure` be shown in any case."""
        self._measured = None

    @property
    def preset(self) -> str:
        """The preset that was chosen last; options may differ from it."""
        return str(self._preset.value)

    @preset.setter
    def preset(self, name: str) -> None:
        self._preset.value = name

    @property
    def device(self) -> str:
        """The device that is asked for."""
        return self._device.value

    @device.setter
    def device(self, name: str) -> None:
        self._device.value = name

    @property
    def summary(self) -> str:
        """The choice in a few words."""
        return f"{self.preset}, {counted(self.config.n_classes, 'class')}"

    def set_enabled(self, enabled: bool) -> None:
        """Allow or forbid changes, as during a run."""
        self._controls.set_enabled(enabled)
        self._preset.enabled = enabled
        self._device.native.setEnabled(enabled)
        self._reset.setEnabled(enabled and self._is_changed)

    def _reset_to_preset(self, *_: object) -> None:
        self._controls.config = SegmentationConfig.preset(self.preset, anisotropy=self._measured or 1.0)

    @property
    def _is_changed(self) -> bool:
        config = self._controls.config
        own = {"spatial_dims": config.spatial_dims, "anisotropy": self._measured or 1.0}
        return config != SegmentationConfig.preset(self.preset, **own)

    def _on_change(self, *_: object) -> None:
        self._reset.setEnabled(self._is_changed)
        self.changed.emit()


def _explain(presets: QComboBox) -> None:
    """Give every preset a small picture of what it makes of one and the same image, and a tooltip with words."""
    presets.setIconSize(QSize(_ICON, _ICON))
    folder = resources.files("napari_ufseg") / "data" / "presets"
    tips = []
    for i in range(presets.count()):
        name = presets.itemText(i)
        with resources.as_file(folder / f"{name}.png") as path:
            presets.setItemIcon(i, QIcon(QPixmap(str(path))))
            tips.append(f'<p><img src="{path.as_posix()}"></p><p><b>{name}</b>: {PRESET_HELP[name]}</p>')
        presets.setItemData(i, tips[-1], Qt.ItemDataRole.ToolTipRole)
    about = "Starting point for all options. The pictures show what each makes of the same nuclei."

    def tell(index: int) -> None:
        presets.setToolTip(f"<p>{about}</p>{tips[index]}")

    presets.currentIndexChanged.connect(tell)
    tell(presets.currentIndex())
