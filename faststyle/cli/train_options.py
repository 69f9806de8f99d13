"""What each option of train.py may be, and the one line that says so where it is something else."""

import difflib
import math
import os
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch

from faststyle.console import MOST
from faststyle.errors import InputError
from faststyle.losses.presets import PRESETS
from faststyle.losses.statistics import STATISTICS
from faststyle.losses.vgg import NETWORKS, POOLING, VGG19_BLOCKS, layer_names
from faststyle.models.checkpoint import MOST_BLOCKS
from faststyle.models.network import SIZES

TIME = re.compile(r"\d+:\d\d:\d\d:\d\d")
LAYERS = set(layer_names(VGG19_BLOCKS))


class Allowed(NamedTuple):
    what: str  # read after "must be"
    fits: Callable[[Any], bool]


def is_whole(value: Any, low: int = 0, high: int = MOST) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_number(value: Any, low: float = 0, high: float = math.inf) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and low <= value <= high and value < math.inf


def is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


def is_object(value: Any) -> bool:
    """One of Lightning's own, of which jsonargparse has made sure."""
    return not isinstance(value, str | int | float)


def is_devices(value: Any) -> bool:
    if isinstance(value, list):
        return torch.cuda.is_available() and bool(value) and all(map(is_whole, value))
    most = max(torch.cuda.device_count(), os.cpu_count() or 1)
    return value == "auto" or (str(value).isdecimal() and is_whole(int(value), 1, most))


def whole(low: int, high: int = MOST) -> Allowed:
    return Allowed(f"a whole number from {low} to {high}", lambda value: is_whole(value, low, high))


def number(low: float, high: float = math.inf) -> Allowed:
    bounds = f"from {low:g} to {high:g}" if high < math.inf else f"of {low:g} or more"
    return Allowed(f"a number {bounds}", lambda value: is_number(value, low, high))


def one_of(names: Iterable[Any], more: str = "") -> Allowed:
    # Looked up when it is asked: what is registered later counts.
    return Allowed(f"one of {', '.join(map(str, names))}{more}", lambda value: value in names)


def text(what: str) -> Allowed:
    return Allowed(what, is_text)


def objects(what: str, names: Iterable[Any] = ()) -> Allowed:
    return Allowed(what, lambda value: value in names if not is_object(value) else True)


def accelerators() -> list[str]:
    """What can be trained on here, by Lightning's names."""
    cuda = ["gpu", "cuda"] if torch.cuda.is_available() else []
    mps = ["gpu", "mps"] if torch.backends.mps.is_available() else []
    return ["auto", "cpu", *cuda, *mps]


FLAG = Allowed("true or false", lambda value: isinstance(value, bool))
WEIGHTS = Allowed(
    "layers from relu1_1 to relu5_4 with weights of 0 or more, such as {relu2_1: 1.0, relu3_1: 0.5}",
    lambda value: isinstance(value, dict) and value.keys() <= LAYERS and all(map(is_number, value.values())),
)
WEIGHT = number(0)
MODEL = text("a ready style's name, a model's file, or hf://USER/REPO")
GPUS = ", or a list of GPUs such as [0, 1]" if torch.cuda.is_available() else ""
# Photos come as float32, so that networks in other types throughout would not take them.
PRECISIONS = ["32", "32-true", "bf16-mixed", "16-mixed", "bf16", "16"]

