"""A real viewer with the dock."""

import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy")

from driver import WAIT, Dock, threads_alive
from napari.utils.notifications import notification_manager
from qtpy.compat import isalive

from napari_ufseg._napari.background import Job
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
    """The dock beside one image."""
    viewer = make_napari_viewer_proxy()
    viewer.add_image(picture, name="cells")
    yield Dock(viewer, qtbot)
    qtbot.waitUntil(lambda: not threads_alive(), timeout=WAIT)
    viewer.close()


def jobs_alive() -> list[Job]:
    """The jobs that Qt has not deleted: each deletes itself at its end."""
    return [item for item in gc.get_objects() if isinstance(item, Job) and isalive(item)]


@pytest.fixture(autouse=True)
def nothing_goes_on(qtbot: Any) -> Iterator[None]:
    """After each test no thread of ours is alive, and no job (a training is one)."""
    yield
    qtbot.waitUntil(lambda: not threads_alive(), timeout=WAIT)
    qtbot.waitUntil(lambda: not jobs_alive(), timeout=WAIT)


@pytest.fixture
def notices() -> Iterator[list[Any]]:
    """The notifications of napari during a test."""
    seen: list[Any] = []
    notification_manager.notification_ready.connect(seen.append)
    yield seen
    notification_manager.notification_ready.disconnect(seen.append)
