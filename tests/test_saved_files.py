"""What users have on disk from version 0.1 is still read, and what they type is still understood."""

import csv
import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from safetensors import safe_open

import napari_ufseg
from napari_ufseg import load_model, predict, save_model, train_on
from napari_ufseg.cli import main
from napari_ufseg.io import open_image, write_labels

SAVED = Path(__file__).parent / "data" / "saved_by_0_1"
PICTURES = runpy.run_path(str(SAVED / "pictures.py"))
IMAGE_OF = {
    "plane": "plane",
    "volume": "stack",
    "merged": "plane",
    "named": "plane",
    "colour": "colour",
    "options": "colour",
    "dock": "plane",
}
AXES = {"plane": "YX", "stack": "ZYX", "colour": "YXC"}
MODELS = pytest.mark.parametrize("name", IMAGE_OF)
SAID = {
    1: {"name": "ground", "colour": "#203040"},
    2: {"name": "nuclei", "colour": "#ff8000"},
    3: {"is_visible": False},
    4: {"becomes": 2},
    9: {"name": "nuclei (9)", "parent": 2},
}
PLACE = {"axes": "ZYX", "scale": (2, 0.5, 0.25), "unit": "µm"}
LABEL_FILES: dict[str, dict[str, Any]] = {
    "plain.tif": {"axes": "YX", "scale": (1, 1), "unit": None, "classes": {}},
    "classes.tif": {"axes": "YX", "scale": (1, 1), "unit": None},
    "scaled.tif": {"axes": "YX", "scale": (0.5, 0.25), "unit": "µm"},
    "series.tif": {"axes": "TYX", "scale": (3, 0.5, 0.25), "unit": "µm"},
    "volume.tif": PLACE,
    "volume.ome.tif": PLACE,
    "volume_0_4.ome.zarr": PLACE | {"translate": (4, 7, -1)},
    "volume_0_5.ome.zarr": PLACE | {"translate": (4, 7, -1)},
}


