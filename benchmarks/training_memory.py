"""Memory of a training by the Johnson recipe, batches of 4: at a twentieth of its steps and at the end.

It runs train.py's own main with its usual callbacks, shortened. Counted is what the process and the
workers that decode photos hold: RSS, which counts shared pages once for each of them; PSS, which shares
them out, also among strangers that use the same libraries; of it what they wrote themselves, without
libraries and files; and the memory that torch has taken on a GPU.

    python -m benchmarks.training_memory --steps 4000 --content photos/ --style painting.jpg
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch

from faststyle.cli.train import main as train

MIB = 2**20


class Memory(NamedTuple):
    """In MiB."""

    step: int
    rss: float
    pss: float
    own: float
    gpu: float


def family() -> list[Path]:
    """This process and its children, in /proc."""
    own = Path("/proc/self").resolve()
    children = "".join(path.read_text() for path in own.glob("task/*/children")).split()
    return [own, *(Path("/proc") / child for child in children)]


def measure(step: int) -> Memory:
    totals = {"Rss": 0.0, "Pss": 0.0, "Pss_Anon": 0.0}
    for process in family():
        for line in (process / "smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in totals:
                totals[name] += int(value.split()[0]) / 1024
    gpu = torch.cuda.memory_reserved() / MIB if torch.cuda.is_available() else 0.0
    return Memory(step, *totals.values(), gpu)


class Watch(pl.Callback):
    """Measures twenty times a run."""

    measured: list[Memory] = []  # noqa: RUF012  one run a process, and Lightning makes the object

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        step = trainer.global_step
        if step % max(1, trainer.max_steps // 20) == 0:
            self.measured.append(measure(step))
            print(
                "\nstep {:6d}: RSS {:.0f} MiB, PSS {:.0f}, own {:.0f}, GPU {:.0f}".format(*self.measured[-1])
            )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--size", type=int, default=256, help="of the crops")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--content", default="samples")
    parser.add_argument("--style", default="mosaic")
    arguments, more = parser.parse_known_args(sys.argv[1:] if argv is None else argv)
    with tempfile.TemporaryDirectory() as folder:
        train(
            [
                *("--style", arguments.style, "--content", arguments.content, "--output", f"{folder}/run"),
                *(
                    f"--data.size={arguments.size}",
                    "--data.batch_size=4",
                    f"--data.workers={arguments.workers}",
                ),
                *(
                    f"--trainer.max_steps={arguments.steps}",
                    "--trainer.callbacks=benchmarks.training_memory.Watch",
                ),
                *more,
            ]
        )
    first, last = Watch.measured[0], Watch.measured[-1]
    print(f"{'MiB':10}{'step':>8}{'RSS':>10}{'PSS':>10}{'own':>10}{'GPU':>10}")
    for name, row in (("at 5 %", first), ("at the end", last)):
        print(f"{name:10}{row.step:8d}" + "".join(f"{value:10.0f}" for value in row[1:]))
    ratios = (after / before if before else 1.0 for before, after in zip(first[1:], last[1:], strict=True))
    print(f"{'ratio':10}{'':8}" + "".join(f"{ratio:10.3f}" for ratio in ratios))


if __name__ == "__main__":
    # By its name, not as __main__, so that the class that Lightning imports is this one.
    from benchmarks.training_memory import main as run

    run()
