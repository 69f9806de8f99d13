"""Seconds a training step: ours beside pytorch/examples' own loop, in turn, in one run.

The same VGG, network width (32/64/128), photos, 256 pixels, batches of 4, both on the CPU. Each
as it runs by default: the peer in float32, ours in bfloat16 where the hardware computes in it.

    python -m benchmarks.training_speed --peer-path examples/fast_neural_style/neural_style \
        --photos photos/ --style painting.jpg
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from benchmarks import peer
from faststyle.device import has_fast_bfloat16, keep_freed_memory
from faststyle.training.datamodule import ContentPhotos
from faststyle.training.module import StyleTransfer, load_style
from faststyle.training.options import TRAINER_DEFAULTS
from faststyle.training.trainer import quiet_lightning

STYLE_SIZE = 512  # the default of train.py


class StepTimes(pl.Callback):
    def __init__(self) -> None:
        self.starts: list[float] = []

    def on_train_batch_start(self, *_: object) -> None:
        self.starts.append(time.perf_counter())


def ours(photos: Path, style: Path, steps: int, size: str) -> list[float]:
    """Seconds of each step of a training as train.py runs it."""
    quiet_lightning()
    keep_freed_memory()
    times = StepTimes()
    with tempfile.TemporaryDirectory() as folder:
        options = TRAINER_DEFAULTS | {"max_steps": steps + 1, "default_root_dir": folder}
        trainer = pl.Trainer(
            **options,
            accelerator="cpu",
            precision="bf16-mixed" if has_fast_bfloat16(torch.device("cpu")) else "32-true",
            callbacks=[times],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
        )
        model = StyleTransfer([str(style)], size=size)
        trainer.fit(model, ContentPhotos(str(photos), size=256, batch_size=4))
    return [after - before for before, after in zip(times.starts, times.starts[1:], strict=False)]


def theirs(path: Path, photos: Path, style: torch.Tensor, steps: int) -> list[float]:
    """Seconds of each step of the peer's training."""
    return peer.train(path, photos, style, steps=steps)[1]


def alone(function: Callable[..., list[float]], *arguments: Any) -> list[float]:
    """Call a function in a process of its own, as each command has it."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-path", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--style", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=12, help="of each, in each round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    photos, style = arguments.photos, load_style(str(arguments.style), STYLE_SIZE)
    rows: dict[str, list[float]] = {"pytorch/examples": [], "faststyle full": [], "faststyle half": []}
    for _ in range(arguments.rounds):
        # The first steps of each warm caches up and do not count.
        rows["pytorch/examples"] += alone(theirs, arguments.peer_path, photos, style, arguments.steps)[2:]
        rows["faststyle full"] += alone(ours, photos, arguments.style, arguments.steps, "full")[2:]
        rows["faststyle half"] += alone(ours, photos, arguments.style, arguments.steps, "half")[2:]
    base = statistics.median(rows["pytorch/examples"])
    print(f"{'':20}{'s/step':>8}{'min':>8}{'max':>8}{'times as fast':>16}")
    for name, seconds in rows.items():
        median = statistics.median(seconds)
        print(f"{name:20}{median:8.2f}{min(seconds):8.2f}{max(seconds):8.2f}{base / median:16.2f}")


if __name__ == "__main__":
    main()
