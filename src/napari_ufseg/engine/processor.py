"""Names of the devices, and manners towards their other users; needs no torch."""

import os

DEVICES = ("auto", "cpu", "cuda", "mps")


def share_the_processor() -> None:
    """Let OpenMP's threads sleep while they wait for each other.

    By default they spin. Alone on a machine that is up to a third faster, but
    where a window or another program wants the same cores a training step can
    take many times as long. OpenMP reads the setting once, when torch is
    loaded; a value that the user has set is kept.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
