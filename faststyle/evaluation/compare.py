"""Compare a trained model with the per-image baseline on each photo, and write a report.

Johnson et al., "Perceptual losses for real-time style transfer and super-resolution", ECCV 2016:
its figure 5 (the objective over L-BFGS' evaluations) and its table 1 (the time).
"""

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from typing import TextIO

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from faststyle.device import describe_device, memory_errors
from faststyle.errors import InputError
from faststyle.evaluation.judge import Judge, check_painting
from faststyle.evaluation.report import (
    STARTS,
    Comparison,
    Report,
    Timing,
    curve_rows,
    figure_rows,
    write_rows,
)
from faststyle.evaluation.report_page import data_uri, plot_curves, render_page
from faststyle.files import atomic_write
from faststyle.image.convert import limit_size, scale_to, to_image, to_tensor
from faststyle.image.files import open_image
from faststyle.inference.stylizer import Stylizer
from faststyle.optimization.refine import refine

SHOWN_STEPS = (50, 100, 500)  # numbers of updates after which the baseline's image is shown
TIMED_SIZES = (256, 512, 1024)  # pixels of the longer side, as in Johnson's table 1
REFINING_EVALUATIONS = 10
TIMED_PASSES = 5  # of the model, after one that warms up
TIMED_STEPS = 4  # of the baseline, after one that warms up
REMEDY = "lower `sizes`, or set `device` to cpu"


def compare(
    photos: Sequence[Path],
    checkpoint: str | Path,
    style: str | Path,
    folder: Path,
    sizes: Sequence[int] = (256, 512),
    steps: int = 500,
    device: str = "auto",
    precision: str = "auto",
) -> Report:
    """Compare a model with L-BFGS on each photo at each size, and write a report to a folder.

    The files of ``FILES`` are rewritten after each photo and size, so that an interrupted run keeps its
    measurements. A photo that cannot be read, or a size that does not fit into memory, is reported on
    stderr and skipped.

    Args:
        photos: Image files.
        checkpoint: A built-in style's name, or the file of a trained model.
        style: File of the painting that the model was trained on, or mosaic.
        folder: Folder of the report; created if it is missing.
        sizes: Longer sides in pixels to which the photos are shrunk or enlarged, 16 or more.
        steps: Number of updates of the baseline from noise, and again from the photo.
        device: auto, cpu, cuda, cuda:1, mps, …
        precision: Precision of model, baseline and VGG: auto (bf16 where the hardware computes in it),
            fp32 or bf16.

    Returns:
        The report. Its ``skipped`` has a line for each photo, or size of a photo, that was skipped. If
        nothing could be measured, no file is written.

    Raises:
        InputError: There are no photos or sizes, a size is below 16, there is less than 1 step, or the
            model, style, device or precision cannot be used, or the model was trained on another painting.
    """
    check_arguments(photos, sizes, steps)
    photos, sizes = list(dict.fromkeys(map(Path, photos))), list(dict.fromkeys(sizes))
    stylizer = Stylizer.load(checkpoint, device, precision)
    check_painting(stylizer, str(style))
    judge = Judge(stylizer.card, str(style), *stylizer.on_torch())
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)  # fails now, not after an hour of measurements
    setup = describe_setup(judge, stylizer, sizes, steps)
    planned = len(photos) * len(sizes)
    report = Report(Path(checkpoint).stem, Path(style).stem, setup, steps, planned, list(judge.notes))
    same_names = Counter(path.name for path in photos)
    with tqdm(total=planned * len(STARTS) * (steps + 1), unit="evaluation") as bar:
        for note in report.notes:  # now, because the measurements can take an hour
            bar.write(f"warning: {note}", file=sys.stderr)
        comparer = Comparer(stylizer, judge, report, folder, bar)
        for path in photos:
            comparer.compare_photo(path, path.name if same_names[path.name] == 1 else str(path), sizes)
    if report.comparisons and report.skipped:  # what was skipped last is not in the files yet
        write_report(report, folder)
    return report


