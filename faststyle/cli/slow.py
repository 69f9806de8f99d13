"""The slow baseline as a command: a progress bar, pictures of the way, and Ctrl-C keeps the best."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tqdm import tqdm

from faststyle.animation import check_animation, save_animation
from faststyle.device import keep_freed_memory
from faststyle.errors import InputError
from faststyle.images import check_output, open_image, save_image, to_image
from faststyle.optimization import Optimization
from faststyle.reconstruct import reconstruct

# Flags that the library does not take by the same name, or not at all.
OURS = {"inputs", "output", "quality", "checkpoint", "compare", "style", "mask", "style_mask"}
OURS |= {"content_layers", "style_layers", "save_every", "animation", "reconstruct"}


def open_masks(names: list[str] | None) -> list[Image.Image | None] | None:
    return None if names is None else [None if name == "all" else open_image(name) for name in names]


def options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was typed, by Optimization's names; what was not is left to its defaults."""
    given = {name: value for name, value in vars(arguments).items() if name not in OURS}
    for name in ("content_layers", "style_layers"):
        if hasattr(arguments, name):
            given[name] = dict(getattr(arguments, name))
    given["masks"] = open_masks(getattr(arguments, "mask", None))
    given["style_masks"] = open_masks(getattr(arguments, "style_mask", None))
    return given


def check_overwriting(targets: list[Path], arguments: argparse.Namespace) -> None:
    """Refuse to write over anything that is read.

    Raises:
        InputError: a target is a photo, a painting or a mask.
    """
    masks = [*getattr(arguments, "mask", []), *getattr(arguments, "style_mask", [])]
    read = {Path(path).resolve() for path in (*arguments.inputs, *arguments.style, *masks)}
    for target in targets:
        if target.resolve() in read:
            raise InputError(f"{target} would overwrite an input: give another name")


def optimize_all(arguments: argparse.Namespace, jobs: Sequence[tuple[Path, Path]]) -> int:
    """Optimize each picture, going on past those that cannot be read; the number of these."""
    keep_freed_memory()
    torch.manual_seed(getattr(arguments, "seed", 0))
    styles = [open_image(path) for path in arguments.style]
    animation: Path | None = getattr(arguments, "animation", None)
    check_overwriting([target for _, target in jobs], arguments)
    if animation is not None:
        check_overwriting([animation], arguments)
        check_animation(animation)
        if len(jobs) > 1:
            raise InputError("--animation is of one picture: give one")
    failures = 0
    given = options(arguments)
    for source, target in jobs:
        try:
            optimize_one(Optimization(open_image(source), styles, **given), target, arguments)
        except InputError as error:
            if len(jobs) == 1:
                raise
            failures += 1
            print(f"error: {source}: {error}", file=sys.stderr)
    return failures


def optimize_one(run: Optimization, target: Path, arguments: argparse.Namespace) -> None:
    """Write what a run makes of its picture, and on Ctrl-C what it has made so far."""
    animation: Path | None = getattr(arguments, "animation", None)
    try:
        frames = follow(run, target, getattr(arguments, "save_every", None), animation is not None)
    except KeyboardInterrupt:
        save_image(run.result(), target, arguments.quality)
        print(f"stopped: the best picture so far is {target}", file=sys.stderr)
        sys.exit(130)
    save_image(run.result(), target, arguments.quality)
    if animation is not None:
        save_animation([*frames, run.result().convert("RGB")], animation)


def follow(run: Optimization, target: Path, save_every: int | None, keep: bool) -> list[Image.Image]:
    """Go through an optimization with a progress bar; the pictures on the way, if they are to be kept."""
    frames = []
    folder = target.with_name(f"{target.stem}_steps")
    with tqdm(total=run.steps, unit="step", desc=target.name) as bar:
        for step in run:
            bar.update(step.number - bar.n)
            terms = {name: f"{step.terms[name]:.3g}" for name in ("total", "content", "style", "variation")}
            bar.set_postfix(terms, refresh=False)
            if step.number % (save_every or 10) == 0:
                if save_every:
                    save_image(to_image(step.picture[0]), folder / f"{step.number:05d}{target.suffix}")
                if keep:
                    frames.append(to_image(step.picture[0]).resize(run.output_size))
    return frames


def draw_reconstructions(arguments: argparse.Namespace) -> int:
    """Write the figure of what each layer keeps of the photo and of the painting; no failures."""
    keep_freed_memory()
    if len(arguments.inputs) > 1 or len(arguments.style) > 1:
        raise InputError("--reconstruct takes one picture and one --style")
    check_output(arguments.reconstruct)
    check_overwriting([arguments.reconstruct], arguments)
    photo, painting = open_image(arguments.inputs[0]), open_image(arguments.style[0])
    figure = reconstruct(photo, painting, **options(arguments))
    save_image(figure, arguments.reconstruct, arguments.quality)
    print(arguments.reconstruct)
    return 0
