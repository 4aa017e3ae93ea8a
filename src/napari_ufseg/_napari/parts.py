"""A part of the dock that can be folded away."""

from superqt import QCollapsible


class Folding(QCollapsible):
    """A headline as wide as the dock, which shows and hides what is below it at once."""

    def __init__(self, title: str) -> None:
        super().__init__(title, expandedIcon="▼", collapsedIcon="▶")
        self.setDuration(0)
        layout = self.layout()
        assert layout is not None
        layout.setContentsMargins(0, 0, 0, 0)
