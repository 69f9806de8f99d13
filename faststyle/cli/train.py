"""``python train.py``: train a network for a style, in a folder of its own."""

import logging
import math
import platform
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

import jsonargparse
import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.strategies import DDPStrategy, StrategyRegistry
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from faststyle.cli.train_messages import check_files, explain, option_of
from faststyle.cli.train_options import check
from faststyle.console import Parser, one_line_errors
from faststyle.device import has_fast_bfloat16, keep_freed_memory
from faststyle.errors import InputError
from faststyle.files import check_links, cut, replacing
from faststyle.image.files import save_image
from faststyle.inference.stylizer import Stylizer
from faststyle.models.checkpoint import load_model
from faststyle.models.hub import check_push
from faststyle.training.callbacks import NotANumberGuard, Previews, not_numbers
from faststyle.training.checkpointing import AtomicCheckpointIO, Checkpoints, InferenceFile
from faststyle.training.datamodule import ContentPhotos
from faststyle.training.module import StyleTransfer
from faststyle.training.ranks import check_processes
from faststyle.training.run import LAST, Run, can_start_in, go

# Where Lightning's own defaults do not suit; training is counted in steps, not in epochs.
TRAINER_DEFAULTS = {
    "max_steps": 5_000,
    "devices": 1,
    # Below a usual step's norm, so that photos count alike: one odd photo must not undo a run.
    "gradient_clip_val": 10.0,
    "log_every_n_steps": 10,
    "val_check_interval": 500,
    "check_val_every_n_epoch": None,
    "num_sanity_val_steps": 0,
    "enable_model_summary": False,
}
CHECKPOINT_STEPS = 100
# Options of earlier versions, by group, which the settings of their runs hold.
REMOVED = [(None, "teacher"), ("model", "teacher"), ("model", "teacher_weight"), ("model", "alone")]


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
        parser.add_argument("--resume", action="store_true", help="go on from the run's last state")
        parser.add_argument(
            "--push-to-hub", type=str | None, metavar="USER/REPO", help="publish the model at the end"
        )
        parser.add_lightning_class_args(Previews, "previews")
        parser.link_arguments("style", "model.style")
        parser.link_arguments("content", "data.content")
        parser.link_arguments("init", "model.init")
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        super().parse_arguments(parser, args)
        check(self.config)
        self.command = shlex.join(["python", "train.py", *map(without_folder, args)])

    def before_instantiate_classes(self) -> None:
        self.name, self.folder = run_folder(vars(self.config))
        self.last = self.folder / LAST
        self.resumes = self.config.resume
        if self.resumes and not self.last.exists():
            if self.config.trainer.num_nodes > 1:
                raise InputError(
                    f"there is no {self.last} on {platform.node()}: the machines that go on with a run must "
                    "share its folder, or each have a copy"
                )
            raise InputError(f"there is nothing to resume in {self.folder}: leave out --resume to start")
        if self.resumes:
            self.config.model.init = None  # the state holds the weights; the file may be gone
            network, _ = load_model(self.last)  # says what is wrong with a damaged file
            for key in ("size", "blocks"):
                if self.config.model[key] not in (None, network.config[key]):
                    raise InputError(
                        f"--model.{key} of the run is {network.config[key]}: leave it out to resume"
                    )
                self.config.model[key] = network.config[key]

    def after_instantiate_classes(self) -> None:
        check_processes(self.trainer)
        if not self.trainer.is_global_zero:
            return  # the first process may have begun to write in the folder
        if not self.resumes and self.last.exists():
            raise InputError(
                f"{self.folder} holds a run already: --resume goes on with it, --name NAME starts another"
            )
        if not self.resumes and self.folder.exists() and not can_start_in(self.folder):
            raise InputError(
                f"{self.folder} exists and is not an empty folder: give another --output or --name"
            )
        check_links(self.folder)
        if self.config.push_to_hub is not None:
            check_push(self.config.push_to_hub)

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        config = self.config_init.trainer
        if config.precision is None and has_fast_bfloat16(training_device(config.accelerator)):
            kwargs["precision"] = "bf16-mixed"
        guard = NotANumberGuard()
        model = InferenceFile(self.folder / f"{self.name}.safetensors", self.command)
        self.checkpoints = Checkpoints(self.last, model, guard, CHECKPOINT_STEPS)
        callbacks = [
            *listed(config.callbacks),
            *([ProgressBar()] if config.enable_progress_bar is not False else []),
            guard,
            model,
            self.checkpoints,
        ]
        # VGG and the style's statistics never change: DDP would send them around at every step.
        StrategyRegistry.register("ddp", DDPStrategy, override=True, broadcast_buffers=False)
        kwargs["use_distributed_sampler"] = False  # Draws deals the photos to the devices
        if config.val_check_interval is not None:  # counted in steps; Lightning counts batches
            kwargs["val_check_interval"] = config.val_check_interval * config.accumulate_grad_batches
        kwargs["plugins"] = [*listed(config.plugins), AtomicCheckpointIO()]
        if config.logger is None:
            # A folder for each start, since a CSV log is written anew.
            start = f"start_{len(list(self.folder.glob('logs/start_*')))}"
            kwargs["logger"] = [
                TensorBoardLogger(self.folder, "logs", start),
                CSVLogger(self.folder, "logs", start),
            ]
        return super().instantiate_trainer(default_root_dir=str(self.folder), callbacks=callbacks, **kwargs)

    def save_config(self, path: Path) -> None:
        """Write the settings, without --resume, to be read by a run that is resumed."""
        self.config.resume = False
        self.parser.save(self.config, path, overwrite=True, skip_none=False, multifile=False)

    def as_run(self) -> Run:
        """Return what ``go`` trains."""
        return Run(
            folder=self.folder,
            resumes=self.resumes,
            trainer=self.trainer,
            model=self.model,
            datamodule=self.datamodule,
            checkpoints=self.checkpoints,
            save_config=self.save_config,
            finish=self.finish,
        )

    def finish(self) -> None:
        """Save, judge and show the trained model, and say what to type next."""
        model, sample = self.folder / f"{self.name}.safetensors", self.folder / "sample.jpg"
        # The sample is written last, so one that is newer than the state tells that all of this was done.
        done = sample.exists() and sample.stat().st_mtime >= self.last.stat().st_mtime
        # A copy of the folder on another machine has other times.
        done = self.trainer.strategy.broadcast(done)
        if self.resumes and self.checkpoints.made == 0 and done and self.config.push_to_hub is None:
            if self.trainer.is_global_zero:
                print(
                    f"{self.folder} is trained already, by {self.trainer.global_step} steps: "
                    "--trainer.max_steps N makes it more"
                )
            return
        if not self.checkpoints.is_sound(self.trainer):  # nor may it take the place of the last good state
            raise not_numbers("the gradients or weights were not numbers in the last steps")
        self.checkpoints.save(self.trainer)
        (figures,) = self.trainer.validate(self.model, self.datamodule, verbose=False)
        if not math.isfinite(figures["validation/total"]):
            raise not_numbers("the held-out loss is not a number")
        if not self.trainer.is_global_zero:
            return
        stylize = Stylizer.load(model, str(self.trainer.strategy.root_device))
        save_image(stylize(self.datamodule.held_out.photos[0]), sample)
        print(
            f"\ntrained {self.name}: {self.trainer.global_step} steps, "
            f"held-out loss {figures['validation/total']:.3f} "
            f"(content {figures['validation/content']:.3f}, style {figures['validation/style']:.3f})\n"
            f"model:   {model}\n"
            f"sample:  {sample}\n"
            f"next:    python infer.py PHOTO.jpg --checkpoint {shlex.quote(str(model))}"
        )
        skipped = len(self.datamodule.skipped)
        if skipped:
            pictures = f"picture{'s' * (skipped > 1)}"
            print(f"skipped: {skipped} {pictures} that could not be used, named when met first")
        if self.config.push_to_hub is not None:
            print(f"on the Hub: {stylize.push_to_hub(self.config.push_to_hub, sample)}")


