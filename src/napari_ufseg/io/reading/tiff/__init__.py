"""TIFF files: the image that is meant, its pages, samples and series."""
