"""Training by several processes, one for each device: what they say, also when one of them dies."""

import logging
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

import pytorch_lightning as pl
from lightning_fabric.plugins.environments import SLURMEnvironment

from faststyle.errors import InputError

OBSERVER = "lightning_fabric.strategies.launchers.subprocess_script"
GRACE = 15.0  # seconds; PyTorch takes 5 to end the workers that decode


def check_processes(trainer: pl.Trainer) -> None:
    """Refuse another number of processes than torchrun or srun started: each might train alone.

    Raises:
        ValueError: they do not fit; the message says how.
    """
    started = os.environ.get("WORLD_SIZE")
    if not started and SLURMEnvironment.detect():  # which a shell that srun opened is not
        started = os.environ.get("SLURM_STEP_NUM_TASKS")
    if started and started != str(trainer.world_size):
        raise InputError(
            f"{started} processes were started, but `devices` times `num_nodes` is {trainer.world_size}: "
            "make them the same"
        )
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if environment is not None:
        environment.validate_settings(trainer.num_devices, trainer.num_nodes)


def say_batch(trainer: pl.Trainer, photos: int, learning_rate: float) -> None:
    """Say what a step is where it is more than one batch of ``photos``: the learning rate does not follow."""
    devices, accumulated = trainer.world_size, trainer.accumulate_grad_batches
    if devices * accumulated > 1:
        parts = [f"{devices} devices"] * (devices > 1) + [f"{photos} photo{'s' * (photos > 1)}"]
        parts += [f"{accumulated} accumulated"] * (accumulated > 1)
        total = devices * photos * accumulated
        print(f"{' × '.join(parts)}: {total} photos a step, learning rate {learning_rate:g} as given")


class LastWord(logging.Handler):
    """What Lightning logs before it kills the processes that are left when one that it started died.

    Most end by themselves, since they hear no more of the dead one: these get the time, with their own
    last word. Who waits for a GPU does not hear it, and gets this line.
    """

    def __init__(self, line: Callable[[], str]):
        super().__init__()
        self.line = line

    def emit(self, record: logging.LogRecord) -> None:
        time.sleep(GRACE)
        with suppress(Exception):  # such as a state that cannot be read now: Lightning is still to kill them
            os.write(2, f"\nerror: {self.line()}\n".encode())


def end_others(trainer: pl.Trainer) -> None:
    """Wait for the processes that Lightning started from this one, and end those that hear nothing."""
    until = time.monotonic() + GRACE
    for process in getattr(trainer.strategy.launcher, "procs", []):
        try:
            process.wait(max(0, until - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()


def hear_of_deaths(line: Callable[[], str]) -> None:
    """Let this process say ``line`` when it is to be killed because another died."""
    log = logging.getLogger(OBSERVER)
    log.handlers = [LastWord(line)]
    log.setLevel(logging.INFO)
    log.propagate = False
