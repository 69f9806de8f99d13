"""Allowed values of the options of training: types for signatures, and a table for Lightning's Trainer."""

import os
import re
from typing import Annotated, Any, Literal

import torch

from faststyle.models.checks import MAX_BLOCKS
from faststyle.options import Kind, number, one_of, text, whole

MIN_SECONDS = 20  # of a run: the imports and the sample take half of them

StyleFiles = Annotated[
    list[str],
    Kind(
        "one or more paintings' files, or mosaic (in a config a list of such)",
        list,
        lambda names: isinstance(names, list) and bool(names) and all(map(text("").fits, names)),
    ),
]
StyleSize = Annotated[int, whole(16, 20_000)]
StyleBlend = Annotated[
    list[float],
    Kind(
        "a weight of 0 or more for each painting, such as [0.7, 0.3]",
        list,
        lambda weights: all(map(number(0).fits, weights)) and sum(weights) > 0,
    ),
]
SizeName = Literal["deep", "half", "full", "fast"]  # models.network.SIZES
ModelName = Annotated[str, text("auto, none, a built-in style's name, a model's file, or hf://USER/REPO")]
Blocks = Annotated[int, whole(0, MAX_BLOCKS)]
Content = Annotated[str, text("a folder of photos, a parquet file, owner/name on the Hub, or samples")]
CropSize = Annotated[int, whole(32, 8192)]
Share = Annotated[float, Kind("a number above 0 and up to 1", float, lambda value: 0 < value <= 1)]
BatchSize = Annotated[int, whole(1, 10_000)]
Workers = Annotated[int, whole(0, 256)]
Seconds = Annotated[float, number(MIN_SECONDS, 10**6)]
Seed = Annotated[int, whole(0, 2**32 - 1)]

# Defaults that differ from Lightning's. Training is counted in steps, not in epochs.
TRAINER_DEFAULTS = {
    "max_steps": 5_000,
    "devices": 1,
    # Below a typical step's norm, so that one unusual photo cannot ruin a run.
    "gradient_clip_val": 10.0,
    "log_every_n_steps": 10,
    "val_check_interval": 500,
    "check_val_every_n_epoch": None,
    "num_sanity_val_steps": 0,
    "enable_model_summary": False,
}
TIME = re.compile(r"\d+:\d\d:\d\d:\d\d")
GPUS = ", or a list of GPUs such as [0, 1]" if torch.cuda.is_available() else ""
# Without true 16- and 64-bit precisions, because photos are float32.
PRECISIONS = ("32", "32-true", "bf16-mixed", "16-mixed", "bf16", "16")
STEPS_NOT_EPOCHS = "training is counted in steps: set `max_steps`"
VALIDATION_ONLY = "held-out photos are for validation: set `limit_val_batches`"


def accelerators() -> list[str]:
    """Return Lightning's names of this machine's accelerators."""
    cuda = ["gpu", "cuda"] if torch.cuda.is_available() else []
    mps = ["gpu", "mps"] if torch.backends.mps.is_available() else []
    return ["auto", "cpu", *cuda, *mps]


def is_devices(value: Any) -> bool:
    if isinstance(value, list):
        return torch.cuda.is_available() and bool(value) and all(map(whole(0).fits, value))
    max_devices = max(torch.cuda.device_count(), os.cpu_count() or 1)
    return value == "auto" or (str(value).isdecimal() and 1 <= int(value) <= max_devices)


def is_time(value: Any) -> bool:
    return isinstance(value, str) and bool(TIME.fullmatch(value)) and value.strip("0:") != ""


def objects(what: str, *words: Any) -> Kind:
    """Return the kind of an option that takes objects, which jsonargparse creates, or some plain values."""
    return Kind(what, str, lambda value: value in words or not isinstance(value, str | int | float))


def unused(reason: str, default: Any = None) -> Kind:
    """Return the kind of an option that must keep its default, with the reason."""
    return Kind(f"left out ({reason})", str, lambda value: value == default)


TRUE_OR_FALSE = objects("true or false", True, False)
# Checks for values that Trainer's signature allows, but that Lightning rejects late, unclearly or not at all.
TRAINER_KINDS = {
    "accelerator": one_of(accelerators())._replace(
        what=f"one of {', '.join(accelerators())} (the accelerators of this machine)"
    ),
    "strategy": one_of(["auto", "ddp"]),
    "devices": Kind(f"a whole number from 1 to what this machine has, or auto{GPUS}", str, is_devices),
    "num_nodes": whole(1, 100_000),
    "precision": one_of(PRECISIONS)._replace(fits=lambda value: str(value) in PRECISIONS),
    "logger": objects("true, false, or a logger of Lightning's as class_path", True, False),
    "callbacks": objects("a callback of Lightning's as class_path, or a list of such"),
    "max_steps": whole(1),
    "min_steps": whole(0),
    "max_time": Kind("a time as days:hours:minutes:seconds, such as 00:01:30:00", str, is_time),
    "limit_val_batches": whole(1),
    "val_check_interval": whole(1),
    "num_sanity_val_steps": whole(0),
    "log_every_n_steps": whole(1),
    "enable_checkpointing": Kind("true (runs that save nothing cannot resume)", str, bool),
    "accumulate_grad_batches": whole(1, 10_000),
    "gradient_clip_val": number(0),
    "gradient_clip_algorithm": one_of(["norm", "value"]),
    "deterministic": objects("true, false or warn", True, False, "warn"),
    "use_distributed_sampler": Kind("true (each device has photos of its own already)", str, bool),
    "profiler": objects("simple, advanced, or a profiler of Lightning's as class_path", "simple", "advanced"),
    "plugins": objects("a plugin of Lightning's as class_path, or a list of such"),
    "fast_dev_run": unused("for a try set `max_steps` 3", False),
    "max_epochs": unused(STEPS_NOT_EPOCHS),
    "min_epochs": unused(STEPS_NOT_EPOCHS),
    "check_val_every_n_epoch": unused("training is counted in steps: set `val_check_interval`"),
    "limit_train_batches": unused(STEPS_NOT_EPOCHS),
    "limit_test_batches": unused(VALIDATION_ONLY),
    "limit_predict_batches": unused(VALIDATION_ONLY),
    "overfit_batches": unused("for a few photos set `content` to a folder of them", 0.0),
    "reload_dataloaders_every_n_epochs": unused("a run has one epoch", 0),
    "barebones": unused("a run without checkpoints and logs leaves no model", False),
    "default_root_dir": unused("`output` names the run's folder"),
    "model_registry": unused("`push_to_hub` publishes the model"),
}
