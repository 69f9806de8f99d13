"""Records of a comparison, their summary, and their rows for CSV files."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TextIO

TERMS = ("total", "content", "style", "variation")
STARTS = {"noise": "white noise", "photo": "the photo"}


def evaluations_to_reach(totals: Sequence[float], target: float) -> int | None:
    """Return the number of evaluations until a total is at most ``target``; None if no total is."""
    return next((count for count, total in enumerate(totals, start=1) if total <= target), None)


def format_number(value: float) -> str:
    """Format a number with three significant digits."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:#.3g}"


@dataclass
class Comparison:
    """The fast model and the baseline on one photo at one size.

    An image is named photo, style, fast, refined or, for the baseline from noise after 50 updates,
    ``noise_50``.

    Attributes:
        photo: Name of the photo.
        size: Longer side in pixels.
        width, height: Sides of the images in pixels.
        fast: The objective's terms of the fast model's image, before their weights, and total.
        curves: Terms of each evaluation of the baseline, by its start.
        distances: Distances by image, then by layer; and ``ssim``.
        images: Data URI of a WebP by image.
        plot: The curves as an SVG element.
    """

    photo: str
    size: int
    width: int
    height: int
    fast: dict[str, float]
    curves: dict[str, list[dict[str, float]]]
    distances: dict[str, dict[str, float]]
    images: dict[str, str]
    plot: str

    def totals(self, start: str) -> list[float]:
        """Return the objective at each evaluation of the baseline from a start."""
        return [terms["total"] for terms in self.curves[start]]

    def evaluations_equalled(self, start: str) -> int | None:
        """Return how many evaluations of the baseline one pass equals; None if more than were made."""
        return evaluations_to_reach(self.totals(start), self.fast["total"])


@dataclass
class Timing:
    """The time of the fast model and of the baseline at one size.

    Attributes:
        size: Longer side in pixels.
        width, height: Sides of the image in pixels.
        fast: Seconds of one pass of the fast model.
        slow: Seconds of one evaluation and update of the baseline.
    """

    size: int
    width: int
    height: int
    fast: float
    slow: float

    def speed_up(self, steps: int) -> float:
        """Return the time of so many steps of the baseline, divided by that of one pass."""
        return steps * self.slow / self.fast


@dataclass
class Report:
    """What was compared, how, and the measurements so far.

    Attributes:
        model, style: Names of the model and of the style.
        settings: How the measurements are made, as lines.
        steps: Number of updates of the baseline, which makes one evaluation more.
        planned: Number of photos times number of sizes.
        notes: What a reader must know before using the figures, as sentences.
        comparisons: Comparisons so far.
        timings: Times of the first photo.
        skipped: A line for each photo, or size of a photo, that could not be measured, with the reason.
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

    def comparisons_at(self, size: int) -> list[Comparison]:
        """Return the comparisons at one size."""
        return [comparison for comparison in self.comparisons if comparison.size == size]

    @property
    def sizes(self) -> list[int]:
        """Sizes of the comparisons, in their order."""
        return list(dict.fromkeys(comparison.size for comparison in self.comparisons))

    def format_count(self, evaluations: float | None) -> str:
        """Format a number of evaluations; None and infinity are more than were made."""
        if evaluations is None or math.isinf(evaluations):
            return f"more than {self.steps + 1:,}"
        return f"{evaluations:,.0f}" if evaluations == int(evaluations) else f"{evaluations:,.1f}"

    def median_evaluations(self, size: int, start: str) -> str:
        """Return the median over the photos of how many evaluations one pass equals, as text."""
        counts = [comparison.evaluations_equalled(start) for comparison in self.comparisons_at(size)]
        return self.format_count(median(math.inf if count is None else count for count in counts))

    def summary(self) -> list[str]:
        """Return a sentence for each size."""
        lines = []
        for size in self.sizes:
            photos = len(self.comparisons_at(size))
            noise, start = (self.median_evaluations(size, start) for start in STARTS)
            line = (
                f"On {photos} photo{'s' * (photos > 1)} at {size} pixels the fast model equals "
                f"{'a median of ' * (photos > 1)}{noise} evaluations of L-BFGS from white noise and "
                f"{start} from the photo"
            )
            for timing in self.timings:
                if timing.size == size:
                    line += f", and 100 steps would take {format_number(timing.speed_up(100))} times as long"
            lines.append(line + ".")
        return lines

    def mean_distances(self, size: int) -> dict[str, dict[str, float]]:
        """Return the distances at one size, averaged over the photos: by image, then by layer."""
        rows = [comparison.distances for comparison in self.comparisons_at(size)]
        return {
            image: {key: sum(row[image][key] for row in rows) / len(rows) for key in distances}
            for image, distances in rows[0].items()
        }


def write_rows(file: TextIO, rows: Iterator[dict[str, object]]) -> None:
    """Write rows as CSV; the keys of the first row are the header."""
    first = next(rows)
    writer = csv.DictWriter(file, list(first))
    writer.writeheader()
    writer.writerow(first)
    writer.writerows(rows)


def figure_rows(report: Report) -> Iterator[dict[str, object]]:
    """Yield a row for each photo and size.

    An empty ``equals`` is more than ``steps`` + 1 evaluations. Seconds are of the first photo at that
    size: one pass of the fast model, and one step of the baseline.
    """
    timings = {timing.size: timing for timing in report.timings}
    for comparison in report.comparisons:
        timing = timings.get(comparison.size)
        yield {
            "photo": comparison.photo,
            "size": comparison.size,
            "width": comparison.width,
            "height": comparison.height,
            "steps": report.steps,
            **{f"fast_{term}": comparison.fast[term] for term in TERMS},
            **{f"equals_{start}": comparison.evaluations_equalled(start) for start in STARTS},
            "fast_seconds": timing and timing.fast,
            "slow_step_seconds": timing and timing.slow,
            **{f"lowest_{start}": min(comparison.totals(start)) for start in STARTS},
            **{
                f"{image}_{key}": value
                for image, distances in comparison.distances.items()
                for key, value in distances.items()
            },
        }


def curve_rows(report: Report) -> Iterator[dict[str, object]]:
    """Yield a row for each evaluation of the baseline."""
    for comparison in report.comparisons:
        for start, curve in comparison.curves.items():
            for count, terms in enumerate(curve, start=1):
                row = {
                    "photo": comparison.photo,
                    "size": comparison.size,
                    "start": start,
                    "evaluation": count,
                }
                yield row | {term: terms[term] for term in TERMS}
