"""The per-image baseline: stylize one image by optimizing its pixels."""