def check_arguments(photos: Sequence[Path], sizes: Sequence[int], steps: int) -> None:
    """Refuse a comparison of nothing, sizes that are too small for VGG, and less than one step.

    Raises:
        InputError: There are no photos or sizes, a size is below 16, or there is less than 1 step.
    """
    if not photos or not sizes:
        raise InputError("a comparison needs at least one photo and one size")
    for name, value, minimum in (("sizes", min(sizes), 16), ("steps", steps, 1)):
        if value < minimum:
            raise InputError(f"`{name}` must be at least {minimum}, not {value}")


class Comparer:
    """Compares a model with the baseline on one photo after another, and writes the report after each.

    Args:
        stylizer: The model.
        judge: The objective and the distances by which both are measured.
        report: Report that comparisons, timings and skipped photos are added to.
        folder: Folder of the report.
        bar: Progress bar that counts evaluations of the baseline.
    """

    def __init__(self, stylizer: Stylizer, judge: Judge, report: Report, folder: Path, bar: tqdm):
        self.stylizer, self.judge, self.report = stylizer, judge, report
        self.folder, self.bar = folder, bar

    def compare_photo(self, path: Path, name: str, sizes: Sequence[int]) -> None:
        """Compare on one photo at each size; the first photo is also timed.

        Args:
            path: File of the photo.
            name: Name of the photo in the report.
            sizes: Longer sides in pixels.
        """
        try:
            image = open_image(path).convert("RGB")
        except InputError as error:
            self.skip(str(error))
            return
        if not self.report.timings:
            self.time_sizes(image, sorted({*sizes, *TIMED_SIZES}))
            self.bar.unpause()  # the bar's speed is that of the evaluations alone
        for size in sizes:
            self.bar.set_description(f"{name} at {size}")
            try:
                with memory_errors(f"{size} pixels", REMEDY):
                    comparison = self.measure(self.prepare_photo(image, size), name, size)
            except InputError as error:
                self.skip(f"{name} at {size} pixels: {error}")
                continue
            self.report.comparisons.append(comparison)
            write_report(self.report, self.folder)

    def skip(self, reason: str) -> None:
        """Report on stderr that a photo, or one of its sizes, is skipped."""
        self.report.skipped.append(reason)
        self.bar.write(f"error: {reason}", file=sys.stderr)

    def prepare_photo(self, image: Image.Image, size: int) -> Tensor:
        """Convert an image to (1,3,H,W) in [0,1] on the model's device, its longer side ``size`` pixels."""
        return to_tensor(scale_to(image, size))[None].to(self.stylizer.device)

    def measure(self, photo: Tensor, name: str, size: int) -> Comparison:
        """Compare on one photo, (1,3,H,W) in [0,1], whose longer side is ``size`` pixels."""
        fast = self.stylizer(photo, stroke_scale=1).clamp(0, 1)
        options = {"device": str(photo.device), **self.judge.vgg_options}
        painting = self.judge.painting
        refined = refine(to_image(fast[0]), to_image(photo[0]), painting, REFINING_EVALUATIONS, **options)
        images = {"photo": photo, "fast": fast, "refined": to_tensor(refined)[None].to(photo)}
        # A descent of no update evaluates the very function that the baseline lowers.
        terms = next(self.judge.descend(fast, photo, 0)).terms
        noise = torch.rand(photo.shape, generator=torch.Generator().manual_seed(0)).to(photo.device)
        curves: dict[str, list[dict[str, float]]] = {}
        for start in STARTS:
            curves[start], best = self.run_baseline(noise if start == "noise" else photo, photo)
            images |= {f"{start}_{step}": image for step, image in best.items()}
        shown = {"photo": to_image(photo[0]), "style": limit_size(self.judge.style, size)}
        shown |= {key: to_image(image[0]) for key, image in images.items() if key != "photo"}
        totals = {start: [one["total"] for one in curve] for start, curve in curves.items()}
        height, width = photo.shape[-2:]
        return Comparison(
            name,
            size,
            width,
            height,
            terms,
            curves,
            self.judge.measure_distances(images, photo),
            {key: data_uri(image) for key, image in shown.items()},
            plot_curves(totals, terms["total"]),
        )

    def run_baseline(self, start: Tensor, photo: Tensor) -> tuple[list[dict[str, float]], dict[int, Tensor]]:
        """Lower the objective from a start; both images are (1,3,H,W) in [0,1].

        Returns:
            The terms of each evaluation; and the image with the lowest objective so far, by the number of
            updates, for ``SHOWN_STEPS`` and the last.
        """
        curve: list[dict[str, float]] = []
        shown: dict[int, Tensor] = {}
        lowest, best = math.inf, start
        for step in self.judge.descend(start, photo, self.report.steps):
            curve.append(step.terms)
            # The objective may rise for a while; a user would keep the image with the lowest.
            if step.terms["total"] < lowest:
                lowest, best = step.terms["total"], step.picture
            if step.number in (*SHOWN_STEPS, self.report.steps):
                shown[step.number] = best
            self.bar.update()
        return curve, shown

    def time_sizes(self, image: Image.Image, sizes: Sequence[int]) -> None:
        """Add the times at all sizes to the report, and to its notes the sizes that did not fit."""
        for size in sizes:
            self.bar.set_description(f"timing at {size} pixels")
            try:
                with memory_errors(f"{size} pixels", REMEDY):
                    self.report.timings.append(self.time_photo(self.prepare_photo(image, size), size))
            except InputError as error:
                self.report.notes.append(f"Nothing was timed at {size} pixels: {error}.")

    def time_photo(self, photo: Tensor, size: int) -> Timing:
        """Time passes of the model and steps of the baseline on (1,3,H,W), and return their medians."""

        def now() -> float:
            if photo.device.type != "cpu":
                torch.accelerator.synchronize(photo.device)
            return time.perf_counter()

        passes, steps = [], []
        for _ in range(TIMED_PASSES + 1):
            self.stylizer(photo, stroke_scale=1)
            passes.append(now())
        # Stops before the last evaluation, which has no update.
        for _ in islice(self.judge.descend(photo, photo, TIMED_STEPS + 1), TIMED_STEPS + 1):
            steps.append(now())
        height, width = photo.shape[-2:]
        return Timing(size, width, height, median_interval(passes), median_interval(steps))


