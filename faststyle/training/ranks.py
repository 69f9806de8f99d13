"""Training by several processes, one for each device: what they say, also when one of them dies."""

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

GRACE = 15.0  # seconds for ranks to end by themselves; PyTorch takes 5 to end the workers that decode


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


class RankObserver(_ChildProcessObserver):
    """Thread that kills all ranks of this machine some seconds after one has died.

    Lightning's own kills them at once, without a message. Most end by themselves with an error message when
    they get no answer from the dead rank; they get the time. A rank that waits for a GPU does not notice, and
    ``message`` is printed for it.
    """

    def __init__(self, processes: list[subprocess.Popen], message: Callable[[], str]):
        super().__init__(os.getpid(), processes)
        self.message = message

    def _terminate_all(self) -> None:
        time.sleep(GRACE)
        with suppress(Exception):  # such as a state that cannot be read now: the ranks must end
            os.write(2, f"\nerror: {self.message()}\n".encode())
        super()._terminate_all()


class RankLauncher(_SubprocessScriptLauncher):
    """Starts the other ranks of this machine as Lightning does, and watches them with ``RankObserver``."""

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
    """Let the process that starts the others print a message before it kills them because one died.

    Args:
        trainer: Trainer, before it is started.
        message: Returns the message.
    """
    launcher = trainer.strategy.launcher
    if isinstance(launcher, _SubprocessScriptLauncher):
        trainer.strategy._launcher = RankLauncher(launcher, message)


def end_others(trainer: pl.Trainer) -> None:
    """Wait for the processes that Lightning started from this one, and end those that hear nothing."""
    until = time.monotonic() + GRACE
    for process in getattr(trainer.strategy.launcher, "procs", []):
        try:
            process.wait(max(0, until - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
