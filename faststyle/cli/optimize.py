"""``faststyle optimize``: the per-image baseline, with a progress bar; Ctrl-C keeps the best image."""

import sys
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from faststyle.cli.inputs import check_folders, check_overwriting, plan
from faststyle.cli.optimize_options import Options
from faststyle.cli.reports import log, report
from faststyle.console import error_line
from faststyle.device import keep_freed_memory
from faststyle.errors import InputError, one_line
from faststyle.files import check_inside, check_writable
from faststyle.image.convert import to_image
from faststyle.image.files import (
    check_size,
    missing_pixels,
    open_image,
    read_image,
    save_image,
    truncation_warning,
)
from faststyle.image.mosaic import open_style
from faststyle.image.pages import describe_several
from faststyle.inference.stylizer import Stylizer
from faststyle.optimization.optimization import Optimization
from faststyle.options import name_result
from faststyle.video.animation import check_animation, save_animation

FRAME_STEPS = 10  # between two frames of the animation


def run(options: Options) -> int:
    """Optimize each image, continuing after those that fail; return how many did."""
    name = "+".join(painting.stem for painting in options.style)
    jobs = plan(options.inputs, options.output, name_result(name, options), "--style")
    keep_freed_memory()
    styles = [open_style(path) for path in options.style]
    arguments = optimization_arguments(options)
    targets = [job.target for job in jobs]
    if options.animation is not None:
        targets.append(options.animation)
    masks = [Path(name) for name in (*(options.mask or ()), *(options.style_mask or ()))]
    check_overwriting(targets, [*options.inputs, *options.style, *masks])
    check_folders(jobs)
    if options.animation is not None:
        check_writable(options.animation)
        check_animation(options.animation)
        if len(jobs) > 1:
            raise InputError("`animation` is of one image: give one")
    written = failures = 0
    for job in jobs:
        source, target = job.source, job.target
        try:
            if job.folder is not None:
                check_inside(job.target, job.folder)
            log(describe_several(source))
            photo = read_image(source)
            optimize_one(Optimization(photo, styles, **arguments), target, options)
            if missing := missing_pixels(photo):
                failures += 1
                log(truncation_warning(source, target, missing))
            written += 1
        except (InputError, OSError) as error:
            failures += 1
            print(f"error: {error_line(error, source)}", file=sys.stderr)
    report(jobs, written, options.output)
    return failures


def optimization_arguments(options: Options) -> dict[str, Any]:
    """Return the keyword arguments of ``Optimization``."""

    def open_masks(names: tuple[str, ...] | None) -> list[Image.Image | None] | None:
        if names is None:
            return None
        return [None if name.lower() == "all" else open_image(name) for name in names]

    arguments = options.settings.changed()
    if options.init_checkpoint is not None:
        machine = options.settings.device, options.settings.precision
        arguments["init_model"] = Stylizer.load(options.init_checkpoint, *machine)
    return arguments | {"masks": open_masks(options.mask), "style_masks": open_masks(options.style_mask)}


def optimize_one(optimization: Optimization, target: Path, options: Options) -> None:
    """Write the result of an optimization; after Ctrl-C or an error, the best image so far."""
    frames: list[Image.Image] = []
    totals: list[float] = []
    stopped = False
    folder = target.with_name(f"{target.stem}_steps")
    check_size(target, *optimization.output_size)
    if options.save_every:
        check_inside(folder, folder.parent)
    keeps = options.save_every or options.animation
    try:
        with tqdm(total=optimization.steps, unit="step", desc=one_line(target.name)) as bar:
            for step in optimization:
                totals.append(step.terms["total"])
                bar.update(step.number - bar.n)
                terms = ("total", "content", "style", "variation")
                bar.set_postfix({name: f"{step.terms[name]:.3g}" for name in terms}, refresh=False)
                if not keeps or step.number % (options.save_every or FRAME_STEPS):
                    continue
                image = to_image(step.picture[0])
                if options.save_every:
                    save_image(image, folder / f"{step.number:05d}{target.suffix}")
                if options.animation is not None:
                    frames.append(image.resize(optimization.output_size))
    except KeyboardInterrupt:
        stopped = True
    except InputError:
        if len(totals) > 1:
            save_image(optimization.result(), target, options.file.quality)
        raise
    save_image(optimization.result(), target, options.file.quality)
    if options.animation is not None:
        width, height = save_animation([*frames, optimization.result().convert("RGB")], options.animation)
        print(f"animation: {one_line(options.animation)} ({width}x{height} pixels)", file=sys.stderr)
    if stopped:
        print(f"stopped: the best image so far is {one_line(target)}", file=sys.stderr)
        sys.exit(130)
    # Totals of several scales cannot be compared, and an average is none of the images measured.
    comparable = options.settings.scales is None and not options.settings.average
    if comparable and min(totals) == totals[0]:
        print(
            f"{one_line(target)} is the start: no step came nearer; lower --style-weight or --learning-rate",
            file=sys.stderr,
        )
