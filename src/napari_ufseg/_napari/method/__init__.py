"""How it is segmented: presets, options, device, estimate, variations."""
