"""Commands of napari's command palette: each presses a button of the dock, which is opened if it is not there.

One more command is one line here and one in `napari.yaml`.
"""

from collections.abc import Callable

from napari.viewer import Viewer
from qtpy.QtWidgets import QAbstractButton, QSlider, QWidget

from napari_ufseg._napari.parts import Folding, show_info


def open_dock(viewer: Viewer) -> QWidget:
    """The dock of a viewer, opened if it is not there, and shown if it is hidden."""
    dock, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    if dock.isHidden():
        dock.show()
    opened: QWidget = widget
    return opened


def reveal(part: QWidget) -> None:
    """Unfold what a part of the dock stands in."""
    around: QWidget | None = part
    while around is not None:
        if isinstance(around, Folding):
            around.unfold(True)
        around = around.parentWidget()


def press(viewer: Viewer, name: str) -> None:
    """Press a button of the dock; one that is grey says in a notification why, or at least what it is for.

    Parameters
    ----------
    viewer : napari.Viewer
    name : str
        What follows ``ufseg.`` in its Qt object name.
    """
    button = open_dock(viewer).findChild(QAbstractButton, f"ufseg.{name}")
    reveal(button)
    if button.isEnabled():
        button.click()
    else:
        show_info(f"{button.text().rstrip('.')} is not possible now. {button.toolTip()}")


def _moving_detail(step: int) -> Callable[[Viewer], None]:
    """A command that shows so many classes more."""

    def command(viewer: Viewer) -> None:
        slider = open_dock(viewer).findChild(QSlider, "ufseg.detail")
        if slider.isEnabled():
            slider.setValue(slider.value() + step)
        else:
            show_info(f"Detail is not possible now. {slider.toolTip()}")

    return command


def _pressing(name: str) -> Callable[[Viewer], None]:
    """A command that presses the button of that name."""

    def command(viewer: Viewer) -> None:
        press(viewer, name)

    return command


segment = _pressing("segment")
train_on = _pressing("continue")
pause = _pressing("pause")
stop = _pressing("stop")
merge = _pressing("merge")
make_background = _pressing("background")
split = _pressing("split")
absorb = _pressing("absorb")
merge_by_scribbles = _pressing("merge_by_scribbles")
show_all = _pressing("show_all")
undo = _pressing("undo")
redo = _pressing("redo")
new_scribbles = _pressing("new_scribbles")
try_variations = _pressing("try")
confidence = _pressing("confidence")
least_certain = _pressing("least_certain")
see_through = _pressing("see_through")
turn = _pressing("turn")
back_to_now = _pressing("back_to_now")
use_on_others = _pressing("use_on_others")
pixel_size = _pressing("pixel_size")
brightness = _pressing("brightness")
keep_moment = _pressing("keep_moment")
save_labels = _pressing("save_labels")
save_model = _pressing("save_model")
load_model = _pressing("load_model")
apply_model = _pressing("apply_model")
reset = _pressing("reset")
more_detail = _moving_detail(1)
less_detail = _moving_detail(-1)
