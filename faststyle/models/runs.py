"""Models that train.py wrote, by name. Does not import torch, so that a list of models appears at once."""

from pathlib import Path

RUNS = Path("runs")  # in the current folder; a run has a folder of its own there


def trained_models() -> dict[str, Path]:
    """Return the model files of the runs in ``RUNS`` by name, in alphabetical order.

    Of several models with one name, the one in the folder of that name counts.
    """
    found = sorted(RUNS.glob("*/*.safetensors"), key=lambda path: (path.stem, path.parent.name == path.stem))
    return {path.stem: path for path in found}
