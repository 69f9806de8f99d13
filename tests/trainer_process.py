"""``train.py`` with the tests' VGG, for tests that start processes; the environment says what befalls it.

DOUBLE=1 trains in float64, EVERY=N saves every N steps, STOP_AT=N sends SIGTERM at step N, and DIE_AT=N kills
the second process there.
"""

import os
import signal

import datasets
from conftest import random_weights

from faststyle import vgg
from faststyle.cli import train
from faststyle.data import ContentPhotos
from faststyle.module import StyleTransfer


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

    def double_forward(self, photos, margin=0):
        return forward(self, photos.to(self.dtype), margin).to(self.dtype)

    patch(StyleTransfer, "setup", double_setup)
    patch(StyleTransfer, "forward", double_forward)
    patch(ContentPhotos, "on_after_batch_transfer", lambda *batch: received(*batch).double())


def signal_at(step: int, number: signal.Signals) -> None:
    training_step, sent = StyleTransfer.training_step, []

    def stepping(self, *batch):
        if self.global_step == step and not sent:  # once in a step of several batches
            sent.append(number)
            os.kill(os.getpid(), number)
        return training_step(self, *batch)

    StyleTransfer.training_step = stepping


if __name__ == "__main__":
    datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0
    vgg.NETWORKS["random"] = vgg.Network(
        vgg.VGG19_BLOCKS, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), random_weights
    )
    if "DOUBLE" in os.environ:
        use_float64()
    if "EVERY" in os.environ:
        train.CHECKPOINT_STEPS = int(os.environ["EVERY"])
    if "STOP_AT" in os.environ:
        signal_at(int(os.environ["STOP_AT"]), signal.SIGTERM)
    if "DIE_AT" in os.environ and "1" in (os.environ.get("LOCAL_RANK"), os.environ.get("SLURM_LOCALID")):
        signal_at(int(os.environ["DIE_AT"]), signal.SIGKILL)
    train.main()
