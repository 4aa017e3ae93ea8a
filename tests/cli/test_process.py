"""``ufseg`` as a real process: start, terminal, Ctrl-C, demo."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import zarr

from napari_ufseg.cli.progress import follow_labelling
from napari_ufseg.io import read_labels

from .conftest import QUICK, Done, environment, process

posix = pytest.mark.skipif(sys.platform == "win32", reason="pseudo terminals and SIGINT as on Unix")
LONG = ["--n_features", "4", "--n_classes", "8", "--epochs", "100000", "--min_classes", "1", "--settle_fraction", "0"]


def test_help_waits_for_neither_torch_nor_napari() -> None:
    code = (
        "import sys\nfrom napari_ufseg.cli import main\n"
        "try: main(['segment', '--help'])\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'napari', 'qtpy', 'skimage') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert "--n_features" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_whole_job_without_a_terminal(images: Path, tmp_path: Path) -> None:
    files = [images / "grey.png", images / "grey2.png"]
    done = process("segment", *files, "-o", "out", "--report", "r.json", "--model_path", "m", *QUICK, cwd=tmp_path)
    written = ["out/grey_labels.tif", "out/grey2_labels.tif", "m", "r.json"]
    assert (done.status, done.out.splitlines()) == (0, [str(Path(name)) for name in written])
    assert done.err == ""  # no progress, and no warning of a library
    again = process("predict", "m", *files, "-o", "again/", cwd=tmp_path)
    assert (again.status, again.err) == (0, "")
    for name in ("grey_labels.tif", "grey2_labels.tif"):
        assert (read_labels(tmp_path / "out" / name) == read_labels(tmp_path / "again" / name)).mean() >= 0.999


def test_status_2_without_a_traceback(tmp_path: Path) -> None:
    done = process("segment", "none.tif", "-o", "l.tif", cwd=tmp_path)
    assert done == Done(2, "", "ufseg: There is no file or folder none.tif.\n")


def _take_signals() -> None:
    """Be open to SIGINT and SIGHUP, as what is started in a terminal is; tests in the background are not, and hand that on."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Terminal:
    """A process whose stderr is a pseudo terminal; it is ended with the block."""

    def __init__(self, *words: str | Path) -> None:
        import pty

        self.reader, writer = pty.openpty()
        command = [sys.executable, "-m", "napari_ufseg", *map(str, words)]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=writer,
            text=True,
            env=environment(),
            start_new_session=True,
            preexec_fn=_take_signals,
        )
        os.close(writer)
        self.shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        os.close(self.reader)

    def wait_for(self, pattern: str, seconds: float = 60) -> None:
        """Read on until the pattern was shown."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.shown):
            assert time.monotonic() < end, f"{pattern!r} was not shown: {self.shown!r}"
            text = self._read()
            assert text, f"ended without showing {pattern!r}: {self.shown!r}"
            self.shown += text

    def finish(self) -> Done:
        while text := self._read():
            self.shown += text
        out, _ = self.process.communicate(timeout=60)
        return Done(self.process.returncode, out, self.shown)

    def _read(self, seconds: float = 60) -> str:
        if not select.select([self.reader], [], [], seconds)[0]:
            return ""
        try:
            return os.read(self.reader, 65536).decode()
        except OSError:  # what Linux raises when the other end is closed
            return ""


def test_nothing_is_written_after_an_end_while_the_bar_is_drawn() -> None:
    class Interrupting:
        pixels = 1

        @property
        def total(self) -> int:  # asked for by the bar, outside the generator
            raise KeyboardInterrupt

    def writing() -> Generator[Any]:
        try:
            yield Interrupting()
        finally:
            ended.append(True)

    ended: list[bool] = []
    with pytest.raises(KeyboardInterrupt) as caught:  # its traceback keeps the frames alive, as in `main`
        follow_labelling(writing(), "labels")
    assert ended
    del caught


@posix
def test_progress_in_a_terminal(images: Path, tmp_path: Path) -> None:
    job = ["segment", images / "grey.png", "-o", tmp_path / "l.tif", *QUICK]
    with Terminal(*job) as loud, Terminal(*job, "--quiet") as quiet:
        done = loud.finish()
        assert quiet.finish() == Done(0, "", "")
    assert done.status == 0
    assert re.search(r"epoch 8/8 .*\d classes, loss \d+\.\d+", done.err)
    assert "left" in done.err
    assert re.search(r"ufseg: the labels show 2 classes of \d; the background has the label \d, not 0", done.err)
    assert re.search(r"grey\.png: 48 x 64, 1 channel\s+ufseg: About \d\.\d GB and \d+ s on cpu\.", done.err)


ENDS = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM", "SIGHUP": "SIGHUP"}  # the signal, and what the program calls it


@posix
@pytest.mark.parametrize("end", ENDS)
def test_ctrl_c_while_a_stack_is_labelled_leaves_nothing(images: Path, tmp_path: Path, end: str) -> None:
    stack = np.tile(np.arange(256, dtype=np.uint8), (400, 256, 1))  # there must be more to do when the bar is seen
    zarr.create_array(tmp_path / "in.zarr", data=stack, chunks=(1, 256, 256))
    job = ["predict", images / "model.safetensors", tmp_path / "in.zarr", "--axes", "TYX"]
    with Terminal(*job, "-o", tmp_path / "out" / "l.ome.zarr") as run:
        run.wait_for(r"reading in.zarr \|")
        run.wait_for(r"l.ome.zarr \|[^|]*\| +[1-9]\d? %")
        run.process.send_signal(getattr(signal, end))
        done = run.finish()
    assert done.status == 130
    assert f"ufseg: stopped by {ENDS[end]} before there was anything to write.\r\n" in done.err
    assert "Traceback" not in done.err
    assert list((tmp_path / "out").iterdir()) == []


@posix
@pytest.mark.parametrize("end", ["SIGINT", "SIGTERM"])
def test_ctrl_c_writes_what_there_is(images: Path, tmp_path: Path, end: str) -> None:
    outputs = {"-o": "l.tif", "--model_path": "m", "--pie": "p.png", "--report": "r.json"}
    flags = [word for flag, name in outputs.items() for word in (flag, tmp_path / name)]
    with Terminal("segment", images / "grey.png", *flags, *LONG) as run:
        run.wait_for(r"epoch [1-9]\d*/100000")
        run.process.send_signal(getattr(signal, end))
        done = run.finish()
    assert done.status == 130
    assert re.search(
        rf"ufseg: stopped by {ENDS[end]} after (1 epoch|\d+ epochs); what there was is written\.", done.err
    )
    assert "Traceback" not in done.err
    assert done.out.splitlines() == [str(tmp_path / name) for name in outputs.values()]
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["interrupted"], report["stop_reason"]) == (True, "stopped")
    assert 1 <= report["epochs_run"] == len(report["losses_per_epoch"]) < 100000
    again = process("predict", tmp_path / "m", images / "grey.png", "-o", tmp_path / "again.tif")
    assert again.status == 0
    assert (read_labels(tmp_path / "l.tif") == read_labels(tmp_path / "again.tif")).mean() >= 0.999
