"""``python infer.py photos/ --devices N``: a large collection of pictures, by several processes."""

import argparse
import os
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from faststyle.cli.inputs import suffix
from faststyle.cli.stylize import DEFAULTS, load, option, read_photo, stylize_file, stylize_photo
from faststyle.errors import InputError, one_line
from faststyle.files import real
from faststyle.inference.batch import launcher

if TYPE_CHECKING:
    from faststyle.inference.batch.shards import Item


def check(inputs: list[Path], out: Path) -> None:
    """Refuse inputs and outputs that do not go together.

    Raises:
        InputError: a missing input, a clip, an output that is a file, or one that would be read as input.
    """
    from faststyle.image.files import FORMATS
    from faststyle.video.opening import is_clip

    if out.is_file() or (not out.is_dir() and out.suffix.lower() in FORMATS):
        raise InputError(f"-o {out} names one file: for --devices give a folder")
    for path in inputs:
        if not path.exists():
            raise InputError(f"there is no file or folder {path}")
        if path.is_dir() and real(out).is_relative_to(real(path)):
            raise InputError(f"-o {out} lies in {path}, and would be read as input: give another -o")
        if not path.is_dir() and is_clip(path):
            raise InputError(f"{path} is a clip, and --devices is for pictures: leave --devices out")


def find(inputs: list[Path], out: Path, rank: int, of: int) -> list["Item"]:
    """One process's pictures, sorted by name; the place of each result mirrors the source's.

    Raises:
        InputError: there are no pictures, or two would be written to one place, or to an input's.
    """
    from faststyle.files import files
    from faststyle.image.files import READABLE
    from faststyle.inference.batch.shards import Item, rank_of
    from faststyle.video.opening import SUFFIXES

    found, items, clips = 0, [], 0
    for path in inputs:
        folder = path.is_dir()
        names = files(str(path)) if folder else iter([path.name])
        for name in names:
            kind = os.path.splitext(name)[1].lower()  # noqa: PTH122
            clips += kind in SUFFIXES
            if folder and kind not in READABLE:
                continue
            found += 1
            target = str(Path(name).with_suffix(suffix(Path(name), False)))
            if rank_of(target, of) == rank:
                source = os.path.join(path, name) if folder else str(path)  # noqa: PTH118
                items.append(Item(source, target))
    if not found:
        raise InputError(f"there are no pictures in {', '.join(map(str, inputs))}")
    if clips and rank == 0:
        print(f"--devices takes pictures: clips are left out ({clips})", file=sys.stderr)
    items = sorted({*items}, key=lambda item: item.name)
    for one, other in pairwise(items):
        if one.name == other.name:
            raise InputError(
                f"{one.source} and {other.source} would both be written to {out / one.name}: run them apart"
            )
    check_overwritten(inputs, out, items)
    return items


def check_overwritten(inputs: list[Path], out: Path, items: list["Item"]) -> None:
    """Refuse results in the inputs' own places."""
    home = real(out)
    for path in inputs:
        if home not in real(path).parents:
            continue
        place = real(path).relative_to(home).as_posix()
        for item in items:
            if item.name == place or (path.is_dir() and item.name.startswith(f"{place}/")):
                raise InputError(f"{out / item.name} would overwrite an input: give another -o")


def stylize_collection(arguments: argparse.Namespace, argv: list[str]) -> int:
    """Stylize a collection by ranks, or as one of them; the number of pictures that failed."""
    out, devices, nodes = arguments.output, arguments.devices, getattr(arguments, "num_nodes", 1)
    if not launcher.are_started():
        try:
            return launcher.run(argv, devices, nodes)
        except KeyboardInterrupt:
            print("stopped: the same command goes on with what is left", file=sys.stderr)
            sys.exit(130)
    from faststyle.device import keep_freed_memory
    from faststyle.files import check_place
    from faststyle.image.files import save_image
    from faststyle.inference.batch.manifest import NAME
    from faststyle.inference.batch.predict import Collection, Way, stylize_share

    keep_freed_memory()
    check(arguments.inputs, out)
    check_place(out / NAME)
    way = Way(
        read=partial(read_photo, arguments=arguments),
        stylize=partial(stylize_photo, arguments=arguments),
        save=partial(save_image, quality=arguments.quality),
        convert=partial(stylize_file, arguments=arguments),
    )

    def load_on(device: str):
        return load(arguments.checkpoint, argparse.Namespace(**{**vars(arguments), "device": device}))

    flags = {name: option(arguments, name) for name in DEFAULTS}
    flags |= {name: getattr(arguments, name) for name in ("preserve_color", "precision", "quality")}
    collection = Collection(partial(find, arguments.inputs, out), out, load_on, way, flags)
    totals = stylize_share(collection, arguments.device, devices, nodes)
    if collection.global_rank == 0:
        print(f"engine: {collection.stylizer}", file=sys.stderr)
        if totals.clips:
            print(f"--devices takes pictures: animations are left out ({totals.clips})", file=sys.stderr)
        made = totals.done + totals.kept
        before = f" ({totals.kept:,} of them before)" if totals.kept else ""
        print(f"{made:,} of {made + totals.failed:,} pictures stylized{before}: {one_line(out)}")
        return totals.failed
    return 0
