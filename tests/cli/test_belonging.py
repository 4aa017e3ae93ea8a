"""Labels, model, chart and report of one run: written together, and known as belonging together."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from napari_ufseg.cli import main
from napari_ufseg.io import made_by

from .conftest import QUICK, Done, environment

Ufseg = Callable[..., Done]
OTHERS = {"--model_path": "m", "--pie": "p.png", "--report": "r.json"}
NAMES = ["l.tif", "l.ome.tif", "l.png", "l.zarr"]


def job(images: Path, folder: Path, seed: int, name: str = "l.tif") -> list[str]:
    others = [word for flag, other in OTHERS.items() for word in (flag, str(folder / other))]
    quick = [*QUICK, "--epochs", "2", "--seed", str(seed)]
    return ["segment", str(images / "grey.png"), "-o", str(folder / name), *others, *quick]


def hashes(folder: Path, name: str, ufseg: Ufseg) -> list[str]:
    """Of the labels, the model, the chart and the report, as each of them says it."""
    model = json.loads(ufseg("info", folder / "m", "--json").out)["made_by"]
    with Image.open(folder / "p.png") as chart:
        said = chart.info["made_by"]
    return [made_by(folder / name), model, said, json.loads((folder / "r.json").read_text())["made_by"]]


@pytest.mark.parametrize("name", NAMES)
def test_all_files_of_a_run_say_the_same_hash(name: str, ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    found = []
    for seed in (1, 2):
        assert ufseg(*job(images, tmp_path, seed, name)).status == 0
        found += hashes(tmp_path, name, ufseg)
    assert re.fullmatch("[0-9a-f]{16}", found[0])
    assert found[0] != found[4]
    assert found == [found[0]] * 4 + [found[4]] * 4
    assert f"known as {found[4]}\n" in ufseg("info", tmp_path / name).out
    assert ufseg("info", tmp_path / "m").err == ""
    again = ufseg("predict", tmp_path / "m", images / "grey2.png", "-o", tmp_path / f"again_{name}")
    assert (again.status, again.err) == (0, "")
    assert made_by(tmp_path / f"again_{name}") == found[4]


@pytest.mark.parametrize("name", NAMES)
def test_a_mixture_is_told_when_the_model_is_read(name: str, ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    assert ufseg(*job(images, tmp_path, 1, name)).status == 0
    old = (tmp_path / "m").read_bytes()
    assert ufseg(*job(images, tmp_path, 2, name)).status == 0
    (tmp_path / "m").write_bytes(old)
    words = f"ufseg: warning: {tmp_path / name} and {tmp_path / 'm'} were not written by the same run "
    out = ["-o", tmp_path / "new.tif"]
    folder = tmp_path / "images"
    folder.mkdir()
    for command in (
        ["info", tmp_path / "m"],
        ["predict", tmp_path / "m", images / "grey.png", *out],
        ["batch", tmp_path / "m", images / "pair", "-o", folder],
        ["segment", images / "grey.png", "--train_on", tmp_path / "m", "--epochs", "1", *out],
    ):
        done = ufseg(*command)
        assert done.status == 0
        assert done.err.startswith(words)
    (tmp_path / name).rename(tmp_path / f"moved_{name}")
    assert ufseg("info", tmp_path / "m").err == ""


KILLED = """
import os, sys
from pathlib import Path
from napari_ufseg.engine import files
left = int(sys.argv[1])
def counted(before):
    def call(*arguments):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return before(*arguments)
    return call
os.fsync = counted(os.fsync)
os.replace = counted(os.replace)
files.os.replace = os.replace
files.placed_whole.__wrapped__.__defaults__ = (os.replace,)
from napari_ufseg.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("at", [2, 4, 5, 7])
def test_a_run_that_is_killed_leaves_the_old_files_or_a_mixture_that_is_told(
    at: int, images: Path, tmp_path: Path, ufseg: Ufseg
) -> None:
    assert ufseg(*job(images, tmp_path, 1)).status == 0
    names = ["l.tif", "m", "p.png", "r.json"]
    before = [(tmp_path / name).read_bytes() for name in names]
    command = [sys.executable, "-c", KILLED, str(at), *job(images, tmp_path, 2)]
    assert subprocess.run(command, env=environment(), capture_output=True, check=False).returncode == 9
    is_new = [(tmp_path / name).read_bytes() != old for name, old in zip(names, before, strict=True)]
    assert is_new == [
        number < at - 4 for number in range(4)
    ]  # nothing takes its place before all is whole; labels first
    told = ufseg("info", tmp_path / "m").err
    assert ("were not written by the same run" in told) == (is_new[0] and not is_new[1])
    assert len(list(tmp_path.iterdir())) > 4
    assert main(job(images, tmp_path, 2)) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert len(set(hashes(tmp_path, "l.tif", ufseg))) == 1


@pytest.mark.parametrize("at", range(4))
def test_a_full_disk_leaves_all_old_files(
    at: int, images: Path, tmp_path: Path, ufseg: Ufseg, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ufseg(*job(images, tmp_path, 1)).status == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    sync = os.fsync
    left = [at]

    def full(number: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        sync(number)

    monkeypatch.setattr(os, "fsync", full)
    done = ufseg(*job(images, tmp_path, 2))
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("ufseg: Cannot write ")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
