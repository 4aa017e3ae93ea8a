"""Loss and gradient of a step on the CPU by strips that stay in the cache: the twin of `network`."""
