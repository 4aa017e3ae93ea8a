"""Models applied to files: one, a folder of them, or tiles on a cluster."""
