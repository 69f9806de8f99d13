"""Kill a training (SIGKILL) again and again and resume it, and compare it with one that was never killed.

Every second kill waits for a temporary file, which exists while a state or a model is written; the others
come at any moment after the start of train.py's main. A kill counts as during a write if it leaves such a
file behind. After each kill the last state and the model must load. At the end weights, optimizer and
schedule must be those of the run that was never killed, bit for bit. A run that ends before all kills is
compared too, and the kills go on in another.

    python -m benchmarks.survival --kills 20
"""

import multiprocessing
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image

from benchmarks.common import make_parser
from faststyle.files import is_temporary_file
from faststyle.models.checkpoint import load_model

STEPS_BETWEEN_STATES = 2  # train.py saves a state every 100 steps
COMPARED = ("state_dict", "optimizer_states", "lr_schedulers", "global_step")
# Imports modules once, and not at each start, while nothing is written.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["faststyle.cli.train", "torch.utils.tensorboard"])


class Result(NamedTuple):
    """What the kills did.

    Attributes:
        kills: Number of kills.
        runs: Number of runs that were killed and compared at their ends.
        writing: Number of kills during a write.
        unreadable: Number of states and models that could not be read.
        difference: Largest difference of weights, optimizer and schedule.
    """

    kills: int
    runs: int
    writing: int
    unreadable: int
    difference: float


def start(arguments: list[str], log: Path) -> BaseProcess:
    """Start train.py's main in a process of its own."""
    process = PROCESSES.Process(target=run, args=(arguments, log))
    process.start()
    return process


def run(arguments: list[str], log: Path) -> None:
    """Run train.py's main with one thread, a state every two steps, and output to a log file."""
    from faststyle.cli import train

    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    torch.set_num_threads(1)
    train.STEPS_BETWEEN_SAVES = STEPS_BETWEEN_STATES
    train.main(arguments)


def join(process: BaseProcess, log: Path) -> None:
    """Wait for a process that is not killed, and end the command if it failed."""
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"train.py ended with status {process.exitcode}:\n{log.read_text()[-3000:]}")


def find_temporary(folder: Path) -> set[str]:
    """Return the names of the temporary files of a run's state and model."""
    names = ("last.ckpt", f"{folder.name}.safetensors")
    found = {path.name for name in names for path in folder.glob(f".{name}.*")}
    return {name for name in found if is_temporary_file(Path(name))}


def step_of(state: Path) -> int:
    return torch.load(state, weights_only=True)["global_step"] if state.exists() else 0


def count_unreadable(folder: Path) -> int:
    """Count the run's files that exist and cannot be read whole."""
    count = 0
    for path in (folder / "last.ckpt", folder / f"{folder.name}.safetensors"):
        if path.exists():
            try:
                load_model(path)
                if path.suffix == ".ckpt":
                    step_of(path)  # reads the optimizer's part too
            except Exception as error:  # torch raises many kinds
                print(f"{path.name} cannot be read: {error}")
                count += 1
    return count


def max_difference(first: Any, second: Any) -> float:
    """Return the largest difference of numbers in two states; infinity where anything else differs."""
    if isinstance(first, torch.Tensor):
        if torch.equal(first, second):
            return 0.0
        return (first.double() - second.double()).abs().max().nan_to_num(nan=float("inf")).item()
    if isinstance(first, dict):
        if first.keys() != second.keys():
            return float("inf")
        return max((max_difference(first[key], second[key]) for key in first), default=0.0)
    if isinstance(first, list | tuple):
        return max((max_difference(a, b) for a, b in zip(first, second, strict=True)), default=0.0)
    return 0.0 if first == second else float("inf")


def compare_runs(one: Path, other: Path) -> float:
    """Return the largest difference of weights, optimizer and schedule between two runs' last states."""
    first, second = (
        torch.load(folder / "last.ckpt", map_location="cpu", weights_only=True) for folder in (one, other)
    )
    return max(max_difference(first[key], second[key]) for key in COMPARED)


def wait_for(process: BaseProcess, condition: Callable[[], bool], poll_seconds: float) -> None:
    """Wait until a condition holds or a process ends."""
    while process.is_alive() and not condition():
        time.sleep(poll_seconds)


def survive(kills: int, steps: int, seed: int, place: Path, more: list[str]) -> Result:
    """Train once without kills, and then with kills.

    Args:
        kills: Number of kills.
        steps: Number of training steps.
        seed: Seed of the moments.
        place: Folder for the runs.
        more: More options of train.py.
    """
    style = place / "style.png"  # the package's own style image takes seconds to draw
    Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 100).convert("RGB").save(style)
    arguments = ["--style", str(style), "--model.style_size=64", "--data.size=64", "--data.batch_size=1"]
    arguments += ["--trainer.max_steps", str(steps), "--trainer.accelerator=cpu", "--trainer.precision=32"]
    arguments += ["--data.workers=0", "--trainer.enable_progress_bar=false", *more]
    began = time.monotonic()
    log = place / "log.txt"
    join(start([*arguments, "--output", str(place / "whole")], log), log)
    seconds = time.monotonic() - began

    folder, rng = place / "killed", random.Random(seed)
    done = runs = writing = broken = 0
    difference = 0.0
    while True:
        resume = ["--resume"] if (folder / "last.ckpt").exists() else []
        process = start([*arguments, "--output", str(folder), *resume], log)
        left = find_temporary(folder)
        if done < kills:  # early, so that something is left to be killed
            moment = time.monotonic() + rng.uniform(0, seconds / 8)
            wait_for(process, lambda: time.monotonic() > moment, 0.01)  # noqa: B023
            if done % 2 == 0:
                wait_for(process, lambda: bool(find_temporary(folder) - left), 1e-4)  # noqa: B023
        if done == kills or not process.is_alive():
            join(process, log)
            runs += 1
            broken += count_unreadable(folder)
            difference = max(difference, compare_runs(place / "whole", folder))
            if done == kills:
                return Result(done, runs, writing, broken, difference)
            shutil.rmtree(folder)  # the run ended before its kill: start another
            continue
        process.kill()
        process.join()
        done += 1
        inside = find_temporary(folder) - left
        writing += bool(inside)
        found = count_unreadable(folder)
        broken += found
        when = f"during a write of {', '.join(inside)}" if inside else "at another moment"
        state = f"unreadable files: {found}" if found else f"step {step_of(folder / 'last.ckpt')} is kept"
        print(f"kill {done}: {when}; {state}", flush=True)


def main(argv: list[str] | None = None) -> Result:
    parser = make_parser(__doc__)
    parser.epilog = "Other options are train.py's."
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=500, help="number of training steps")
    parser.add_argument("--seed", type=int, default=0)
    options, more = parser.parse_known_args(argv)
    with tempfile.TemporaryDirectory() as place:
        result = survive(options.kills, options.steps, options.seed, Path(place), more)
    print(
        f"kills: {result.kills}, of these during a write: {result.writing}; runs: {result.runs}\n"
        f"unreadable states and models: {result.unreadable}\n"
        f"largest difference in weights, optimizer and schedule: {result.difference:g}"
    )
    return result


if __name__ == "__main__":
    main()
