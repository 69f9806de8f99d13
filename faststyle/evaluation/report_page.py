"""The page that a comparison is read on: one HTML file that needs no other."""

import base64
import io
import re
import zlib

import jinja2
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from PIL import Image

from faststyle.evaluation.report import STARTS, Report, equals, number

COLORS = {"noise": "#d9822b", "photo": "#2f8fd0", "fast": "#c2487f"}  # on white and on black alike
INK = "#010203"  # stands for the page's own colour of text


def data_uri(image: Image.Image) -> str:
    """A picture as a WebP inside a page."""
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=88)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"


def plot(curves: dict[str, list[float]], fast: float) -> str:
    """Both curves over the evaluations, and where they meet the fast model (Johnson et al. 2016, figure 5).

    Args:
        curves: by start, the objective at each evaluation.
        fast: the objective of the fast model's picture.

    Returns:
        An SVG element to stand in HTML; it has no text of any file.
    """
    figure = Figure(figsize=(6.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for start, label in STARTS.items():
        totals = curves[start]
        axes.plot(
            range(1, len(totals) + 1), totals, color=COLORS[start], lw=1.8, label=f"L-BFGS from {label}"
        )
        if count := equals(totals, fast):
            axes.plot(
                count, fast, "o", color=COLORS[start], ms=8, mec=INK, mew=1.2, zorder=3, gid=f"meets-{start}"
            )
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
    stream = io.StringIO()
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    svg = stream.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace(INK, "currentColor")
    svg = svg.replace("<svg", '<svg role="img" aria-label="Plot; its caption tells where the curves meet"', 1)
    # Several of them share a page, so each needs names of its own.
    prefix = f"p{zlib.crc32(svg.encode()):x}-"
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}", svg)


def seconds(value: float) -> str:
    return f"{number(1000 * value)} ms" if value < 1 else f"{number(value)} s"


TITLES = {"photo": "Photo", "style": "Style", "fast": "Fast model", "refined": "Fast model, refined"}
KEYS = {"ssim": "SSIM", "half": "style at ½", "quarter": "style at ¼", "tiles": "worst tiles"}


def title(picture: str) -> str:
    """What people call a picture."""
    start, _, steps = picture.partition("_")
    if not steps:
        return TITLES[picture]
    return f"L-BFGS from {STARTS[start]}, {steps} steps"


def render(report: Report) -> str:
    """The whole page."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "seconds": seconds, "title": title}
    return environment.from_string(PAGE).render(report=report, starts=list(STARTS), keys=KEYS)


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
.pictures { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)) }
figure { margin: 0 } .pictures img { width: 100%; height: auto; display: block; border-radius: 3px }
.plot { max-width: 40rem; margin: 1rem 0 } .plot svg { width: 100%; height: auto }
.plot svg text { font-family: inherit !important }
@media (max-width: 30rem) { .pictures { grid-template-columns: 1fr 1fr }
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
<caption>The training objective of each picture; lower is better. An evaluation computes it and its gradient
once, and each but the last is followed by an update.</caption>
<tr><th>Photo</th><th>Pixels</th><th>Objective of the fast model</th>
<th>Evaluations that it equals, from white noise</th><th>from the photo</th>
<th>L-BFGS' lowest objective, from white noise</th><th>from the photo</th></tr>
{% for one in report.comparisons %}
<tr><td>{{ one.photo }}</td><td>{{ one.width }}×{{ one.height }}</td><td>{{ one.fast.total|number }}</td>
{% for start in starts %}
<td>{{ report.count(one.equals(start)) }}</td>
{% endfor %}
{% for start in starts %}
<td>{{ one.totals(start)|min|number }}</td>
{% endfor %}
</tr>
{% endfor %}
{% for size in report.sizes %}
<tr><th>Median</th><th>{{ size }}</th><th></th>
{% for start in starts %}
<th>{{ report.median_equals(size, start) }}</th>
{% endfor %}
<th></th><th></th></tr>
{% endfor %}
</table></div>

<h2>The time</h2>
<div class="wide"><table>
<caption>Of the first photo, brought to each size. One step of L-BFGS is an evaluation and an update; the
times of 100 and of 500 steps are products of it, not measured.</caption>
<tr><th>Pixels</th><th>Fast model</th><th>L-BFGS, one step</th><th>100 steps</th><th>500 steps</th>
<th>Speed-up over 100</th><th>over 500</th></tr>
{% for one in report.timings %}
<tr><td>{{ one.width }}×{{ one.height }}</td><td>{{ one.fast|seconds }}</td><td>{{ one.slow|seconds }}</td>
<td>{{ (100 * one.slow)|seconds }}</td><td>{{ (500 * one.slow)|seconds }}</td>
<td>{{ one.speed_up(100)|number }}×</td><td>{{ one.speed_up(500)|number }}×</td></tr>
{% endfor %}
</table></div>

<h2>How it was measured</h2>
<ul>
{% for line in report.settings %}
<li>{{ line }}</li>
{% endfor %}
</ul>

{% macro distances(rows) %}
<tr><th>Picture</th>
{% for key in rows.fast %}
<th>{{ keys.get(key, key) }}</th>
{% endfor %}
</tr>
{% for picture, row in rows.items() %}
<tr><td>{{ picture|title }}</td>
{% for value in row.values() %}
<td>{{ value|number }}</td>
{% endfor %}
</tr>
{% endfor %}
{% endmacro %}
<h2>Other distances</h2>
<p>Relative distances in VGG, 0 is equal, lower is nearer: at relu4_2 of the features from the photo's, at the
other layers of the Gram matrix from the style's. Style at ½ and ¼ are means over five layers of image and
painting averaged down, worst tiles the 90th percentile over windows of 128 pixels. SSIM is the structural
similarity of the luminance to the photo's; 1 is equal.</p>
{% for size in report.sizes if report.at(size)|length > 1 %}
<div class="wide"><table>
<caption>Means over {{ report.at(size)|length }} photos at {{ size }} pixels.</caption>
{{ distances(report.mean_distances(size)) }}
</table></div>
{% endfor %}

{% for one in report.comparisons %}
<h2>{{ one.photo }}, {{ one.width }}×{{ one.height }}</h2>
<figure class="plot">{{ one.plot|safe }}
<figcaption>The objective over L-BFGS' evaluations, both axes logarithmic. The dashed line is the fast model;
a ring marks where a curve first meets it: from white noise after {{ report.count(one.equals("noise")) }}
evaluations, from the photo after {{ report.count(one.equals("photo")) }}.</figcaption></figure>
<div class="pictures">
{% for picture, uri in one.pictures.items() %}
{% set of = "" if picture == "style" else ", " + one.photo %}
<figure><img src="{{ uri }}" alt="{{ picture|title }}{{ of }}" loading="lazy">
<figcaption>{{ picture|title }}</figcaption></figure>
{% endfor %}
</div>
<div class="wide"><table>
<caption>{{ one.photo }} at {{ one.size }} pixels.</caption>
{{ distances(one.distances) }}
</table></div>
{% endfor %}
</body>
</html>
"""
