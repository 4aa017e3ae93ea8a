"""The face in napari: thin, and the only place that knows Qt."""
