"""``ufseg demo`` without a display; the sample is cut to a corner, so that this is quick."""

import re
from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_ufseg.cli.show import display_problem
from napari_ufseg.io import open_image
from napari_ufseg.samples import nuclei

from .conftest import Done


@pytest.mark.parametrize("words", [[], ["--headless"]])
def test_demo_writes_labels_and_a_picture(
    words: list[str], ufseg: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corner = nuclei()[:48, :64]
    monkeypatch.setattr("napari_ufseg.cli.demo.nuclei", lambda: corner)
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.chdir(tmp_path)
    done = ufseg("demo", *words)
    assert done.status == 0
    folder = Path("ufseg-demo")
    assert done.out.splitlines() == [str(folder / "nuclei_labels.tif"), str(folder / "nuclei.png")]
    assert re.fullmatch(r"ufseg: the demo runs in the terminal and writes into ufseg-demo, since .*\.\n", done.err)
    labels = tifffile.imread(folder / "nuclei_labels.tif")
    assert (labels.shape, labels.dtype) == ((48, 64), np.uint16)
    classes = open_image(folder / "nuclei_labels.tif").classes
    assert classes.detail is not None
    assert len(np.unique(labels)) == classes.detail.shown == 2  # as in the window
    assert classes.detail.of > 2
    panel = iio.imread(folder / "nuclei.png")[40:, 12 + 8 * 64 + 12 :][: 8 * 48, : 8 * 64]
    drawn = {tuple(colour) for colour in panel.reshape(-1, 3).tolist()}
    assert drawn >= {tuple(classes[label].rgba[:3]) for label in np.unique(labels).tolist()}
    height, width = iio.imread(folder / "nuclei.png").shape[:2]
    assert width > 3 * 8 * 64  # three panels, enlarged
    assert height > 8 * 48


def test_demo_into_another_folder(ufseg: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_ufseg.cli.demo.nuclei", lambda: nuclei()[:32, :40])
    done = ufseg("demo", "--headless", "-o", tmp_path / "x", "--quiet")
    assert done == Done(0, "", "")
    assert {file.name for file in (tmp_path / "x").iterdir()} == {"nuclei_labels.tif", "nuclei.png"}


def test_display_problem_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert display_problem() == "QT_QPA_PLATFORM is offscreen"
    monkeypatch.setenv("QT_QPA_PLATFORM", "")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert display_problem() == "there is no display"
    monkeypatch.setenv("DISPLAY", ":4711")  # no server there: Qt ends the process that asks
    assert display_problem() == "Qt cannot open a window here"
