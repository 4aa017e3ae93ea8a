"""``ufseg segment``, ``predict`` and ``info``: which files come out, and what is in them."""

import json
import platform
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageDraw

from napari_ufseg import __version__, load_model, save_model
from napari_ufseg.cli.chart import colours_of
from napari_ufseg.cli.progress import train
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.engine.labels.hierarchy import relabel
from napari_ufseg.engine.labels.palette import shades_of
from napari_ufseg.io import open_image, read_image, read_labels, write_labels

from .conftest import QUICK, Done, blobs

Ufseg = Callable[..., Done]


def test_one_image_gives_the_file_that_was_named(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "labels.tif"
    done = ufseg("segment", images / "grey.png", "-o", out, *QUICK)
    assert (done.status, done.out, done.err) == (0, f"{out}\n", "")
    labels = tifffile.imread(out)
    assert (labels.shape, labels.dtype) == ((48, 64), np.uint16)
    assert len(np.unique(labels)) > 1
    assert labels.min() >= 1


def test_one_image_into_a_folder(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    assert ufseg("segment", images / "grey.png", "-o", tmp_path, *QUICK).out == f"{tmp_path / 'grey_labels.tif'}\n"
    done = ufseg("segment", images / "grey.png", "-o", f"{tmp_path}/new/", *QUICK)
    assert done.out == f"{tmp_path / 'new' / 'grey_labels.tif'}\n"


def test_a_folder_is_trained_jointly(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    with_input = ufseg("segment", images / "pair", "-o", tmp_path / "1", "--report", tmp_path / "r.json", *QUICK)
    with_path = ufseg("segment", "--path", images / "pair", "-o", tmp_path / "2", *QUICK)
    assert (with_input.status, with_path.status) == (0, 0)
    assert sorted(file.name for file in (tmp_path / "1").iterdir()) == ["a_labels.tif", "b_labels.tif"]
    for name, shape in (("a_labels.tif", (48, 64)), ("b_labels.tif", (40, 56))):  # sizes differ
        labels = read_labels(tmp_path / "1" / name)
        assert labels.shape == shape
        assert (labels == read_labels(tmp_path / "2" / name)).all()
    report = json.loads((tmp_path / "r.json").read_text())
    assert [Path(item["path"]).name for item in report["input"]] == ["a.png", "b.png"]
    everything = (*QUICK, "--detail", "all")
    ufseg("segment", images / "pair", "-o", tmp_path / "3", *everything)
    ufseg("segment", images / "grey.png", "-o", tmp_path / "alone.tif", *everything)  # the same as pair/a.png
    assert (read_labels(tmp_path / "alone.tif") != read_labels(tmp_path / "3" / "a_labels.tif")).any()


def test_equal_stems_do_not_overwrite_each_other(ufseg: Ufseg, tmp_path: Path) -> None:
    for name in ("a.png", "a.tif", "b.png", "x/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        iio.imwrite(tmp_path / name, blobs())
    files = [tmp_path / name for name in ("a.png", "a.tif", "b.png", "x/b.png")]
    ufseg("segment", *files, "-o", tmp_path / "out", *QUICK)
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"a.png_labels.tif", "a.tif_labels.tif", "b.png_labels.tif", "b.png_2_labels.tif"}


def test_flags_may_stand_between_inputs(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    done = ufseg("segment", images / "grey.png", "-o", tmp_path / "out", *QUICK, images / "grey2.png")
    assert [Path(line).name for line in done.out.splitlines()] == ["grey_labels.tif", "grey2_labels.tif"]


def test_report_says_all_there_is_to_say(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "l.tif", tmp_path / "r.json"
    words = ["--seed", "5", "--detail", "all", *QUICK]
    done = ufseg("segment", images / "colour.png", "-o", out, "--report", file, *words)
    assert done.out == f"{out}\n{file}\n"
    report = json.loads(file.read_text())
    path = str((images / "colour.png").resolve())
    assert report["input"] == [
        {"path": path, "shape": [48, 64, 3], "dtype": "uint8", "axes": "YXC", "what": "48 x 64, 3 channels"}
    ]
    assert (report["seed"], report["config"]["seed"], report["config"]["n_features"]) == (5, 5, 4)
    assert (report["device"], report["stop_reason"], report["epochs_run"]) == ("cpu", "epochs", 8)
    assert report["versions"]["torch"] == torch.__version__
    assert report["versions"]["napari-ufseg"] == __version__
    assert report["versions"]["python"] == platform.python_version()
    assert {"numpy", "scikit-image"} <= set(report["versions"])
    labels, counts = np.unique(tifffile.imread(out), return_counts=True)
    pixels = {str(label): int(count) for label, count in zip(labels, counts, strict=True)}
    assert report["classes"].pop("background") in labels
    assert report["classes"] == {"number": len(labels), "pixels": pixels, "detail": None, "merged": None}
    for key in ("losses_per_epoch", "seconds_per_epoch", "classes_per_epoch", "changed_per_epoch"):
        assert len(report[key]) == 8
    assert {"total", "similarity", "continuity"} <= set(report["losses_per_epoch"][0])
    assert report["total_seconds"] >= sum(report["seconds_per_epoch"]) > 0
    assert report["peak_memory_bytes"]["process"] > 2**20
    assert report["outputs"] == [str(out.resolve()), str(file.resolve())]
    assert report["interrupted"] is False


def test_model_reproduces_the_labels_it_was_trained_to(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    model, planar = tmp_path / "model.safetensors", images / "planar.tif"
    done = ufseg(
        "segment",
        planar,
        "-o",
        tmp_path / "l.tif",
        "--channel-axis",
        "0",
        "--model_path",
        model,
        "--force",
        "3",
        *QUICK,
    )
    assert (done.status, done.err) == (0, "")
    again = ufseg("predict", model, planar, planar, "-o", tmp_path / "p.tif", "--channel_axis", "0", "--device", "cpu")
    assert (again.status, again.out) == (0, f"{tmp_path / 'p.tif'}\n")
    labels = read_labels(tmp_path / "l.tif")
    assert (labels == read_labels(tmp_path / "p.tif")).mean() >= 0.999
    assert len(np.unique(labels)) == 3


@pytest.mark.parametrize("n", [2, 3])
def test_force_merges_the_classes_that_a_detail_shows_as_one_in_the_model_too(
    n: int, ufseg: Ufseg, images: Path, tmp_path: Path
) -> None:
    image, model, report = images / "grey.png", tmp_path / "m", tmp_path / "r.json"
    labels = {}
    for name, words in {"free": ["--detail", "all"], "shown": ["--detail", n], "forced": ["--force", n]}.items():
        files = ["-o", tmp_path / f"{name}.tif", "--report", report, "--model_path", model]
        assert ufseg("segment", image, *files, *words, *QUICK).status == 0
        labels[name] = read_labels(tmp_path / f"{name}.tif")
    assert len(np.unique(labels["free"])) > n
    assert len(np.unique(labels["forced"])) == n
    np.testing.assert_array_equal(labels["forced"], labels["shown"])
    classes = json.loads(report.read_text())["classes"]
    assert (classes["detail"], classes["number"]) == (None, n)  # all that there are
    assert all((labels["forced"][labels["free"] == int(old)] == new).all() for old, new in classes["merged"].items())
    for words in ([], ["--detail", "all"]):
        assert ufseg("predict", model, image, "-o", tmp_path / "p.tif", *words).status == 0
        np.testing.assert_array_equal(read_labels(tmp_path / "p.tif"), labels["forced"])
    assert load_model(model).hierarchy.n_classes == n


@pytest.mark.parametrize(("words", "n_shown"), [([], 2), (["--detail", "3"], 3)])
def test_labels_are_written_at_a_detail_and_the_model_keeps_all_classes(
    words: list[str], n_shown: int, ufseg: Ufseg, images: Path, tmp_path: Path
) -> None:
    image, free, shown, model = images / "grey.png", tmp_path / "free.tif", tmp_path / "shown.tif", tmp_path / "m"
    ufseg("segment", image, "-o", free, "--detail", "all", *QUICK)
    chart = tmp_path / "c.png"
    files = ["--report", tmp_path / "r.json", "--model_path", model, "--pie", chart]
    assert ufseg("segment", image, "-o", shown, *words, *files, *QUICK).status == 0
    before, after = read_labels(free), read_labels(shown)
    assert len(np.unique(before)) > len(np.unique(after)) == n_shown
    classes = json.loads((tmp_path / "r.json").read_text())["classes"]
    assert (classes["detail"], classes["number"]) == (n_shown, n_shown)
    assert classes["background"] == load_model(model).hierarchy.background_at(n_shown)
    assert str(classes["background"]) in classes["pixels"]
    assert all((after[before == int(old)] == new).all() for old, new in classes["merged"].items())
    drawn = {tuple(colour) for colour in iio.imread(chart)[:, :360].reshape(-1, 3).tolist()}
    its = colours_of(np.unique(after).tolist(), open_image(shown).classes)
    others = colours_of(set(np.unique(before).tolist()) - its.keys(), open_image(free).classes)
    assert drawn >= set(its.values())
    assert not drawn & set(others.values())
    for asked, expected in (([], after), (["--detail", str(n_shown)], after), (["--detail", "all"], before)):
        assert ufseg("predict", model, image, "-o", tmp_path / "p.tif", *asked).status == 0
        np.testing.assert_array_equal(read_labels(tmp_path / "p.tif"), expected)
        again = ["--no-recursive", "--existing", "overwrite"]
        assert (
            ufseg("batch", model, images, "-o", tmp_path / "folder", *asked, *again).status == 2
        )  # not all are images
        np.testing.assert_array_equal(read_labels(tmp_path / "folder" / "grey_labels.tif"), expected)


@pytest.mark.parametrize("name", ["l.tif", "l.ome.zarr", "l.png"])
def test_label_files_say_which_detail_they_show_and_how_classes_were_joined(
    name: str, ufseg: Ufseg, images: Path, tmp_path: Path
) -> None:
    image, out, again, model = images / "grey.png", tmp_path / name, tmp_path / f"again_{name}", tmp_path / "m"
    files = ["-o", tmp_path / "all.tif", "--model_path", model, "--detail", "all"]
    assert ufseg("segment", image, *files, *QUICK).status == 0
    whole, tree = read_labels(tmp_path / "all.tif"), load_model(model).hierarchy
    shades = shades_of(tree.brightness)
    for detail in (2, tree.n_classes):
        assert ufseg("segment", image, "-o", out, "--detail", detail, *QUICK).status == 0
        classes, labels = open_image(out).classes, read_labels(out)
        assert classes.detail == (detail, tree.n_classes)
        np.testing.assert_array_equal(relabel(whole, classes.label_of), labels)
        shown = tree.shown_class(detail)
        assert {label: classes[label].shade for label in shown.values()} == {
            label: shades[label] for label in shown.values()
        }
        assert [label for label in shown.values() if not classes[label].is_visible] == [
            label for label in shown.values() if label == shown[tree.background or 0]
        ]
        assert (labels == shown[tree.background or 0]).any()  # it keeps its number
        assert ufseg("predict", model, image, "-o", again, "--detail", detail).status == 0
        assert open_image(again).classes == classes
        np.testing.assert_array_equal(read_labels(again), labels)
    assert ufseg("batch", model, images / "pair", "-o", tmp_path / "out", "--detail", detail).status == 0
    assert open_image(tmp_path / "out" / "a_labels.tif").classes == classes


def test_labels_of_merged_classes_say_what_was_merged(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    files = ["-o", tmp_path / "l.tif", "--model_path", tmp_path / "m", "--report", tmp_path / "r.json"]
    assert ufseg("segment", images / "grey.png", *files, "--force", "3", *QUICK).status == 0
    classes, merged = open_image(tmp_path / "l.tif").classes, json.loads((tmp_path / "r.json").read_text())["classes"]
    assert classes.detail == (3, 3)
    assert classes.label_of == {int(old): new for old, new in merged["merged"].items() if int(old) != new}
    assert load_model(tmp_path / "m").classes.label_of == {}  # its classes are what they were merged to


def test_names_of_a_model_stay_when_its_training_goes_on(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    model = load_model(images / "model.safetensors")
    tree = model.hierarchy
    named = replace(model, classes=ClassTable().changed(tree.background or 0, name="ground", colour="#010203"))
    save_model(named, tmp_path / "named")
    files = ["-o", tmp_path / "l.tif", "--model_path", tmp_path / "m", "--train_on", tmp_path / "named"]
    assert ufseg("segment", images / "grey.png", *files, "--epochs", "1", "--detail", "all").status == 0
    for classes in (open_image(tmp_path / "l.tif").classes, load_model(tmp_path / "m").classes):
        assert (classes[tree.background or 0].name, classes[tree.background or 0].colour) == ("ground", "#010203")


def test_force_with_more_than_there_are_changes_nothing(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    ufseg("segment", images / "grey.png", "-o", tmp_path / "a.tif", "--detail", "all", *QUICK)
    done = ufseg("segment", images / "grey.png", "-o", tmp_path / "b.tif", "--force", "50", *QUICK)
    assert done.status == 0
    assert (read_labels(tmp_path / "a.tif") == read_labels(tmp_path / "b.tif")).all()


def test_n_channels_turns_colour_into_grey_and_back(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    for n_channels, name in (("1", "colour.png"), ("3", "grey.png"), ("1", "grey.png"), ("3", "colour.png")):
        model = tmp_path / "m"
        flags = ["--n_channels", n_channels, "--model_path", model, "-o", tmp_path / f"{n_channels}{name}.tif"]
        assert ufseg("segment", images / name, *flags, *QUICK).status == 0
        assert load_model(model).n_channels == int(n_channels)
    grey = read_labels(tmp_path / "1colour.png.tif")
    assert (grey != read_labels(tmp_path / "3colour.png.tif")).any()
    both = ufseg(
        "segment", images / "colour.png", images / "grey.png", "--n-channels", "1", "-o", tmp_path / "both", *QUICK
    )
    assert both.status == 0
    assert ufseg("predict", model, images / "grey.png", "--n_channels", "3", "-o", tmp_path / "p.tif").status == 0


def test_scribbles_train_the_label_they_show(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    file = images / "scribbles.tiff"
    flags = ["--scribbles", file, "--scribble_weight", "5", "--epochs", "30", "--n_features", "12"]
    assert ufseg("segment", images / "grey.png", "-o", tmp_path / "l.tif", *QUICK, *flags).status == 0
    labels, scribbles = read_labels(tmp_path / "l.tif"), read_labels(file)
    assert (labels[scribbles > 0] == scribbles[scribbles > 0]).mean() > 0.9


def test_scribbles_in_a_png_with_a_palette_are_its_numbers(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    scribbles = read_image(images / "scribbles.tiff")
    picture = Image.fromarray(scribbles.astype(np.uint8)).convert("P")
    picture.putdata(scribbles.ravel().tolist())
    picture.putpalette(bytes(range(255, -1, -1)) * 3)
    picture.save(tmp_path / "palette.png")
    for name, file in {"tiff": images / "scribbles.tiff", "png": tmp_path / "palette.png"}.items():
        done = ufseg("segment", images / "grey.png", "--scribbles", file, "-o", tmp_path / f"{name}.tif", *QUICK)
        assert (done.status, done.err) == (0, "")
    np.testing.assert_array_equal(read_labels(tmp_path / "png.tif"), read_labels(tmp_path / "tiff.tif"))


def test_pie_is_a_chart_of_the_areas(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    pie = tmp_path / "pie.png"
    done = ufseg("segment", images / "grey.png", "-o", tmp_path / "l.tif", "--pie", pie, "--force", "2", *QUICK)
    assert done.out.splitlines()[-1] == str(pie)
    labels, counts = np.unique(read_labels(tmp_path / "l.tif"), return_counts=True)
    chart = iio.imread(pie)[:, :360].reshape(-1, 3)
    colours = colours_of(labels.tolist(), open_image(tmp_path / "l.tif").classes)
    drawn = [int((chart == colour).all(axis=1).sum()) for colour in colours.values()]
    assert np.allclose(np.array(drawn) / sum(drawn), counts / counts.sum(), atol=0.02)


@pytest.mark.parametrize(("dims", "unit"), [("2", "pixels"), ("3", "voxels")])
def test_the_chart_says_what_it_counts(
    dims: str, unit: str, ufseg: Ufseg, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: list[str] = []
    draw = ImageDraw.ImageDraw.text

    def text(self: Any, at: Any, written: str, *options: Any, **more: Any) -> None:
        words.append(written)
        draw(self, at, written, *options, **more)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    done = ufseg("segment", images / "stack.tif", "--pie", tmp_path / "p.png", *QUICK, "--spatial_dims", dims,
                 "-o", tmp_path / "l.tif")  # fmt: skip
    assert done.status == 0
    assert words[:3] == ["label", "share", unit]


@pytest.mark.parametrize(("name", "when"), [("stack.tif", "in the first epoch"), ("grey.png", "after 1 epoch")])
def test_ctrl_c_after_the_first_step(
    name: str, when: str, ufseg: Ufseg, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*session: Any, **options: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return train(*session, **options)

    monkeypatch.setattr("napari_ufseg.cli.segment.train", pressed)
    done = ufseg("segment", images / name, "-o", tmp_path / "l.tif", *QUICK, "--batch_size", "1")
    assert (done.status, done.out) == (130, f"{tmp_path / 'l.tif'}\n")
    assert done.err == f"ufseg: stopped by Ctrl-C {when}; what there was is written.\n"
    assert read_image(tmp_path / "l.tif").shape[-2:] == (48, 64)


def test_many_classes_get_different_colours() -> None:
    assert len(set(colours_of(range(1, 101), ClassTable()).values())) == 100


def test_quiet_prints_nothing(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    assert ufseg("segment", images / "grey.png", "-o", tmp_path / "l.tif", "--quiet", *QUICK) == Done(0, "", "")


def test_constant_image_is_a_warning_that_names_the_file(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    done = ufseg("segment", images / "grey.png", images / "flat.png", "-o", tmp_path, "--force", "2", *QUICK)
    assert done.status == 0
    assert done.err == f"ufseg: warning: The image {images / 'flat.png'} is constant: all of it is one class.\n"


def test_info_describes_the_model(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    model = tmp_path / "m"
    ufseg("segment", images / "colour.png", "-o", tmp_path / "l.tif", "--model_path", model, *QUICK)
    done = ufseg("info", model)
    assert done.status == 0
    assert "Channels:  3" in done.out
    assert "1-8 (8 in all)" in done.out
    assert "n_features" in done.out
    facts = json.loads(ufseg("info", model, "--json").out)
    assert facts["config"]["n_classes"] == 8
    assert facts["labels"] == list(range(1, 9))


@pytest.mark.parametrize("name", ["l.tif", "l.ome.zarr", "l.png"])
def test_info_tells_which_detail_labels_show(name: str, ufseg: Ufseg, tmp_path: Path) -> None:
    said = ClassTable().changed(3, members=(3, 4), name="cells").shown({1: 1, 2: 1, 3: 3, 4: 3, 5: 1})
    write_labels(tmp_path / name, [[1, 3, 1]], classes=said.changed(1, is_visible=False))
    done = ufseg("info", tmp_path / name)
    assert done == Done(
        0,
        f"Labels:    {tmp_path / name}\nShape:     1 x 3 (YX)\n"
        "Detail:    2 of 5 classes shown (1 = 1, 2, 5; 3 = 3, 4)\nNot drawn: 1\nNames:     3 cells\n",
        "",
    )
    assert json.loads(ufseg("info", tmp_path / name, "--json").out) == {
        "shape": [1, 3],
        "axes": "YX",
        "detail": {"shown": 2, "of": 5},
        "shown_as": {"1": [1, 2, 5], "3": [3, 4]},
        "hidden": [1],
        "names": {"3": "cells"},
    }
    write_labels(tmp_path / f"old_{name}", [[1, 3, 1]])
    assert "Detail:    not told by the file\n" in ufseg("info", tmp_path / f"old_{name}").out


def test_info_refuses_what_is_neither_a_model_nor_labels(ufseg: Ufseg, images: Path) -> None:
    done = ufseg("info", images / "grey.png")
    assert (done.status, done.out) == (2, "")
    assert "grey.png is not a model, and does not say that it holds labels: ufseg info tells of these two." in done.err


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["predict", "--help"], ["demo", "--help"]])
def test_help_and_version(words: list[str], ufseg: Ufseg) -> None:
    done = ufseg(*words)
    assert done.status == 0
    assert (__version__ if words == ["--version"] else "usage: ufseg") in done.out


def test_a_training_goes_on_from_corrected_labels(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    first = read_image(images / "corrected.tiff")
    words = ["--train_on", images / "model.safetensors", "--corrected", images / "corrected.tiff", "--corrected", "-"]
    files = [images / "grey.png", images / "grey2.png"]
    done = ufseg("segment", *files, *words, "--model_path", tmp_path / "m.safetensors", "-o", f"{tmp_path}/out/")
    assert done.status == 0, done.err
    labels = read_image(tmp_path / "out" / "grey_labels.tif")
    assert (labels[first == 40] == 40).all()
    assert 40 in load_model(tmp_path / "m.safetensors").class_labels


def test_background_takes_no_part_when_classes_are_merged(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    corrected = read_image(images / "corrected.tiff")
    tifffile.imwrite(tmp_path / "with0.tiff", np.where(corrected == 40, 0, corrected))
    words = ["--train_on", images / "model.safetensors", "--corrected", tmp_path / "with0.tiff", "--force", "2"]
    done = ufseg("segment", images / "grey.png", *words, "-o", tmp_path / "l.tif")
    assert done.status == 0, done.err
    labels = read_image(tmp_path / "l.tif")
    assert (labels[corrected == 40] == 0).all()
    assert len(set(np.unique(labels)) - {0}) == 2


def test_voxels_have_the_depth_that_the_file_says(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    stack = read_image(images / "stack.tif")
    about: dict[str, Any] = {"axes": "ZYX", "spacing": 1.5, "unit": "um"}
    tifffile.imwrite(tmp_path / "deep.tif", stack, imagej=True, resolution=(2, 2), metadata=about)
    labels = {}
    for name, words in {"file": [], "same": ["--anisotropy", "3"], "cubes": ["--anisotropy", "1"]}.items():
        out, report = tmp_path / f"{name}.tif", tmp_path / f"{name}.json"
        flags = ["--spatial_dims", "3", "--detail", "all", *QUICK, *words, "-o", out, "--report", report]
        assert ufseg("segment", tmp_path / "deep.tif", *flags).status == 0
        labels[name] = read_image(out)
        assert json.loads(report.read_text())["config"]["anisotropy"] == (1 if name == "cubes" else 3)
    np.testing.assert_array_equal(labels["file"], labels["same"])
    assert (labels["file"] != labels["cubes"]).any()


def _write_stack(file: Path, told: dict[str, Any]) -> None:
    """Three planes, 0.1 µm wide where nothing else is told, as ImageJ or (with PhysicalSize...) OME writes them."""
    stack = np.stack([blobs((24, 32), seed=seed) for seed in range(3)])
    if "PhysicalSizeX" not in told:
        metadata = {"axes": "ZYX", "unit": "um", **told}
        tifffile.imwrite(file, stack, imagej=True, resolution=(10, 10), metadata=metadata)
        return
    tifffile.imwrite(file, stack, ome=True, photometric="minisblack", metadata={"axes": "ZYX", **told})


@pytest.mark.parametrize(
    ("told", "axes", "anisotropy", "steps", "said"),
    [
        ({"PhysicalSizeX": 0.1, "PhysicalSizeZ": 0.3}, None, 3, (0.3, 0.1, 0.1), "assumed to be square"),
        ({"PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1}, None, 1, (None, 0.1, 0.1), "assumed to be as deep as wide"),
        ({"axes": "TYX", "spacing": 2, "finterval": 5}, "ZYX", 20, (2, 0.1, 0.1), ""),  # depth, saved as frames
        ({"axes": "TYX", "finterval": 5}, "ZYX", 1, (None, 0.1, 0.1), "which is no length"),
        ({"unit": "micron", "spacing": 300, "zunit": "nm"}, None, 3, (0.3, 0.1, 0.1), ""),
        (
            {"PhysicalSizeX": "", "PhysicalSizeY": ""},
            None,
            1,
            (None, None, None),
            "PhysicalSizeX is '', which is no size",
        ),
    ],
    ids=["x only", "no depth", "frames are depth", "seconds are no depth", "own unit of z", "no numbers"],
)
@pytest.mark.parametrize("ending", [".tif", ".ome.zarr"])
def test_voxels_and_labels_have_the_steps_that_the_file_tells_and_no_others(
    told: dict[str, Any], axes: str | None, anisotropy: float, steps: tuple[float | None, ...], said: str, ending: str,
    ufseg: Ufseg, tmp_path: Path,
) -> None:  # fmt: skip
    _write_stack(tmp_path / "i.tif", told)
    flags = ["--spatial_dims", "3", *QUICK, "--epochs", "1", *(["--axes", axes] if axes else [])]
    out, report = tmp_path / f"l{ending}", tmp_path / "r.json"
    done = ufseg("segment", tmp_path / "i.tif", *flags, "-o", out, "--report", report)
    assert done.status == 0, done.err
    assert json.loads(report.read_text())["config"]["anisotropy"] == anisotropy
    read = open_image(out).axis_steps
    assert read.sizes("ZYX") == tuple(None if step is None else pytest.approx(step) for step in steps)
    assert read.unit == (None if steps[2] is None else "µm")
    assert said in done.err
    assert ("warning" in done.err) == bool(said)


def test_frames_in_milliseconds_are_written_in_seconds(ufseg: Ufseg, tmp_path: Path) -> None:
    _write_stack(tmp_path / "i.tif", {"axes": "TYX", "finterval": 250, "tunit": "msec"})
    _write_stack(tmp_path / "strange.tif", {"axes": "TYX", "finterval": 250, "tunit": "beats"})
    done = ufseg(
        "segment", tmp_path / "i.tif", tmp_path / "strange.tif", "-o", tmp_path / "out", *QUICK, "--epochs", "1"
    )
    assert done.status == 0
    known, strange = (open_image(tmp_path / "out" / f"{name}_labels.tif").axis_steps for name in ("i", "strange"))
    assert (known["T"].size, known["T"].unit) == (0.25, "s")
    assert strange["T"].size is None
    assert done.err.count("warning") == 1
    assert (
        "strange.tif: The step along T is told as 250 beats, which is no time that is known, and is left out."
        in done.err
    )


@pytest.mark.parametrize("values", [70_000, -3, 0.5])
def test_corrected_labels_that_are_none_are_refused(ufseg: Ufseg, images: Path, tmp_path: Path, values: float) -> None:
    kind = np.float32 if values == 0.5 else np.int32
    tifffile.imwrite(tmp_path / "odd.tiff", np.full((48, 64), values, kind))
    words = ["--train_on", images / "model.safetensors", "--corrected", tmp_path / "odd.tiff"]
    done = ufseg("segment", images / "grey.png", *words, "-o", tmp_path / "l.tif")
    assert done.status == 2
    assert "whole numbers" in done.err if values == 0.5 else f"{values}" in done.err
    assert not (tmp_path / "l.tif").exists()


def test_a_mask_can_be_what_was_corrected(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    mask = read_image(images / "corrected.tiff") == 40
    tifffile.imwrite(tmp_path / "mask.tiff", mask.astype(np.uint8))
    iio.imwrite(tmp_path / "mask.png", mask)
    for name in ("mask.tiff", "mask.png"):
        words = ["--train_on", images / "model.safetensors", "--corrected", tmp_path / name]
        assert ufseg("segment", images / "grey.png", *words, "-o", tmp_path / f"{name}.tif").status == 0
    np.testing.assert_array_equal(read_image(tmp_path / "mask.tiff.tif"), read_image(tmp_path / "mask.png.tif"))


@pytest.mark.parametrize("words", [["segment", "", "-o", "l.tif"], ["segment", "a.tif", "--scribbles=", "-o", "l.tif"]])
def test_an_empty_argument_is_no_folder_and_no_value(
    ufseg: Ufseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    iio.imwrite(tmp_path / "a.png", blobs())
    monkeypatch.chdir(tmp_path)
    done = ufseg(*words)
    assert done.status == 2
    assert "One of the arguments is empty" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--corrected", "{images}/corrected.tiff"], "give it with --train_on"),
        (
            ["--train_on", "{images}/model.safetensors", "--n_features", "5"],
            "n_features is 5, but the model was trained",
        ),
        (
            ["--train_on", "{images}/model.safetensors", "--corrected", "{images}/wrong_scribbles.tiff"],
            "The corrected ",
        ),
        (["--train_on", "{images}/none.safetensors"], "There is no model file"),
    ],
)
def test_what_cannot_go_on_is_one_sentence(
    ufseg: Ufseg, images: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    words = [word.format(images=images) for word in words]
    done = ufseg("segment", images / "grey.png", *words, "-o", tmp_path / "l.tif")
    assert done.status != 0
    assert message in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "l.tif").exists()


def test_an_empty_field_is_background_and_it_is_told(ufseg: Ufseg, images: Path, tmp_path: Path) -> None:
    model, empty, out, report = (tmp_path / name for name in ("m", "in/empty.tif", "l.tif", "r.csv"))
    rng = np.random.default_rng(0)
    full = rng.normal(300, 6, (64, 96)) + 2000 * np.kron(np.eye(4, 6), np.ones((16, 16)))
    empty.parent.mkdir()
    tifffile.imwrite(tmp_path / "full.tif", full.astype(np.uint16))
    tifffile.imwrite(empty, rng.normal(300, 6, (64, 96)).astype(np.uint16))
    assert ufseg("segment", tmp_path / "full.tif", "-o", out, "--model_path", model, *QUICK).status == 0
    background = load_model(model).hierarchy.background_at(2)
    done = ufseg("predict", model, empty, "-o", out)
    assert done.status == 0
    assert "ufseg: warning: The image" in done.err
    assert "scaled as the training images" in done.err
    assert (read_labels(out) == background).mean() > 0.99
    own = ufseg("predict", model, empty, "-o", out, "--intensity", "own")
    assert (own.status, own.err) == (0, "")
    assert (read_labels(out) == background).mean() < 0.9
    assert ufseg("batch", model, empty.parent, "-o", tmp_path / "out", "--report", report).status == 0
    assert "scaled as the training images" in report.read_text()
    assert (read_labels(tmp_path / "out" / "empty_labels.tif") == background).mean() > 0.99


@pytest.mark.parametrize("words", [["--nodata", "700"], ["--range", "0,4000"], ["--nodata=none", "--range=-5,4000"]])
def test_what_holds_no_data_and_the_range_can_be_said(words: list[str], ufseg: Ufseg, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = (rng.normal(300, 6, (64, 96)) + 2000 * np.kron(np.eye(4, 6), np.ones((16, 16)))).astype(np.uint16)
    image[:, :9] = 700
    (tmp_path / "in").mkdir()
    file, model, out = tmp_path / "in" / "i.tif", tmp_path / "m", tmp_path / "l.tif"
    tifffile.imwrite(file, image)
    assert ufseg("segment", file, "-o", out, "--model_path", model, *words, *QUICK).status == 0
    is_gone = image == 700 if "700" in words else np.zeros(image.shape, bool)
    labels = read_labels(out)
    np.testing.assert_array_equal(labels == 0, is_gone)
    if any("range" in word for word in words):
        assert load_model(model).intensity[0].channels[0].high == 4000
    assert ufseg("predict", model, file, "-o", out, *words).status == 0
    np.testing.assert_array_equal(read_labels(out), labels)
    assert ufseg("batch", model, file.parent, "-o", tmp_path / "out", *words).status == 0
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "i_labels.tif"), labels)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--nodata", "some"], "nodata is 'some': give a number, 'auto' or 'none'."),
        (["--range", "5"], "range is '5': give two numbers, the dark end and the bright end."),
        (["--range", "5,1"], "range is 5 to 1: the second number must be larger, and both finite."),
        (
            ["--nodata", "0", "--preset", "paper"],
            "nodata and intensity_range go with the scaling 'robust', as in the preset",
        ),
    ],
)
def test_what_can_be_no_value_or_range_is_refused(
    words: list[str], sentence: str, ufseg: Ufseg, images: Path, tmp_path: Path
) -> None:
    done = ufseg("segment", images / "grey.png", "-o", tmp_path / "l.tif", *words)
    assert done.status == 2
    assert done.err.startswith(f"ufseg: {sentence}")
