"""A training that is killed (kill -9) again and again, and resumed, beside one that never was.

Every second kill waits for a temporary file, which is there while a state or a model is written; the
others come at any moment from the start of train.py's main on. A kill counts as in the middle of writing
when it left such a file behind. After each kill the last state and the model must load, and
at the end weights, optimizer and schedule must be, bit for bit, those of the run that was never killed.
A run that is through before all the kills is compared too, and the kills go on in another.

    python -m benchmarks.survival --kills 20
"""

import argparse
import multiprocessing
import os
import random
import shutil
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image

from faststyle.files import is_temporary_file
from faststyle.models.checkpoint import load_model

STEPS_BETWEEN_STATES = 2  # train.py saves one in a hundred steps
# Modules are imported once, not at each start: nothing is written meanwhile.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["faststyle.cli.train", "torch.utils.tensorboard"])


class Result(NamedTuple):
    kills: int
    runs: int  # that they fell on, each compared at its end
    writing: int  # kills in the middle of writing
    unreadable: int  # states and models
    difference: float  # largest, of weights, optimizer and schedule


def start(flags: list[str], log: Path) -> BaseProcess:
    """train.py's main in a process of its own."""
    process = PROCESSES.Process(target=run, args=(flags, log))
    process.start()
    return process


def run(flags: list[str], log: Path) -> None:
    from faststyle.cli import train

    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    torch.set_num_threads(1)
    train.CHECKPOINT_STEPS = STEPS_BETWEEN_STATES
    train.main(flags)


def check(process: BaseProcess, log: Path) -> None:
    """A start that nobody killed must have ended well."""
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"train.py ended with {process.exitcode}:\n{log.read_text()[-3000:]}")


def being_written(folder: Path) -> set[str]:
    """The temporary files of states and models."""
    names = ("last.ckpt", f"{folder.name}.safetensors")
    found = {path.name for name in names for path in folder.glob(f".{name}.*")}
    return {name for name in found if is_temporary_file(Path(name))}


def step_of(state: Path) -> int:
    return torch.load(state, weights_only=True)["global_step"] if state.exists() else 0


def unreadable(folder: Path) -> int:
    """How many of the run's files are there, and cannot be read whole."""
    count = 0
    for path in (folder / "last.ckpt", folder / f"{folder.name}.safetensors"):
        if path.exists():
            try:
                load_model(path)
                if path.suffix == ".ckpt":
                    step_of(path)  # reads what belongs to the optimizer too
            except Exception as error:  # torch has many
                print(f"{path.name} cannot be read: {error}")
                count += 1
    return count


def difference(first: Any, second: Any) -> float:
    """The largest difference of any number in two states; infinite where they differ otherwise."""
    if isinstance(first, torch.Tensor):
        if torch.equal(first, second):
            return 0.0
        return (first.double() - second.double()).abs().max().nan_to_num(nan=float("inf")).item()
    if isinstance(first, dict):
        if first.keys() != second.keys():
            return float("inf")
        return max((difference(first[key], second[key]) for key in first), default=0.0)
    if isinstance(first, list | tuple):
        return max((difference(a, b) for a, b in zip(first, second, strict=True)), default=0.0)
    return 0.0 if first == second else float("inf")


def compare(whole: Path, killed: Path) -> float:
    states = [
        torch.load(folder / "last.ckpt", map_location="cpu", weights_only=True) for folder in (whole, killed)
    ]
    keys = ("state_dict", "optimizer_states", "lr_schedulers", "global_step")
    return max(difference(states[0][key], states[1][key]) for key in keys)


def survive(kills: int, steps: int, seed: int, place: Path, more: list[str]) -> Result:
    """Train twice, once in peace."""
    style = place / "style.png"  # the package's own takes seconds to draw
    Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 100).convert("RGB").save(style)
    flags = ["--style", str(style), "--model.style_size=64", "--data.size=64", "--data.batch_size=1"]
    flags += ["--trainer.max_steps", str(steps), "--trainer.accelerator=cpu", "--trainer.precision=32"]
    flags += ["--data.workers=0", "--trainer.enable_progress_bar=false", *more]
    began = time.monotonic()
    log = place / "log.txt"
    check(start([*flags, "--output", str(place / "whole")], log), log)
    seconds = time.monotonic() - began

    folder, chance = place / "killed", random.Random(seed)
    done = runs = writing = broken = 0
    apart = 0.0
    while True:
        resume = ["--resume"] if (folder / "last.ckpt").exists() else []
        process = start([*flags, "--output", str(folder), *resume], log)
        if done < kills:
            # Early enough, so that there is something left to be killed.
            moment = time.monotonic() + chance.uniform(0, seconds / 8)
            left = being_written(folder)
            while process.is_alive() and time.monotonic() < moment:
                time.sleep(0.01)
            while done % 2 == 0 and process.is_alive() and not being_written(folder) - left:
                time.sleep(1e-4)
        if done == kills or not process.is_alive():
            check(process, log)
            runs += 1
            broken += unreadable(folder)
            apart = max(apart, compare(place / "whole", folder))
            if done == kills:
                return Result(done, runs, writing, broken, apart)
            shutil.rmtree(folder)  # it was through before it could be killed: once more from the start
            continue
        process.kill()
        process.join()
        done += 1
        inside = being_written(folder) - left
        writing += bool(inside)
        when = f"while writing {', '.join(inside)}" if inside else "at another moment"
        found = unreadable(folder)
        broken += found
        state = f"unreadable files: {found}" if found else f"step {step_of(folder / 'last.ckpt')} is kept"
        print(f"kill {done}: {when}; {state}", flush=True)


def main(argv: list[str] | None = None) -> Result:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments, more = parser.parse_known_args(argv)
    with tempfile.TemporaryDirectory() as place:
        result = survive(arguments.kills, arguments.steps, arguments.seed, Path(place), more)
    print(
        f"kills: {result.kills}, of them in the middle of writing: {result.writing}; runs: {result.runs}\n"
        f"unreadable states and models: {result.unreadable}\n"
        f"largest difference in weights, optimizer and schedule: {result.difference:g}"
    )
    return result


if __name__ == "__main__":
    main()
