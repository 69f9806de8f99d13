"""Compare the seconds of a training step with those of pytorch/examples' own loop, in turn, in one run.

Both use the same VGG, network width (32/64/128), photos, 256 pixels and batches of 4, on the CPU. Each runs
in its default precision: the peer in float32, faststyle in bfloat16 where the hardware computes in bfloat16.

    python -m benchmarks.training_speed --peer-path examples/fast_neural_style/neural_style \\
        --photos photos/ --style painting.jpg
"""

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch

from benchmarks import peer
from benchmarks.common import make_parser
from faststyle.device import has_fast_bfloat16, keep_freed_memory
from faststyle.training.datamodule import ContentPhotos
from faststyle.training.module import StyleTransfer, load_style
from faststyle.training.options import TRAINER_DEFAULTS
from faststyle.training.trainer import quiet_lightning

STYLE_SIZE = 512  # the default of train.py
WARM_UPS = 2  # steps that fill caches, and do not count


class StepTimes(pl.Callback):
    """Records when each step starts."""

    def __init__(self) -> None:
        self.starts: list[float] = []

    def on_train_batch_start(self, *_: object) -> None:
        self.starts.append(time.perf_counter())


def time_ours(photos: Path, style: Path, steps: int, size: str) -> list[float]:
    """Return the seconds of each step of a training as train.py runs it."""
    quiet_lightning()
    keep_freed_memory()
    times = StepTimes()
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            **TRAINER_DEFAULTS | {"max_steps": steps + 1, "default_root_dir": folder},
            accelerator="cpu",
            precision="bf16-mixed" if has_fast_bfloat16(torch.device("cpu")) else "32-true",
            callbacks=[times],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
        )
        model = StyleTransfer([str(style)], size=size)
        trainer.fit(model, ContentPhotos(str(photos), size=256, batch_size=4))
    return [after - before for before, after in pairwise(times.starts)]


def time_peer(path: Path, photos: Path, style: torch.Tensor, steps: int) -> list[float]:
    """Return the seconds of each step of the peer's training."""
    return peer.train(path, photos, style, steps=steps)[1]


def call_in_process(function: Callable[..., list[float]], *arguments: Any) -> list[float]:
    """Call a function in a process of its own, as each command has one."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--peer-path", type=Path, required=True, help="neural_style of pytorch/examples")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos to train on")
    parser.add_argument("--style", type=Path, required=True, help="painting")
    parser.add_argument("--steps", type=int, default=12, help="number of steps of each, in each round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    photos, steps, style = options.photos, options.steps, load_style(str(options.style), STYLE_SIZE)
    calls = {
        "pytorch/examples": (time_peer, options.peer_path, photos, style, steps),
        "faststyle full": (time_ours, photos, options.style, steps, "full"),
        "faststyle half": (time_ours, photos, options.style, steps, "half"),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(options.rounds):
        for name, call in calls.items():
            times[name] += call_in_process(*call)[WARM_UPS:]
    base = median(times["pytorch/examples"])
    print(f"{'':20}{'s/step':>8}{'min':>8}{'max':>8}{'times as fast':>16}")
    for name, seconds in times.items():
        middle = median(seconds)
        print(f"{name:20}{middle:8.2f}{min(seconds):8.2f}{max(seconds):8.2f}{base / middle:16.2f}")


if __name__ == "__main__":
    main()
