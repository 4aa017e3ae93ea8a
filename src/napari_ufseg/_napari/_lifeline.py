"""What ends the work of a dock when the dock goes."""

from typing import Generic, Protocol, TypeVar


class Work(Protocol):
    """Something that goes on in a thread."""

    def abandon(self) -> None:
        """End it soon; does not wait."""

    def wait(self) -> object:
        """Wait until its thread has let go."""


W = TypeVar("W", bound=Work)


class Lifeline(Generic[W]):
    """Holds the work of a part of the dock, and outlives that part, whose own methods Qt no longer calls at its end.

    Attributes
    ----------
    run : Work or None
        What is, or was last, under way.
    """

    def __init__(self) -> None:
        self.run: W | None = None

    def cut(self, *_: object) -> None:
        """Drop the work and wait until its thread has let go."""
        run, self.run = self.run, None
        if run is not None:
            run.abandon()
            run.wait()
