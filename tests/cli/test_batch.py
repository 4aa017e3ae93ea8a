"""``ufseg batch``: a folder in, a folder out, one line per image."""

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import torch

from napari_ufseg import SegmentationConfig, save_model
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.io import read_labels

from .conftest import Done, blobs
from .test_process import Terminal, posix

SUMMARY = "ufseg: 3 written, 0 skipped, 0 failed.\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = SegmentationConfig(n_features=4, n_classes=4, n_convolutions=1)
    path = tmp_path_factory.mktemp("model") / "grey.safetensors"
    save_model(SegmentationModel(FeatureNet(1, 4, 4, 1).eval(), config, 1), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three grey images, one of them in a folder of its own."""
    place = tmp_path / "images"
    (place / "deep").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "deep/c.png")):
        iio.imwrite(place / name, blobs((20, 24), seed=number))
    return place


def test_a_folder_and_again(ufseg: Callable[..., Done], model: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written = [str(out / name) for name in ("a_labels.tif", "b_labels.tif", "deep/c_labels.tif")]
    done = ufseg("batch", model, folder, "-o", out, "--device", "cpu")
    assert done == Done(0, "\n".join(written) + "\n", SUMMARY)
    assert ufseg("predict", model, folder / "a.png", "-o", tmp_path / "one.tif").status == 0
    np.testing.assert_array_equal(read_labels(written[0]), read_labels(tmp_path / "one.tif"))
    Path(written[1]).unlink()
    again = ufseg("batch", model, folder, "-o", out)
    told = f"{written[0]} (skipped)\n{written[1]}\n{written[2]} (skipped)\n"
    assert again == Done(
        0, told, "ufseg: 1 written, 2 skipped, 0 failed (--existing overwrite does the skipped anew).\n"
    )
    assert ufseg("batch", model, folder, "-o", out, "--existing", "overwrite") == done
    assert ufseg("batch", model, folder, "-o", out, "--quiet") == Done(0, "", "")


def test_flags(ufseg: Callable[..., Done], model: Path, folder: Path, tmp_path: Path) -> None:
    tifffile.imwrite(folder / "deep" / "stack.tif", np.stack([blobs((20, 24))] * 5), photometric="minisblack")
    done = ufseg("batch", model, folder / "deep", "-o", tmp_path / "out", "--axes", "TYX", "--format", "ome.zarr")
    assert done.status == 2  # the axes are not those of the flat image
    assert done.out.splitlines() == [str(tmp_path / "out" / "stack_labels.ome.zarr")]
    assert "c.png" in done.err
    pictures = ufseg("batch", model, folder, "-o", tmp_path / "png", "--format", "png")
    assert pictures.status == 2  # a stack is no PNG
    names = ["a_labels.png", "b_labels.png", "c_labels.png"]
    assert [Path(line).name for line in pictures.out.splitlines()] == names
    flat = ufseg("batch", model, folder, "-o", tmp_path / "flat", "--no-recursive")
    assert [Path(line).name for line in flat.out.splitlines()] == ["a_labels.tif", "b_labels.tif"]
    for name in ("a_labels", "b_labels"):
        np.testing.assert_array_equal(
            read_labels(tmp_path / "png" / f"{name}.png"), read_labels(tmp_path / "flat" / f"{name}.tif")
        )


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_failure_is_one_line_and_status_2(
    kind: str, ufseg: Callable[..., Done], model: Path, folder: Path, tmp_path: Path
) -> None:
    (folder / "b.png").write_text("no image")
    iio.imwrite(folder / "flat.png", np.full((20, 20), 3, np.uint8))
    report = tmp_path / f"report.{kind}"
    done = ufseg("batch", model, folder, "-o", tmp_path / "out", "--report", report)
    assert done.status == 2
    assert [Path(line).name for line in done.out.splitlines()] == [
        *("a_labels.tif", "c_labels.tif", "flat_labels.tif"),
        report.name,
    ]
    failure, warning, summary = done.err.splitlines()
    assert failure.startswith(f"ufseg: {folder / 'b.png'} is not an image")
    assert warning == f"ufseg: warning: The image {folder / 'flat.png'} is constant: all of it is one class."
    assert summary == "ufseg: 3 written, 0 skipped, 1 failed."
    text = report.read_text(encoding="utf-8")
    rows = json.loads(text) if kind == "json" else list(csv.DictReader(text.splitlines()))
    assert [row["status"] for row in rows] == ["written", "failed", "written", "written"]
    assert rows[1]["image"] == str(folder / "b.png")
    assert rows[1]["message"] == failure.removeprefix("ufseg: ")
    assert rows[0]["labels"] == str(tmp_path / "out" / "a_labels.tif")
    assert float(rows[0]["seconds"]) > 0
    quiet = ufseg("batch", model, folder, "-o", tmp_path / "out", "--quiet")
    assert (quiet.status, quiet.out, quiet.err.splitlines()) == (2, "", [failure])


def test_a_disk_that_stays_full_is_told_once(
    ufseg: Callable[..., Done], model: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tifffile.imwrite", full)
    monkeypatch.setattr("napari_ufseg.batch.folder.tempfile.TemporaryFile", full)
    out = tmp_path / "out"
    done = ufseg("batch", model, folder, "-o", out)
    assert (done.status, done.out) == (2, "")
    assert done.err.splitlines() == [
        f"ufseg: Cannot write {out / 'a_labels.tif'}: No space left on device.",
        f"ufseg: given up, since no further labels can be written to {out}: 0 written, 0 skipped, 1 failed, 2 not done.",
    ]
    assert not out.exists()


def test_a_report_that_is_not_written_is_not_told(
    ufseg: Callable[..., Done], model: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(device: str) -> torch.device:  # asked for before the first image
        signal.raise_signal(signal.SIGINT)
        return torch.device(device)

    monkeypatch.setattr("napari_ufseg.batch.folder.resolve_device", pressed)
    report = tmp_path / "r.csv"
    done = ufseg("batch", model, folder, "-o", tmp_path / "out", "--report", report, "--device", "cpu")
    assert (done.status, done.out) == (130, "")
    assert "stopped by Ctrl-C: 0 written, 0 skipped, 0 failed, 3 not done" in done.err
    assert not report.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("{model} {folder}", "-o OUT"),
        ("{model} {folder}/none -o {out}", "no file or folder"),
        ("{model} {folder}/a.png -o {out}", "no folder of images"),
        ("{folder}/a.png {folder} -o {out}", "not a model"),
        ("{model} {folder} -o {folder}/a.png/out", "not a folder"),
        ("{model} {folder} -o {out} --report {out}.txt", "end in .csv or .json"),
        ("{model} {folder} -o {out} --report {folder}/a.png/r.csv", "not a folder"),
        ("{model} {folder} -o {out} --existing ask", "--existing"),
        ("{model} {folder} -o {out} --device tpu", "no device 'tpu'"),
        ("{model} {folder} {folder} -o {out}", "too many"),
        ("{model} {folder} -o {out} --formats tif", "did you mean --format?"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    words: str, sentence: str, ufseg: Callable[..., Done], model: Path, folder: Path, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    given = words.format(model=model, folder=folder, out=tmp_path / "out").split()
    done = ufseg("batch", *given)
    assert (done.status, done.out) == (2, "")
    assert sentence in done.err
    assert done.err.startswith("ufseg: ")
    assert done.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@posix
def test_ctrl_c_in_a_terminal_and_the_rest_later(
    ufseg: Callable[..., Done], model: Path, folder: Path, tmp_path: Path
) -> None:
    tifffile.imwrite(folder / "deep" / "large.tif", np.tile(blobs((400, 500)), (12, 20)))
    out, report = tmp_path / "out", tmp_path / "r.csv"
    with Terminal("batch", model, folder, "-o", out, "--report", report, "--device", "cpu") as run:
        run.wait_for(r"4/4 large\.tif \|.* left")
        run.process.send_signal(signal.SIGINT)
        done = run.finish()
    assert done.status == 130
    assert "ufseg: stopped by Ctrl-C: 3 written, 0 skipped, 0 failed, 1 not done" in done.err
    assert "Traceback" not in done.err
    names = ["a_labels.tif", "b_labels.tif", "deep", "deep/c_labels.tif"]
    assert [path.relative_to(out).as_posix() for path in sorted(out.rglob("*"))] == names
    assert done.out.splitlines() == [*(str(out / name) for name in names if name != "deep"), str(report)]
    assert len(report.read_text().splitlines()) == 4
    iio.imwrite(folder / "deep" / "d.png", blobs((20, 24)))
    (folder / "deep" / "large.tif").unlink()
    assert (
        ufseg("batch", model, folder, "-o", out).err
        == "ufseg: 1 written, 3 skipped, 0 failed (--existing overwrite does the skipped anew).\n"
    )
