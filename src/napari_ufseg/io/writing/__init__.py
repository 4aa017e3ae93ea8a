"""Label images into files."""
