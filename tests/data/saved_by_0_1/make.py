"""Saves what users of napari-ufseg 0.1.0 have on disk, into the folder of this script.

Run once, with version 0.1.0 of the program, as ``python make.py``; kept to tell where the files come from. Tests only
read them. To run it again with a later version would spoil what they are for.
"""

import json
import os
import re
import shutil
import sys
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
import pictures
import tifffile

import napari_ufseg
from napari_ufseg import SegmentationConfig, predict, save_model, segment
from napari_ufseg.cli import main
from napari_ufseg.io import write_labels

HERE = Path(__file__).parent
VERSION = "0.1.0"
SMALL: dict[str, Any] = {"n_features": 4, "n_convolutions": 1, "n_classes": 6, "epochs": 3, "min_classes": 1}
IMAGES = {"plane": pictures.plane(), "stack": pictures.stack(), "colour": pictures.colour()}
CLASSES = [
    {"label": 1, "name": "ground", "colour": "#203040"},
    {"label": 2, "name": "nuclei", "colour": "#ff8000"},
    {"label": 3, "is_visible": False},
    {"label": 4, "becomes": 2},
    {"label": 9, "name": "nuclei (9)", "parent": 2},
]
COMMANDS = ("segment", "predict", "batch", "info", "demo")
OPTIONS = {
    "scaling": "percentile", "colour": "lab", "denoise": 1.5, "local_contrast": 0.15, "local_contrast_size": 8.0,
    "kernels": "symmetric", "padding": "replicate", "skip": "on", "start": "clusters", "guard": "on",
}  # fmt: skip


def save_models() -> None:
    """Models, with the labels that each predicts."""
    expected = {}
    configs = {
        "plane": ("plane", SegmentationConfig.preset("fast", **SMALL)),
        "volume": (
            "stack",
            SegmentationConfig.preset("fast", **{**SMALL, "spatial_dims": 3, "anisotropy": 2.5, "n_convolutions": 2}),
        ),
        "merged": ("plane", SegmentationConfig.preset("generalised", **SMALL)),
        "named": ("plane", SegmentationConfig.preset("fast", **SMALL, seed=3)),
        "colour": ("colour", SegmentationConfig.preset("generalised", **SMALL)),
        "options": ("colour", SegmentationConfig(**SMALL, **OPTIONS)),
    }
    for name, (image, config) in configs.items():
        axes = {"plane": "YX", "stack": "ZYX", "colour": "YXC"}[image]
        model = segment(IMAGES[image], config, axes=axes, device="cpu").model
        if name == "merged":
            present = np.unique(predict(model, IMAGES[image], axes=axes, device="cpu")).tolist()
            model = model.merged({present[0]: 40, present[1]: 0, present[-1]: present[2]})
        if name == "named":
            object.__setattr__(model, "classes", type(model.classes).from_list(CLASSES))
        save_model(model, HERE / f"{name}.safetensors")
        expected[name] = predict(model, IMAGES[image], axes=axes, device="cpu")
        print(name, np.unique(expected[name]), model.class_labels)
    np.savez_compressed(HERE / "predicted.npz", **expected)


def save_label_files() -> None:
    """Label images, as `write_labels` writes them."""
    model = segment(IMAGES["plane"], SegmentationConfig.preset("fast", **SMALL), device="cpu").model
    classes = type(model.classes).from_list(CLASSES)
    plane, stack = pictures.stripes(40, 56), pictures.stripes(3, 40, 56)
    write_labels(HERE / "plain.tif", plane)
    write_labels(HERE / "classes.tif", plane, classes=classes)
    write_labels(HERE / "scaled.tif", plane, classes=classes, scale=(0.5, 0.25), unit="µm")
    write_labels(HERE / "series.tif", stack, classes=classes, axes="TYX", scale=(3, 0.5, 0.25), unit="µm")
    write_labels(HERE / "volume.tif", stack, classes=classes, axes="ZYX", scale=(2, 0.5, 0.25), unit="µm")
    write_labels(HERE / "volume.ome.tif", stack, classes=classes, axes="ZYX", scale=(2, 0.5, 0.25), unit="µm")
    place: dict[str, Any] = {"scale": (2, 0.5, 0.25), "unit": "µm", "translate": (4, 7, -1), "classes": classes}
    write_labels(HERE / "volume_0_4.ome.zarr", stack, axes="ZYX", **place)
    write_labels(HERE / "volume_0_5.ome.zarr", stack, axes="ZYX", **place, ome_zarr_version="0.5")
    pyramid = np.repeat(np.repeat(pictures.stripes(8, 66), 8, axis=0), 8, axis=1)
    write_labels(HERE / "pyramid.ome.zarr", pyramid, classes=classes, scale=(0.5, 0.25), unit="µm", translate=(7, -1))


