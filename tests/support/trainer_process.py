"""Run ``train.py`` with the tests' random VGG, for tests that start processes.

The word "then" separates the options of successive runs. Words in capital letters change settings: DOUBLE=1
trains in float64, and EVERY=N saves a checkpoint every N steps. Others inject a fault at step N: TWICE_AT=N
sends SIGTERM twice to rank 0, STOP_AT=N sends SIGUSR1 to rank 1, DIE_AT=N sends SIGKILL to rank 1, and
NAN_AT=N makes the loss of rank 1 NaN.
"""

import itertools
import os
import signal
import sys
from unittest.mock import patch

import datasets

from faststyle.cli import train
from faststyle.losses import vgg
from faststyle.training.datamodule import ContentPhotos
from faststyle.training.module import StyleTransfer
from tests.support.networks import random_weights


def use_float64(patch=setattr):
    """Train in float64, so that rounding cannot hide or cause a difference between two runs.

    train.py does not offer Lightning's option for double precision.
    """
    setup, forward, received = (
        StyleTransfer.setup,
        StyleTransfer.forward,
        ContentPhotos.on_after_batch_transfer,
    )

    def double_setup(self, stage):
        setup(self, stage)
        self.double()

    def double_forward(self, photos, margin=0, place=None):
        return forward(self, photos.to(self.dtype), margin, place).to(self.dtype)

    patch(StyleTransfer, "setup", double_setup)
    patch(StyleTransfer, "forward", double_forward)
    patch(ContentPhotos, "on_after_batch_transfer", lambda *batch: received(*batch).double())


def inject_fault(rank: int, step: int, signals: list[signal.Signals], factor: float = 1.0) -> None:
    """Send signals to one rank at one step, and multiply its loss by ``factor``."""
    training_step, left = StyleTransfer.training_step, [*signals]

    def stepping(self, *batch):
        here = self.global_step == step and self.global_rank == rank
        while here and left:  # Once, even if the step consists of several batches.
            os.kill(os.getpid(), left.pop())
        return training_step(self, *batch) * (factor if here else 1.0)

    StyleTransfer.training_step = stepping


def run(words: list[str]) -> None:
    faults = dict(word.split("=") for word in words if word[0].isupper())
    if "DOUBLE" in faults:
        use_float64()
    if "TWICE_AT" in faults:
        inject_fault(0, int(faults["TWICE_AT"]), [signal.SIGTERM, signal.SIGTERM])
    if "STOP_AT" in faults:
        inject_fault(1, int(faults["STOP_AT"]), [signal.SIGUSR1])
    if "DIE_AT" in faults:
        inject_fault(1, int(faults["DIE_AT"]), [signal.SIGKILL])
    if "NAN_AT" in faults:
        inject_fault(1, int(faults["NAN_AT"]), [], float("nan"))
    with patch.object(train, "STEPS_BETWEEN_SAVES", int(faults.get("EVERY", 100))):
        train.main([word for word in words if not word[0].isupper()])


if __name__ == "__main__":
    datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0
    vgg.NETWORKS["vgg19"] = vgg.Network(vgg.VGG19_BLOCKS, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), random_weights)
    runs = [[*group] for then, group in itertools.groupby(sys.argv[1:], "then".__eq__) if not then]
    methods = {name: getattr(StyleTransfer, name) for name in ("setup", "forward", "training_step")}
    received = ContentPhotos.on_after_batch_transfer
    for number, words in enumerate(runs, 1):
        try:
            run(words)
        except SystemExit as ended:
            print(f"run {number} ended with {ended.code}", flush=True)
            if number == len(runs):
                raise
        for name, method in methods.items():
            setattr(StyleTransfer, name, method)
        ContentPhotos.on_after_batch_transfer = received
