"""A real viewer with the dock."""

import gc
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy")

from driver import WAIT, Dock
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QThreadPool

from napari_ufseg._napari.method.estimate_line import THREAD
from napari_ufseg.samples import nuclei

LARGEST_TEXTURE = 4096


@pytest.fixture(scope="session", autouse=True)
def canvas_without_opengl() -> Iterator[None]:
    """Answer vispy's questions about OpenGL where there is none, as there is without a display.

    Nothing is drawn then, but layers and dock are the real ones; tests/window draws.
    """
    from OpenGL import GL

    text, number = GL.glGetString, GL.glGetIntegerv
    GL.glGetString = lambda name: text(name) or b""
    GL.glGetIntegerv = lambda name: number(name) or LARGEST_TEXTURE
    yield
    GL.glGetString, GL.glGetIntegerv = text, number


@pytest.fixture(scope="session", autouse=True)
def quick_garbage_collection() -> None:
    """Let the collector, which napari's own fixture calls after every viewer, not look through torch and napari each time."""
    import torch  # noqa: F401

    gc.collect()
    gc.freeze()


@pytest.fixture
def picture() -> np.ndarray:
    """(40, 56) uint8: a corner of the sample image, with nuclei in it."""
    return nuclei()[60:220:4, 40:264:4]


@pytest.fixture
def dock(make_napari_viewer_proxy: Any, qtbot: Any, picture: np.ndarray) -> Iterator[Dock]:
    """The dock beside one image, and no thread left at the end."""
    viewer = make_napari_viewer_proxy()
    viewer.add_image(picture, name="cells")
    yield Dock(viewer, qtbot)
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=WAIT)
    viewer.close()
    qtbot.waitUntil(lambda: all(thread.name != THREAD for thread in threading.enumerate()), timeout=WAIT)


@pytest.fixture
def notices() -> Iterator[list[Any]]:
    """The notifications of napari during a test."""
    seen: list[Any] = []
    notification_manager.notification_ready.connect(seen.append)
    yield seen
    notification_manager.notification_ready.disconnect(seen.append)
