"""The plugin in a real window: on the display that there is, or else under Xvfb."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("napari")
pytestmark = pytest.mark.window


def window_command() -> list[str]:
    """What to put before a command so that it finds an X server; skips the test if there is none."""
    if sys.platform != "linux" or os.environ.get("DISPLAY"):
        return []
    if shutil.which("xvfb-run"):
        return ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24"]
    if os.environ.get("UFSEG_REQUIRE_WINDOW"):
        pytest.fail("a window is required here, but there is neither a display nor xvfb-run")
    pytest.skip("no display and no xvfb-run")


def in_window(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "QT_QPA_PLATFORM"}
    environment["XDG_CONFIG_HOME"] = str(cwd / "config")  # nobody has folded a section there
    return subprocess.run(
        [*window_command(), sys.executable, *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip


def test_a_user_clicks_through_a_run_and_corrects_it(tmp_path):
    done = in_window(str(Path(__file__).with_name("click_through.py")), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["platform"] != "offscreen"
    assert seen["blocked_during_run"]
    assert seen["shown_is_suggested"]
    assert seen["to_scroll"] == 0  # at 1280 x 720, with the result
    assert seen["dock_width"] <= 400
    assert seen["detail_by_key"]
    assert seen["tab_stays_in_sight"]
    assert seen["shape"] == [520, 696]
    assert seen["stop_reason"] == "stopped"
    assert seen["painted_pixels"] > 100
    assert seen["colours_in_window"] > 50
    assert "stopped by you" in seen["status"]


def test_the_image_can_be_deleted_during_a_second_run(tmp_path):
    done = in_window(str(Path(__file__).with_name("delete_image.py")), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"layers": ["nuclei classes"], "blocked": True, "free": True}


def test_a_user_goes_from_raw_classes_to_saved_ones(tmp_path):
    done = in_window(str(Path(__file__).with_name("correct_by_hand.py")), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen.pop("colours_in_window") > 50
    assert [name for name, came_true in seen.items() if not came_true] == []
    assert len(seen) == 15
