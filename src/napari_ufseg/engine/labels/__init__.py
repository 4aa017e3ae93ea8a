"""Label images and what is said about their classes."""
