"""The user's defaults from napari's Preferences (the manifest's `configurations`)."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from napari.settings import get_plugin_settings

from napari_ufseg.engine.config import DEFAULT_PRESET


@dataclass(frozen=True)
class UserDefaults:
    """What the dock begins with.

    Parameters
    ----------
    preset, device : str
        Chosen when the dock opens.
    pictures_per_second : int
        Most pictures that a run shows per second, 1 to 10.
    threads : int
        CPU threads for torch; 0 leaves one core to the window.
    """

    preset: str = DEFAULT_PRESET
    device: str = "auto"
    pictures_per_second: int = 8
    threads: int = 0

    @property
    def thread_limit(self) -> int:
        """Most CPU threads that a run may use."""
        return self.threads or max(1, (os.cpu_count() or 2) - 1)


def user_defaults() -> UserDefaults:
    """Read the Preferences; the built-in defaults if the plugin is not registered with napari."""
    try:
        run = get_plugin_settings("napari-ufseg").run
    except (KeyError, AttributeError):
        return UserDefaults()
    return UserDefaults(run.preset, run.device, run.pictures_per_second, run.threads)


class Settings:
    """Where and how to compute, as the dock and the Preferences say when it is asked: when a job starts.

    Parameters
    ----------
    device : callable
        Gives the device that is chosen in the dock.
    """

    def __init__(self, device: Callable[[], str]) -> None:
        self._device = device

    @property
    def device(self) -> str:
        """The device that is asked for, as in `napari_ufseg.segment`."""
        return self._device()

    @property
    def threads(self) -> int:
        """Most CPU threads that a job may use."""
        return user_defaults().thread_limit

    @property
    def every(self) -> float:
        """Seconds between two pictures of a run, at least."""
        return 1 / user_defaults().pictures_per_second
