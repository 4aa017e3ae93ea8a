"""``--show``: through napari's plugin mechanism, in a real window if there is one."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import zarr

from napari_ufseg.io import open_image

from .conftest import QUICK, SOURCE, Done, blobs, environment

pytestmark = [pytest.mark.window, pytest.mark.timeout(420)]  # for all windows together, on a busy machine

#: ``ufseg`` for each of some jobs, with a user who closes its window once the run has ended, or at once, or by Ctrl-C
USER = """
import io, json, os, signal, sys
from contextlib import redirect_stderr, redirect_stdout
from qtpy.QtCore import QTimer
import numpy as np
import napari
from napari_ufseg.cli import demo, main
from napari_ufseg.samples import nuclei
demo.nuclei = lambda: nuclei()[:48, :64]
jobs = json.loads(sys.argv[1])
run = napari.run
records, size = [], []
def run_and_close():
    from qtpy.QtWidgets import QApplication
    from napari_ufseg._napari.dock.widget import SegmentationWidget
    viewer = napari.current_viewer()
    widget = next(w for w in QApplication.allWidgets() if isinstance(w, SegmentationWidget))
    def close():
        if widget.is_running and "end" in when:
            return QTimer.singleShot(20, close)
        size[:] = [viewer.window._qt_window.width(), viewer.window._qt_window.height()]
        layers = [layer for layer in viewer.layers if "napari_ufseg" in layer.metadata]
        records[:] = [{**layer.metadata["napari_ufseg"], "held": np.unique(layer.data).tolist()} for layer in layers]
        if "Ctrl-C" in when:
            os.kill(os.getpid(), signal.SIGINT)
        else:
            viewer.close()
    QTimer.singleShot(0, close)
    run()
napari.run = run_and_close
ends = []
for when, words in jobs:
    records.clear()
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        status = main(words)
        if napari.current_viewer() is not None:
            napari.current_viewer().close()
    ends.append([status, out.getvalue(), err.getvalue(), list(records), list(size)])
