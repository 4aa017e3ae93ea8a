"""A real viewer with the dock."""

import gc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy")

from driver import WAIT, Dock, threads_alive
from napari.utils.notifications import notification_manager
from qtpy.compat import isalive
from qtpy.QtCore import QSettings

from napari_ufseg._napari.background import Job
from napari_ufseg._napari.layers.places import last_folder
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
def plain_widgets() -> Iterator[None]:
    """Leave out two things of napari's that take a third of the time, and are there in tests/window.

    They are the style sheet, which Qt applies to every new widget, and the garbage
    collection after every layer that goes, which some drivers of OpenGL need.
    """
    from napari._qt import qt_main_window
    from napari._vispy import canvas

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(qt_main_window, "get_stylesheet", lambda *_, **__: "")
        patch.setattr(canvas, "gc", SimpleNamespace(collect=lambda: 0))
        yield


@pytest.fixture(scope="session")
def forgotten() -> list[int]:
    """How many objects the collector leaves out, after each of the first tests."""
    import torch  # noqa: F401

    gc.set_threshold(20_000, 20, 20)
    gc.collect()
    gc.freeze()
    return []


@pytest.fixture(autouse=True)
def quick_garbage_collection(forgotten: list[int]) -> Iterator[None]:
    """Let the collector, which napari calls after every layer and viewer, not look through all modules each time.

    Most of them come with the first dock, and with its first run.
    """
    yield
    if len(forgotten) < 3:
        gc.collect()
        gc.freeze()
        forgotten.append(gc.get_freeze_count())


@pytest.fixture(autouse=True)
def foldings_of_their_own(tmp_path: Path) -> None:
    """Each test begins with a dock that nobody has folded."""
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))


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


@pytest.fixture(scope="session")
def jobs_made() -> Iterator[WeakSet[Job]]:
    """The jobs there are; each deletes itself at its end, and then Qt has none of it."""
    jobs: WeakSet[Job] = WeakSet()
    make = Job.__init__

    def made(job: Job, *args: Any, **options: Any) -> None:
        make(job, *args, **options)
        jobs.add(job)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "__init__", made)
        yield jobs


@pytest.fixture(autouse=True)
def nothing_goes_on(qtbot: Any, jobs_made: WeakSet[Job]) -> Iterator[None]:
    """After each test no thread of ours is alive, and no job (a training is one)."""
    yield
    qtbot.waitUntil(lambda: not threads_alive(estimates=True), timeout=WAIT)
    qtbot.waitUntil(lambda: not any(isalive(job) for job in list(jobs_made)), timeout=WAIT)


@pytest.fixture(autouse=True)
def no_folder_was_used() -> None:
    """Each test begins as a session does."""
    last_folder.note(None)


@pytest.fixture
def notices() -> Iterator[list[Any]]:
    """The notifications of napari during a test."""
    seen: list[Any] = []
    notification_manager.notification_ready.connect(seen.append)
    yield seen
    notification_manager.notification_ready.disconnect(seen.append)
