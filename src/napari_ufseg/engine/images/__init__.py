"""What goes in: arrays of any axes, read by pieces, brought to [0, 1]."""
