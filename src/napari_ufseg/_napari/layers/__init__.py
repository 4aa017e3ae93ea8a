"""Layers of napari: image regions, labels of results, what their metadata say, files."""
