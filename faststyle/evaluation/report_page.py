"""The report of a comparison as one HTML file, with its images and plots inside."""

import base64
import io
import re
import zlib

import jinja2
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from PIL import Image

from faststyle.evaluation.report import STARTS, Report, evaluations_to_reach, format_number

COLORS = {"noise": "#d9822b", "photo": "#2f8fd0", "fast": "#c2487f"}  # readable on white and on black
INK = "#010203"  # replaced by currentColor, the page's own colour of text


def data_uri(image: Image.Image) -> str:
    """Encode an image as a WebP in a data URI."""
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=88)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"


def plot_curves(curves: dict[str, list[float]], fast: float) -> str:
    """Plot the objective over the evaluations, from both starts (Johnson et al. 2016, figure 5).

    Args:
        curves: The objective at each evaluation, by start.
        fast: The objective of the fast model's image.

    Returns:
        An SVG element for an HTML page.
    """
    figure = Figure(figsize=(6.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for start, label in STARTS.items():
        totals, color = curves[start], COLORS[start]
        axes.plot(range(1, len(totals) + 1), totals, color=color, lw=1.8, label=f"L-BFGS from {label}")
        if count := evaluations_to_reach(totals, fast):
            axes.plot(count, fast, "o", color=color, ms=8, mec=INK, mew=1.2, zorder=3, gid=f"meets-{start}")
            axes.annotate(
                f"{count}", (count, fast), (5, 7), textcoords="offset points", color=INK, fontsize=10
            )
    axes.axhline(fast, color=COLORS["fast"], lw=1.6, ls=(0, (5, 3)), label="fast model, one pass")
    axes.set(xscale="log", yscale="log", xlabel="evaluations of the objective", ylabel="objective")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
        axis.label.set_color(INK)
    axes.tick_params(colors=INK, labelcolor=INK, labelsize=9)
    axes.spines[:].set_color(INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=INK, alpha=0.15, lw=0.6)
    axes.legend(frameon=False, labelcolor=INK, fontsize=9)
    return to_svg_element(figure)


def to_svg_element(figure: Figure) -> str:
    """Convert a figure to an SVG element that can share a page with others."""
    stream = io.StringIO()
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    svg = stream.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace(INK, "currentColor")
    svg = svg.replace(
        "<svg", '<svg role="img" aria-label="Plot; its caption says where the curves meet the fast model"', 1
    )
    # The prefix keeps the ids of several plots on one page apart.
    prefix = f"p{zlib.crc32(svg.encode()):x}-"
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}", svg)


def format_seconds(value: float) -> str:
    """Format seconds, as milliseconds below one second."""
    return f"{format_number(1000 * value)} ms" if value < 1 else f"{format_number(value)} s"


TITLES = {"photo": "Photo", "style": "Style", "fast": "Fast model", "refined": "Fast model, refined"}
DISTANCE_TITLES = {"ssim": "SSIM", "half": "style at ½", "quarter": "style at ¼", "tiles": "worst tiles"}


def format_title(image: str) -> str:
    """Return the title of an image that ``Comparison`` names."""
    start, _, steps = image.partition("_")
    if not steps:
        return TITLES[image]
    return f"L-BFGS from {STARTS[start]}, {steps} steps"


def render_page(report: Report) -> str:
    """Render a report as an HTML page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("faststyle.evaluation", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": format_number, "seconds": format_seconds, "title": format_title}
    return environment.get_template("report.html.j2").render(
        report=report, starts=list(STARTS), titles=DISTANCE_TITLES
    )
