"""The network, what a saved model holds, and where models come from."""
