"""One thing at a time: what is being computed, and how a user ends it."""

from collections.abc import Callable


class Busy:
    """Knows everything in the dock that computes for a while; called, it says what is under way."""

    def __init__(self) -> None:
        self._jobs: list[tuple[Callable[[], bool], str, str]] = []

    def add(self, is_running: Callable[[], bool], what: str, button: str) -> None:
        """Ask this one, too.

        Parameters
        ----------
        is_running : callable
        what : str
            As "A run is under way".
        button : str
            What ends it, as "Stop (F7)".
        """
        self._jobs.append((is_running, what, button))

    def __call__(self) -> str:
        """What is being computed and how to end it, in one sentence; empty if nothing is."""
        for is_running, what, button in self._jobs:
            if is_running():
                return f"{what}: wait until it has ended, or press {button} first."
        return ""
