"""Make the pictures of the documentation from a real window of 1280 x 720, in every state that a user meets.

Needs a display; on a machine without one: xvfb-run -a -s "-screen 0 1280x720x24" python docs/make_screenshots.py

It also prints how far the dock would have to be scrolled in each state.
"""

import sys
import time
from pathlib import Path
from tempfile import mkdtemp

from qtpy.QtCore import QSettings, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QProgressBar, QPushButton, QSlider

import napari
from napari_ufseg import SegmentationConfig
from napari_ufseg._napari.dock.commands import reveal
from napari_ufseg.samples import nuclei

IMAGES = Path(__file__).parent / "images"
WINDOW = 1280, 720


def wait_until(condition, seconds=300.0):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("waited in vain")
        QTest.qWait(20)


class Window:
    """A window with the dock, driven by its buttons."""

    def __init__(self) -> None:
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(*WINDOW)
        _, self.widget = self.viewer.window.add_plugin_dock_widget("napari-ufseg")
        self.results: list[object] = []
        self.widget.run_finished.connect(self.results.append)

    def part(self, kind, name):
        return self.widget.findChild(kind, f"ufseg.{name}")

    def press(self, name):
        button = self.part(QPushButton, name)
        reveal(button)
        wait_until(button.isEnabled)
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def segment(self):
        self.results.clear()
        self.press("segment")
        wait_until(lambda: self.results)

    def picture(self, name):
        QTest.qWait(500)
        self.viewer.window.screenshot(str(IMAGES / name), canvas_only=False, flash=False)
        bar = self.widget._column.verticalScrollBar()
        print(f"{name}: dock {self.widget.width()} px wide, {bar.maximum()} px to scroll")

    def begin_anew(self, add):
        """Put other layers in the place of those that are there; never none, whose welcome can crash under software OpenGL."""
        old = list(self.viewer.layers)
        add()
        for layer in old:
            self.viewer.layers.remove(layer)
        QTest.qWait(300)
        self.viewer.reset_view()


def one_image(window: Window) -> None:
    """An empty window, an image, a run, its result at several details, corrected, and an older epoch of it."""
    viewer, widget = window.viewer, window.widget
    window.picture("first-steps.png")
    window.begin_anew(lambda: viewer.open_sample("napari-ufseg", "nuclei"))
    window.picture("start.png")
    widget.config = SegmentationConfig.preset("fast")
    window.press("segment")
    bar = window.part(QProgressBar, "progress")
    wait_until(lambda: bar.maximum() > 1 and bar.value() >= 6)
    window.press("pause")
    wait_until(lambda: window.part(QPushButton, "pause").text() == "Resume")
    window.picture("mid-run.png")
    window.press("pause")
    wait_until(lambda: window.results)
    window.picture("finished.png")
    window.part(QSlider, "detail").setValue(5)
    window.picture("detail.png")
    window.part(QSlider, "detail").setValue(2)
    labels = viewer.layers["nuclei classes"]
    viewer.layers.selection.active = labels
    result = widget._results.active
    things = next(label for label in result.areas if label != result.background)
    result.rename(things, "nuclei")
    labels.mode, labels.brush_size, labels.selected_label = "paint", 30, things
    canvas = viewer.window._qt_window._qt_viewer.canvas.native
    middle = canvas.rect().center()
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=middle)
    for step in range(1, 15):
        QTest.mouseMove(canvas, middle + type(middle)(6 * step, 2 * step))
        QTest.qWait(20)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=middle + type(middle)(90, 30))
    window.picture("corrected.png")
    window.part(QSlider, "time").setValue(1)
    window.picture("older-epoch.png")
    window.press("back_to_now")


def light_theme_and_large_font(window: Window) -> None:
    """The last run in the light theme, and with letters of 18 points, which leave their mark on the window."""
    settings = napari.settings.get_settings().appearance
    window.viewer.theme = "light"
    window.picture("light.png")
    window.viewer.theme = "dark"
    before = settings.font_size
    settings.font_size = 18
    window.picture("font-18.png")
    settings.font_size = before


def several_images(window: Window) -> None:
    """A series, before and after, and three images that are trained together."""
    viewer = window.viewer
    window.begin_anew(lambda: viewer.open_sample("napari-ufseg", "time_series"))
    viewer.layers.selection.active = viewer.layers["time series"]
    viewer.reset_view()
    QTest.qWait(1000)
    window.picture("stack-before.png")
    window.segment()
    window.picture("stack.png")
    image = nuclei()
    parts = {"a": image[:200, :260], "b": image[200:500, 100:300], "c": image[300:520, 300:690]}
    places = {"a": (0, 0), "b": (0, 280), "c": (320, 0)}
    layers = []
    window.begin_anew(
        lambda: layers.extend(viewer.add_image(part, name=name, translate=places[name]) for name, part in parts.items())
    )
    viewer.layers.selection = set(layers)
    viewer.reset_view()
    window.segment()
    window.picture("joint.png")


def main() -> None:
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, mkdtemp())  # nobody has folded a section
    IMAGES.mkdir(exist_ok=True)
    window = Window()
    one_image(window)
    several_images(window)
    light_theme_and_large_font(window)
    window.viewer.close()


if __name__ == "__main__":
    main()
