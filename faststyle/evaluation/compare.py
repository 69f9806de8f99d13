"""Measure a trained model against the slow baseline, on each photo, and write down what was found.

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
from faststyle.evaluation.judge import Judge
from faststyle.evaluation.report import (
    STARTS,
    Comparison,
    Report,
    Timing,
    curve_rows,
    figure_rows,
    write_rows,
)
from faststyle.evaluation.report_page import data_uri, plot, render
from faststyle.files import atomic_write
from faststyle.image.convert import limit_size, scale_to, to_image, to_tensor
from faststyle.image.files import open_image
from faststyle.inference.stylizer import Stylizer
from faststyle.optimization.refine import refine

KEPT = (50, 100, 500)  # updates of the baseline after which its picture is shown
TIMED = (256, 512, 1024)  # Johnson's table 1
REFINED = 10  # evaluations of the refined image
FAST_PASSES, SLOW_STEPS = 5, 4  # that are timed, after one more that warms up
REMEDY = "lower `sizes`, or set `device` to cpu"


def bring(picture: Image.Image, size: int, stylize: Stylizer) -> Tensor:
    """(1,3,H,W) in [0,1] on the model's device, its longer side ``size`` pixels."""
    return to_tensor(scale_to(picture, size))[None].to(stylize.device)


def measure(
    photo: Tensor, name: str, size: int, stylize: Stylizer, judge: Judge, steps: int, bar: tqdm
) -> Comparison:
    """Compare on one photo, (1,3,H,W) in [0,1], at the size that it has."""
    fast = stylize(photo, stroke_scale=1).clamp(0, 1)
    options = {"device": str(photo.device), **judge.vgg_options}
    refined = refine(to_image(fast[0]), to_image(photo[0]), judge.painting, REFINED, **options)
    pictures = {"photo": photo, "fast": fast, "refined": to_tensor(refined)[None].to(photo)}
    # No update, one evaluation: the very function that the baseline lowers.
    terms = next(judge.descend(fast, photo, 0)).terms
    noise = torch.rand(photo.shape, generator=torch.Generator().manual_seed(0)).to(photo.device)
    curves: dict[str, list[dict[str, float]]] = {start: [] for start in STARTS}
    for start, curve in curves.items():
        lowest, best = math.inf, photo
        for step in judge.descend(noise if start == "noise" else photo, photo, steps):
            curve.append(step.terms)
            # L-BFGS may rise for a while; a person would keep the lowest so far.
            if step.terms["total"] < lowest:
                lowest, best = step.terms["total"], step.picture
            if step.number in KEPT or step.number == steps:
                pictures[f"{start}_{step.number}"] = best
            bar.update()
    images = {key: to_image(picture[0]) for key, picture in pictures.items()}
    shown = {"photo": images.pop("photo"), "style": limit_size(judge.style, size), **images}
    height, width = photo.shape[-2:]
    return Comparison(
        name,
        size,
        width,
        height,
        terms,
        curves,
        judge.distances(pictures, photo),
        {key: data_uri(image) for key, image in shown.items()},
        plot({start: [terms["total"] for terms in curve] for start, curve in curves.items()}, terms["total"]),
    )


def time_both(photo: Tensor, size: int, stylize: Stylizer, judge: Judge) -> Timing:
    """Seconds of the fast model's pass and of the baseline's step, on (1,3,H,W)."""

    def clock() -> float:
        if photo.device.type != "cpu":
            torch.accelerator.synchronize(photo.device)
        return time.perf_counter()

    def between(moments: list[float]) -> float:
        return median(after - before for before, after in pairwise(moments))

    passes, steps = [], []
    for _ in range(FAST_PASSES + 1):
        stylize(photo, stroke_scale=1)
        passes.append(clock())
    # Not to the end: the last evaluation has no update.
    for _ in islice(judge.descend(photo, photo, SLOW_STEPS + 1), SLOW_STEPS + 1):
        steps.append(clock())
    height, width = photo.shape[-2:]
    return Timing(size, width, height, between(passes), between(steps))


