"""The face in napari: thin, and the only place that knows Qt."""

from napari_ufseg.engine.processor import share_the_processor

share_the_processor()
