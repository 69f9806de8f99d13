"""``faststyle stylize photos/ --devices N``: a large collection of images, by several processes."""

import pickle
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from faststyle.cli.folders import no_images, report_left_out
from faststyle.cli.inputs import check_folder, plan_file, result_name
from faststyle.cli.stylize_options import Options
from faststyle.errors import InputError, one_line
from faststyle.files import resolve_links, walk_files
from faststyle.inference.batch import launcher

if TYPE_CHECKING:
    from faststyle.inference.batch.shards import Item
    from faststyle.inference.stylizer import Stylizer


def check(inputs: tuple[Path, ...], out: Path) -> None:
    """Refuse inputs and outputs that do not go together.

    Raises:
        InputError: A missing input, a video, an output that is a file, or one that would be read as input.
    """
    check_folder(out)
    for path in inputs:
        if not path.is_dir():
            plan_file(path, out, "", False, "--devices")
        elif resolve_links(out).is_relative_to(resolve_links(path)):
            raise InputError(f"`output` {out} lies in {path}, and would be read as input: give another one")


def find(inputs: tuple[Path, ...], out: Path, rank: int, ranks: int) -> list["Item"]:
    """Return one rank's images, sorted by name; the place of each result mirrors the source's.

    Raises:
        InputError: There are no images, or two would be written to one place, or to an input's.
    """
    from faststyle.image.formats import is_image
    from faststyle.inference.batch.shards import Item, rank_of

    found, items, others = 0, [], []
    for path in inputs:
        folder = path.is_dir()
        for name in names_in(path, out) if folder else [path.name]:
            source = path / name if folder else path
            if folder and not is_image(source):
                others.append(source)
                continue
            found += 1
            target = str(Path(name).with_name(result_name(source, False)))
            if rank_of(target, ranks) == rank:
                items.append(Item(str(source), target))
    if not found:
        raise no_images(inputs, others, "images")
    if rank == 0:
        for path in inputs:
            report_left_out(path, [one for one in others if one.is_relative_to(path)], "images")
    items = sorted({*items}, key=lambda item: item.name)
    for one, other in pairwise(items):
        if one.name == other.name:
            raise InputError(
                f"{one.source} and {other.source} would both be written to {out / one.name}: run them apart"
            )
    check_overwritten(inputs, out, items)
    return items


def names_in(folder: Path, out: Path) -> Iterator[str]:
    """Yield the paths of the files below a folder, relative to it.

    Raises:
        InputError: A symlink leads from the folder to one that holds ``out``.
    """
    home, seen = resolve_links(out), set()
    for name in walk_files(str(folder)):
        below = name.rpartition("/")[0]
        if below not in seen:
            seen.add(below)
            for place in Path(name).parents:
                if home.is_relative_to(resolve_links(folder / place)):
                    raise InputError(
                        f"`output` {out} lies in {folder / place}, and would be read as input: give another"
                    )
        yield name


def check_overwritten(inputs: tuple[Path, ...], out: Path, items: list["Item"]) -> None:
    """Refuse results in the inputs' own places.

    Raises:
        InputError: There is one.
    """
    home = resolve_links(out)
    for path in map(resolve_links, inputs):
        for item in items if home in path.parents else []:
            if (home / item.name).is_relative_to(path):
                raise InputError(f"{out / item.name} would overwrite an input: give another `output`")


def stylize_collection(options: Options) -> int:
    """Stylize a collection by ranks, or as one of them; return the number of images that failed."""
    devices, nodes = options.ranks.devices, options.ranks.num_nodes
    assert devices is not None and options.output is not None
    if not launcher.is_rank():
        try:
            return launcher.run(pickle.dumps(options), devices, nodes)
        except KeyboardInterrupt:
            print("stopped: the same command goes on with what is left", file=sys.stderr)
            sys.exit(130)
    return stylize_shard(options, options.output, devices, nodes)


def stylize_shard(options: Options, out: Path, devices: int, nodes: int) -> int:
    """Stylize one rank's images; return the number of all that failed in rank 0, elsewhere 0."""
    from faststyle.cli.stylize_image import read_photo, stylize_file, stylize_photo
    from faststyle.device import keep_freed_memory
    from faststyle.files import check_writable
    from faststyle.image.files import save_image
    from faststyle.inference.batch.manifest import NAME
    from faststyle.inference.batch.predict import Collection, Steps, predict_shard
    from faststyle.inference.stylizer import Stylizer

    keep_freed_memory()
    check(options.inputs, out)
    check_writable(out / NAME)
    settings, quality = options.image, options.file.quality
    steps = Steps(
        read=partial(read_photo, max_size=settings.max_size),
        stylize=partial(stylize_photo, settings=settings),
        save=partial(save_image, quality=quality),
        convert=partial(stylize_file, settings=settings, quality=quality),
    )

    def load_on(device: str) -> "Stylizer":
        assert options.checkpoint is not None
        return Stylizer.load(options.checkpoint[0], **vars(replace(options.machine, device=device)))

    manifest_options = {**vars(settings), **vars(options.machine), "quality": quality}
    del manifest_options["device"]  # results do not depend on it
    collection = Collection(partial(find, options.inputs, out), out, load_on, steps, manifest_options)
    totals = predict_shard(collection, options.machine.device, devices, nodes)
    if collection.global_rank > 0:
        return 0
    if options.verbose:
        print(f"engine: {collection.stylizer}", file=sys.stderr)
    if totals.videos:
        print(f"--devices takes images: animations are left out ({totals.videos})", file=sys.stderr)
    made = totals.done + totals.kept
    before = f" ({totals.kept:,} of them before)" if totals.kept else ""
    print(f"{made:,} of {made + totals.failed:,} images stylized{before}: {one_line(out)}")
    return totals.failed + totals.truncated