def time_all(
    picture: Image.Image, sizes: Sequence[int], stylize: Stylizer, judge: Judge, report: Report, bar: tqdm
) -> None:
    """Put the times at all sizes into the report, and into its notes which sizes did not fit."""
    for size in sizes:
        bar.set_description(f"timing at {size} pixels")
        try:
            with memory_errors(f"{size} pixels", REMEDY):
                report.timings.append(time_both(bring(picture, size, stylize), size, stylize, judge))
        except InputError as error:
            report.notes.append(f"Nothing was timed at {size} pixels: {error}.")


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
    """Measure a model against L-BFGS on each photo at each size, and write what was found to a folder.

    report.html, figures.csv and curves.csv are written anew after each photo and size, so that
    stopping loses nothing that was measured. A photo that cannot be read, or a size that does not
    fit, is told on stderr and passed over.

    Args:
        photos: picture files.
        checkpoint: the trained model's file.
        style: the painting's file, the one that the model was trained on; or mosaic.
        folder: where the report goes; made where it is missing.
        sizes: longer sides in pixels, to which photos are brought, up or down.
        steps: the baseline's updates, from noise and again from the photo.
        device: auto, cpu, cuda, cuda:1, mps, …
        precision: of both, and of VGG: auto (bf16 where the hardware computes in it), fp32 or bf16.

    Returns:
        What was written; its ``skipped`` has a line for each photo, or size of one, passed over.
        Where nothing could be measured, nothing is written.

    Raises:
        InputError: no photos, a size below 16, fewer than 1 step, or a model, style, device or
            precision that cannot be used.
    """
    if not photos or not sizes:
        raise InputError("a comparison needs at least one photo and one size")
    for name, value, least in (("sizes", min(sizes), 16), ("steps", steps, 1)):
        if value < least:
            raise InputError(f"`{name}` must be at least {least}, not {value}")
    photos, sizes = list(dict.fromkeys(map(Path, photos))), list(dict.fromkeys(sizes))
    stylize = Stylizer.load(checkpoint, device, precision)
    judge = Judge(stylize.card, str(style), stylize.device, stylize.dtype)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)  # not after an hour
    report = Report(
        Path(checkpoint).stem,
        Path(style).stem,
        settings(judge, stylize, sizes, steps),
        steps,
        len(photos) * len(sizes),
        list(judge.notes),
    )
    alike = Counter(path.name for path in photos)

    with tqdm(total=report.planned * len(STARTS) * (steps + 1), unit="evaluation") as bar:

        def skip(line: str) -> None:
            report.skipped.append(line)
            bar.write(f"error: {line}", file=sys.stderr)

        for path in photos:
            name = path.name if alike[path.name] == 1 else str(path)
            try:
                picture = open_image(path).convert("RGB")
            except InputError as error:
                skip(str(error))
                continue
            if not report.timings:
                time_all(picture, sorted({*sizes, *TIMED}), stylize, judge, report, bar)
                bar.unpause()  # timing is not among what it counts
            for size in sizes:
                bar.set_description(f"{name} at {size}")
                photo = bring(picture, size, stylize)
                try:
                    with memory_errors(f"{size} pixels", REMEDY):
                        found = measure(photo, name, size, stylize, judge, steps, bar)
                except InputError as error:
                    skip(f"{name} at {size} pixels: {error}")
                    continue
                report.comparisons.append(found)
                write(report, folder)
    # What was skipped last is not in the files yet.
    if report.comparisons and report.skipped:
        write(report, folder)
    return report


def settings(judge: Judge, stylize: Stylizer, sizes: Sequence[int], steps: int) -> list[str]:
    """How it was measured, in lines."""
    precision = str(stylize.dtype).removeprefix("torch.")
    return [
        judge.description,
        "Both run at the same sizes, the photo's longer side brought to "
        f"{' and '.join(map(str, sizes))} pixels, and are measured against the style at the same scale, its "
        f"longer side at {judge.style_size} pixels.",
        f"Both pictures are measured by the same function, in {precision}, their values within 0 and 1.",
        f"L-BFGS makes {steps} updates from white noise and {steps} from the photo, without a line search; "
        "its pixels are brought back into 0 and 1 after each (Johnson et al. 2016, section 4.1). Of its "
        "pictures so far, the lowest is shown.",
        f"Device: {describe_device(stylize.device)}, torch {torch.__version__}.",
        f"Timings are of the first photo that could be read: the median of {FAST_PASSES} passes of the fast "
        f"model, and of {SLOW_STEPS} evaluations with their updates of L-BFGS, each after one that is not "
        "counted. No picture is read or written meanwhile.",
    ]


# What is written, and how.
FILES: dict[str, Callable[[TextIO, Report], object]] = {
    "report.html": lambda file, report: file.write(render(report)),
    "figures.csv": lambda file, report: write_rows(file, figure_rows(report)),
    "curves.csv": lambda file, report: write_rows(file, curve_rows(report)),
}


def write(report: Report, folder: Path) -> None:
    """Write the three files, each whole or not at all."""
    for name, fill in FILES.items():
        with (
            atomic_write(folder / name) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            fill(file, report)
