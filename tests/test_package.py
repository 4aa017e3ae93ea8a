"""The package as a whole: what importing it costs, which names it has, and that its floors hold."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import napari_ufseg

ROOT = Path(__file__).parents[1]
FACE = ["napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "superqt", "magicgui", "pyqtgraph"]
BLOCKED = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {FACE!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def python(code, cwd):
    """What a fresh interpreter prints when it runs the code."""
    paths = [str(Path(napari_ufseg.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    environment.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_importing_the_package_imports_nothing_heavy(tmp_path):
    code = "import sys, napari_ufseg, napari_ufseg.engine; dir(napari_ufseg); print(*sorted(sys.modules))"
    modules = python(code, tmp_path).split()
    roots = {name.partition(".")[0] for name in modules}
    assert not roots & {"torch", "numpy", "scipy", "skimage", *FACE}
    assert "napari_ufseg" in modules
    assert not [name for name in modules if name.startswith(("napari_ufseg.engine.", "napari_ufseg._napari"))]


def test_public_names():
    assert set(napari_ufseg.__all__) == {
        "SegmentationConfig", "UfsegError", "__version__", "absorb_small", "confidence", "connected_regions", "iter_segment", "load_model",
        "merge_by_scribbles", "predict", "save_model", "segment", "train_on",
    }  # fmt: skip
    assert dir(napari_ufseg) == sorted(napari_ufseg.__all__)
    for name in napari_ufseg.__all__:
        assert getattr(napari_ufseg, name)
    with pytest.raises(AttributeError, match="segmentation"):
        napari_ufseg.segmentation  # noqa: B018


def test_the_engine_works_where_napari_and_qt_are_missing(tmp_path):
    code = BLOCKED + textwrap.dedent(
        """
        import numpy as np
        from napari_ufseg import SegmentationConfig, iter_segment, load_model, predict, save_model, segment

        image = np.random.default_rng(0).random((20, 24))
        config = SegmentationConfig.preset("fast", n_features=4, n_classes=4, epochs=3)
        result = segment(image, config, device="cpu")
        assert len(list(iter_segment(image, config, device="cpu", every=0))) == len(result.history)
        save_model(result.model, "m.safetensors")
        assert (predict(load_model("m.safetensors"), image, device="cpu") == result.labels).all()

        import pytest
        tests = ROOT + "/tests/engine"
        chosen = [tests + "/" + name for name in ("training/test_session.py", "labels/test_hierarchy.py")]
        options = ["-q", "-o", "addopts=", "-p", "no:cacheprovider", "--rootdir", ROOT, "--confcutdir", tests]
        code = pytest.main([*chosen, *options, "-k", "interleaved or another_thread or merged"])
        assert code == 0
        face = {name.partition(".")[0] for name in sys.modules} & set(FACE)
        assert not face, face
        print("all well")
        """
    ).replace("ROOT", repr(str(ROOT))).replace("FACE", repr(FACE))
    printed = python(code, tmp_path)
    assert "passed" in printed
    assert printed.rstrip().endswith("all well")


def test_the_blocker_of_these_tests_does_block(tmp_path):
    code = BLOCKED + "\ntry:\n    import qtpy\nexcept ModuleNotFoundError as error:\n    print(error.name)\n"
    assert python(code, tmp_path).strip() == "qtpy"


def test_the_floors_hold():
    lint = Path(sys.executable).with_name("lint-imports")
    command = str(lint) if lint.exists() else shutil.which("lint-imports")
    if command is None:
        pytest.skip("import-linter is not installed")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [command, "--config", "pyproject.toml", "--no-cache"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
