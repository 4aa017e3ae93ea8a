"""Which software made a result."""

import platform
from importlib.metadata import version

from napari_ufseg._version import __version__


def versions() -> dict[str, str]:
    """Versions of this package, of Python and of the libraries that shape the numbers."""
    libraries = ("torch", "numpy", "scipy", "scikit-image")
    return {
        "napari-ufseg": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in libraries},
    }
