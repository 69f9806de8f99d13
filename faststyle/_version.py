"""The version of the package, for pyproject.toml and for what records it."""

__version__ = "0.1.0"
