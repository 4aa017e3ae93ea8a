"""The README tells what the program does."""

import json
import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest

from napari_ufseg.cli.info import label_facts, label_lines
from napari_ufseg.cli.parser import parse
from napari_ufseg.engine.labels.class_table import ClassTable, Detail
from napari_ufseg.io import open_image, write_labels

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_options_is_that_of_the_config():
    table = runpy.run_path(str(ROOT / "docs" / "options_table.py"))["table"]()
    assert table in README, "run docs/options_table.py and put its output into the README"


@pytest.mark.parametrize("place", ["docs/images/finished.png", "docs/command-line.md", "examples", "constraints.txt"])
def test_what_the_readme_points_to_is_there(place):
    assert place in README
    assert (ROOT / place).exists()


@pytest.mark.parametrize("command", re.findall(r"^ufseg [^#\n]*", README, re.MULTILINE))
def test_its_commands_are_understood(command):
    parse(shlex.split(command)[1:])


def test_what_is_said_of_labels_is_what_label_files_hold(tmp_path):
    """The docs name every key, and show what ufseg info prints."""
    told = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    said = ClassTable().shaded({2: "#1048c5", 6: "#ff9d8d"}).changed(2, colour="#010203", name="ground")
    said = said.shown({1: 2, 2: 2, 3: 2, 4: 6, 5: 6, 6: 6, 7: 6, 8: 6}).changed(2, is_visible=False)
    assert Detail(2, 8).said == json.loads(re.search(r'`(\{"detail": .*\}\})`', told)[1])
    assert all(f"`{key}`" in told for entry in said.to_list() for key in entry)
    write_labels(tmp_path / "cells_labels.tif", np.zeros((512, 640), np.uint16), classes=said)
    lines = label_lines(label_facts(open_image(tmp_path / "cells_labels.tif")))
    assert "\n".join(lines[:3]) in told
