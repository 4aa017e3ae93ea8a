"""Unsupervised, live segmentation of microscopy images for napari and for scripts.

The public names stand in ``__init__.pyi`` and are loaded on first use, so that
importing this package costs nothing: neither torch nor napari is imported by it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
