"""Names of files of any bytes and any length: shown on one line, told in one sentence, and written into reports."""

import csv
import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_ufseg.cli.terminal import visible
from napari_ufseg.io import read_labels

from .conftest import QUICK, Done, blobs

Ufseg = Callable[..., Done]
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names of any bytes as on Linux")
ODD = {  # bytes of a name: how it is shown
    b"a\xffb": r"a\xffb",
    b"a\x1b[31mred": r"a\x1b[31mred",
    b"a\x1b]0;title\x07": r"a\x1b]0;title\x07",
    b"two\nlines": r"two\nlines",
    b"back\rward\x08": r"back\rward\x08",
    "c1\x9b31m".encode(): r"c1\x9b31m",
    "turned\u202etxt".encode(): r"turned\u202etxt",
    "細胞 🔬 ü".encode(): "細胞 🔬 ü",
    b"\xc3\x28\x80": r"\xc3(\x80",
}


def is_one_line(text: str) -> bool:
    return all(letter.isprintable() or letter in "\u200d" for letter in text)


@linux
@pytest.mark.parametrize("name", ODD, ids=ODD.values())
def test_names_of_any_bytes(name: bytes, ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    image = folder / os.fsdecode(name + b".png")
    iio.imwrite(image, blobs())
    (folder / os.fsdecode(name + b"x.png")).write_text("no image")
    model, out, shown = images / "model.safetensors", tmp_path / "out", ODD[name]
    for kind in ("csv", "json"):
        done = ufseg("batch", model, folder, "-o", out / kind, "--report", tmp_path / f"r.{kind}")
        assert done.status == 2
        assert done.out.splitlines()[0] == f"{out}/{kind}/{shown}_labels.tif"
        assert f"ufseg: {folder}/{shown}x.png is not an image" in done.err
        assert all(map(is_one_line, (done.out + done.err).splitlines()))
        text = (tmp_path / f"r.{kind}").read_text(encoding="utf-8")
        rows = json.loads(text) if kind == "json" else list(csv.DictReader(text.splitlines(keepends=True)))
        assert [row["status"] for row in rows] == ["written", "failed"]
    labels = out / os.fsdecode(name + b"_labels.tif")
    outputs = ["--model_path", f"{labels}.model", "--report", f"{labels}.json", "--pie", f"{labels}.png"]
    done = ufseg("segment", image, "-o", labels, *outputs, *QUICK, "--epochs", "1")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[0] == f"{out}/{shown}_labels.tif"
    for file in (labels, f"{labels}.model"):
        done = ufseg("info", file)
        assert done.status == 0
        assert all(map(is_one_line, done.out.splitlines()))
    for command in (["info", f"{labels}.none"], ["predict", f"{labels}.model", f"{image}.none", "-o", out / "l.tif"]):
        done = ufseg(*command)
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
        assert shown in done.err
        assert is_one_line(done.err[:-1])


@given(st.text(st.characters(codec=None), max_size=30) | st.binary(max_size=20).map(os.fsdecode))
def test_any_text_is_shown_on_one_line(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert not set(shown) & set(
        map(chr, [*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
    )
    assert visible(shown) == shown


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_letters_that_a_terminal_does_not_have(encoding: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import io

    from napari_ufseg.cli import main

    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", write_through=True)
    monkeypatch.setattr(sys, "stderr", stream)
    assert main(["info", str(tmp_path / "細胞.tif")]) == 2
    assert b"There is no image file" in stream.buffer.getvalue()  # type: ignore[attr-defined]


# -- names that are too long -----------------------------------------------------------------------------

LONG = ["x" * 245, "é" * 123, "細" * 82, "🔬" * 62]


@pytest.mark.parametrize("stem", LONG, ids=["letters", "accents", "Chinese", "emoji"])
@pytest.mark.parametrize("kind", ["segment", "predict", "batch", "zarr"])
def test_labels_whose_name_would_be_too_long_are_told_before_the_work(
    stem: str, kind: str, ufseg: Ufseg, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    image = tmp_path / "in" / f"{stem}.tif"
    tifffile.imwrite(image, blobs())
    out, model = tmp_path / "out", images / "model.safetensors"
    done = {
        "segment": lambda: ufseg("segment", image, "-o", f"{out}/"),
        "predict": lambda: ufseg("predict", model, image, "-o", f"{out}/"),
        "batch": lambda: ufseg("batch", model, image.parent, "-o", out, "--quiet"),
        "zarr": lambda: ufseg("segment", image, "-o", out / f"{stem}{stem}.zarr"),
    }[kind]()
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert "too long" in done.err
    assert not out.exists()


@pytest.mark.parametrize(
    "words",
    ["info {long}", "segment {long}.tif -o l.tif", "predict {long} {in}/grey.png -o l.tif", "batch {model} {long} -o out",
     "segment {in}/grey.png -o l.tif --scribbles {long}.tif", "segment {in}/grey.png -o l.tif --report {long}.json",
     "segment {in}/grey.png -o {long}/l.tif", "segment {in}/grey.png -o l.tif --model_path {path}",
     "batch {model} {in}/pair -o {path}", "segment {path}.tif -o l.tif"],
)  # fmt: skip
def test_whatever_is_too_long_is_one_sentence(
    words: str, ufseg: Ufseg, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"long": "x" * 300, "path": "/".join(["y" * 200] * 30), "in": images, "model": images / "model.safetensors"}
    monkeypatch.chdir(tmp_path)
    done = ufseg(*words.format(**given).split())
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert "something went wrong inside" not in done.err
    assert not list(tmp_path.iterdir())


# -- folders that may not be entered, and files that may not be read or written ----------------------------


@pytest.mark.parametrize(
    "words",
    ["segment {locked}/a.tif -o l.tif", "segment {locked} -o out/", "predict {model} {locked}/a.tif -o l.tif",
     "batch {model} {locked} -o out", "info {locked}/m", "info {locked}/l.tif", "predict {locked}/m {in}/grey.png -o l.tif",
     "segment {in}/grey.png -o l.tif --scribbles {locked}/s.tif", "segment {in}/grey.png -o {locked}/l.tif",
     "segment {in}/grey.png -o {locked}/l.ome.zarr", "segment {in}/grey.png -o l.tif --report {locked}/r.json"],
)  # fmt: skip
def test_a_folder_that_may_not_be_entered(
    words: str, ufseg: Ufseg, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    real_stat, real_access, real_scan = os.stat, os.access, os.scandir

    def is_inside(path: object) -> bool:
        return isinstance(path, str | Path) and locked in Path(path).parents

    def stat(path: object, *arguments: object, **options: object) -> object:
        if is_inside(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real_stat(path, *arguments, **options)  # type: ignore[arg-type]

    def access(path: object, *arguments: object, **options: object) -> bool:
        is_locked = is_inside(path) or str(path) == str(locked)
        return not is_locked and real_access(path, *arguments, **options)  # type: ignore[arg-type]

    def scandir(path: object = ".") -> object:
        if str(path) == str(locked):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real_scan(path)  # type: ignore[arg-type]

    for name, function in {"stat": stat, "access": access, "scandir": scandir, "listdir": scandir}.items():
        monkeypatch.setattr(os, name, function)
    monkeypatch.chdir(tmp_path)
    given = {"locked": locked, "in": images, "model": images / "model.safetensors"}
    done = ufseg(*words.format(**given).split())
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert "ermission" in done.err or "no file or folder" in done.err
    assert "locked" in done.err


@pytest.mark.parametrize("name", ["l.tif", "l.png", "m", "r.json"])
def test_a_read_only_file_is_named(name: str, ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    paths = {
        "l.tif": tmp_path / "l.tif",
        "m": tmp_path / "m",
        "r.json": tmp_path / "r.json",
        "l.png": tmp_path / "l.png",
    }
    place = paths[name]
    place.write_bytes(b"")
    place.chmod(0o444)
    labels = place if name.startswith("l") else tmp_path / "new.tif"
    others = {"m": ["--model_path", place], "r.json": ["--report", place]}.get(name, [])
    done = ufseg("segment", images / "grey.png", "-o", labels, *others)
    assert done == Done(2, "", f"ufseg: Cannot write {place}: the file that is there is read-only.\n")
    assert list(tmp_path.iterdir()) == [place]


def test_labels_through_a_link(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    for name in ("l.tif", "l.ome.zarr"):
        link, target = tmp_path / name, tmp_path / "far" / name
        link.symlink_to(target)
        for _ in range(2):
            assert ufseg("predict", images / "model.safetensors", images / "grey.png", "-o", link).status == 0
            assert link.is_symlink()
            assert np.array_equal(read_labels(link), read_labels(target))
    assert sorted(path.name for path in (tmp_path / "far").iterdir()) == ["l.ome.zarr", "l.tif"]
