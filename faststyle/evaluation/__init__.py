"""Measurements of images and of trained models, and a report that compares a model with the baseline."""
