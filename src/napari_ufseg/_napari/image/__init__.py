"""What is segmented: image, axes, part, scribbles."""