def save_reports() -> None:
    """Reports of ``ufseg segment`` and ``ufseg batch``; the folders in their paths are cut off."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        Path("images").mkdir()
        for seed in (0, 1):
            tifffile.imwrite(f"images/cells{seed}.tif", pictures.plane(seed))
        Path("images/broken.tif").write_text("no image")
        words = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
        run(["segment", "images/cells0.tif", "-o", "labels.tif", "--report", "segment.json", "--force", "2", *words])
        for name in ("batch.csv", "batch.json"):
            batch = [
                "batch",
                HERE / "plane.safetensors",
                "images",
                "-o",
                f"out_{name}",
                "--device",
                "cpu",
                "--report",
                name,
            ]
            run(batch, status=2)
        for name in ("segment.json", "batch.csv", "batch.json"):
            text = Path(name).read_text(encoding="utf-8")
            for root in {folder, os.path.realpath(folder)}:
                text = text.replace(root, "/data")
            (HERE / name).write_text(text, encoding="utf-8")


def run(words: list[Any], status: int = 0) -> None:
    assert main([str(word) for word in words]) == status


def save_names() -> None:
    """Public names and flags, one a line."""
    write_lines("public_names.txt", napari_ufseg.__all__)
    flags = []
    for command in COMMANDS:
        lines = os.popen(f"{sys.executable} -m napari_ufseg {command} --help").read().splitlines()
        heads = [re.split(r"\s{2,}", line.strip())[0] for line in lines if re.match(r"  -", line)]
        flags += [f"{command} {flag}" for head in heads for flag in re.findall(r"(?:^|, )(--?[A-Za-z][\w-]*)", head)]
    write_lines("flags.txt", flags)


def write_lines(name: str, lines: Any) -> None:
    (HERE / name).write_text("".join(f"{line}\n" for line in sorted(set(lines))), encoding="utf-8")


def save_dock() -> None:
    """What a session in napari leaves: metadata of layers, saved labels and model; names of parts and keys of the dock."""
    from OpenGL import GL
    from qtpy.QtCore import QEventLoop, QObject
    from qtpy.QtGui import QKeySequence
    from qtpy.QtWidgets import QAbstractButton

    import napari

    text, number = GL.glGetString, GL.glGetIntegerv  # nothing is drawn
    GL.glGetString = lambda name: text(name) or b""
    GL.glGetIntegerv = lambda name: number(name) or 4096
    viewer = napari.Viewer(show=False)
    viewer_keys = set(map(str, viewer.keymap))
    viewer.add_image(IMAGES["plane"], name="cells", scale=(0.5, 0.25), units=("um", "um"))
    _, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    widget.config, widget.device = SegmentationConfig.preset("fast", **SMALL), "cpu"
    loop = QEventLoop()
    widget.run_finished.connect(lambda _: loop.quit())
    widget.run_failed.connect(sys.exit)
    widget.segment()
    loop.exec()
    layer = viewer.layers["cells classes"]
    arrays = {"after_segment": layer.data.copy()}
    write_metadata("after_segment.json", layer)
    panel = widget.classes
    by_area = panel.view.order
    panel.view.select(by_area[:2])
    panel.merge()
    kept = panel.view.labels[0]
    panel.set.rename(kept, "ground")
    panel.set.rename(by_area[2], "nuclei")
    panel.set.recolour(by_area[2], "#ff8000")
    panel.set.set_visible(by_area[3], False)
    panel.set.split([by_area[2]])
    arrays["after_edits"] = layer.data.copy()
    write_metadata("after_edits.json", layer)
    print(panel.set.areas, panel.set.table.to_list())
    np.savez_compressed(HERE / "layers.npz", **arrays)
    widget.results.save_labels(HERE / "dock.tif")
    widget.results.save_labels(HERE / "dock.zarr")
    widget.results.save_model(HERE / "dock.safetensors")

    names = [part.objectName() for part in widget.findChildren(QObject) if part.objectName().startswith("ufseg.")]
    write_lines("dock_names.txt", names)
    buttons = widget.findChildren(QAbstractButton)
    keys = [
        f"{button.objectName()} {button.shortcut().toString()}" for button in buttons if button.shortcut().toString()
    ]
    standard = {QKeySequence(getattr(QKeySequence.StandardKey, name)).toString(): name for name in ("Undo", "Redo")}
    of_table = [pressed.toString() for pressed, _ in panel.view.keys]
    keys += [f"ufseg.classes {standard.get(pressed, pressed)}" for pressed in of_table]
    keys += [f"layer {key}" for key in layer.keymap]
    keys += [f"viewer {key}" for key in viewer.keymap if str(key) not in viewer_keys]
    write_lines("dock_keys.txt", keys)
    viewer.close()


def write_metadata(name: str, layer: Any) -> None:
    (HERE / name).write_text(json.dumps(layer.metadata, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    assert napari_ufseg.__version__ == VERSION, f"this is {napari_ufseg.__version__}"
    for old in HERE.iterdir():
        if old.suffix == ".zarr":
            shutil.rmtree(old)
    save_models()
    save_label_files()
    save_reports()
    save_names()
    save_dock()
