"""``faststyle styles``: list the built-in styles."""

from dataclasses import dataclass

from faststyle.models.pretrained import read_cards
from faststyle.options import Settings


@dataclass(frozen=True)
class Options(Settings):
    """List the built-in styles."""


def run(options: Options) -> int:
    """Print a table of the built-in styles; nothing fails."""
    rows: list[tuple[str, ...]] = [("NAME", "PAINTING", "PAINTER", "YEAR")]
    for name, card in read_cards().items():
        assert card.painting is not None
        rows.append((name, card.painting.title, card.painting.artist, card.painting.year))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print("\nfaststyle stylize PHOTO.jpg --checkpoint NAME, or --checkpoint all for a sheet of every style")
    print("NAME-steady is for videos, and is used for them by itself")
    return 0
