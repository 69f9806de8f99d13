"""Lightning's Trainer as a run uses it: arguments, progress bar, loggers and log messages."""

import logging
import math
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.strategies import DDPStrategy, StrategyRegistry

from faststyle.device import has_fast_bfloat16
from faststyle.errors import InputError
from faststyle.training.checkpointing import AtomicCheckpointIO


class ProgressBar(TQDMProgressBar):
    """Lightning's bar without its epochs, of which a run has one."""

    @property
    def total_train_batches(self) -> int | float:
        if self.trainer.lightning_module.hparams.get("seconds"):
            return math.inf  # the number of steps follows from the machine's speed
        return self.trainer.max_steps * self.trainer.accumulate_grad_batches  # also when resumed

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        super().on_train_epoch_start(trainer)
        self.train_progress_bar.set_description("training")

    def get_metrics(self, trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, module)
        metrics.pop("v_num", None)
        return metrics


def as_list(value: Any) -> list[Any]:
    """Return what an option of the Trainer holds: several objects, one, or none."""
    return value if isinstance(value, list) else [] if value is None else [value]


def training_device(accelerator: str) -> torch.device:
    gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return torch.device("cuda" if gpu else "cpu")


def trainer_arguments(options: Any, folder: Path, callbacks: list[pl.Callback]) -> dict[str, Any]:
    """Return the arguments of Trainer that a run sets beside its options.

    Args:
        options: Trainer's options, as attributes.
        folder: Folder of the run.
        callbacks: Callbacks of the run; those of the options come before them.

    Raises:
        InputError: A list of GPUs, but the accelerator cpu.
    """
    if options.accelerator == "cpu" and isinstance(options.devices, list):
        raise InputError(f"`devices` {options.devices} are GPUs, but `accelerator` is cpu: give a number")
    bar = [ProgressBar()] if options.enable_progress_bar is not False else []
    arguments: dict[str, Any] = {
        "default_root_dir": str(folder),
        "callbacks": [*as_list(options.callbacks), *bar, *callbacks],
        "plugins": [*as_list(options.plugins), AtomicCheckpointIO()],
        "use_distributed_sampler": False,  # ResumableSampler gives each rank its own photos
    }
    # VGG and the style's statistics never change: DDP would send them around at every step.
    StrategyRegistry.register("ddp", DDPStrategy, override=True, broadcast_buffers=False)
    if options.precision is None and has_fast_bfloat16(training_device(options.accelerator)):
        arguments["precision"] = "bf16-mixed"
    if options.val_check_interval is not None:  # counted in steps; Lightning counts batches
        arguments["val_check_interval"] = options.val_check_interval * options.accumulate_grad_batches
    if options.logger is None:
        # A folder for each start, because a CSV log is written anew.
        start = f"start_{len(list(folder.glob('logs/start_*')))}"
        arguments["logger"] = [
            TensorBoardLogger(folder, "logs", start),
            CSVLogger(folder, "logs", start),
        ]
    return arguments


def quiet_lightning() -> None:
    """Hide messages of Lightning that a user can do nothing about."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    for module in ("pytorch_lightning", "lightning_fabric"):
        warnings.filterwarnings("ignore", module=module)
