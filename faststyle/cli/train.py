"""``python train.py``: train a network for a style, in a folder of its own."""

import argparse
import math
import platform
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from faststyle.cli.train_options import (
    LINKED,
    check,
    check_file,
    explain,
    find_config,
    option,
    unknown_option,
)
from faststyle.console import accept_any_text, one_line_errors
from faststyle.device import keep_freed_memory
from faststyle.errors import InputError
from faststyle.image.files import save_image
from faststyle.image.validation import silence_decoders
from faststyle.inference.stylizer import Stylizer
from faststyle.models.checkpoint import load_model
from faststyle.models.hub import check_push
from faststyle.training.callbacks import NotANumberGuard, Previews, not_finite_error
from faststyle.training.checkpointing import STEPS_BETWEEN_SAVES, Checkpoints, InferenceFile
from faststyle.training.datamodule import ContentPhotos
from faststyle.training.module import StyleTransfer
from faststyle.training.options import TRAINER_DEFAULTS
from faststyle.training.ranks import check_processes
from faststyle.training.run import Run, run_training
from faststyle.training.run_folder import LAST, check_folder, name_run, remove_old_options
from faststyle.training.trainer import quiet_lightning, trainer_arguments

MAX_STEPS = 10**6  # of a run of seconds, which ends by its time
PARSER = {"prog": "train.py", "description": __doc__, "exit_on_error": False, "allow_abbrev": False}


class TrainCLI(LightningCLI):
    """LightningCLI with options for the run, which it stores as the attribute ``run``."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        add = parser.add_argument
        add("--style", type=str, nargs="+", default=["mosaic"], help="the style image, or several")
        add("--content", type=str, default="samples", help="photos: a folder, parquet files, or OWNER/NAME")
        add("--name", type=str | None, help="name of the run and its model; by default the style's name")
        add("--output", type=str | None, help="folder of the run; by default runs/NAME")
        add("--init", type=str | None, default="auto", help="a trained model to start from, auto or none")
        add("--seconds", type=float | None, help="length of the run, in place of --trainer.max_steps")
        add("--resume", action="store_true", help="continue from the run's last state")
        add("--push-to-hub", type=str | None, metavar="USER/REPO", help="publish the model at the end")
        parser.add_lightning_class_args(Previews, "previews")
        for target, source in LINKED.items():
            parser.link_arguments(source, target)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        for word in args:
            if word.partition("=")[0].removeprefix("--") in LINKED:
                raise unknown_option(word)
        super().parse_arguments(parser, args)
        check(self.config)
        if self.config.seconds is not None:
            if self.config.data.streaming:
                raise InputError("--seconds cannot be used with --data.streaming: give --trainer.max_steps")
            self.config.trainer.max_steps = MAX_STEPS
            self.config.trainer.limit_val_batches = 0  # validation takes seconds
        self.command = shlex.join(["python", "train.py", *map(hide_folder, args)])
        self.name, self.folder = name_run(self.config.style, self.config.name, self.config.output)

    def before_instantiate_classes(self) -> None:
        if self.config.resume:
            use_saved_network(self.folder / LAST, self.config)

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        guard = NotANumberGuard()
        model = InferenceFile(self.folder / f"{self.name}.safetensors", self.command)
        self.checkpoints = Checkpoints(self.folder / LAST, model, guard, STEPS_BETWEEN_SAVES)
        arguments = trainer_arguments(self.config_init.trainer, self.folder, [guard, model, self.checkpoints])
        return super().instantiate_trainer(**arguments, **kwargs)

    def after_instantiate_classes(self) -> None:
        self.run = Run(
            folder=self.folder,
            name=self.name,
            resumes=self.config.resume,
            trainer=self.trainer,
            model=self.model,
            datamodule=self.datamodule,
            checkpoints=self.checkpoints,
            save_config=self.save_config,
            finish=partial(finish, repo=self.config.push_to_hub),
        )
        check_processes(self.trainer)
        if self.trainer.is_global_zero:  # other ranks might see files that this one has begun to write
            check_folder(self.folder, self.config.resume)
            if self.config.push_to_hub is not None:
                check_push(self.config.push_to_hub)

    def save_config(self, path: Path) -> None:
        """Write the settings, without --resume, for a resumed run to read."""
        self.config.resume = False
        self.parser.save(self.config, path, overwrite=True, skip_none=False, multifile=False)


def hide_folder(word: str) -> str:
    """Return a word of the command line for the model card, with absolute paths cut to the file's name."""
    name, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return name + equals + (Path(value).name if Path(value).is_absolute() else value)


def use_saved_network(last: Path, config: Any) -> None:
    """Set the options of a resumed run to those of its saved network.

    Raises:
        InputError: The state is missing or damaged, or the options are of another network.
    """
    if not last.exists() and config.trainer.num_nodes > 1:
        raise InputError(
            f"there is no {last} on {platform.node()}: machines that continue a run must share its "
            "folder, or each have a copy"
        )
    if not last.exists():
        raise InputError(f"there is nothing to resume in {last.parent}: leave out --resume to start a run")
    config.model.init = None  # the state holds the weights, and the file of init may be gone
    network, _ = load_model(last)  # raises InputError for a damaged file
    for key in ("size", "blocks"):
        if config.model[key] not in (None, network.config[key]):
            raise InputError(f"--model.{key} of the run is {network.config[key]}: leave it out to resume")
        config.model[key] = network.config[key]


