"""Every flag of ``ufseg segment``: accepted in both spellings, and with an effect."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_ufseg.cli.arguments import ImageOpening, LabelsOutput, Messages, SegmentArguments
from napari_ufseg.cli.parser import parse
from napari_ufseg.engine.config import SegmentationConfig, options
from napari_ufseg.engine.device import DEVICES
from napari_ufseg.io import read_image

from .conftest import QUICK, Done

#: stands for: a stack instead of the two images
STACK = "@stack"
COLOUR = "@colour"
LARGE = "@large"
OTHERS = {STACK: ["stack.tif"], COLOUR: ["colour.png"], LARGE: ["large/large.png"]}

#: option -> (a value that must change the result, flags that the comparison needs)
EFFECTS: dict[str, tuple[Any, str]] = {
    "n_features": (6, ""),
    "n_convolutions": (1, ""),
    "n_classes": (5, ""),
    "spatial_dims": (3, STACK),
    "anisotropy": (4.0, f"{STACK} --spatial_dims 3"),
    "kernels": ("symmetric", ""),
    "padding": ("replicate", ""),
    "skip": ("on", ""),
    "scaling": ("percentile", ""),
    "colour": ("lab", COLOUR),
    "denoise": (5.0, ""),
    "local_contrast": (0.5, ""),
    "local_contrast_size": (4.0, "--local_contrast 0.5"),
    "local_threshold": (0.5, ""),
    "seed": (1, ""),
    "batch_size": (1, ""),
    "epoch_megapixels": (0.03, LARGE),
    "learning_rate": (0.3, ""),
    "learning_rate_decay": (2.0, ""),
    "momentum": (0.9, ""),
    "start": ("clusters", "--skip on"),
    "start_contrast": (2.0, "--skip on --start clusters"),
    "mu": (0.2, ""),
    "nu": (9.0, ""),
    "nu_x": (9.0, ""),
    "nu_y": (9.0, ""),
    "nu_z": (9.0, f"{STACK} --spatial_dims 3"),
    "M": (30.0, ""),
    "m": (30.0, ""),
    "scribble_weight": (4.0, "--scribbles {images}/scribbles.tiff --scribbles -"),
    "correction_weight": (
        20.0,
        "--train_on {images}/model.safetensors --corrected {images}/corrected.tiff --corrected -",
    ),
    "epochs": (3, ""),
    "min_classes": (7, ""),
    "guard": ("on", "--min_classes 7 --nu 20 --M 0 --m 0 --learning_rate 1 --momentum 0.9 --epochs 60"),
    "settle_fraction": (1.0, ""),
    "settle_epochs": (2, "--settle_fraction 1"),
}
STOPS = {"epochs": "epochs", "min_classes": "min_classes", "settle_fraction": "settled", "settle_epochs": "settled"}


class Runs:
    """Runs on two images of equal size; those that were made already are kept."""

    def __init__(self, images: Path, folder: Path) -> None:
        self.images, self.folder = images, folder
        self.kept: dict[tuple[str, ...], tuple[Any, list[Any]]] = {}

    def __call__(self, ufseg: Callable[..., Done], *words: str) -> tuple[Any, list[Any]]:
        if words not in self.kept:
            out = self.folder / str(len(self.kept))
            names = next((its for word, its in OTHERS.items() if word in words), ["grey.png", "grey2.png"])
            files = [self.images / name for name in names]
            every = ["--preset", "generalised", *QUICK, "--detail", "all", "--report", f"{out}.json", "-o", f"{out}/"]
            done = ufseg("segment", *files, *every, *(word for word in words if word not in OTHERS))
            assert done.status == 0, done.err
            labels = [read_image(out / f"{file.stem}_labels.tif") for file in files]
            self.kept[words] = json.loads(Path(f"{out}.json").read_text()), labels
        return self.kept[words]


@pytest.fixture(scope="module")
def runs(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(images, tmp_path_factory.mktemp("runs"))


def test_the_table_of_effects_is_complete() -> None:
    assert list(EFFECTS) == list(options())


@pytest.mark.parametrize("name", EFFECTS)
def test_option_changes_the_result(name: str, runs: Runs, ufseg: Callable[..., Done]) -> None:
    value, needs = EFFECTS[name]
    needed = needs.format(images=runs.images).split()
    before, labels_before = runs(ufseg, *needed)
    after, labels_after = runs(ufseg, *needed, f"--{name}", str(value))
    assert after["config"] == SegmentationConfig.from_dict({**before["config"], name: value}).to_dict()
    if name in STOPS:
        assert after["stop_reason"] == STOPS[name]
        assert after["epochs_run"] < before["epochs_run"]
    else:
        assert any((a != b).any() for a, b in zip(labels_after, labels_before, strict=True))


@pytest.mark.parametrize("name", EFFECTS)
def test_both_spellings_mean_the_same(name: str) -> None:
    value = str(EFFECTS[name][0])
    flags = (name, name.replace("_", "-"))
    known, hyphens = (parse(["segment", "x", "-o", "l.tif", f"--{flag}", value]) for flag in flags)
    assert isinstance(known, SegmentArguments)
    assert known == hyphens
    assert known.options == {name: EFFECTS[name][0]}


@pytest.mark.parametrize("flag", ["n_channels", "channel_axis", "model_path", "memory_budget", "train_on"])
def test_the_other_flags_have_both_spellings_too(flag: str) -> None:
    job, value = ["segment", "x", "-o", "l.tif"], "2GB" if flag == "memory_budget" else "1"
    given, hyphens = (parse([*job, f"--{name}", value]) for name in (flag, flag.replace("_", "-")))
    assert given == hyphens != parse(job)


def test_all_that_is_asked_for_is_in_the_arguments() -> None:
    words = "segment a.tif -o out/ b --axes TYX --n-channels 3 --channel_axis -1 --level 2 --preset paper --device cpu"
    words += (
        " --scribbles s.tif --scribbles - --memory_budget 2GB --force 4 --model_path m --report r --pie p.png --quiet"
    )
    assert parse([*words.split(), "--nu", "7"]) == SegmentArguments(
        inputs=(Path("a.tif"), Path("b")),
        output=LabelsOutput(Path("out"), says_folder=True),
        preset="paper",
        options={"nu": 7},
        opening=ImageOpening("TYX", -1, 3, 2),
        device="cpu",
        memory_budget=2 * 10**9,
        scribbles=(Path("s.tif"), None),
        model_path=Path("m"),
        report=Path("r"),
        pie=Path("p.png"),
        force=4,
        detail="all",
        messages=Messages(quiet=True),
    )
    corrected = parse(["segment", "--path", "a", "-o", "l.tif", "--train_on", "m", "--corrected", "-"])
    assert isinstance(corrected, SegmentArguments)
    assert (corrected.inputs, corrected.train_on, corrected.corrected) == ((Path("a"),), Path("m"), (None,))


@pytest.mark.parametrize(
    ("words", "detail"),
    [
        ("", "auto"),
        ("--detail all", "all"),
        ("--detail 3", 3),
        ("--force 3", "all"),
        ("--scribbles s.tif", "all"),
        ("--train_on m", "auto"),
        ("--train_on m --corrected l.tif", "all"),
        ("--train_on m --corrected l.tif --detail auto", "auto"),
    ],
)
def test_labels_show_the_suggested_detail_unless_the_classes_are_said(words: str, detail: int | str) -> None:
    arguments = parse(["segment", "a.tif", "-o", "l.tif", *words.split()])
    assert isinstance(arguments, SegmentArguments)
    assert arguments.detail == detail


def test_smoothness_along_x_is_not_that_along_y(runs: Runs, ufseg: Callable[..., Done]) -> None:
    _, along_x = runs(ufseg, "--nu_x", "9.0")
    _, along_y = runs(ufseg, "--nu_y", "9.0")
    steps_x = [sum(int((np.diff(item, axis=1) != 0).sum()) for item in labels) for labels in (along_x, along_y)]
    assert steps_x[0] < steps_x[1]  # smooth along x: fewer changes of class from one column to the next


def test_larger_M_makes_the_largest_class_smaller(runs: Runs, ufseg: Callable[..., Done]) -> None:
    labels = [np.concatenate([item.ravel() for item in runs(ufseg, *words)[1]]) for words in ((), ("--M", "30.0"))]
    largest = [np.bincount(item).max() for item in labels]
    assert largest[1] < largest[0]


def test_presets_differ_and_given_flags_override_them(ufseg: Callable[..., Done], images: Path, tmp_path: Path) -> None:
    for preset in ("fast", "generalised", "paper"):
        given = ["--n_features", "4", "--epochs", "2", "--report", tmp_path / "r.json", "-o", tmp_path / "l.tif"]
        assert ufseg("segment", images / "grey.png", "--preset", preset, *given).status == 0
        report = json.loads((tmp_path / "r.json").read_text())
        assert report["preset"] == preset
        assert report["config"] == SegmentationConfig.preset(preset, n_features=4, epochs=2).to_dict()


def test_help_lists_range_and_every_device(ufseg: Callable[..., Done]) -> None:
    done = ufseg("segment", "--help")
    text = " ".join(done.out.split())
    assert done.status == 0
    for name, option in options().items():
        assert f"--{name}" in text
        assert f"--{name.replace('_', '-')}" in text
        assert option.allowed in text
    for word in DEVICES:
        assert word in text
