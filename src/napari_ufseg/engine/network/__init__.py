"""The network, its loss, where it starts, and models on disk."""
