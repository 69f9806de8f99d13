"""``python train.py``: train a network for a style, in a folder of its own."""

import argparse
import logging
import re
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

import jsonargparse
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from faststyle.callbacks import InferenceFile, NotANumberGuard, Previews
from faststyle.checkpoint import load_model
from faststyle.cli import one_line_errors
from faststyle.data import ContentPhotos
from faststyle.device import has_fast_bfloat16, keep_freed_memory
from faststyle.errors import InputError
from faststyle.hub import check_push
from faststyle.images import save_image
from faststyle.module import StyleTransfer
from faststyle.stylizer import Stylizer

# Where Lightning's own defaults do not suit; training is counted in steps, not in epochs.
TRAINER_DEFAULTS = {
    "max_steps": 6_000,
    "devices": 1,
    # Below a usual step's norm, so that photos count alike: one odd photo must not undo a run.
    "gradient_clip_val": 10.0,
    "log_every_n_steps": 10,
    "val_check_interval": 250,
    "check_val_every_n_epoch": None,
    "num_sanity_val_steps": 0,
    "enable_model_summary": False,
}
CHECKPOINT_STEPS = 100


class ProgressBar(TQDMProgressBar):
    """Lightning's bar without its epochs, of which a run has one."""

    @property
    def total_train_batches(self) -> int:
        return self.trainer.max_steps * self.trainer.accumulate_grad_batches  # also when resumed

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        super().on_train_epoch_start(trainer)
        self.train_progress_bar.set_description("training")

    def get_metrics(self, trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, module)
        metrics.pop("v_num", None)
        return metrics


class TrainCLI(LightningCLI):
    """LightningCLI with the short flags, and a folder for the run."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--style", type=str, nargs="+", default=["mosaic"], help="the style picture, or several"
        )
        parser.add_argument(
            "--content",
            type=str,
            default="samples",
            help="a folder of photos, parquet files, owner/name on the Hub",
        )
        parser.add_argument(
            "--name", type=str | None, help="of the run and its model; the style's name without it"
        )
        parser.add_argument("--output", type=str | None, help="folder of the run; runs/NAME without it")
        parser.add_argument("--init", type=str | None, help="a trained model to start from")
        parser.add_argument("--teacher", type=str | None, help="a trained model to imitate")
        parser.add_argument("--resume", action="store_true", help="go on from the run's last state")
        parser.add_argument(
            "--push-to-hub", type=str | None, metavar="USER/REPO", help="publish the model at the end"
        )
        parser.add_lightning_class_args(Previews, "previews")
        parser.link_arguments("style", "model.style")
        parser.link_arguments("content", "data.content")
        parser.link_arguments("init", "model.init")
        parser.link_arguments("teacher", "model.teacher")
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        super().parse_arguments(parser, args)
        self.command = shlex.join(["python", "train.py", *map(without_folder, args)])

    def before_instantiate_classes(self) -> None:
        self.name, self.folder = run_folder(vars(self.config))
        self.last = self.folder / "last.ckpt"
        if self.config.resume and not self.last.exists():
            raise InputError(f"there is nothing to resume in {self.folder}: leave out --resume to start")
        if self.config.resume:
            self.config.model.init = None  # the state holds the weights; the file may be gone
            network, _ = load_model(self.last)  # says what is wrong with a damaged file
            for key in ("size", "blocks"):
                if self.config.model[key] not in (None, network.config[key]):
                    raise InputError(
                        f"--model.{key} of the run is {network.config[key]}: leave it out to resume"
                    )
        elif self.last.exists():
            raise InputError(
                f"{self.folder} holds a run already: --resume goes on with it, --name NAME starts another"
            )
        elif self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise InputError(
                f"{self.folder} exists and is not an empty folder: give another --output or --name"
            )
        if self.config.trainer.max_steps < 1:
            raise InputError("--trainer.max_steps must be 1 or more: training is counted in steps")
        if self.config.push_to_hub is not None:
            check_push(self.config.push_to_hub)
        if self.config.trainer.default_root_dir is not None:
            raise InputError("--output names the run's folder, in place of --trainer.default_root_dir")

    def after_instantiate_classes(self) -> None:
        if self.trainer.world_size > 1:
            raise InputError("--trainer.devices: training runs on one device as yet: leave it at 1")

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        config = self.config_init.trainer
        if config.precision is None and has_fast_bfloat16(training_device(config.accelerator)):
            kwargs["precision"] = "bf16-mixed"
        callbacks = [
            *(config.callbacks or []),
            *([ProgressBar()] if config.enable_progress_bar is not False else []),
            NotANumberGuard(),
            InferenceFile(self.folder / f"{self.name}.safetensors", self.command),
            ModelCheckpoint(
                self.folder,
                "last",
                every_n_train_steps=CHECKPOINT_STEPS,
                save_on_exception=True,
                enable_version_counter=False,
            ),
        ]
        if config.logger is None:
            # A folder for each start, since a CSV log is written anew.
            start = f"start_{len(list(self.folder.glob('logs/start_*')))}"
            kwargs["logger"] = [
                TensorBoardLogger(self.folder, "logs", start),
                CSVLogger(self.folder, "logs", start),
            ]
        return super().instantiate_trainer(default_root_dir=str(self.folder), callbacks=callbacks, **kwargs)


def without_folder(word: str) -> str:
    """A word of the command line for a model's card, which shall have no paths of this machine."""
    flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return flag + equals + (Path(value).name if Path(value).is_absolute() else value)


