"""Measure the memory of a training with batches of 4, at a twentieth of its steps and at the end.

The benchmark runs train.py's main with its callbacks. It measures this process together with the DataLoader
workers: RSS, which counts shared pages once for each process; PSS, which divides shared pages among all
processes that use them; the part of PSS that the processes wrote themselves, without libraries and files; and
the memory that torch has reserved on a GPU.

    python -m benchmarks.training_memory --steps 4000 --content photos/ --style painting.jpg
"""

import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch

from benchmarks.common import child_processes, make_parser
from faststyle.cli.train import main as train

MIB = 2**20


class Memory(NamedTuple):
    """Memory after a step, in MiB."""

    step: int
    rss: float
    pss: float
    own: float
    gpu: float


def measure(step: int) -> Memory:
    """Measure the memory of this process and its children."""
    totals = {"Rss": 0.0, "Pss": 0.0, "Pss_Anon": 0.0}
    for pid in (os.getpid(), *child_processes(os.getpid())):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in totals:
                totals[name] += int(value.split()[0]) / 1024
    gpu = torch.cuda.memory_reserved() / MIB if torch.cuda.is_available() else 0.0
    return Memory(step, *totals.values(), gpu)


class Watch(pl.Callback):
    """Measures the memory twenty times in a run."""

    measured: list[Memory] = []  # noqa: RUF012  Lightning makes the object, and a process has one run

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        step = trainer.global_step
        if step % max(1, trainer.max_steps // 20) == 0:
            self.measured.append(measure(step))
            print(
                "\nstep {:6d}: RSS {:.0f} MiB, PSS {:.0f}, own {:.0f}, GPU {:.0f}".format(*self.measured[-1])
            )


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.epilog = "Other options are train.py's."
    parser.add_argument("--steps", type=int, default=4000, help="number of training steps")
    parser.add_argument("--size", type=int, default=256, help="side of the crops in pixels")
    parser.add_argument("--workers", type=int, default=1, help="number of DataLoader workers")
    parser.add_argument("--content", default="samples", help="folder of photos")
    parser.add_argument("--style", default="mosaic", help="painting")
    options, more = parser.parse_known_args(argv)
    arguments = ["--style", options.style, "--content", options.content, "--data.batch_size=4"]
    arguments += [f"--data.size={options.size}", f"--data.workers={options.workers}"]
    arguments += [f"--trainer.max_steps={options.steps}"]
    arguments += ["--trainer.callbacks=benchmarks.training_memory.Watch"]
    with tempfile.TemporaryDirectory() as folder:
        train([*arguments, "--output", f"{folder}/run", *more])
    first, last = Watch.measured[0], Watch.measured[-1]
    print(f"{'MiB':10}{'step':>8}{'RSS':>10}{'PSS':>10}{'own':>10}{'GPU':>10}")
    for name, row in (("at 5 %", first), ("at the end", last)):
        print(f"{name:10}{row.step:8d}" + "".join(f"{value:10.0f}" for value in row[1:]))
    ratios = (after / before if before else 1.0 for before, after in zip(first[1:], last[1:], strict=True))
    print(f"{'ratio':10}{'':8}" + "".join(f"{ratio:10.3f}" for ratio in ratios))


if __name__ == "__main__":
    # Import the module by its name, because Lightning imports Watch from there, and not from __main__.
    from benchmarks.training_memory import main as run

    run()
