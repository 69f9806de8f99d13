"""``faststyle styles``: list the built-in styles and the trained models."""

from dataclasses import dataclass

from faststyle.errors import one_line
from faststyle.models.pretrained import read_cards
from faststyle.models.runs import RUNS, trained_models
from faststyle.options import Settings


@dataclass(frozen=True)
class Options(Settings):
    """List the built-in styles, and the models trained in runs/."""


def run(options: Options) -> int:
    """Print a table of the built-in styles, and the names of trained models; nothing fails."""
    rows: list[tuple[str, ...]] = [("NAME", "PAINTING", "PAINTER", "YEAR")]
    for name, card in read_cards().items():
        assert card.painting is not None
        rows.append((name, card.painting.title, card.painting.artist, card.painting.year))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if trained := trained_models():
        print(f"\ntrained in {RUNS}/: {', '.join(map(one_line, trained))}")
    print("\nfaststyle stylize PHOTO.jpg --checkpoint NAME, or --checkpoint all for a sheet of every style")
    print("NAME-steady is for videos, and is used for them by itself")
    return 0
