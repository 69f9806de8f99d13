"""Report the results of the command stylize."""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from faststyle.cli.inputs import Job
from faststyle.errors import one_line

MAX_PLACES = 3  # folders of results named at the end
INCOMPLETE = "the result is incomplete, because parts of the file are missing or damaged"


class Done(NamedTuple):
    """Number of files written and of inputs that failed; a damaged video counts as both."""

    written: int
    failures: int


def describe_places(jobs: list[Job]) -> str:
    """Return where results without ``output`` are: their folders, and one of those beside the inputs."""
    places = list(dict.fromkeys(str(job.folder) for job in jobs if job.folder is not None))
    if len(places) > MAX_PLACES:
        places[MAX_PLACES:] = [f"and others ({len(places) - MAX_PLACES})"]
    if beside := [job.target for job in jobs if job.folder is None]:
        places.append(f"beside the inputs, such as {beside[-1]}")
    return ", ".join(places)


def report_missing(source: Path, target: Path, warning: str | None) -> bool:
    """Print above progress bars that pixels of a photo are missing; return True if none is missing.

    Args:
        source: The photo.
        target: Its result.
        warning: How many pixels are missing, in words; None if none is.
    """
    from tqdm import tqdm

    from faststyle.image.files import truncation_warning

    if warning is not None:
        tqdm.write(truncation_warning(source, target, warning), file=sys.stderr)
    return warning is None


def report_several(source: Path) -> None:
    """Print above progress bars that only the first image of a file of several is used."""
    from tqdm import tqdm

    from faststyle.image.pages import describe_several

    if (line := describe_several(source)) is not None:
        tqdm.write(one_line(line), file=sys.stderr)


def report(jobs: list[Job], planned: int, done: Done, output: Path | None) -> int:
    """Print where the results are, and return the number of inputs that failed.

    Args:
        jobs: The jobs that were begun.
        planned: Number of inputs; those that are not among the jobs failed.
        done: What became of the jobs.
        output: As typed.
    """
    if planned == 1 and done.written:
        print(one_line(jobs[0].target))
    elif planned > 1:
        where = output or describe_places(jobs)
        kinds = {job.video for job in jobs}
        what = "images and videos" if len(kinds) > 1 else "videos" if True in kinds else "images"
        print(f"{done.written} of {planned} {what} stylized: {one_line(where)}")
    return done.failures + planned - len(jobs)


def json_line(job: Job, model: object, seconds: float, error: str | None) -> str:
    """Return what became of a file, as a line of JSON."""
    is_written = error in (None, INCOMPLETE)
    size = read_size(job.target) if is_written and not job.video else None
    engine = getattr(model, "engine", None)  # a sheet has none of its own
    facts: dict[str, Any] = {"source": str(job.source), "result": str(job.target) if is_written else None}
    facts |= {"seconds": round(seconds, 3), "size": size, "engine": engine, "error": error}
    return json.dumps(facts)


def describe_size(jobs: list[Job]) -> str:
    """Return the size of the result if it is a single image, such as "1024x768 pixels, "; otherwise ""."""
    if len(jobs) > 1 or jobs[0].video:
        return ""
    width, height = read_size(jobs[0].target)
    return f"{width}x{height} pixels, "


def read_size(path: Path) -> tuple[int, int]:
    """Return the width and height of an image that this command wrote."""
    from PIL import Image

    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # no bomb, since this command wrote it
    try:
        with Image.open(path) as result:
            return result.size
    finally:
        Image.MAX_IMAGE_PIXELS = limit
