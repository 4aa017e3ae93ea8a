"""Commands of napari's command palette: each presses a button of the dock, which is opened if it is not there.

One more command is one line here and one in `napari.yaml`.
"""

from collections.abc import Callable

from napari.utils.notifications import show_info
from napari.viewer import Viewer
from qtpy.QtWidgets import QAbstractButton


def press(viewer: Viewer, name: str) -> None:
    """Press a button of the dock; one that is grey says in a notification why, or at least what it is for.

    Parameters
    ----------
    viewer : napari.Viewer
    name : str
        What follows ``ufseg.`` in its Qt object name.
    """
    dock, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    if dock.isHidden():
        dock.show()
    button = widget.findChild(QAbstractButton, f"ufseg.{name}")
    if button.isEnabled():
        button.click()
    else:
        show_info(f"{button.text().rstrip('.')} is not possible now. {button.toolTip()}")


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
keep_moment = _pressing("keep_moment")
save_labels = _pressing("save_labels")
save_model = _pressing("save_model")
load_model = _pressing("load_model")
apply_model = _pressing("apply_model")
reset = _pressing("reset")
