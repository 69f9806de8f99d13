"""``python infer.py``: stylize pictures, clips and folders, with a trained model or by the slow baseline."""

import argparse
import sys
from pathlib import Path
from typing import Any, NamedTuple

from faststyle.cli.inputs import Job, check_kinds, find_clips, inside, pictures_in, plan
from faststyle.cli.options import parse
from faststyle.cli.stylize import load, stylize_one
from faststyle.console import error_line, one_line_errors
from faststyle.errors import InputError, one_line

# torch, and what needs it, is imported when there is work: --help answers at once.


class Done(NamedTuple):
    """How many files were written, and how many inputs failed: a damaged clip counts for both."""

    written: int
    failures: int


def stylize_all(arguments: argparse.Namespace, jobs: list[Job]) -> Done:
    """Stylize each picture and clip with a model, going on past those that cannot be read."""
    from tqdm import tqdm

    from faststyle.cli.stylize_video import check_clips, model_for_clips, stylize_clip
    from faststyle.device import keep_freed_memory
    from faststyle.files import check_place

    check_clips(jobs, arguments)
    keep_freed_memory()
    kinds = {job.clip for job in jobs}
    names = {clip: model_for_clips(arguments.checkpoint) if clip else arguments.checkpoint for clip in kinds}
    refine = None
    if hasattr(arguments, "refine"):
        from faststyle.cli.refine import Refiner

        refine = Refiner(arguments)
    models: dict[str, Any] = {name: load(name, arguments) for name in {*names.values()}}
    for target in {job.target.parent: job.target for job in jobs}.values():
        check_place(target)
    written = failures = 0
    alone = len(jobs) == 1
    bar = tqdm(jobs, unit="file" if True in kinds else "picture", disable=alone)
    for job in bar:
        model = models[names[job.clip]]
        try:
            if job.clip:
                failures += not stylize_clip(model, job, arguments, alone)
            else:
                stylize_one(model, job.source, job.target, arguments, refine)
            written += 1
            if refine is not None and refine.stopped:
                print(f"stopped: the best image so far is {one_line(job.target)}", file=sys.stderr)
                sys.exit(130)
        except (InputError, OSError) as error:
            failures += 1
            bar.write(f"error: {error_line(error, source=None if alone else job.source)}", file=sys.stderr)
    if written and arguments.checkpoint not in (None, "all"):  # else an error is all that there is to say
        print(f"engine: {next(iter(models.values()))}", file=sys.stderr)
    return Done(written, failures)


def skip_clips(folders: list[Path], mode: str) -> None:
    """Say which clips in folders are passed over by ways to stylize that take pictures alone."""
    for folder in folders:
        if clips := find_clips(folder):
            print(f"{mode} takes pictures: clips in {folder} are left out ({len(clips)})", file=sys.stderr)


def stylize(arguments: argparse.Namespace) -> int:
    """Write a stylization of each picture and clip, and say where; the number of those that failed."""
    from faststyle.models.find import label

    if arguments.checkpoint:
        name = label(arguments.checkpoint)
    else:
        name = "+".join(Path(style).stem for style in arguments.style)
    refines = hasattr(arguments, "refine")
    clips = bool(arguments.checkpoint) and arguments.checkpoint != "all" and not refines
    jobs = plan(arguments.inputs, arguments.output, name, clips)
    check_kinds(jobs, arguments)
    if clips:
        from faststyle.cli.stylize_video import without_pyav

        jobs = without_pyav(jobs, arguments.inputs)
    else:
        folders = [path for path in arguments.inputs if path.is_dir()]
        skip_clips(folders, "--refine" if refines else "--style" if arguments.style else "--checkpoint all")
    planned, jobs = jobs, inside(jobs)
    if not jobs:
        return len(planned)
    if arguments.checkpoint or refines:
        done = stylize_all(arguments, jobs)
    else:
        from faststyle.cli.optimize import optimize_all

        failures = optimize_all(arguments, [(job.source, job.target) for job in jobs])
        done = Done(len(jobs) - failures, failures)
    if len(planned) == 1 and done.written:
        print(one_line(jobs[0].target))
    elif len(planned) > 1:
        where = arguments.output or f"beside the inputs, such as {jobs[-1].target}"
        kinds = {job.clip for job in jobs}
        what = "pictures and clips" if len(kinds) > 1 else "clips" if True in kinds else "pictures"
        print(f"{done.written} of {len(planned)} {what} stylized: {one_line(where)}")
    return done.failures + len(planned) - len(jobs)


def set_side_by_side(arguments: argparse.Namespace) -> int:
    """Write the report on fast and slow, and say what it found; the number of photos that failed."""
    from faststyle.device import keep_freed_memory
    from faststyle.evaluation.compare import FILES, compare
    from faststyle.files import check_inside, check_place

    keep_freed_memory()
    photos: list[Path] = []
    for path in arguments.inputs:
        photos += pictures_in(path) if path.is_dir() else [path]
    check_place(arguments.compare / "report.html")
    for name in FILES:
        check_inside(arguments.compare / name, arguments.compare)
    options = {name: getattr(arguments, name) for name in ("sizes", "steps") if hasattr(arguments, name)}
    report = compare(
        photos,
        arguments.checkpoint,
        arguments.style[0],
        arguments.compare,
        device=arguments.device,
        precision=arguments.precision,
        **options,
    )
    for line in report.summary():
        print(line)
    if report.comparisons:
        print(one_line(arguments.compare / "report.html"))
    return len(report.skipped)


def publish(arguments: argparse.Namespace) -> int:
    """Push the model to the Hub, and say where it is."""
    from faststyle.inference.stylizer import Stylizer

    print(Stylizer.load(arguments.checkpoint, "cpu", engine="torch").push_to_hub(arguments.push_to_hub))
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write the model for other runtimes, and say how near their pictures are."""
    from faststyle.inference.export import export

    print(export(arguments.checkpoint, arguments.export))
    return 0


def main(argv: list[str] | None = None) -> None:
    arguments = parse(argv)
    with one_line_errors():
        if hasattr(arguments, "push_to_hub"):
            failures = publish(arguments)
        elif hasattr(arguments, "export"):
            failures = export(arguments)
        elif arguments.compare:
            failures = set_side_by_side(arguments)
        elif hasattr(arguments, "reconstruct"):
            from faststyle.cli.optimize import draw_reconstructions

            failures = draw_reconstructions(arguments)
        elif hasattr(arguments, "camera"):
            from faststyle.cli.stylize_video import stylize_camera

            failures = stylize_camera(arguments)
        elif hasattr(arguments, "devices"):
            from faststyle.cli.stylize_batch import stylize_collection

            failures = stylize_collection(arguments, sys.argv[1:] if argv is None else argv)
        else:
            failures = stylize(arguments)
    if failures:
        sys.exit(2)
