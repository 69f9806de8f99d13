"""Damaged and hostile files through both commands: what became of each, in how much time and memory.

The 2 GiB are about files that claim more than they hold: none may take them before it is refused, nor what
is left of a damaged one. Stylizing takes what the picture's pixels need, about 420 bytes for each that is
painted at once, where so much is free: a picture of 16 megapixels 6.7 GB, even a blank one of 16 kB.

python -m benchmarks.hostile --files 1000
"""

import argparse
import contextlib
import itertools
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, NamedTuple

from tests.support import ROOT

LONGEST = 10.0  # seconds without a word: a long clip's bar moves meanwhile
GIVEN_UP = 300.0  # seconds
MOST = 2 << 30  # bytes of a process at its largest
SIZE = 64  # pixels of training's crops
WAYS = "infer.py", "train.py's reader"
SAID = "said.txt"


class Result(NamedTuple):
    """What became of a file.

    Attributes:
        verdict: of ``hostile.verdict``, or that the process was killed or died.
        seconds: for this file, and of these the longest time without a word.
        memory: bytes of the process at its largest.
    """

    way: str
    path: Path
    verdict: str
    seconds: float
    silent: float
    memory: int

    def is_wrong(self) -> bool:
        return self.verdict not in ("picture", "line") or self.silent > LONGEST or self.memory > MOST


@contextlib.contextmanager
def said_to(file: IO[str]) -> Iterator[None]:
    """Send what this process and its libraries say to a file."""
    kept = os.dup(1), os.dup(2)
    for number in (1, 2):
        os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, before in zip((1, 2), kept, strict=True):
            os.dup2(before, number)
            os.close(before)


def status(run: Callable[[], None]) -> int:
    """A command's exit status; 1, with a traceback, where it raises."""
    try:
        run()
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def flags(model: Path) -> list[str]:
    return ["--checkpoint", str(model), "--device=cpu", "--precision=fp32", "--engine=torch"]


def work(pipe: Connection, model: Path, folder: Path) -> None:
    """Take one file after the other, through ``infer.py`` or training's reader."""
    import torch

    from faststyle.cli.main import infer as main
    from faststyle.console import one_line_errors
    from faststyle.training.sampling import read_photo
    from tests.support.hostile_files import verdict

    def read(path: Path) -> None:
        with one_line_errors():
            read_photo({"image": {"path": str(path), "bytes": None}}, SIZE)

    torch.set_num_threads(1)
    folder.mkdir(parents=True)
    pipe.send("ready")
    for number, (way, path) in enumerate(iter(pipe.recv, None)):
        target = folder / str(number)
        Path("/proc/self/clear_refs").write_text("5")  # the largest so far is forgotten
        with (folder / SAID).open("w+", errors="replace") as file:
            with said_to(file):
                if way == "infer.py":
                    code = status(partial(main, [*flags(model), "-o", str(target), str(path)]))
                else:
                    code = status(partial(read, path))
            file.seek(0)
            made = way != "infer.py" or any(target.glob("*"))
            lines = Path("/proc/self/status").read_text().splitlines()
            memory = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
            pipe.send((verdict(code, without_results(file.read(), target), made), memory))


def without_results(printed: str, target: Path) -> str:
    """What was said, but for the line that names the result."""
    return "\n".join(line for line in printed.split("\n") if not line.startswith(str(target)))


def resident(pid: int | None) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def silence(said: Path, began: float) -> float:
    """Seconds since something was said."""
    return min(time.perf_counter() - began, time.time() - said.stat().st_mtime)


def watch(jobs: SimpleQueue[tuple[str, Path]], model: Path, folder: Path) -> Iterator[Result]:
    """Have a process do the jobs; one that hangs, grows or dies is replaced."""
    context = multiprocessing.get_context("spawn")
    for generation in itertools.count():
        (pipe, theirs), own = context.Pipe(), folder / str(generation)
        process = context.Process(target=work, args=(theirs, model, own), daemon=True)
        process.start()
        theirs.close()
        try:
            pipe.recv()
            while True:
                way, path = jobs.get_nowait()
                began, most, silent, seconds = time.perf_counter(), 0, 0.0, 0.0
                (own / SAID).touch()
                pipe.send((way, path))
                while not pipe.poll(0.02) and silent < 2 * LONGEST and seconds < GIVEN_UP and most < 2 * MOST:
                    most, seconds = max(most, resident(process.pid)), time.perf_counter() - began
                    silent = max(silent, silence(own / SAID, began))
                if not pipe.poll():
                    yield Result(way, path, "killed: it took too much", seconds, silent, most)
                    break
                try:
                    verdict, memory = pipe.recv()
                except EOFError:
                    process.join()
                    yield Result(way, path, f"the process died: {process.exitcode}", seconds, silent, most)
                    break
                yield Result(way, path, verdict, seconds, silent, memory)
        except Empty:
            pipe.send(None)
            process.join()
            return
        finally:
            process.kill()
            process.join()


