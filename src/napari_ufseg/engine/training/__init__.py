"""One training, from its images to its result."""
