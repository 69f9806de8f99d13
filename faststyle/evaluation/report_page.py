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
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": format_number, "seconds": format_seconds, "title": format_title}
    return environment.from_string(PAGE).render(report=report, starts=list(STARTS), titles=DISTANCE_TITLES)


PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ report.model }} beside L-BFGS</title>
<style>
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent) }
body { font: 1rem/1.55 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem 1rem 4rem;
  background: light-dark(#fff, #16181b); color: light-dark(#1c1e21, #e3e5e8) }
h1 { font-size: 1.7rem; line-height: 1.2 } h2 { font-size: 1.25rem; margin-top: 2.5rem }
h1, h2 { overflow-wrap: anywhere }
.summary { font-size: 1.15rem } p, ul { max-width: 44rem }
.notes { border-left: 4px solid #d9822b; padding: .2rem 1rem .2rem 2rem; margin-left: 0 }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
caption, figcaption { text-align: left; font-size: .875rem; opacity: .8 } caption { padding: .4rem 0 }
th, td { padding: .3rem .9rem .3rem 0; text-align: right; border-bottom: 1px solid var(--line) }
th { font-weight: 600; vertical-align: bottom } th:first-child, td:first-child { text-align: left }
.images { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)) }
figure { margin: 0 } .images img { width: 100%; height: auto; display: block; border-radius: 3px }
.plot { max-width: 40rem; margin: 1rem 0 } .plot svg { width: 100%; height: auto }
.plot svg text { font-family: inherit !important }
@media (max-width: 30rem) { .images { grid-template-columns: 1fr 1fr }
  .plot svg text { font-size: 12px !important } }
</style>
</head>
<body>
<h1>{{ report.model }} beside L-BFGS</h1>
{% for line in report.summary() %}
<p class="summary">{{ line }}</p>
{% endfor %}
{% if report.notes or report.skipped or report.comparisons|length < report.planned %}
<ul class="notes">
{% for note in report.notes %}
<li>{{ note }}</li>
{% endfor %}
{% for line in report.skipped %}
<li>Skipped: {{ line }}</li>
{% endfor %}
{% if report.comparisons|length < report.planned %}
<li>{{ report.comparisons|length }} of {{ report.planned }} pairs of photo and size are measured here.</li>
{% endif %}
</ul>
{% endif %}

<h2>The objective</h2>
<div class="wide"><table>
<caption>The training objective of each image; lower is better. An evaluation computes the objective and its
gradient once. An update follows each evaluation but the last.</caption>
<tr><th>Photo</th><th>Pixels</th><th>Objective of the fast model</th>
<th>Evaluations that one pass equals, from white noise</th><th>from the photo</th>
<th>L-BFGS' lowest objective, from white noise</th><th>from the photo</th></tr>
{% for comparison in report.comparisons %}
<tr><td>{{ comparison.photo }}</td><td>{{ comparison.width }}×{{ comparison.height }}</td>
<td>{{ comparison.fast.total|number }}</td>
{% for start in starts %}
<td>{{ report.format_count(comparison.evaluations_equalled(start)) }}</td>
{% endfor %}
{% for start in starts %}
<td>{{ comparison.totals(start)|min|number }}</td>
{% endfor %}
</tr>
{% endfor %}
{% for size in report.sizes %}
<tr><th>Median</th><th>{{ size }}</th><th></th>
{% for start in starts %}
<th>{{ report.median_evaluations(size, start) }}</th>
{% endfor %}
<th></th><th></th></tr>
{% endfor %}
</table></div>

<h2>The time</h2>
<div class="wide"><table>
<caption>The first photo at each size. One step of L-BFGS is an evaluation and an update. The times of 100 and
of 500 steps are multiples of the time of one step, and not measured.</caption>
<tr><th>Pixels</th><th>Fast model</th><th>L-BFGS, one step</th><th>100 steps</th><th>500 steps</th>
<th>Speed-up over 100</th><th>over 500</th></tr>
{% for timing in report.timings %}
<tr><td>{{ timing.width }}×{{ timing.height }}</td>
<td>{{ timing.fast|seconds }}</td><td>{{ timing.slow|seconds }}</td>
<td>{{ (100 * timing.slow)|seconds }}</td><td>{{ (500 * timing.slow)|seconds }}</td>
<td>{{ timing.speed_up(100)|number }}×</td><td>{{ timing.speed_up(500)|number }}×</td></tr>
{% endfor %}
</table></div>

<h2>How it was measured</h2>
<ul>
{% for line in report.settings %}
<li>{{ line }}</li>
{% endfor %}
</ul>

{% macro distances(rows) %}
<tr><th>Image</th>
{% for key in rows.fast %}
<th>{{ titles.get(key, key) }}</th>
{% endfor %}
</tr>
{% for image, row in rows.items() %}
<tr><td>{{ image|title }}</td>
{% for value in row.values() %}
<td>{{ value|number }}</td>
{% endfor %}
</tr>
{% endfor %}
{% endmacro %}
<h2>Other distances</h2>
<p>Relative distances in VGG: 0 is equal, lower is nearer. At relu4_2 the features are compared with the
photo's, at the other layers the Gram matrices with the style's. Style at ½ and ¼ are means over five layers
of image and painting averaged down. Worst tiles is the 90th percentile over windows of 128 pixels. SSIM is
the structural similarity of the luminance to the photo's; 1 is equal.</p>
{% for size in report.sizes if report.comparisons_at(size)|length > 1 %}
<div class="wide"><table>
<caption>Means over {{ report.comparisons_at(size)|length }} photos at {{ size }} pixels.</caption>
{{ distances(report.mean_distances(size)) }}
</table></div>
{% endfor %}

{% for comparison in report.comparisons %}
<h2>{{ comparison.photo }}, {{ comparison.width }}×{{ comparison.height }}</h2>
<figure class="plot">{{ comparison.plot|safe }}
<figcaption>The objective over the evaluations of L-BFGS, on logarithmic axes. The dashed line is the fast
model. A ring marks where a curve first meets the line: from white noise after
{{ report.format_count(comparison.evaluations_equalled("noise")) }} evaluations, from the photo after
{{ report.format_count(comparison.evaluations_equalled("photo")) }}.</figcaption></figure>
<div class="images">
{% for image, uri in comparison.images.items() %}
{% set photo = "" if image == "style" else ", " + comparison.photo %}
<figure><img src="{{ uri }}" alt="{{ image|title }}{{ photo }}" loading="lazy">
<figcaption>{{ image|title }}</figcaption></figure>
{% endfor %}
</div>
<div class="wide"><table>
<caption>{{ comparison.photo }} at {{ comparison.size }} pixels.</caption>
{{ distances(comparison.distances) }}
</table></div>
{% endfor %}
</body>
</html>
"""
