"""The README tells what the program does."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_options_is_that_of_the_config():
    table = runpy.run_path(str(ROOT / "docs" / "options_table.py"))["table"]()
    assert table in README, "run docs/options_table.py and put its output into the README"


@pytest.mark.parametrize("place", ["docs/images/finished.png", "docs/command-line.md", "examples", "constraints.txt"])
def test_what_the_readme_points_to_is_there(place):
    assert place in README
    assert (ROOT / place).exists()
