"""``--show``: through napari's plugin mechanism, in a real window if there is one."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from napari_ufseg.io import read_labels

from .conftest import QUICK, SOURCE, Done, environment

pytestmark = pytest.mark.window

#: ``ufseg`` with a user who closes the window once the run has ended, or at once
USER = """
import sys
from qtpy.QtCore import QTimer
import napari
from napari_ufseg.cli import main
when, words = sys.argv[1], sys.argv[2:]
run = napari.run
def run_and_close():
    from qtpy.QtWidgets import QApplication
    from napari_ufseg._napari.dock.widget import SegmentationWidget
    viewer = napari.current_viewer()
    widget = next(w for w in QApplication.allWidgets() if isinstance(w, SegmentationWidget))
    if when == "end":
        widget.run_finished.connect(lambda segmentation: QTimer.singleShot(0, viewer.close))
    else:
        QTimer.singleShot(0, viewer.close)
    run()
napari.run = run_and_close
sys.exit(main(words))
"""


@pytest.fixture
def window() -> Iterator[dict[str, str]]:
    """The environment of a process that can open a window."""
    if not sys.platform.startswith("linux"):
        yield {**os.environ, "PYTHONPATH": str(SOURCE)}
        return
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed")
    reader, writer = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x1024x24", "-nolisten", "tcp"],
        pass_fds=[writer],
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    with os.fdopen(reader) as number:
        display = number.readline().strip()
    yield {**environment(), "DISPLAY": f":{display}", "QT_QPA_PLATFORM": "xcb"}
    server.terminate()
    server.wait()


@pytest.fixture
def user(window: dict[str, str]) -> Callable[..., Done]:
    def call(when: str, *words: str | Path) -> Done:
        command = [sys.executable, "-c", USER, when, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, env=window, timeout=150, check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    probe = [sys.executable, "-c", "from qtpy.QtWidgets import QApplication; QApplication([])"]
    if subprocess.run(probe, env=window, capture_output=True, check=False).returncode:
        pytest.skip("Qt cannot open a window here")
    return call


def test_shown_run_writes_the_same_files(
    user: Callable[..., Done], ufseg: Callable[..., Done], images: Path, tmp_path: Path
) -> None:
    job = ["segment", images / "grey.png", images / "grey2.png", "--force", "3", *QUICK]
    done = user("end", *job, "-o", tmp_path / "shown", "--report", tmp_path / "r.json", "--show")
    assert done.status == 0, done.err
    names = ["shown/grey_labels.tif", "shown/grey2_labels.tif", "r.json"]
    assert done.out.splitlines() == [str(tmp_path / name) for name in names]
    assert json.loads((tmp_path / "r.json").read_text())["epochs_run"] == 8
    assert ufseg(*job, "-o", tmp_path / "plain").status == 0
    for name in ("grey_labels.tif", "grey2_labels.tif"):
        same = read_labels(tmp_path / "shown" / name) == read_labels(tmp_path / "plain" / name)
        assert same.mean() > 0.99


def test_window_closed_before_the_end(user: Callable[..., Done], images: Path, tmp_path: Path) -> None:
    endless = ["--epochs", "100000", "--min_classes", "1", "--settle_fraction", "0", "--device", "cpu"]
    done = user("now", "segment", images / "grey.png", "-o", tmp_path / "l.tif", "--show", *endless)
    assert done.status == 130
    assert done.err.splitlines()[-1] == ("ufseg: nothing was written: the window was closed before the end of the run.")
    assert list(tmp_path.iterdir()) == []
