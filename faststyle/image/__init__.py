"""Image files to tensors and back, and operations on images."""