def each_alone(paths: list[Path], model: Path, folder: Path, workers: int) -> list[Result]:
    jobs: SimpleQueue[tuple[str, Path]] = SimpleQueue()
    for path, way in itertools.product(paths, WAYS):
        jobs.put((way, path))
    with ThreadPoolExecutor(workers) as pool:
        parts = pool.map(lambda number: list(watch(jobs, model, folder / str(number))), range(workers))
        return [result for part in parts for result in part]


def all_together(photos: Path, model: Path, folder: Path) -> list[str]:
    """The whole folder in one run of each command: lines about what became of the good ten."""
    goods = {path.stem for path in photos.glob("good *.jpg")}
    lines = []
    for command, wanted in [
        ([*flags(model), str(photos), "-o", str(folder / "out")], None),
        (
            [*TRAINING, "--content", str(photos), "--output", str(folder / "run")],
            folder / "run/run.safetensors",
        ),
    ]:
        script = "infer.py" if wanted is None else "train.py"
        began = time.perf_counter()
        with tempfile.TemporaryFile("w+", errors="replace") as file:
            process = subprocess.Popen(
                [sys.executable, ROOT / script, *command], stdout=file, stderr=subprocess.STDOUT, cwd=folder
            )
            _, code, usage = os.wait4(process.pid, 0)
            file.seek(0)
            said = file.read()
        what = f"{len({path.stem for path in (folder / 'out').glob('good *')} & goods)} of the good ten"
        if wanted is not None:
            what = "a trained model" if wanted.exists() else "no model"
        lines.append(
            f"{script} with the whole folder: {what}, status {os.waitstatus_to_exitcode(code)}, "
            f"{said.count('Traceback')} tracebacks, {time.perf_counter() - began:.0f} s, "
            f"{usage.ru_maxrss / (1 << 20):.2f} GiB"
        )
        if "Traceback" in said:
            lines += said[said.index("Traceback") :].splitlines()
    return lines


TRAINING = ["--style", "mosaic", "--model.blocks=1", "--model.style_size=64", "--data.size=64"]
TRAINING += [
    "--trainer.max_steps=5",
    "--trainer.accelerator=cpu",
    "--trainer.precision=32",
    "--data.workers=0",
]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="make the corpus in this folder, and leave it there")
    arguments = parser.parse_args(argv)

    import torch

    from faststyle.models.card import ModelCard
    from faststyle.models.checkpoint import save_model
    from faststyle.models.network import TransformerNetwork
    from tests.support.hostile_files import make

    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        paths = make(folder / "photos", arguments.files, arguments.seed)
        torch.manual_seed(0)
        save_model(
            folder / "small.safetensors", TransformerNetwork("half", blocks=1), ModelCard(name="small")
        )
        results = each_alone(paths, folder / "small.safetensors", folder / "alone", arguments.workers)
        lines = all_together(folder / "photos", folder / "small.safetensors", folder)
        leaked = [path.name for path in folder.iterdir() if path.name.endswith(".ran")]
    wrong = 0
    for way in WAYS:
        own = [result for result in results if result.way == way]
        counts = Counter(result.verdict for result in own)
        slow, large = max(own, key=lambda r: r.seconds), max(own, key=lambda r: r.memory)
        print(
            f"{way}: {len(own)} files, {counts['picture']} pictures, {counts['line']} clear lines, "
            f"{sum(r.verdict.startswith('traceback') for r in own)} tracebacks, "
            f"{sum(r.silent > LONGEST for r in own)} silent for {LONGEST:g} s, "
            f"{sum(r.memory > MOST for r in own)} over {MOST >> 30} GiB; "
            f"slowest {slow.seconds:.1f} s ({slow.path.name}), "
            f"largest {large.memory / (1 << 30):.2f} GiB ({large.path.name})"
        )
        for r in filter(Result.is_wrong, own):
            wrong += 1
            print(f"  {r.path.name!r}: {r.verdict}, {r.seconds:.1f} s, {r.memory / (1 << 30):.2f} GiB")
    print(*lines, sep="\n")
    print(f"code that ran: {len(leaked)}")
    return int(bool(wrong or leaked))


if __name__ == "__main__":
    sys.exit(main())
