"""Stylize images, videos and collections with a trained model."""
