"""The per-image baseline: optimize the pixels themselves."""
