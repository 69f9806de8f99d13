"""Give damaged and hostile files to both commands, and report each result with its time and memory.

The limit of 2 GiB is for files that claim more pixels than they hold: such a file must be refused before
memory is taken for it, and so must the rest of a damaged one. Stylizing a large image that is sound takes
more, where that much is free: about 420 bytes for each pixel that is stylized at once, 6.7 GB for 16
megapixels.

python -m benchmarks.hostile --files 1000
"""

import contextlib
import itertools
import multiprocessing
import os
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

import torch

from benchmarks.common import ROOT, infer_command, make_parser, run_measured
from faststyle.cli.main import infer
from faststyle.console import one_line_errors
from faststyle.image.validation import silence_decoders
from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import save_model
from faststyle.models.network import TransformerNetwork
from faststyle.training.crops import read_photo
from tests.support.hostile_files import make, verdict

MAX_SILENT_SECONDS = 10.0  # without output; the progress bar of a long video is output
MAX_SECONDS = 300.0
MAX_MEMORY = 2 << 30  # bytes
SIZE = 64  # pixels of training's crops
READERS = "infer.py", "train.py's reader"
LOG = "log.txt"
TRAINING = [
    *("--style=mosaic", "--model.blocks=1", "--model.style_size=64", "--data.size=64", "--data.workers=0"),
    *("--trainer.max_steps=5", "--trainer.accelerator=cpu", "--trainer.precision=32"),
]


class Result(NamedTuple):
    """What happened to a file.

    Attributes:
        reader: One of ``READERS``.
        path: The file.
        verdict: Of ``hostile_files.verdict``, or that the process was killed or died.
        seconds: Time for the file.
        silent: Longest time without output, in seconds.
        memory: Bytes of resident memory at the maximum.
    """

    reader: str
    path: Path
    verdict: str
    seconds: float
    silent: float
    memory: int

    def is_wrong(self) -> bool:
        sound = self.verdict in ("picture", "line")
        return not sound or self.silent > MAX_SILENT_SECONDS or self.memory > MAX_MEMORY


@contextlib.contextmanager
def output_to(file: IO[str]) -> Iterator[None]:
    """Send the output of this process and its libraries to a file."""
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


def exit_status(run: Callable[[], None]) -> int:
    """Return a command's exit status; 1, with a traceback, where the command raises."""
    try:
        run()
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def model_options(model: Path) -> list[str]:
    return ["--checkpoint", str(model), "--device=cpu", "--precision=fp32", "--engine=torch"]


def read_for_training(path: Path) -> None:
    with one_line_errors():
        read_photo({"image": {"path": str(path), "bytes": None}}, SIZE)


def work(pipe: Connection, model: Path, folder: Path) -> None:
    """Read the files that arrive through a pipe, and send the verdict and the peak memory of each."""
    torch.set_num_threads(1)
    silence_decoders()
    folder.mkdir(parents=True)
    pipe.send("ready")
    for number, (reader, path) in enumerate(iter(pipe.recv, None)):
        target = folder / str(number)
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        with (folder / LOG).open("w+", errors="replace") as file:
            with output_to(file):
                if reader == "infer.py":
                    code = exit_status(partial(infer, [*model_options(model), "-o", str(target), str(path)]))
                else:
                    code = exit_status(partial(read_for_training, path))
            file.seek(0)
            made = reader != "infer.py" or any(target.glob("*"))
            lines = Path("/proc/self/status").read_text().splitlines()
            memory = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
            pipe.send((verdict(code, without_results(file.read(), target), made), memory))


def without_results(printed: str, target: Path) -> str:
    """Return the output without the line that names the result."""
    return "\n".join(line for line in printed.split("\n") if not line.startswith(str(target)))


def resident_bytes(pid: int | None) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def silent_seconds(log: Path, began: float) -> float:
    """Return the seconds since the last output."""
    return min(time.perf_counter() - began, time.time() - log.stat().st_mtime)


def watch(jobs: SimpleQueue[tuple[str, Path]], model: Path, folder: Path) -> Iterator[Result]:
    """Give jobs to a process, and replace the process when it hangs, takes too much memory or dies."""
    context = multiprocessing.get_context("spawn")
    for generation in itertools.count():
        (pipe, theirs), own = context.Pipe(), folder / str(generation)
        process = context.Process(target=work, args=(theirs, model, own), daemon=True)
        process.start()
        theirs.close()
        try:
            pipe.recv()
            while True:
                job = jobs.get_nowait()
                (own / LOG).touch()
                pipe.send(job)
                seconds, silent, memory = wait(pipe, process.pid, own / LOG)
                if not pipe.poll():
                    yield Result(*job, "killed at a limit", seconds, silent, memory)
                    break
                try:
                    answer, memory = pipe.recv()
                except EOFError:
                    process.join()
                    yield Result(*job, f"the process died: {process.exitcode}", seconds, silent, memory)
                    break
                yield Result(*job, answer, seconds, silent, memory)
        except Empty:
            pipe.send(None)
            process.join()
            return
        finally:
            process.kill()
            process.join()


