"""Training by several ranks, one for each device: checks, messages and the death of a rank."""

import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments import SLURMEnvironment
from lightning_fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning_fabric.utilities.distributed import _set_num_threads_if_needed
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher

from faststyle.errors import InputError

GRACE_SECONDS = 15.0  # for ranks to end by themselves; PyTorch takes 5 to stop DataLoader workers


def check_processes(trainer: pl.Trainer) -> None:
    """Check that the Trainer uses as many processes as torchrun or srun started.

    Otherwise each process might train alone.

    Raises:
        InputError: The numbers differ.
        ValueError: The cluster environment has other numbers of devices or nodes.
    """
    started = os.environ.get("WORLD_SIZE")
    if not started and SLURMEnvironment.detect():  # False in an interactive shell of srun
        started = os.environ.get("SLURM_STEP_NUM_TASKS")
    if started and started != str(trainer.world_size):
        raise InputError(
            f"{started} processes were started, but `devices` times `num_nodes` is {trainer.world_size}: "
            "make them the same"
        )
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if environment is not None:
        environment.validate_settings(trainer.num_devices, trainer.num_nodes)


def print_batch_size(trainer: pl.Trainer, photos: int, learning_rate: float) -> None:
    """Print the number of photos in a step of several batches; the learning rate is not adapted to it."""
    devices, accumulated = trainer.world_size, trainer.accumulate_grad_batches
    if devices * accumulated > 1:
        parts = [f"{devices} devices"] * (devices > 1) + [f"{photos} photo{'s' * (photos > 1)}"]
        parts += [f"{accumulated} accumulated"] * (accumulated > 1)
        total = devices * photos * accumulated
        print(f"{' × '.join(parts)}: {total} photos a step, learning rate {learning_rate:g} as given")


class RankObserver(_ChildProcessObserver):
    """Thread that kills all ranks of this machine ``GRACE_SECONDS`` after one has died.

    Lightning's own thread kills them at once, without a message. Most ranks end by themselves with an error
    message when the dead rank does not answer, so they get time for it. A rank that waits for a GPU does not
    notice the death; ``message`` is printed for it.
    """

    def __init__(self, processes: list[subprocess.Popen], message: Callable[[], str]):
        super().__init__(os.getpid(), processes)
        self.message = message

    def _terminate_all(self) -> None:
        time.sleep(GRACE_SECONDS)
        with suppress(Exception):  # such as an unreadable state; the ranks must be killed anyway
            os.write(2, f"\nerror: {self.message()}\n".encode())
        super()._terminate_all()


class RankLauncher(_SubprocessScriptLauncher):
    """Launcher that starts the other ranks of this machine, and watches them with ``RankObserver``."""

    def __init__(self, launcher: _SubprocessScriptLauncher, message: Callable[[], str]):
        super().__init__(launcher.cluster_environment, launcher.num_processes, launcher.num_nodes)
        self.message = message

    def launch(self, function: Callable, *args: Any, trainer: pl.Trainer | None = None, **kwargs: Any) -> Any:
        self.cluster_environment.validate_settings(self.num_processes, self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            self._call_children_scripts()
            RankObserver(self.procs, self.message).start()
        _set_num_threads_if_needed(self.num_processes)
        return function(*args, **kwargs)


def report_lost_ranks(trainer: pl.Trainer, message: Callable[[], str]) -> None:
    """Make the launching process print a message before it kills the other ranks because one has died.

    Args:
        trainer: Trainer that is not started yet.
        message: Function that returns the message.
    """
    launcher = trainer.strategy.launcher
    if isinstance(launcher, _SubprocessScriptLauncher):
        trainer.strategy._launcher = RankLauncher(launcher, message)


def stop_other_ranks(trainer: pl.Trainer) -> None:
    """Wait for the ranks that this process started, and kill those that run after ``GRACE_SECONDS``."""
    deadline = time.monotonic() + GRACE_SECONDS
    for process in getattr(trainer.strategy.launcher, "procs", []):
        try:
            process.wait(max(0, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