def run_folder(config: dict[str, Any]) -> tuple[str, Path]:
    """The run's name and folder, from the flags."""
    output = config["output"] and Path(config["output"]).resolve().name
    name = config["name"] or output or Path(config["style"][0]).stem
    if Path(name).name != name:
        raise InputError(f"--name {name} must be a plain name, without a path: --output gives the folder")
    return name, Path(config["output"] or Path("runs") / name)


def training_device(accelerator: str) -> torch.device:
    gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return torch.device("cuda" if gpu else "cpu")


def resumed_config(argv: list[str]) -> list[str]:
    """For --resume, put the run's own config before the flags, which so override it."""
    if "--resume" not in argv:
        return argv
    flags = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    flags.add_argument("--name")
    flags.add_argument("--output")
    flags.add_argument("--style", nargs="+", default=["mosaic"])
    known, _ = flags.parse_known_args(argv)
    config = run_folder(vars(known))[1] / "config.yaml"
    return ["--config", str(config), *argv] if config.exists() else argv


def parse(argv: list[str]) -> TrainCLI:
    try:
        return TrainCLI(
            StyleTransfer,
            ContentPhotos,
            save_config_callback=None,
            trainer_defaults=TRAINER_DEFAULTS,
            seed_everything_default=0,
            run=False,
            auto_configure_optimizers=False,
            args=resumed_config(argv),
            parser_kwargs={
                "prog": "train.py",
                "exit_on_error": False,
                "allow_abbrev": False,
                "description": __doc__,
            },
        )
    except jsonargparse.ArgumentError as error:
        message = re.sub(r'Parser key "(.+?)"', r"--\1", str(error))
        message = re.sub(r"<class '(\w+)'>", r"\1", message)
        raise InputError(f"{message} (python train.py --help lists every flag)") from None
    # Lightning's answers to a Trainer flag's odd value, and to flags that do not go together.
    except (MisconfigurationException, ValueError) as error:
        raise InputError(str(error)) from None


def quiet() -> None:
    """Leave of Lightning's talk what a person can act on."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    for module in ("pytorch_lightning", "lightning_fabric"):
        warnings.filterwarnings("ignore", module=module)


def main(argv: list[str] | None = None) -> None:
    quiet()
    keep_freed_memory()
    with one_line_errors():
        cli = parse(sys.argv[1:] if argv is None else argv)
        # Before anything is written: a missing picture or an empty folder ends here.
        cli.model.setup("fit")
        cli.datamodule.setup("fit")
        cli.folder.mkdir(parents=True, exist_ok=True)
        cli.config.resume = False
        cli.parser.save(cli.config, cli.folder / "config.yaml", overwrite=True, skip_none=False)
        try:
            last = cli.last if cli.last.exists() else None
            cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=last, weights_only=True)
        except SystemExit:  # Lightning's answer to Ctrl-C, after it has saved the state
            print(f"\nstopped: python train.py --resume --output {cli.folder} goes on", file=sys.stderr)
            raise
        finish(cli)


def finish(cli: TrainCLI) -> None:
    """Save, judge and show the trained model, and say what to type next."""
    cli.trainer.save_checkpoint(cli.last)  # which writes the file for inference too
    model, sample = cli.folder / f"{cli.name}.safetensors", cli.folder / "sample.jpg"
    (figures,) = cli.trainer.validate(cli.model, cli.datamodule, verbose=False)
    stylize = Stylizer.load(model, str(cli.trainer.strategy.root_device))
    save_image(stylize(cli.datamodule.held_out.photos[0]), sample)
    print(
        f"\ntrained {cli.name}: {cli.trainer.global_step} steps, "
        f"held-out loss {figures['validation/total']:.3f} "
        f"(content {figures['validation/content']:.3f}, style {figures['validation/style']:.3f})\n"
        f"model:   {model}\n"
        f"sample:  {sample}\n"
        f"next:    python infer.py PHOTO.jpg --checkpoint {shlex.quote(str(model))}"
    )
    if cli.config.push_to_hub is not None:
        print(f"on the Hub: {stylize.push_to_hub(cli.config.push_to_hub, sample)}")
