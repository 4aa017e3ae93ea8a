"""Labels of whole images, tile by tile."""
