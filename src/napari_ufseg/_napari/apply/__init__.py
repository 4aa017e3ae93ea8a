"""A model applied to other images: layers, or a folder of files."""
