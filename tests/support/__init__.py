"""Helpers shared by the tests and the benchmarks."""

from pathlib import Path

ROOT = Path(__file__).parents[2]  # The repository's root.
