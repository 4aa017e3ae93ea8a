"""Images as the network takes them: arrays of any axes, read by pieces, brought to [0, 1]."""
