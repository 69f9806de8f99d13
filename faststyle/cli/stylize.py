"""``faststyle stylize``: images and videos, by a trained model."""

import itertools
import sys
import time
from collections.abc import Iterable
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from faststyle.cli.inputs import PIPE, Job, check_folders, check_overwriting, plan
from faststyle.cli.reports import INCOMPLETE, describe_size, json_line, log, report
from faststyle.cli.stylize_options import Options
from faststyle.console import error_line
from faststyle.errors import InputError, one_line
from faststyle.files import check_inside
from faststyle.options import name_result


def run(options: Options) -> int:
    """Stylize each input and print where the results are; return the number that failed."""
    if PIPE in (*options.inputs, options.output):
        from faststyle.cli.pipe import run_in_pipe

        return run_in_pipe(options, run)
    if options.ranks.devices is not None:
        import_module("torch")  # of the processes that are started
        from faststyle.cli.stylize_batch import stylize_collection

        return stylize_collection(options)
    from faststyle.models.find import label

    names = [*map(label, options.checkpoint or ()), *([options.style.stem] if options.style else [])]
    name = name_result("_".join(names), options)
    jobs = plan(options.inputs, options.output, name, options.images_only)
    files = list_model_files(options)
    if options.mask:
        from faststyle.cli.masks import exclude_masks, list_mask_files

        jobs = exclude_masks(jobs, options)
        files += list_mask_files(options.mask, jobs)
    check_kinds(jobs, options)
    check_overwriting([job.target for job in jobs], files)
    if options.images_only is None and any(job.video for job in jobs):
        from faststyle.cli.stylize_video import without_pyav

        jobs = without_pyav(jobs, options.inputs)
    return stylize_all(options, jobs)


def check_kinds(jobs: list[Job], options: Options) -> None:
    """Refuse options that apply to none of the inputs.

    Raises:
        InputError: There is one.
    """
    kinds = {"videos" if job.video else "images" for job in jobs}
    for kind, names in {"videos": options.for_videos, "images": options.for_images}.items():
        if names and kind not in kinds:
            raise InputError(f"`{names[0]}` is for {kind}, and there are none among the inputs")


def list_model_files(options: Options) -> list[Path]:
    """Return the files of models and paintings among the options."""
    from faststyle.models.find import is_blend, parse_blend

    models = options.checkpoint or ()
    names = itertools.chain(*(parse_blend(model) if is_blend(model) else [model] for model in models))
    files = *map(Path, names), *([options.style] if options.style else [])
    return [path for path in files if path.is_file()]


def stylize_all(options: Options, jobs: list[Job]) -> int:
    """Stylize each image and video with a model, continuing after those that fail; return how many did."""
    # Imported when there is work, so that --help answers at once.
    from faststyle.cli.stylize_image import load, stylize_image
    from faststyle.device import keep_freed_memory

    started = time.perf_counter()
    kinds = {job.video for job in jobs}
    if True in kinds:  # photos need not wait for the modules of videos
        from faststyle.cli.stylize_video import check_videos, model_for_videos, stylize_video

        check_videos(jobs, options.recording)
    keep_freed_memory()
    refine = None
    if options.refine is not None:
        from faststyle.cli.refine import Refiner

        refine = Refiner(options)
    once = cache(partial(load, machine=options.machine))
    image_models = [once(name) for name in options.checkpoint or (None,)] if False in kinds else []
    video_models: Any = []
    if True in kinds:
        video_models = [once(model_for_videos(name)) for name in options.checkpoint or ()]
    check_folders(jobs)
    written = failures = 0
    alone = len(jobs) == 1
    bar: Iterable[Job] = jobs
    if not alone:
        from tqdm import tqdm

        bar = tqdm(jobs, unit="file" if video_models else "image")
    for job in bar:
        begin, error_text = time.perf_counter(), None
        try:
            if job.folder is not None:
                check_inside(job.target, job.folder)
            if job.video:
                complete = stylize_video(video_models, job, options, alone)
            else:
                complete = stylize_image(image_models, job, options, refine)
            failures += not complete
            error_text = None if complete else INCOMPLETE
            written += 1
            if refine is not None and refine.stopped:
                print(f"stopped: the best image so far is {one_line(job.target)}", file=sys.stderr)
                sys.exit(130)
        except (InputError, OSError) as error:
            failures += 1
            error_text = error_line(error, None if alone else job.source)
            log(f"error: {error_text}")
        if options.json:
            models = video_models if job.video else image_models
            print(json_line(job, models[0], time.perf_counter() - begin, error_text), flush=True)
    if written and options.verbose and options.checkpoint and not options.is_sheet:
        print(f"engine: {(image_models or video_models)[0]}", file=sys.stderr)
    if written:
        print(f"done: {describe_size(jobs)}{time.perf_counter() - started:.1f} s", file=sys.stderr)
    if not options.json:  # each file has its line already
        report(jobs, written, options.output)
    return failures
