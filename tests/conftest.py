"""Tests need no display: Qt draws into memory unless a test starts a real window of its own."""

import os

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # tests share the machine with whatever else runs on it

#: Few tests that take long, since they open real windows or start processes: first, so that no process is left alone with them.
LONG = ("test_window.py", "test_show.py", "test_distributed.py", "test_dock_closes.py", "test_process.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))