def wait(pipe: Connection, pid: int | None, log: Path) -> tuple[float, float, int]:
    """Wait for an answer or a limit, and return the seconds, the silent seconds and the memory so far."""
    began, memory, silent, seconds = time.perf_counter(), 0, 0.0, 0.0
    while not pipe.poll(0.02):
        if silent >= 2 * MAX_SILENT_SECONDS or seconds >= MAX_SECONDS or memory >= 2 * MAX_MEMORY:
            break
        memory, seconds = max(memory, resident_bytes(pid)), time.perf_counter() - began
        silent = max(silent, silent_seconds(log, began))
    return seconds, silent, memory


def read_each(paths: list[Path], model: Path, folder: Path, workers: int) -> list[Result]:
    """Read each file alone, by both readers, in a number of processes."""
    jobs: SimpleQueue[tuple[str, Path]] = SimpleQueue()
    for path, reader in itertools.product(paths, READERS):
        jobs.put((reader, path))
    with ThreadPoolExecutor(workers) as pool:
        parts = pool.map(lambda number: list(watch(jobs, model, folder / str(number))), range(workers))
        return [result for part in parts for result in part]


def read_folder(photos: Path, model: Path, folder: Path) -> list[str]:
    """Give the whole folder to each command, and return lines on what became of its ten sound images."""
    sound = {path.stem for path in photos.glob("good *.jpg")}
    trained = folder / "run/run.safetensors"
    train = [sys.executable, str(ROOT / "train.py"), *TRAINING]
    commands = {
        "infer.py": infer_command(*model_options(model), photos, "-o", folder / "out"),
        "train.py": [*train, "--content", str(photos), "--output", str(trained.parent)],
    }
    lines = []
    for script, command in commands.items():
        finished = run_measured(command, folder)
        stylized = {path.stem for path in (folder / "out").glob("good *")} & sound
        result = f"{len(stylized)} of ten sound images"
        if script == "train.py":
            result = "a trained model" if trained.exists() else "no model"
        lines.append(
            f"{script} with the whole folder: {result}, status {finished.status}, "
            f"{finished.printed.count('Traceback')} tracebacks, {finished.seconds:.0f} s, "
            f"{finished.peak_memory / (1 << 30):.2f} GiB"
        )
        if "Traceback" in finished.printed:
            lines += finished.printed[finished.printed.index("Traceback") :].splitlines()
    return lines


def print_results(reader: str, results: list[Result]) -> None:
    """Print a line for a reader, and a line for each result that is wrong."""
    counts = Counter(result.verdict for result in results)
    slow, large = max(results, key=lambda r: r.seconds), max(results, key=lambda r: r.memory)
    print(
        f"{reader}: {len(results)} files, {counts['picture']} images, {counts['line']} clear lines, "
        f"{sum(r.verdict.startswith('traceback') for r in results)} tracebacks, "
        f"{sum(r.silent > MAX_SILENT_SECONDS for r in results)} silent for {MAX_SILENT_SECONDS:g} s, "
        f"{sum(r.memory > MAX_MEMORY for r in results)} over {MAX_MEMORY >> 30} GiB; "
        f"slowest {slow.seconds:.1f} s ({slow.path.name}), "
        f"largest {large.memory / (1 << 30):.2f} GiB ({large.path.name})"
    )
    for r in filter(Result.is_wrong, results):
        print(f"  {r.path.name!r}: {r.verdict}, {r.seconds:.1f} s, {r.memory / (1 << 30):.2f} GiB")


def main(argv: list[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--files", type=int, default=1_000, help="number of files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="number of processes")
    parser.add_argument("--keep", type=Path, help="folder to make the files in, and to leave them")
    options = parser.parse_args(argv)

    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        paths = make(folder / "photos", options.files, options.seed)
        torch.manual_seed(0)
        model = folder / "small.safetensors"
        save_model(model, TransformerNetwork("half", blocks=1), ModelCard(name="small"))
        results = read_each(paths, model, folder / "alone", options.workers)
        lines = read_folder(folder / "photos", model, folder)
        leaked = [path.name for path in folder.iterdir() if path.name.endswith(".ran")]
    for reader in READERS:
        print_results(reader, [result for result in results if result.reader == reader])
    print(*lines, sep="\n")
    print(f"files whose code ran: {len(leaked)}")
    return int(bool(leaked) or any(map(Result.is_wrong, results)))


if __name__ == "__main__":
    sys.exit(main())
