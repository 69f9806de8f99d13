"""Report the results of the command stylize."""

import json
import sys
from pathlib import Path
from typing import Any

from faststyle.cli.inputs import Job
from faststyle.errors import one_line
from faststyle.files import name_some

INCOMPLETE = "the result is incomplete, because parts of the file are missing or damaged"


def log(line: str | None) -> None:
    """Print a line on stderr, above the progress bars; nothing for None."""
    if line is not None:
        from tqdm import tqdm  # takes longer to import than a small photo to stylize

        tqdm.write(one_line(line), file=sys.stderr)


def report(jobs: list[Job], written: int, output: Path | None) -> None:
    """Print where the results are.

    Args:
        jobs: The inputs.
        written: Number of results.
        output: As typed.
    """
    if len(jobs) == 1 and written:
        print(one_line(jobs[0].target))
    elif len(jobs) > 1:
        where = output or name_some(list(dict.fromkeys(job.folder or job.target.parent for job in jobs)))
        kinds = {job.video for job in jobs}
        what = "images and videos" if len(kinds) > 1 else "videos" if True in kinds else "images"
        print(f"{written} of {len(jobs)} {what} stylized: {one_line(where)}")


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
