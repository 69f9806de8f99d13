"""``faststyle optimize``: the per-image baseline, with a progress bar; Ctrl-C keeps the best image."""

from faststyle.cli.inputs import plan, without_links
from faststyle.cli.optimize_options import Options
from faststyle.cli.reports import report
from faststyle.errors import InputError
from faststyle.options import name_result


def run(options: Options) -> int:
    """Optimize each image and print where the results are; return the number that failed."""
    assert options.style is not None
    name = "+".join(painting.stem for painting in options.style)
    jobs = plan(options.inputs, options.output, name_result(name, options), "--style")
    for job in jobs:
        if job.video:
            raise InputError(
                f"{job.source} is a video, and `style` optimizes images one by one: give `checkpoint` MODEL, "
                "such as starry_night, or one that train.py makes of your painting"
            )
    from faststyle.cli.optimize_images import optimize_all

    safe = without_links(jobs)
    return report(safe, len(jobs), optimize_all(options, safe), options.output) if safe else len(jobs)
