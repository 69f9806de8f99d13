"""Inject faults into runs of ``train.py``, and check what is left of them."""

import multiprocessing
import os
from pathlib import Path

import pytest
import torch

from benchmarks import survival
from faststyle.cli.train import main
from faststyle.training.module import StyleTransfer

RUN = Path("runs/painting")
SIX = ["--trainer.max_steps=6", "--model.warmup=2"]


def at_step(monkeypatch, step: int, act) -> None:
    """Call ``act`` at the beginning of this training step."""
    training_step = StyleTransfer.training_step

    def acting(self, *args):
        if self.global_step == step:
            act()
        return training_step(self, *args)

    monkeypatch.setattr(StyleTransfer, "training_step", acting)


def signal_workers(number: int) -> None:
    """Send a signal to the processes that decode photos, and wait for their end."""
    for process in multiprocessing.active_children():
        os.kill(process.pid, number)
        process.join()


def run_until_exit(capsys, run, *options) -> tuple[int, str]:
    """Run a command that must exit, and return its status and the last line of stderr."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        run(*options)
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return caught.value.code, error.strip().splitlines()[-1]


def state(folder: Path = RUN) -> dict:
    return torch.load(folder / "last.ckpt", weights_only=True)


def resumes_exactly(train, whole: str = "whole") -> bool:
    """Resume the run, and return True if its final state equals that of an uninterrupted run."""
    train("--name", whole, *SIX)
    main(["--resume", "--output", str(RUN)])
    return state()["global_step"] == 6 and survival.compare_runs(RUN.with_name(whole), RUN) == 0
