"""The network, model files, and loading of models by name."""