def finish(run: Run, repo: str | None) -> None:
    """Save and validate the trained model, write a sample image, and print the next command.

    Args:
        run: Run after its last step.
        repo: Repository on the Hub to publish the model in; None does not publish it.
    """
    steps = run.trainer.global_step
    if run.resumes and run.checkpoints.steps_made == 0 and run.is_finished() and repo is None:
        if run.trainer.is_global_zero:
            print(f"{run.folder} already has {steps} steps: raise --trainer.max_steps to continue")
        return
    if not run.checkpoints.can_save(run.trainer):  # keep the last good state
        raise not_finite_error("the gradients or weights were not numbers in the last steps")
    run.checkpoints.save(run.trainer)
    if run.model.hparams["seconds"] is None:
        (figures,) = run.trainer.validate(run.model, run.datamodule, verbose=False)
        if not math.isfinite(figures["validation/total"]):
            raise not_finite_error("the held-out loss is not a number")
    if not run.trainer.is_global_zero:
        return
    stylize = Stylizer.load(run.model_file, str(run.trainer.strategy.root_device))
    minutes = stylize.card.minutes or 0
    took = f"{minutes:.0f} minutes" if minutes >= 2 else f"{60 * minutes:.0f} seconds"
    start = f" from {run.model.start.name}" if run.model.start else ""
    save_image(stylize(run.datamodule.held_out.photos[0]), run.sample)
    print(
        f"\ntrained {run.name}: {steps} steps{start} in {took}\n"
        f"model:   {run.model_file}\n"
        f"sample:  {run.sample}\n"
        f"next:    python infer.py PHOTO.jpg --checkpoint {shlex.quote(str(run.model_file))}"
    )
    if skipped := len(run.datamodule.skipped):
        print(f"skipped: {skipped} photo{'s' * (skipped > 1)} that could not be used, named above")
    if repo is not None:
        print(f"on the Hub: {stylize.push_to_hub(repo, run.sample)}")


def add_saved_config(argv: list[str]) -> list[str]:
    """Return the command line, with the saved settings of the run before it if it has --resume.

    Raises:
        InputError: A --config is no file of options, or the run's own settings are missing.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("-c", "--config", action="append", default=[])
    early.add_argument("--style", nargs="+", default=["mosaic"])
    early.add_argument("--name")
    early.add_argument("--output")
    early.add_argument("--resume", action="store_true")
    argv = name_configs(argv)
    known, _ = early.parse_known_args(argv)
    if known.resume:
        _, folder = name_run(known.style, known.name, known.output)
        config = folder / "config.yaml"
        if config.exists():
            remove_old_options(config)
            argv = ["--config", str(config), *argv]
            known.config.insert(0, str(config))
        elif (folder / LAST).exists():
            raise InputError(f"the run's settings {config} are missing: restore the file to resume")
    for name in known.config:
        check_file(name)
    return argv


def name_configs(argv: list[str]) -> list[str]:
    """Return the command line with the files of the package's configurations in place of their names."""
    words = []
    for before, word in zip(["", *argv], argv, strict=False):
        name, equals, value = word.partition("=")
        if before in ("-c", "--config"):
            word = find_config(word)
        elif name == "--config" and equals:
            word = f"--config={find_config(value)}"
        words.append(word)
    return words


def parse(argv: list[str], callbacks: Sequence[pl.Callback] = ()) -> TrainCLI:
    try:
        return TrainCLI(
            StyleTransfer,
            ContentPhotos,
            save_config_callback=None,
            trainer_defaults={**TRAINER_DEFAULTS, "callbacks": [*callbacks]},
            seed_everything_default=0,
            run=False,
            auto_configure_optimizers=False,
            args=add_saved_config(argv),
            parser_kwargs=PARSER,
        )
    except argparse.ArgumentError as error:
        raise explain(error) from None
    # Lightning raises these for Trainer options that conflict, or that this machine cannot run.
    except (MisconfigurationException, ModuleNotFoundError, ValueError) as error:
        raise InputError(str(error)) from None


def main(argv: list[str] | None = None, callbacks: Sequence[pl.Callback] = ()) -> None:
    """Run ``train.py``.

    Args:
        argv: Options; by default those of this process.
        callbacks: Callbacks to add to those of the options.
    """
    accept_any_text()
    quiet_lightning()
    silence_decoders()
    keep_freed_memory()
    with one_line_errors(option):
        cli = parse(sys.argv[1:] if argv is None else argv, callbacks)
        # Fail on a missing image or an empty folder before anything is written.
        cli.model.trainer = cli.trainer  # VGG computes in the trainer's precision
        cli.model.setup("fit")
        cli.datamodule.setup("fit")
        run_training(cli.run)
