"""Tests need no display: Qt draws into memory unless a test starts a real window of its own."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # tests share the machine with whatever else runs on it