print(json.dumps(ends))
"""


@dataclass(frozen=True)
class Shown(Done):
    """How a call with a window ended, with the records of its Labels layers and the width and height of the window."""

    records: list[dict[str, Any]]
    size: list[int]


Job = list[str | Path]


@pytest.fixture(scope="module")
def window() -> Iterator[dict[str, str]]:
    """The environment of a process that can open a window."""
    if not sys.platform.startswith("linux"):
        yield {**os.environ, "PYTHONPATH": str(SOURCE)}
        return
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed")
    reader, writer = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x720x24", "-nolisten", "tcp"],
        pass_fds=[writer],
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    with os.fdopen(reader) as number:
        display = number.readline().strip()
    yield {**environment(), "DISPLAY": f":{display}", "QT_QPA_PLATFORM": "xcb"}
    server.terminate()
    server.wait()


def write_zarr(path: Path, axes: str, pixels: npt.NDArray[Any], steps: list[float]) -> None:
    """An OME-Zarr of one level, in µm."""
    group = zarr.create_group(path, zarr_format=2)
    group.create_array("0", data=pixels, chunks=(*(1 for _ in axes[:-2]), 48, 64))
    kinds = {"t": "time", "c": "channel"}
    named = [{"name": name, "type": kinds.get(name, "space")} for name in axes.lower()]
    for axis in named:
        if axis["type"] == "space":
            axis["unit"] = "micrometer"
    scale = [{"type": "scale", "scale": steps}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs.put({"multiscales": [{"version": "0.4", "axes": named, "datasets": datasets}]})


@pytest.fixture(scope="module")
def jobs(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Job, list[str]]]:
    """What is asked for without an output, and the files that are written into the output."""
    folder = tmp_path_factory.mktemp("shown")
    planes = np.stack([blobs(seed=seed) for seed in range(8)])
    write_zarr(folder / "singles.ome.zarr", "TCZYX", planes[:2].reshape(1, 2, 1, 48, 64), [1, 1, 2, 0.5, 0.25])
    write_zarr(folder / "series.ome.zarr", "TZYX", planes.reshape(2, 4, 48, 64), [1, 1.5, 0.5, 0.5])
    tifffile.imwrite(folder / "deep.tif", planes[:4], imagej=True, metadata={"axes": "ZYX", "spacing": 3})
    volume: Job = ["--spatial_dims", "3", "--n_convolutions", "1"]
    return {
        "joint images": (
            [images / "grey.png", images / "grey2.png", "--force", "3"],
            ["grey_labels.tif", "grey2_labels.tif"],
        ),
        "all classes": ([images / "grey.png", "--detail", "all"], ["l.tif"]),
        "three classes": ([images / "grey.png", "--detail", "3"], ["l.tif"]),
        "stack": ([images / "stack.tif"], ["stack_labels.tif"]),
        "axes of length 1": ([folder / "singles.ome.zarr"], ["singles_labels.ome.zarr"]),
        "axes of length 1 as planes of a TIFF": ([folder / "singles.ome.zarr", "--axes", "TCQYX"], ["l.tif"]),
        "volume": ([images / "stack.tif", *volume, "--anisotropy", "2.5"], ["stack_labels.tif"]),
        "volume as given, not as the file says": ([folder / "deep.tif", *volume, "--anisotropy", "1"], ["l.tif"]),
        "series of volumes as the file says": ([folder / "series.ome.zarr", *volume], ["series_labels.ome.zarr"]),
        "preset": ([images / "grey.png", "--preset", "paper"], ["l.tif"]),
    }


@pytest.fixture(scope="module")
def shown(
    window: dict[str, str],
    images: Path,
    jobs: dict[str, tuple[Job, list[str]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[Shown, Path]]:
    """Every job in a window, all windows from one process: how it ended, and the folder that it wrote into."""
    probe = [sys.executable, "-c", "from qtpy.QtWidgets import QApplication; QApplication([])"]
    if subprocess.run(probe, env=window, capture_output=True, check=False).returncode:
        pytest.skip("Qt cannot open a window here")
    folders = {name: tmp_path_factory.mktemp("window") for name in [*jobs, *OTHER_ENDS, NO_LABELS, "demo"]}
    asked = [("end", command(job, names, folders[name])) for name, (job, names) in jobs.items()]
    for name, (when, words) in OTHER_ENDS.items():
        asked.append((when, [*command([images / "grey.png"], ["l.tif"], folders[name]), *words]))
    series, _ = jobs["series of volumes as the file says"]
    asked.append(("end", ["segment", *series, *QUICK, "--report", folders[NO_LABELS] / "r.json"]))
    calls = json.dumps(
        [[when, [*map(str, words), "--show"]] for when, words in asked] + [["Ctrl-C at the end", ["demo"]]]
    )
    done = subprocess.run(
        [sys.executable, "-c", USER, calls], capture_output=True, text=True, env=window, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr
    ends = [Shown(*end) for end in json.loads(done.stdout.splitlines()[-1])]
    return {name: (end, folders[name]) for (name, end) in zip(folders, ends, strict=True)}


#: when the user closes the window, and further flags
OTHER_ENDS = {
    "too little memory": ("end", ["--memory_budget", "0.5GB"]),
    "closed": ("now", ["--epochs", "100000"]),
    "Ctrl-C": ("Ctrl-C now", ["--epochs", "100000"]),
    "Ctrl-C at the end": ("Ctrl-C at the end", []),
}
NO_LABELS = "no labels are asked for"


def command(job: Job, names: list[str], folder: Path) -> Job:
    out = folder / names[0] if len(names) == 1 else f"{folder}/"
    return ["segment", *job, *QUICK, "-o", out, "--report", folder / "r.json"]


NAMES = [
    *(
        "joint images",
        "all classes",
        "three classes",
        "stack",
        "axes of length 1",
        "axes of length 1 as planes of a TIFF",
        "volume",
    ),
    *("volume as given, not as the file says", "series of volumes as the file says", "preset"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_window_writes_what_the_terminal_writes(
    name: str,
    shown: dict[str, tuple[Shown, Path]],
    jobs: dict[str, tuple[Job, list[str]]],
    ufseg: Callable[..., Done],
    tmp_path: Path,
) -> None:
    job, names = jobs[name]
    done, folder = shown[name]
    assert done.status == 0, done.err
    assert done.out.splitlines() == [str(folder / its) for its in [*names, "r.json"]]
    assert ufseg(*command(job, names, tmp_path)).status == 0
    reports = [json.loads((place / "r.json").read_text()) for place in (folder, tmp_path)]
    timed = ("outputs", "seconds_per_epoch", "total_seconds", "peak_memory_bytes")
    in_window, in_terminal = ({key: its for key, its in report.items() if key not in timed} for report in reports)
    assert in_window == in_terminal
    for label_file in names:
        one, other = open_image(folder / label_file), open_image(tmp_path / label_file)
        assert (one.axes, one.scale, one.unit) == (other.axes, other.scale, other.unit)
        assert one.classes == other.classes
        assert one.classes.detail is not None
        np.testing.assert_array_equal(one.data[...], other.data[...], strict=True)
    for label_file, record in zip(names, done.records, strict=True):
        drawn_as = {int(one): other for one, other in record.get("joined_by_colour", {}).items()}
        shown_in_window = {drawn_as.get(label, label) for label in record["held"]}
        assert shown_in_window == set(np.unique(open_image(folder / label_file).data[...]).tolist())
    assert [record["config"] for record in done.records] == [in_terminal["config"]] * len(names)
    assert [record["preset"] for record in done.records] == [in_terminal["preset"]] * len(names)


def test_what_the_window_holds_stays_where_no_labels_are_asked_for(shown: dict[str, tuple[Shown, Path]]) -> None:
    done, folder = shown[NO_LABELS]
    assert (done.status, done.out) == (0, f"{folder / 'r.json'}\n")
    classes = json.loads((folder / "r.json").read_text())["classes"]
    assert (classes["detail"], classes["number"], len(classes["pixels"])) == (2, 2, 2)
    assert set(done.records[0]["held"]) == set(map(int, classes["merged"]))  # those of a disk are all classes


def test_a_window_keeps_to_the_memory_budget(
    shown: dict[str, tuple[Shown, Path]], ufseg: Callable[..., Done], images: Path, tmp_path: Path
) -> None:
    """Half a gigabyte is taken already by what a process has to load."""
    done, folder = shown["too little memory"]
    assert done.status == 2
    reason = "There is too little memory to train even on small tiles"
    assert done.err.startswith(f"ufseg: nothing was written: the run failed ({reason}")
    assert list(folder.iterdir()) == []
    words = OTHER_ENDS["too little memory"][1]
    assert ufseg(*command([images / "grey.png"], ["l.tif"], tmp_path), *words).err.startswith(f"ufseg: {reason}")


def test_window_closed_before_the_end(shown: dict[str, tuple[Shown, Path]]) -> None:
    done, folder = shown["closed"]
    assert done.status == 130
    assert done.err.splitlines()[-1] == ("ufseg: nothing was written: the window was closed before the end of the run.")
    assert list(folder.iterdir()) == []


def test_ctrl_c_says_what_is_written(shown: dict[str, tuple[Shown, Path]]) -> None:
    done, folder = shown["Ctrl-C"]
    words = "ufseg: nothing was written: the window was closed by Ctrl-C before the end of the run."
    assert (done.status, done.err.splitlines()[-1], list(folder.iterdir())) == (130, words, [])
    done, folder = shown["Ctrl-C at the end"]
    assert (done.status, done.err) == (130, "ufseg: stopped by Ctrl-C; what there was is written.\n")
    assert {path.name for path in folder.iterdir()} == {"l.tif", "r.json"}
    assert shown["demo"][0].status == 130
    assert shown["demo"][0].err == "ufseg: stopped by Ctrl-C; the demo in a window writes no files.\n"


def test_the_window_is_no_larger_than_the_screen(shown: dict[str, tuple[Shown, Path]]) -> None:
    for end, _ in shown.values():
        assert end.size[0] <= 1280
        assert end.size[1] <= 720
