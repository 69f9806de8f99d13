"""Records of a comparison, their CSV rows and their page."""

import base64
import csv
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from faststyle.evaluation.report import (
    Comparison,
    Report,
    Timing,
    curve_rows,
    evaluations_to_reach,
    figure_rows,
    format_number,
    write_rows,
)
from faststyle.evaluation.report_page import data_uri, format_seconds, plot_curves, render_page
from tests.support.images import draw_image

VOID_TAGS = {"meta", "img", "br"}


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects attributes and text."""

    def __init__(self, html):
        super().__init__()
        self.open_tags, self.attributes, self.words = [], [], []
        self.feed(html)
        assert self.open_tags == []

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, *attribute) for attribute in attributes]
        if tag not in VOID_TAGS:
            self.open_tags.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.attributes += [(tag, *attribute) for attribute in attributes]

    def handle_endtag(self, tag):
        assert self.open_tags.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.words))


def terms(total):
    return {"total": total, "content": total / 2, "style": total / 4, "variation": 0.1}


def make_comparison(photo="beach.jpg", size=48, fast=3.0, noise=(9, 5, 2), start=(6, 4, 3.5)):
    curves = {"noise": [terms(total) for total in noise], "photo": [terms(total) for total in start]}
    names = ["photo", "style", "fast", "noise_2", "photo_2"]
    return Comparison(
        photo,
        size,
        size,
        36,
        terms(fast),
        curves,
        {name: {"relu1_1": 0.25, "ssim": 0.5} for name in names if name != "style"},
        {name: data_uri(draw_image(16, 12)) for name in names},
        plot_curves({"noise": list(noise), "photo": list(start)}, fast),
    )


@pytest.fixture
def report():
    made = Report("starry", "night", ["The objective: all."], steps=2, planned=3)
    made.comparisons += [
        make_comparison(),
        make_comparison("cat.png", noise=(8, 3, 2)),
        make_comparison(size=64),
    ]
    made.timings += [Timing(48, 48, 36, 0.002, 0.1), Timing(1024, 1024, 768, 0.5, 6.0)]
    return made


@pytest.mark.parametrize(
    ("totals", "target", "count"),
    [
        ([9, 7, 5], 4, None),
        ([9, 7, 5], 5, 3),
        ([9, 7, 5], 7.5, 2),
        ([9, 7, 5], 9, 1),
        ([9, 7, 5], 20, 1),
        ([9, 4, 8, 3, 6], 4, 2),  # the objective may rise again
        ([9, 6, 8, 3, 6], 4, 4),
        ([], 4, None),
    ],
)
def test_evaluations_to_reach_a_target(totals, target, count):
    assert evaluations_to_reach(totals, target) == count


def test_summary_has_medians_and_speed(report):
    first, second = report.summary()
    # From noise after 3 and 2 evaluations, from the photo never.
    assert first == (
        "On 2 photos at 48 pixels the fast model equals a median of 2.5 evaluations of L-BFGS from white "
        "noise and more than 3 from the photo, and 100 steps would take 5,000 times as long."
    )
    assert second.startswith(
        "On 1 photo at 64 pixels the fast model equals 3 evaluations"
    ) and second.endswith("more than 3 from the photo.")


def test_median_takes_never_as_infinity(report):
    report.comparisons = [make_comparison(start=start) for start in ((6, 4, 3.5), (6, 2, 2), (6, 4, 2))]
    assert report.median_evaluations(48, "photo") == "3"


def test_means_are_over_the_photos_of_one_size(report):
    report.comparisons[0].distances["fast"]["ssim"] = 0.1
    assert report.mean_distances(48)["fast"] == pytest.approx({"relu1_1": 0.25, "ssim": 0.3})
    assert report.mean_distances(64)["fast"]["ssim"] == 0.5


def test_page_is_complete_and_needs_no_other_file(report):
    html = render_page(report)
    page = Page(html)
    assert html.startswith("<!doctype html>") and html.count("<svg") == 3
    assert not re.search(r"https?:|//[a-z]", re.sub(r"data:image/webp;base64,[\w+/=]+", "", html))
    links = [value for _, name, value in page.attributes if name in ("src", "href", "xlink:href")]
    assert links and all(link.startswith(("data:", "#")) for link in links)
    for tag, name, value in page.attributes:
        if (tag, name) == ("img", "src"):
            image = Image.open(io.BytesIO(base64.b64decode(value.partition(",")[2])))
            assert image.size == (16, 12)
    images = [name for tag, name, _ in page.attributes if tag == "img"]
    assert images.count("alt") == images.count("src") == 15
    assert "more than 3" in page.text and "2.00 ms" in page.text and "1,200×" in page.text


def test_every_reference_has_an_id_on_the_page(report):
    page = Page(render_page(report))
    ids = [value for _, name, value in page.attributes if name == "id"]
    used = re.findall(r"(?:url\(|href=\")#([^)\"]+)", render_page(report))
    assert used and set(used) <= set(ids)


def test_names_are_escaped(report):
    report.model = report.comparisons[0].photo = "a<b>&amp \"c'.jpg"
    report.skipped.append("x<script>&.jpg is not an image")
    html = render_page(report)
    page = Page(html)
    assert "a<b>&amp \"c'.jpg" in page.text and "Skipped: x<script>&.jpg" in page.text
    assert "<script" not in html and "a<b>" not in html
    alts = [value for tag, name, value in page.attributes if (tag, name) == ("img", "alt")]
    assert "Fast model, a<b>&amp \"c'.jpg" in alts


def test_unfinished_report_says_so(report):
    assert "of 3 pairs" not in Page(render_page(report)).text
    report.comparisons.pop()
    assert "2 of 3 pairs" in Page(render_page(report)).text


def test_plot_marks_where_the_curves_meet_the_fast_model():
    curves = {"noise": [9, 5, 2], "photo": [6, 3, 2]}
    for fast, met in ((4, ["noise", "photo"]), (2.5, ["noise", "photo"]), (1, [])):
        assert re.findall(r"-meets-(\w+)", plot_curves(curves, fast)) == met
    assert re.findall(r"-meets-(\w+)", plot_curves(curves | {"photo": [6, 5, 5]}, 4)) == ["noise"]
    assert "L-BFGS from white noise" in plot_curves(curves, 4) and "currentColor" in plot_curves(curves, 4)


def test_page_is_rendered_without_timings(report):
    report.timings.clear()
    for one in report.comparisons:
        one.distances = {name: {"ssim": 0.5} for name in one.distances}
    assert "SSIM" in Page(render_page(report)).text


def test_rows_of_the_tables(report):
    def read(rows):
        stream = io.StringIO()
        write_rows(stream, rows)
        stream.seek(0)
        return list(csv.DictReader(stream))

    report.comparisons[0].photo = 'a,"b".jpg'
    figures, curves = read(figure_rows(report)), read(curve_rows(report))
    assert len(figures) == 3 and len(curves) == 18
    first = figures[0]
    assert first["photo"] == 'a,"b".jpg' and first["fast_total"] == "3.0" and first["steps"] == "2"
    assert (first["equals_noise"], first["equals_photo"], first["lowest_noise"]) == ("3", "", "2")
    assert first["noise_2_ssim"] == "0.5"
    assert curves[1] == {
        "photo": 'a,"b".jpg',
        "size": "48",
        "start": "noise",
        "evaluation": "2",
        "total": "5",
        "content": "2.5",
        "style": "1.25",
        "variation": "0.1",
    }


def test_numbers_have_three_digits():
    assert [format_number(value) for value in (0.01234, 1.5, 12.345, 99.96, 1234.5)] == [
        "0.0123",
        "1.50",
        "12.3",
        "100",
        "1,230",
    ]
    assert (format_seconds(0.0123), format_seconds(2.5)) == ("12.3 ms", "2.50 s")