@pytest.fixture
def ufseg(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """``ufseg`` in this process; gives its status and what it prints on stdout and stderr."""

    def call(*words: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main([str(word) for word in words])
        except SystemExit as end:  # --help
            status = int(end.code or 0)
        return status, *capsys.readouterr()

    return call


def image_of(name: str) -> tuple[np.ndarray, str]:
    """The image that a saved model was trained on, and its axes."""
    kind = IMAGE_OF[name]
    return PICTURES[kind](), AXES[kind]


def image_file(name: str, folder: Path) -> Path:
    """The same as a TIFF."""
    image, axes = image_of(name)
    path = folder / f"{name}.tif"
    if axes == "YXC":
        tifffile.imwrite(path, image, photometric="rgb")
    else:
        tifffile.imwrite(path, image, imagej=True, metadata={"axes": axes})
    return path


def expected_labels(name: str) -> np.ndarray:
    """What version 0.1 predicted with a saved model."""
    with np.load(SAVED / ("layers.npz" if name == "dock" else "predicted.npz")) as arrays:
        if name == "dock":  # one class had been merged into another before the model was saved
            labels = arrays["after_segment"]
            return np.where(labels == 1, 2, labels)
        return arrays[name]


def assert_equal_labels(labels: Any, expected: np.ndarray) -> None:
    """Let another processor, which rounds in another way, decide otherwise about a pixel or two."""
    assert (labels.shape, labels.dtype) == (expected.shape, expected.dtype)
    assert np.mean(labels == expected) >= 0.999


def header(name: str) -> dict[str, str]:
    """What the file of a model says of it."""
    with safe_open(SAVED / f"{name}.safetensors", "np") as handle:
        return dict(handle.metadata())


def meant(options: dict[str, Any]) -> dict[str, Any]:
    """Options with words for yes and no as such."""
    return {name: {"on": True, "off": False}.get(value, value) for name, value in options.items()}


def said(classes: Any) -> dict[int, dict[str, Any]]:
    """What a table says of labels beyond the defaults."""
    return {item["label"]: {key: item[key] for key in item if key != "label"} for item in classes.to_list()}


def keys_of(value: Any, path: str = "") -> set[str]:
    """The names of all values of a JSON, with those that they lie in; numbers of labels are no names."""
    if isinstance(value, dict):
        return {f"{path}/{key}" for key in value if not key.isdigit()}.union(
            *(keys_of(item, f"{path}/{key}") for key, item in value.items() if not key.isdigit())
        )
    return set().union(*(keys_of(item, f"{path}[]") for item in value)) if isinstance(value, list) else set()


def lines(name: str) -> list[str]:
    """The lines of a text that was saved."""
    return (SAVED / name).read_text(encoding="utf-8").splitlines()


# -- models -------------------------------------------------------------------------------------


@MODELS
def test_an_old_model_predicts_what_it_did(name: str) -> None:
    image, axes = image_of(name)
    assert_equal_labels(
        predict(load_model(SAVED / f"{name}.safetensors"), image, axes=axes, device="cpu"), expected_labels(name)
    )


@pytest.mark.parametrize("detail", ["auto", 2])
def test_an_old_model_knows_no_tree_of_its_classes_and_gives_all_of_them(detail: int | str) -> None:
    image, axes = image_of("plane")
    labels = predict(load_model(SAVED / "plane.safetensors"), image, axes=axes, device="cpu", detail=detail)
    assert_equal_labels(labels, expected_labels("plane"))


@MODELS
def test_an_old_model_is_what_its_file_says_also_when_it_is_saved_again(name: str, tmp_path: Path) -> None:
    about = header(name)
    model = load_model(SAVED / f"{name}.safetensors")
    save_model(model, tmp_path / "again.safetensors")
    again = load_model(tmp_path / "again.safetensors")
    for one in (model, again):
        old, now = meant(json.loads(about["config"])), meant(one.config.to_dict())
        assert {key: now[key] for key in old} == old
        assert one.n_channels == int(about["n_channels"])
        assert list(one.class_labels) == json.loads(about["class_labels"])
        assert one.classes.to_list() == json.loads(about["classes"])
    assert again.config == model.config
    image, axes = image_of(name)
    np.testing.assert_array_equal(
        predict(again, image, axes=axes, device="cpu"), predict(model, image, axes=axes, device="cpu")
    )


def test_names_colours_hidden_classes_and_parents_of_an_old_model() -> None:
    classes = load_model(SAVED / "named.safetensors").classes
    assert said(classes) == SAID
    assert [classes[label].title for label in (1, 2, 3, 9)] == ["ground", "nuclei", "class 3", "nuclei (9)"]
    assert classes[2].rgb == pytest.approx((1, 128 / 255, 0))
    assert (classes[3].is_visible, classes.parents, classes.label_of) == (False, {9: 2}, {4: 2})
    classes = load_model(SAVED / "dock.safetensors").classes
    assert said(classes) == {
        2: {"name": "ground"},
        3: {"is_visible": False},
        5: {"name": "nuclei", "colour": "#ff8000"},
    }


@pytest.mark.parametrize("name", ["options", "dock"])
def test_a_training_goes_on_from_an_old_model(name: str) -> None:
    image, axes = image_of(name)
    model = load_model(SAVED / f"{name}.safetensors")
    labels = expected_labels(name).copy()
    labels[:3, :10] = 30
    result = train_on(image, model, labels, config=model.config.replace(epochs=1), axes=axes, device="cpu")
    assert (result.labels[:3, :10] == 30).all()
    assert 30 in result.model.class_labels


@MODELS
def test_the_command_line_predicts_with_an_old_model(name: str, tmp_path: Path, ufseg: Any) -> None:
    out = tmp_path / "labels.tif"
    words = [SAVED / f"{name}.safetensors", image_file(name, tmp_path), "-o", out, "--device", "cpu"]
    status, _, errors = ufseg("predict", *words)
    assert status == 0, errors
    labels = open_image(out)
    assert_equal_labels(labels.data[...], expected_labels(name))
    assert said(labels.classes) == said(load_model(SAVED / f"{name}.safetensors").classes)


def test_info_tells_what_it_told_of_an_old_model(ufseg: Any) -> None:
    status, out, _ = ufseg("info", SAVED / "named.safetensors", "--json")
    facts = json.loads(out)
    assert status == 0
    assert facts["names"] == {"1": "ground", "2": "nuclei", "9": "nuclei (9)"}
    assert {"n_channels", "n_weights", "labels", "names", "config"} <= set(facts)
    assert (facts["n_channels"], facts["labels"], facts["config"]["seed"]) == (1, [1, 2, 3, 4, 5, 6], 3)


# -- label images -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LABEL_FILES)
def test_old_labels_are_read_and_written_again(name: str, tmp_path: Path) -> None:
    about: dict[str, Any] = {"classes": SAID, "translate": (0,) * len(LABEL_FILES[name]["axes"]), **LABEL_FILES[name]}
    old = open_image(SAVED / name)
    assert old.is_labels
    write_labels(
        tmp_path / name,
        old.data,
        axes=old.axes,
        scale=None if name in ("plain.tif", "classes.tif") else old.scale,
        unit=old.unit,
        translate=old.translate,
        classes=old.classes,
        ome_zarr_version="0.5" if "0_5" in name else "0.4",
    )
    for file in (old, open_image(tmp_path / name)):
        np.testing.assert_array_equal(file.data[...], PICTURES["stripes"](*file.data.shape))
        assert (file.axes, file.unit, file.n_levels) == (about["axes"], about["unit"], 1)
        assert file.scale == pytest.approx(about["scale"])
        assert file.translate == about["translate"]
        assert said(file.classes) == about["classes"]


def test_an_old_pyramid_of_labels_is_read() -> None:
    full = np.kron(PICTURES["stripes"](8, 66), np.ones((8, 8), np.uint16))
    for level in range(3):
        file = open_image(SAVED / "pyramid.ome.zarr", level=level)
        np.testing.assert_array_equal(file.data[...], full[:: 2**level, :: 2**level])
        assert (file.n_levels, file.is_labels, file.unit, file.translate) == (3, True, "µm", (7, -1))
        assert file.scale == (0.5 * 2**level, 0.25 * 2**level)
        assert said(file.classes) == SAID


@pytest.mark.parametrize("name", ["dock.tif", "dock.zarr"])
def test_old_labels_that_were_saved_in_the_dock_are_read(name: str) -> None:
    file = open_image(SAVED / name)
    with np.load(SAVED / "layers.npz") as arrays:
        np.testing.assert_array_equal(file.data[...], arrays["after_edits"])
    assert (file.axes, file.scale, file.unit, file.is_labels) == ("YX", pytest.approx((0.5, 0.25)), "µm", True)
    assert said(file.classes) == {
        1: {"becomes": 2},
        2: {"name": "ground"},
        3: {"is_visible": False},
        5: {"name": "nuclei", "colour": "#ff8000"},
        7: {"name": "nuclei (7)", "parent": 5},
        8: {"name": "nuclei (8)", "parent": 5},
        9: {"name": "nuclei (9)", "parent": 5},
    }


def test_old_labels_are_no_images_of_a_folder(tmp_path: Path, ufseg: Any) -> None:
    image_file("plane", tmp_path)
    shutil.copy(SAVED / "scaled.tif", tmp_path / "plane_labels.tif")
    status, out, _ = ufseg(
        "batch", SAVED / "plane.safetensors", tmp_path, "-o", tmp_path, "--existing", "skip", "--device", "cpu"
    )
    assert status == 0
    assert out.split() == [str(tmp_path / "plane_labels.tif"), "(skipped)"]


# -- reports ------------------------------------------------------------------------------------


@pytest.mark.parametrize("switch", ["on", "off"])
def test_a_report_tells_what_it_told_and_the_words_of_options_are_understood(
    switch: str, tmp_path: Path, ufseg: Any
) -> None:
    old = json.loads((SAVED / "segment.json").read_text(encoding="utf-8"))
    small = ("n_features", "n_convolutions", "n_classes", "epochs", "min_classes")
    words = [word for name in small for word in (f"--{name}", old["config"][name])]
    words += [
        "--skip",
        switch,
        "--guard",
        switch,
        "--kernels",
        "symmetric",
        "--padding",
        "replicate",
        "--colour",
        "lab",
    ]
    words += ["--scaling", "percentile", "--start", "clusters" if switch == "on" else "random", "--device", "cpu"]
    files = ["-o", tmp_path / "labels.tif", "--report", tmp_path / "report.json"]
    status, _, errors = ufseg("segment", image_file("plane", tmp_path), *files, *words, "--force", "2")
    assert status == 0, errors
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert keys_of(old) - keys_of(report) == set()
    config = meant(report["config"])
    assert (config["skip"], config["guard"]) == (switch == "on", switch == "on")
    if switch == "on":
        assert {name: config[name] for name in old["config"]} == meant(old["config"])


def test_reports_of_folders_have_the_columns_that_they_had(tmp_path: Path, ufseg: Any) -> None:
    (tmp_path / "images").mkdir()
    image_file("plane", tmp_path / "images")
    (tmp_path / "images" / "broken.tif").write_text("no image")
    for kind in ("csv", "json"):
        report = tmp_path / f"report.{kind}"
        files = [SAVED / "plane.safetensors", tmp_path / "images", "-o", tmp_path / kind, "--report", report]
        status, _, _ = ufseg("batch", *files, "--device", "cpu")
        assert status == 2
        tables = []
        for path in (SAVED / f"batch.{kind}", report):
            with path.open(encoding="utf-8", newline="") as file:
                tables.append(json.load(file) if kind == "json" else list(csv.DictReader(file)))
        old, new = tables
        assert list(new[0])[: len(old[0])] == list(old[0])
        assert [row["status"] for row in new] == ["failed", "written"] == [row["status"] for row in old[:2]]
        assert [Path(row["labels"]).name for row in new] == ["broken_labels.tif", "plane_labels.tif"]


# -- names --------------------------------------------------------------------------------------


def test_no_public_name_has_gone() -> None:
    assert set(lines("public_names.txt")) - set(napari_ufseg.__all__) == set()
    assert all(hasattr(napari_ufseg, name) for name in lines("public_names.txt"))


@pytest.mark.parametrize("command", ["segment", "predict", "batch", "info", "demo"])
def test_no_flag_has_gone(command: str, ufseg: Any) -> None:
    files = {"predict": ["m.safetensors"], "info": ["m.safetensors"], "batch": ["m.safetensors", "folder"]}

    def is_known(flag: str) -> bool:
        status, out, errors = ufseg(command, *files.get(command, []), flag, "--no_flag_at_all")
        assert status == 2 or "usage" in out  # nothing is run
        return f"has no flag {flag}:" not in errors

    flags = [line.split()[1] for line in lines("flags.txt") if line.split()[0] == command]
    assert len(flags) >= 5
    assert [flag for flag in flags if not is_known(flag)] == []
    assert not is_known("--no_flag_of_ours")
