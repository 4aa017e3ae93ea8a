"""The method itself: numpy and torch, never napari or Qt."""
