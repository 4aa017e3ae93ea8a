"""A result and what can be done with it: classes, edits, history, time, confidence."""
