"""Images and label images out of files."""
