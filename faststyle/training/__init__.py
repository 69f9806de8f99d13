"""Train a network for a style."""