def median_interval(moments: list[float]) -> float:
    """Return the median of the time between two moments that follow each other."""
    return median(after - before for before, after in pairwise(moments))


def describe_setup(judge: Judge, stylizer: Stylizer, sizes: Sequence[int], steps: int) -> list[str]:
    """Return how the measurements are made, as lines of the report."""
    precision = stylizer.precision
    return [
        judge.description,
        f"Both run at the same sizes, the photo's longer side brought to {' and '.join(map(str, sizes))} "
        "pixels. Both are compared with the style at the same scale, its longer side at "
        f"{judge.style_size} pixels.",
        f"The same function, in {precision}, measures both images, whose values are in 0 to 1.",
        f"L-BFGS makes {steps} updates from white noise and {steps} from the photo, without a line search. "
        "Its pixels are clamped to 0 and 1 after each update (Johnson et al. 2016, section 4.1). The page "
        "shows the image with the lowest objective so far.",
        f"Device: {describe_device(stylizer.on_torch()[0])}, torch {torch.__version__}.",
        "Times are of the first photo that could be read. They are the median of "
        f"{TIMED_PASSES} passes of the fast model, and of {TIMED_STEPS} evaluations of L-BFGS with their "
        "updates, each after one that is not counted. No image is read or written meanwhile.",
    ]


# The files of the report, and the function that writes each.
FILES: dict[str, Callable[[TextIO, Report], object]] = {
    "report.html": lambda file, report: file.write(render_page(report)),
    "figures.csv": lambda file, report: write_rows(file, figure_rows(report)),
    "curves.csv": lambda file, report: write_rows(file, curve_rows(report)),
}


def write_report(report: Report, folder: Path) -> None:
    """Write the files of the report, each whole or not at all."""
    for name, write in FILES.items():
        with (
            atomic_write(folder / name) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            write(file, report)
