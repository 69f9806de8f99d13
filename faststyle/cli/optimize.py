"""The slow baseline as a command: a progress bar, pictures of the way, and Ctrl-C keeps the best."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from faststyle.console import error_line
from faststyle.device import keep_freed_memory
from faststyle.errors import InputError, one_line
from faststyle.files import check_inside, check_place, real
from faststyle.image.convert import to_image
from faststyle.image.files import check_output, open_image, save_image
from faststyle.image.mosaic import open_style
from faststyle.optimization.optimization import Optimization
from faststyle.optimization.reconstruct import reconstruct
from faststyle.video.animation import check_animation, save_animation

# Flags that the library does not take by the same name, or not at all.
OURS = {"inputs", "output", "quality", "checkpoint", "compare", "style", "mask", "style_mask"}
OURS |= {"content_layers", "style_layers", "save_every", "animation", "reconstruct"}


def open_masks(names: list[str] | None) -> list[Image.Image | None] | None:
    return None if names is None else [None if name.lower() == "all" else open_image(name) for name in names]


def options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was typed, by Optimization's names; what was not is left to its defaults."""
    given = {name: value for name, value in vars(arguments).items() if name not in OURS}
    for name in ("content_layers", "style_layers"):
        if hasattr(arguments, name):
            given[name] = dict(getattr(arguments, name))
    if "init_checkpoint" in given:
        from faststyle.inference.stylizer import Stylizer

        machine = given.get("device", "auto"), given.get("precision", "auto")
        given["init_model"] = Stylizer.load(given.pop("init_checkpoint"), *machine)
    given["masks"] = open_masks(getattr(arguments, "mask", None))
    given["style_masks"] = open_masks(getattr(arguments, "style_mask", None))
    return given


def check_overwriting(targets: list[Path], arguments: argparse.Namespace) -> None:
    """Refuse to write over anything that is read.

    Raises:
        InputError: a target is a photo, a painting or a mask.
    """
    masks = [*getattr(arguments, "mask", []), *getattr(arguments, "style_mask", [])]
    read = {real(Path(path)) for path in (*arguments.inputs, *arguments.style, *masks)}
    for target in targets:
        if real(target) in read:
            raise InputError(f"{target} would overwrite an input: give another name")


def optimize_all(arguments: argparse.Namespace, jobs: Sequence[tuple[Path, Path]]) -> int:
    """Optimize each picture, going on past those that cannot be read; the number of these."""
    keep_freed_memory()
    styles = [open_style(path) for path in arguments.style]
    given = options(arguments)
    animation: Path | None = getattr(arguments, "animation", None)
    targets = [target for _, target in jobs] + ([animation] if animation else [])
    check_overwriting(targets, arguments)
    for target in targets:
        check_place(target)
    if animation is not None:
        check_animation(animation)
        if len(jobs) > 1:
            raise InputError("--animation is of one picture: give one")
    failures = 0
    for source, target in jobs:
        try:
            optimize_one(Optimization(open_image(source), styles, **given), target, arguments)
        except (InputError, OSError) as error:
            failures += 1
            print(f"error: {error_line(error, source=source)}", file=sys.stderr)
    return failures


def optimize_one(run: Optimization, target: Path, arguments: argparse.Namespace) -> None:
    """Write what a run makes of its picture, and on Ctrl-C what it has made so far."""
    animation: Path | None = getattr(arguments, "animation", None)
    save_every: int | None = getattr(arguments, "save_every", None)
    folder = target.with_name(f"{target.stem}_steps")
    if save_every:
        check_inside(folder, folder.parent)
    frames: list[Image.Image] = []
    totals: list[float] = []
    stopped = False
    try:
        with tqdm(total=run.steps, unit="step", desc=one_line(target.name)) as bar:
            for step in run:
                totals.append(step.terms["total"])
                bar.update(step.number - bar.n)
                terms = ("total", "content", "style", "variation")
                bar.set_postfix({name: f"{step.terms[name]:.3g}" for name in terms}, refresh=False)
                if (save_every or animation) and step.number % (save_every or 10) == 0:
                    picture = to_image(step.picture[0])
                    if save_every:
                        save_image(picture, folder / f"{step.number:05d}{target.suffix}")
                    if animation is not None:
                        frames.append(picture.resize(run.output_size))
    except KeyboardInterrupt:
        stopped = True
    except InputError:
        if len(totals) > 1:  # no memory, or no number any more: what there is is kept
            save_image(run.result(), target, arguments.quality)
        raise
    save_image(run.result(), target, arguments.quality)
    if animation is not None:
        save_animation([*frames, run.result().convert("RGB")], animation)
        print(f"animation: {one_line(animation)}", file=sys.stderr)
    if stopped:
        print(f"stopped: the best picture so far is {one_line(target)}", file=sys.stderr)
        sys.exit(130)
    # Totals of several scales cannot be compared, and an average is none of the pictures measured.
    if not hasattr(arguments, "scales") and not hasattr(arguments, "average") and min(totals) == totals[0]:
        print(
            f"{one_line(target)} is the start: no step came nearer; lower --style-weight or --learning-rate",
            file=sys.stderr,
        )


def draw_reconstructions(arguments: argparse.Namespace) -> int:
    """Write the figure of what each layer keeps of the photo and of the painting; no failures."""
    keep_freed_memory()
    if len(arguments.inputs) > 1 or len(arguments.style) > 1:
        raise InputError("--reconstruct takes one picture and one --style")
    check_output(arguments.reconstruct)
    check_overwriting([arguments.reconstruct], arguments)
    check_place(arguments.reconstruct)
    photo, painting = open_image(arguments.inputs[0]), open_style(arguments.style[0])
    figure = reconstruct(photo, painting, **options(arguments))
    save_image(figure, arguments.reconstruct, arguments.quality)
    print(one_line(arguments.reconstruct))
    return 0
