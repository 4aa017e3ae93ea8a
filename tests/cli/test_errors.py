"""Whatever the user can mend: exit status 2, one sentence on stderr, nothing written."""

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_ufseg import SegmentationConfig, save_model
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.network.model import SegmentationModel

from .conftest import QUICK, Done

OUT = "-o {out}/l.tif"

#: the command, and a part of the sentence that it must give
FAULTS = {
    "no command": ("", "Give a command"),
    "unknown command": ("segmnt", "segmnt"),
    "no input": (f"segment {OUT}", "at least one image"),
    "no output": ("segment {in}/grey.png", "-o OUT"),
    "input and path": (f"segment {{in}}/grey.png --path {{in}} {OUT}", "not both"),
    "missing file": (f"segment {{in}}/none.png {OUT}", "none.png"),
    "missing folder": (f"segment --path {{in}}/none {OUT}", "no file or folder"),
    "empty folder": (f"segment {{in}}/empty {OUT}", "holds no image"),
    "not an image": (f"segment {{in}}/broken.png {OUT}", "broken.png is not an image"),
    "not the name of an image": (f"segment {{in}}/notes.txt {OUT}", "notes.txt"),
    "one of several is not an image": ("segment {in}/grey.png {in}/broken.png -o {out}/", "broken.png"),
    "value too large": (f"segment {{in}}/grey.png {OUT} --epochs 0", "epochs is 0, but must be from 1 to 100000"),
    "value not whole": (f"segment {{in}}/grey.png {OUT} --n_features 2.5", "n_features is 2.5, but must be a whole"),
    "value not a number": (f"segment {{in}}/grey.png {OUT} --mu lots", "mu is 'lots', but must be a number"),
    "value not finite": (f"segment {{in}}/grey.png {OUT} --nu nan", "nu is nan"),
    "unknown word": (f"segment {{in}}/grey.png {OUT} --scaling log", "one of minmax, percentile"),
    "value missing": (f"segment {{in}}/grey.png {OUT} --epochs", "--epochs"),
    "all weights zero": (f"segment {{in}}/grey.png {OUT} --mu 0 --nu 0 --M 0 --m 0", "weights"),
    "unknown flag": (f"segment {{in}}/grey.png {OUT} --epoch 3", "did you mean --epochs?"),
    "unknown flag, nothing near": (f"segment {{in}}/grey.png {OUT} --zzz", "no flag --zzz"),
    "too many words": ("info model more", "too many"),
    "unknown preset": (f"segment {{in}}/grey.png {OUT} --preset best", "best"),
    "unknown device": (f"segment {{in}}/grey.png {OUT} --device tpu", "no device 'tpu'"),
    "force 0": (f"segment {{in}}/grey.png {OUT} --force 0", "force is 0"),
    "force a word": (f"segment {{in}}/grey.png {OUT} --force all", "force is 'all'"),
    "detail 0": (f"segment {{in}}/grey.png {OUT} --detail 0", "detail is 0"),
    "detail a word": (f"segment {{in}}/grey.png {OUT} --detail fine", "detail is 'fine'"),
    "detail no whole number": (f"segment {{in}}/grey.png {OUT} --detail 2.5", "detail is 2.5"),
    "detail of a folder": ("batch {in}/model.safetensors {in} -o {out} --detail 0", "detail is 0"),
    "detail of a model": (f"predict {{in}}/model.safetensors {{in}}/grey.png {OUT} --detail few", "detail is 'few'"),
    "detail and force": (f"segment {{in}}/grey.png {OUT} --detail 2 --force 2", "give one of them"),
    "channels do not fit": (f"segment {{in}}/colour.png {OUT} --n_channels 2", "has 3 channels, not 2"),
    "no channels": (f"segment {{in}}/colour.png {OUT} --n_channels 0", "n_channels is 0"),
    "different channels": ("segment {in}/grey.png {in}/colour.png -o {out}/", "colour.png has 3 channels"),
    "channel axis needed": (f"segment {{in}}/planar.tif {OUT}", "--axes"),
    "channel axis out of range": (f"segment {{in}}/planar.tif {OUT} --channel_axis 7", "channel_axis is 7"),
    "channel axis a word": (f"segment {{in}}/planar.tif {OUT} --channel_axis first", "'first'"),
    "channel axis of a flat image": (f"segment {{in}}/grey.png {OUT} --channel_axis 0", "grey.png"),
    "scribbles of wrong shape": (
        f"segment {{in}}/grey.png {OUT} --scribbles {{in}}/wrong_scribbles.tiff",
        "wrong_scribbles.tiff are (20, 64)",
    ),
    "scribbles with colour": (
        f"segment {{in}}/grey.png {OUT} --scribbles {{in}}/colour.png",
        "colour.png are (48, 64, 3)",
    ),
    "scribbles missing": (f"segment {{in}}/grey.png {OUT} --scribbles {{in}}/none.tif", "none.tif"),
    "too few scribbles": (
        "segment {in}/pair -o {out}/ --scribbles {in}/scribbles.tiff",
        "There is 1 --scribbles for 2 images:",
    ),
    "too many classes in the scribbles": (
        f"segment {{in}}/grey.png {OUT} --scribbles {{in}}/grey2.png --n_classes 4",
        "n_classes is 4",
    ),
    "output is no format of labels": ("segment {in}/grey.png -o {out}/l.bmp", "l.bmp end in .tif"),
    "a stack as PNG": ("segment {in}/stack.tif -o {out}/l.png", "PNG holds one plane"),
    "output must be a folder": ("segment {in}/pair -o {out}/l.tif", "must be a folder"),
    "output is an input": ("segment {in}/planar.tif --channel_axis 0 -o {in}/planar.tif", "overwrite an input"),
    "output inside a file": ("segment {in}/grey.png -o {in}/notes.txt/l.tif", "not a folder"),
    "two outputs are one": (f"segment {{in}}/grey.png {OUT} --report {{out}}/l.tif", "overwrite another output"),
    "report is a folder": (f"segment {{in}}/grey.png {OUT} --report {{out}}", "is a folder"),
    "chart is no PNG": (f"segment {{in}}/grey.png {OUT} --pie {{out}}/p.jpg", "end in .png"),
    "no display": (f"segment {{in}}/grey.png {OUT} --show", "needs a display"),
    "model missing": (f"predict {{in}}/none {{in}}/grey.png {OUT}", "no model file"),
    "model is none": (f"predict {{in}}/grey.png {{in}}/grey.png {OUT}", "not a model"),
    "info of none": ("info {in}/grey.png", "not a model"),
    "predict without input": (f"predict {{model}} {OUT}", "at least one image"),
    "predict without output": ("predict {model} {in}/colour.png", "-o OUT"),
    "predict with wrong channels": (f"predict {{model}} {{in}}/grey.png {OUT}", "trained on 3"),
    "demo into a file": ("demo --headless -o {in}/notes.txt", "not a folder"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(
        SegmentationModel(FeatureNet(3, 4, 4, 1), SegmentationConfig(n_features=4, n_classes=4, n_convolutions=1), 3),
        path,
    )
    return path


@pytest.mark.parametrize("fault", FAULTS)
def test_one_sentence_and_status_2(
    fault: str, ufseg: Callable[..., Done], images: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    words, sentence = FAULTS[fault]
    before = sorted(images.rglob("*"))
    done = ufseg(*(word.format(**{"in": images, "out": tmp_path, "model": model}) for word in words.split()))
    assert done.status == 2
    assert done.out == ""
    assert sentence in done.err
    assert done.err.startswith("ufseg: ")
    assert done.err.count("\n") == 1
    assert done.err.rstrip()[-1] in ".?"
    assert list(tmp_path.iterdir()) == []
    assert sorted(images.rglob("*")) == before


def test_debug_shows_the_traceback(ufseg: Callable[..., Done], images: Path) -> None:
    done = ufseg("segment", images / "broken.png", "-o", "l.tif", "--debug")
    assert done.status == 2
    assert "Traceback" in done.err
    assert done.err.splitlines()[-1].startswith("ufseg: ")


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("napari_ufseg.cli.segment.train", "ZeroDivisionError: division by zero"),
        ("napari_ufseg.engine.cpu_step.step.FastStep.loss", "Training failed: ZeroDivisionError: division by zero"),
    ],
    ids=["in the command", "in the engine"],
)
@pytest.mark.parametrize("debug", [False, True])
def test_a_bug_of_ours_is_no_traceback_either(
    debug: bool,
    place: str,
    told: str,
    ufseg: Callable[..., Done],
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(place, lambda *args, **kwargs: 1 / 0)
    flags = ["--debug"] if debug else []
    done = ufseg("segment", images / "grey.png", "-o", tmp_path / "l.tif", *QUICK, *flags)
    assert done.status == 1
    assert done.err.splitlines()[-1] == f"ufseg: something went wrong inside ({told}); --debug shows where."
    assert ("Traceback" in done.err) == debug
    assert debug or done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_is_one_sentence(
    ufseg: Callable[..., Done], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tifffile.imwrite", full)
    done = ufseg("segment", images / "grey.png", "-o", tmp_path / "l.tif", *QUICK)
    assert (done.status, done.err) == (2, f"ufseg: Cannot write {tmp_path / 'l.tif'}: No space left on device.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flags", [[], ["--debug"]])
def test_what_tifffile_logs_of_a_damaged_file_is_for_debug(
    flags: list[str], ufseg: Callable[..., Done], tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 90, 90), np.uint8), photometric="minisblack")
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:9000])
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("tifffile").addHandler(handler)
    try:
        done = ufseg("segment", tmp_path / "a.tif", "-o", tmp_path / "l.tif", *QUICK, *flags)
        ours = len(heard)
        with tifffile.TiffFile(tmp_path / "a.tif") as tiff, suppress(Exception):  # as another plugin of napari does
            tiff.series[0].asarray()
    finally:
        logging.getLogger("tifffile").removeHandler(handler)
    assert done.status == 2
    assert (ours > 0) == bool(flags)
    assert len(heard) > ours