def listed(flag: Any) -> list[Any]:
    """What a flag of the Trainer holds: several, one, or nothing."""
    return flag if isinstance(flag, list) else [] if flag is None else [flag]


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
    if cut(name) != name:
        raise InputError(f"--name {name} is too long for a file's name: give a shorter --name")
    return name, Path(config["output"] or Path("runs") / name)


def training_device(accelerator: str) -> torch.device:
    gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return torch.device("cuda" if gpu else "cpu")


def resumed_config(argv: list[str]) -> list[str]:
    """For --resume, put the run's own config before the flags, which so override it."""
    if "--resume" not in argv:
        return argv
    flags = Parser(prog="python train.py", add_help=False, allow_abbrev=False)
    flags.add_argument("--name", help="a plain name, such as starry")
    flags.add_argument("--output", help="a folder for the run")
    flags.add_argument("--style", nargs="+", default=["mosaic"], help="one or more paintings' files")
    known, _ = flags.parse_known_args(argv)
    folder = run_folder(vars(known))[1]
    config = folder / "config.yaml"
    if not config.exists() and (folder / LAST).exists():
        raise InputError(f"there is no {config}, which has the settings of the run: bring it back to resume")
    if not config.exists():
        return argv
    drop_removed(config)
    return ["--config", str(config), *argv]


def drop_removed(config: Path) -> None:
    """Take out of a run's settings what options there no longer are."""
    try:
        settings = yaml.safe_load(config.read_text())
        groups = {None: settings, "model": settings["model"]}
    except (OSError, yaml.YAMLError, ValueError, TypeError, KeyError):
        return  # check_files says what is wrong
    found = [
        (group, key) for group, key in REMOVED if isinstance(groups[group], dict) and key in groups[group]
    ]
    for group, key in found:
        del groups[group][key]
    if found:
        text = config.read_text().partition("\n")[0] + "\n" + yaml.safe_dump(settings, sort_keys=False)
        with replacing(config) as temporary:
            temporary.write_text(text)


def parse(argv: list[str]) -> TrainCLI:
    argv = resumed_config(argv)
    check_files(argv)
    try:
        return TrainCLI(
            StyleTransfer,
            ContentPhotos,
            save_config_callback=None,
            trainer_defaults=TRAINER_DEFAULTS,
            seed_everything_default=0,
            run=False,
            auto_configure_optimizers=False,
            args=argv,
            parser_kwargs={
                "prog": "train.py",
                "exit_on_error": False,
                "allow_abbrev": False,
                "description": __doc__,
            },
        )
    except jsonargparse.ArgumentError as error:
        raise explain(str(error)) from None
    # Lightning's answers to flags of the Trainer that do not go together, or not with this machine.
    except (MisconfigurationException, ModuleNotFoundError, ValueError) as error:
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
    with one_line_errors(option_of):
        cli = parse(sys.argv[1:] if argv is None else argv)
        # Before anything is written: a missing picture or an empty folder ends here.
        cli.model.setup("fit")
        cli.datamodule.setup("fit")
        go(cli.as_run())
