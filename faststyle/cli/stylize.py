"""``faststyle stylize``: images and videos, by a trained model."""

import sys
import time
from importlib import import_module

from faststyle.cli.inputs import (
    Job,
    check_overwriting,
    plan,
    uses_pipe,
    without_links,
)
from faststyle.cli.reports import INCOMPLETE, Done, describe_size, json_line, report
from faststyle.cli.stylize_options import Options
from faststyle.console import error_line
from faststyle.errors import InputError, one_line
from faststyle.options import name_result


def run(options: Options) -> int:
    """Stylize each input and print where the results are; return the number that failed."""
    if uses_pipe(options.inputs, options.output):
        from faststyle.cli.pipe import run_in_pipe

        return run_in_pipe(options, run)
    if options.ranks.devices is not None:
        import_module("torch")  # of the processes that are started
        from faststyle.cli.stylize_batch import stylize_collection

        return stylize_collection(options)
    from faststyle.cli.models import list_model_files
    from faststyle.models.find import label

    names = [*map(label, options.checkpoint or ()), *(painting.stem for painting in options.style or ())]
    name = name_result("_".join(names), options)
    jobs = plan(options.inputs, options.output, name, options.images_only)
    files = list_model_files(options)
    if options.mask:
        from faststyle.cli.masks import exclude_masks, list_mask_files

        jobs = exclude_masks(jobs, options)
        files += list_mask_files(options.mask, jobs)
    check_kinds(jobs, options)
    check_overwriting([job.target for job in jobs], files)
    if options.images_only is None:
        from faststyle.cli.stylize_video import without_pyav

        jobs = without_pyav(jobs, options.inputs)
    safe = without_links(jobs)
    if not safe:
        return len(jobs)
    done = stylize_all(options, safe)
    if options.json:  # each file has its line already
        return done.failures + len(jobs) - len(safe)
    return report(safe, len(jobs), done, options.output)


def check_kinds(jobs: list[Job], options: Options) -> None:
    """Refuse options that apply to none of the inputs, and modes that cannot stylize videos.

    Raises:
        InputError: There is one.
    """
    videos = [job.source for job in jobs if job.video]
    if not videos:
        for name in sorted(options.for_videos):
            raise InputError(f"`{name}` is for videos, and there is none among the inputs")
        return
    if options.refine is not None:
        raise InputError(
            f"{videos[0]} is a video, and frames that are refined one by one flicker: leave out `refine`, or "
            "give single frames as images"
        )
    if options.is_sheet:
        raise InputError(
            f"{videos[0]} is a video, and --checkpoint all is a sheet of one image: give one style, such as "
            "--checkpoint starry_night"
        )
    if len(videos) == len(jobs):
        for name in options.for_images:
            raise InputError(f"`{name}` is for images, and there are only videos among the inputs")


def stylize_all(options: Options, jobs: list[Job]) -> Done:
    """Stylize each image and video with a model, continuing after those that cannot be read."""
    # Imported when there is work, so that --help answers at once.
    from tqdm import tqdm

    from faststyle.cli.models import load_models
    from faststyle.cli.stylize_image import stylize_image
    from faststyle.cli.stylize_video import check_videos, stylize_video
    from faststyle.device import keep_freed_memory
    from faststyle.files import check_writable

    started = time.perf_counter()
    check_videos(jobs, options.recording)
    keep_freed_memory()
    refine = None
    if options.refine is not None:
        from faststyle.cli.refine import Refiner

        refine = Refiner(options)
    image_models, video_models = load_models(options, {job.video for job in jobs})
    for target in {job.target.parent: job.target for job in jobs}.values():
        check_writable(target)
    written = failures = 0
    alone = len(jobs) == 1
    bar = tqdm(jobs, unit="file" if video_models else "image", disable=alone)
    for job in bar:
        begin, error_text = time.perf_counter(), None
        try:
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
            bar.write(f"error: {error_text}", file=sys.stderr)
        if options.json:
            models = video_models if job.video else image_models
            print(json_line(job, models[0], time.perf_counter() - begin, error_text), flush=True)
    if written and options.verbose and options.checkpoint and not options.is_sheet:
        print(f"engine: {(image_models or video_models)[0]}", file=sys.stderr)
    if written:
        print(f"done: {describe_size(jobs)}{time.perf_counter() - started:.1f} s", file=sys.stderr)
    return Done(written, failures)
