"""The commands: options in, calls of the library."""
