"""What a comparison found: the records, what they add up to, and their rows for CSV files."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TextIO

TERMS = ("total", "content", "style", "variation")
STARTS = {"noise": "white noise", "photo": "the photo"}


def equals(totals: Sequence[float], fast: float) -> int | None:
    """After how many evaluations the curve's running minimum is no higher than ``fast``; None if never."""
    return next((count for count, total in enumerate(totals, start=1) if total <= fast), None)


def number(value: float) -> str:
    """Three digits, for people."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:#.3g}"


@dataclass
class Comparison:
    """One photo at one size.

    Attributes:
        photo: its name.
        size: its longer side in pixels; width and height are the picture's.
        fast: the objective's terms of the fast model's picture, before their weights, and total.
        curves: by what the baseline started from, the terms at each of its evaluations.
        distances: by picture, to the layers' distances and ``ssim``.
        pictures: by picture, the data URI of a WebP.
        plot: of the curves, an SVG element.

    A picture is photo, style, fast, refined, or ``noise_50``: the baseline from noise after 50 updates.
    """

    photo: str
    size: int
    width: int
    height: int
    fast: dict[str, float]
    curves: dict[str, list[dict[str, float]]]
    distances: dict[str, dict[str, float]]
    pictures: dict[str, str]
    plot: str

    def totals(self, start: str) -> list[float]:
        return [terms["total"] for terms in self.curves[start]]

    def equals(self, start: str) -> int | None:
        """How many of the baseline's evaluations the fast model equals; None is more than were made."""
        return equals(self.totals(start), self.fast["total"])


@dataclass
class Timing:
    """Seconds of one pass of the fast model, and of one evaluation and update of the baseline."""

    size: int
    width: int
    height: int
    fast: float
    slow: float

    def speed_up(self, steps: int) -> float:
        return steps * self.slow / self.fast


@dataclass
class Report:
    """What was compared and how, and what was found so far.

    Attributes:
        model, style: their names.
        settings: how it was measured, each as a line.
        steps: updates of the baseline, which makes one evaluation more.
        planned: how many photos times sizes were asked for.
        notes: what a reader must know before believing the figures.
        comparisons: those that were made.
        timings: of the first photo.
        skipped: the photos, or sizes of them, that could not be measured, and why; a line each.
    """

    model: str
    style: str
    settings: list[str]
    steps: int
    planned: int
    notes: list[str] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def at(self, size: int) -> list[Comparison]:
        return [one for one in self.comparisons if one.size == size]

    @property
    def sizes(self) -> list[int]:
        return list(dict.fromkeys(one.size for one in self.comparisons))

    def count(self, evaluations: float | None) -> str:
        """A number of evaluations for people; None and infinity are more than were made."""
        if evaluations is None or evaluations == float("inf"):
            return f"more than {self.steps + 1:,}"
        return f"{evaluations:,.0f}" if evaluations == int(evaluations) else f"{evaluations:,.1f}"

    def median_equals(self, size: int, start: str) -> str:
        found = [one.equals(start) for one in self.at(size)]
        return self.count(median(float("inf") if count is None else count for count in found))

    def summary(self) -> list[str]:
        """A sentence for each size."""
        lines = []
        for size in self.sizes:
            photos = len(self.at(size))
            noise, start = (self.median_equals(size, start) for start in STARTS)
            line = (
                f"On {photos} photo{'s' * (photos > 1)} at {size} pixels the fast model equals "
                f"{'a median of ' * (photos > 1)}{noise} evaluations of L-BFGS from white noise and "
                f"{start} from the photo"
            )
            for timing in self.timings:
                if timing.size == size:
                    line += f", and 100 steps would take {number(timing.speed_up(100))} times as long"
            lines.append(line + ".")
        return lines

    def mean_distances(self, size: int) -> dict[str, dict[str, float]]:
        """Means over the photos: by picture, then by layer."""
        found = [one.distances for one in self.at(size)]
        return {
            picture: {key: sum(one[picture][key] for one in found) / len(found) for key in row}
            for picture, row in found[0].items()
        }


def write_rows(file: TextIO, rows: Iterator[dict[str, object]]) -> None:
    first = next(rows)
    writer = csv.DictWriter(file, list(first))
    writer.writeheader()
    writer.writerow(first)
    writer.writerows(rows)


def figure_rows(report: Report) -> Iterator[dict[str, object]]:
    """A row for each photo and size; an empty ``equals`` is more than steps + 1 evaluations.

    Seconds are of the first photo at that size: a pass of the fast model, a step of the baseline.
    """
    timings = {timing.size: timing for timing in report.timings}
    for one in report.comparisons:
        timing = timings.get(one.size)
        yield {
            "photo": one.photo,
            "size": one.size,
            "width": one.width,
            "height": one.height,
            "steps": report.steps,
            **{f"fast_{term}": one.fast[term] for term in TERMS},
            **{f"equals_{start}": one.equals(start) for start in STARTS},
            "fast_seconds": timing and timing.fast,
            "slow_step_seconds": timing and timing.slow,
            **{f"lowest_{start}": min(one.totals(start)) for start in STARTS},
            **{f"{name}_{key}": value for name, row in one.distances.items() for key, value in row.items()},
        }


def curve_rows(report: Report) -> Iterator[dict[str, object]]:
    """A row for each evaluation of the baseline."""
    for one in report.comparisons:
        for start, curve in one.curves.items():
            for count, terms in enumerate(curve, start=1):
                row = {"photo": one.photo, "size": one.size, "start": start, "evaluation": count}
                yield row | {term: terms[term] for term in TERMS}