ALLOWED = {
    "seed_everything": whole(0, 2**32 - 1),
    "style": Allowed(
        "one or more paintings' files, or mosaic (in a config a list of such)",
        lambda value: isinstance(value, list) and bool(value) and all(map(is_text, value)),
    ),
    "content": text("a folder of photos, a parquet file, owner/name on the Hub, or samples"),
    "name": text("a plain name, such as starry"),
    "output": text("a folder for the run"),
    "init": MODEL,
    "push_to_hub": text("a repo of the Hub, USER/REPO"),
    "resume": Allowed("given without a value", lambda value: isinstance(value, bool)),
    "previews.every_n_steps": whole(1),
    "previews.photos": whole(1, 100),
    "data.size": whole(32, 8192),
    "data.least_crop": Allowed("a share, above 0 to 1", lambda value: is_number(value, 1e-9, 1)),
    "data.batch_size": whole(1, 10_000),
    "data.workers": whole(0, 256),
    "data.streaming": FLAG,
    "model.style_size": whole(16, 20_000),
    "model.style_blend": Allowed(
        "a weight of 0 or more for each painting, such as [0.7, 0.3]",
        lambda value: isinstance(value, list) and all(map(is_number, value)) and sum(value) > 0,
    ),
    "model.size": one_of(SIZES),
    "model.blocks": whole(0, MOST_BLOCKS),
    "model.temporal_weight": WEIGHT,
    "model.light_weight": WEIGHT,
    "model.vgg": one_of(NETWORKS),
    "model.pooling": one_of(POOLING),
    "model.learning_rate": WEIGHT,
    "model.warmup": whole(0),
    "model.compile": FLAG,
    "model.content_weight": WEIGHT,
    "model.style_weight": WEIGHT,
    "model.tv_weight": WEIGHT,
    "model.content_layers": WEIGHTS,
    "model.style_layers": WEIGHTS,
    "model.statistic": one_of(STATISTICS),
    "model.preset": one_of(PRESETS),
    "trainer.accelerator": one_of(accelerators(), " (what there is on this machine)"),
    "trainer.strategy": one_of(("auto", "ddp")),
    "trainer.devices": Allowed(f"a whole number from 1 to what this machine has, or auto{GPUS}", is_devices),
    "trainer.num_nodes": whole(1, 100_000),
    "trainer.precision": Allowed(f"one of {', '.join(PRECISIONS)}", lambda value: str(value) in PRECISIONS),
    "trainer.logger": Allowed("true, false, or a logger of Lightning's as class_path", lambda value: True),
    "trainer.callbacks": objects("a callback of Lightning's as class_path, or a list of such"),
    "trainer.max_steps": whole(1),
    "trainer.min_steps": whole(0),
    "trainer.max_time": Allowed(
        "a time as days:hours:minutes:seconds, such as 00:01:30:00",
        lambda value: isinstance(value, str) and bool(TIME.fullmatch(value)) and value.strip("0:") != "",
    ),
    "trainer.limit_val_batches": whole(1),
    "trainer.val_check_interval": whole(1),
    "trainer.num_sanity_val_steps": whole(0),
    "trainer.log_every_n_steps": whole(1),
    "trainer.enable_checkpointing": Allowed("true: runs that save nothing cannot resume", bool),
    "trainer.enable_progress_bar": FLAG,
    "trainer.enable_model_summary": FLAG,
    "trainer.accumulate_grad_batches": whole(1, 10_000),
    "trainer.gradient_clip_val": WEIGHT,
    "trainer.gradient_clip_algorithm": one_of(("norm", "value")),
    "trainer.deterministic": Allowed("true, false or warn", lambda value: value in (True, False, "warn")),
    "trainer.benchmark": FLAG,
    "trainer.inference_mode": FLAG,
    "trainer.use_distributed_sampler": Allowed("true: each device has photos of its own already", bool),
    "trainer.profiler": objects("simple, advanced, or a profiler of Lightning's as class_path",
                                ("simple", "advanced")),
    "trainer.detect_anomaly": FLAG,
    "trainer.plugins": objects("a plugin of Lightning's as class_path, or a list of such"),
    "trainer.sync_batchnorm": FLAG,
    "trainer.enable_autolog_hparams": FLAG,
}  # fmt: skip

COUNTED = "training is counted in steps: take --trainer.max_steps"
TESTED = "held-out photos are for validation: take --trainer.limit_val_batches"
REFUSED = {
    "trainer.fast_dev_run": "for a try take --trainer.max_steps 3",
    "trainer.max_epochs": COUNTED,
    "trainer.min_epochs": COUNTED,
    "trainer.check_val_every_n_epoch": "training is counted in steps: take --trainer.val_check_interval",
    "trainer.limit_train_batches": COUNTED,
    "trainer.limit_test_batches": TESTED,
    "trainer.limit_predict_batches": TESTED,
    "trainer.overfit_batches": "for a few photos give --content a folder of them",
    "trainer.reload_dataloaders_every_n_epochs": "a run has one epoch",
    "trainer.barebones": "a run without checkpoints and logs leaves no model",
    "trainer.default_root_dir": "--output names the run's folder",
    "trainer.model_registry": "--push-to-hub publishes the model",
}
DEFAULTS = {  # Lightning's, where they are not None
    "trainer.fast_dev_run": False,
    "trainer.overfit_batches": 0.0,
    "trainer.reload_dataloaders_every_n_epochs": 0,
    "trainer.barebones": False,
}


def option(key: str) -> str:
    return f"--{key.replace('push_to_hub', 'push-to-hub')}"


def refuse(key: str, value: Any, why: str = "") -> InputError:
    """The line on an option's value; the nearest name where names are what is allowed."""
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:56]} …{shown[-1]}"
    if key in REFUSED:
        return InputError(f"{option(key)} {shown} cannot be used here, leave it out: {REFUSED[key]}")
    what = ALLOWED[key].what
    names = re.findall(r"[\w+-]+", what.removeprefix("one of "))
    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near and what.startswith("one of") else ""
    return InputError(f"{option(key)} must be {what}, not {shown}{hint}{why}")


def check(config: Any) -> None:
    """Refuse what an option cannot be, of a configuration that was parsed.

    Raises:
        InputError: the line names the option, the value and what is allowed.
    """
    for key, allowed in ALLOWED.items():
        value = config.get(key)
        if value is not None and not allowed.fits(value):
            raise refuse(key, value)
    for key in REFUSED:
        if config.get(key) not in (None, DEFAULTS.get(key)):
            raise refuse(key, config[key])
    if config["trainer.accelerator"] == "cpu" and isinstance(config["trainer.devices"], list):
        raise refuse("trainer.devices", config["trainer.devices"], ": the accelerator is cpu")
