"""``train.py`` with the tests' VGG, for tests that start processes, several runs one after another.

A run's flags end at the word "then"; words among them say what befalls it. DOUBLE=1 trains in float64, and
EVERY=N saves every N steps. At step N the first process gets SIGTERM twice by TWICE_AT=N; and the second one
SIGUSR1 by STOP_AT=N, SIGKILL by DIE_AT=N, and a loss that is not a number by NAN_AT=N.
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
    """Rounding so small that two runs are either the same or not; Lightning's own flag is not offered."""
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


def befall(rank: int, step: int, signals: list[signal.Signals], factor: float = 1.0) -> None:
    training_step, left = StyleTransfer.training_step, [*signals]

    def stepping(self, *batch):
        here = self.global_step == step and self.global_rank == rank
        while here and left:  # once in a step of several batches
            os.kill(os.getpid(), left.pop())
        return training_step(self, *batch) * (factor if here else 1.0)

    StyleTransfer.training_step = stepping


def run(words: list[str]) -> None:
    befalls = dict(word.split("=") for word in words if word[0].isupper())
    if "DOUBLE" in befalls:
        use_float64()
    if "TWICE_AT" in befalls:
        befall(0, int(befalls["TWICE_AT"]), [signal.SIGTERM, signal.SIGTERM])
    if "STOP_AT" in befalls:
        befall(1, int(befalls["STOP_AT"]), [signal.SIGUSR1])
    if "DIE_AT" in befalls:
        befall(1, int(befalls["DIE_AT"]), [signal.SIGKILL])
    if "NAN_AT" in befalls:
        befall(1, int(befalls["NAN_AT"]), [], float("nan"))
    with patch.object(train, "CHECKPOINT_STEPS", int(befalls.get("EVERY", 100))):
        train.main([word for word in words if not word[0].isupper()])


if __name__ == "__main__":
    datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0
    vgg.NETWORKS["vgg19"] = vgg.Network(
        vgg.VGG19_BLOCKS, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), random_weights
    )
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
