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

from faststyle.cli.train_options import LINKED, check, check_file, explain, no_option, option
from faststyle.console import one_line_errors
from faststyle.device import keep_freed_memory
from faststyle.errors import InputError
from faststyle.image.files import save_image
from faststyle.image.validation import silence_decoders
from faststyle.inference.stylizer import Stylizer
from faststyle.models.checkpoint import load_model
from faststyle.models.hub import check_push
from faststyle.training.callbacks import NotANumberGuard, Previews, not_numbers
from faststyle.training.checkpointing import Checkpoints, InferenceFile
from faststyle.training.datamodule import ContentPhotos
from faststyle.training.module import StyleTransfer
from faststyle.training.options import TRAINER_DEFAULTS
from faststyle.training.ranks import check_processes
from faststyle.training.run import Run, go
from faststyle.training.run_folder import LAST, check_folder, drop_removed, name_run
from faststyle.training.trainer import quiet_lightning, trainer_arguments

CHECKPOINT_STEPS = 100
PARSER = {"prog": "train.py", "description": __doc__, "exit_on_error": False, "allow_abbrev": False}


class TrainCLI(LightningCLI):
    """LightningCLI with options for the run itself, which becomes the attribute ``run``."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        add = parser.add_argument
        add("--style", type=str, nargs="+", default=["mosaic"], help="the style image, or several")
        add("--content", type=str, default="samples", help="photos: a folder, parquet files, or OWNER/NAME")
        add("--name", type=str | None, help="of the run and its model; by default the style's name")
        add("--output", type=str | None, help="folder of the run; by default runs/NAME")
        add("--init", type=str | None, help="a trained model to start from")
        add("--resume", action="store_true", help="continue from the run's last state")
        add("--push-to-hub", type=str | None, metavar="USER/REPO", help="publish the model at the end")
        parser.add_lightning_class_args(Previews, "previews")
        for target, source in LINKED.items():
            parser.link_arguments(source, target)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        for word in args:
            if word.partition("=")[0].removeprefix("--") in LINKED:
                raise no_option(word)
        super().parse_arguments(parser, args)
        check(self.config)
        self.command = shlex.join(["python", "train.py", *map(without_folder, args)])
        self.name, self.folder = name_run(self.config.style, self.config.name, self.config.output)

    def before_instantiate_classes(self) -> None:
        if self.config.resume:
            keep_network(self.folder / LAST, self.config)

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        guard = NotANumberGuard()
        model = InferenceFile(self.folder / f"{self.name}.safetensors", self.command)
        self.checkpoints = Checkpoints(self.folder / LAST, model, guard, CHECKPOINT_STEPS)
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
        if self.trainer.is_global_zero:  # another process may find what this one has begun to write
            check_folder(self.folder, self.config.resume)
            if self.config.push_to_hub is not None:
                check_push(self.config.push_to_hub)

    def save_config(self, path: Path) -> None:
        """Write the settings, without --resume, to be read by a run that is resumed."""
        self.config.resume = False
        self.parser.save(self.config, path, overwrite=True, skip_none=False, multifile=False)


def without_folder(word: str) -> str:
    """Return a word of the command line for a model's card, which has no paths of this machine."""
    name, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return name + equals + (Path(value).name if Path(value).is_absolute() else value)


def keep_network(last: Path, config: Any) -> None:
    """Give a run that is resumed the network of its state.

    Raises:
        InputError: No state, a damaged one, or options of another network.
    """
    if not last.exists() and config.trainer.num_nodes > 1:
        raise InputError(
            f"there is no {last} on {platform.node()}: machines that continue a run must share its "
            "folder, or each have a copy"
        )
    if not last.exists():
        raise InputError(f"there is nothing to resume in {last.parent}: leave out --resume to start")
    config.model.init = None  # the state holds the weights; the file may be gone
    network, _ = load_model(last)  # says what is wrong with a damaged file
    for key in ("size", "blocks"):
        if config.model[key] not in (None, network.config[key]):
            raise InputError(f"--model.{key} of the run is {network.config[key]}: leave it out to resume")
        config.model[key] = network.config[key]


def finish(run: Run, repo: str | None) -> None:
    """Save, validate and show the trained model, and print what to type next.

    Args:
        run: A run after its last step.
        repo: Repository on the Hub to publish the model in; None for none.
    """
    steps = run.trainer.global_step
    if run.resumes and run.checkpoints.made == 0 and run.is_finished() and repo is None:
        if run.trainer.is_global_zero:
            print(f"{run.folder} is trained already, by {steps} steps: raise --trainer.max_steps to continue")
        return
    if not run.checkpoints.is_sound(run.trainer):  # nor may it take the place of the last good state
        raise not_numbers("the gradients or weights were not numbers in the last steps")
    run.checkpoints.save(run.trainer)
    (figures,) = run.trainer.validate(run.model, run.datamodule, verbose=False)
    if not math.isfinite(figures["validation/total"]):
        raise not_numbers("the held-out loss is not a number")
    if not run.trainer.is_global_zero:
        return
    stylize = Stylizer.load(run.model_file, str(run.trainer.strategy.root_device))
    save_image(stylize(run.datamodule.held_out.photos[0]), run.sample)
    print(
        f"\ntrained {run.name}: {steps} steps, "
        f"held-out loss {figures['validation/total']:.3f} "
        f"(content {figures['validation/content']:.3f}, style {figures['validation/style']:.3f})\n"
        f"model:   {run.model_file}\n"
        f"sample:  {run.sample}\n"
        f"next:    python infer.py PHOTO.jpg --checkpoint {shlex.quote(str(run.model_file))}"
    )
    if skipped := len(run.datamodule.skipped):
        print(f"skipped: {skipped} photo{'s' * (skipped > 1)} that could not be used, named when met first")
    if repo is not None:
        print(f"on the Hub: {stylize.push_to_hub(repo, run.sample)}")


def with_own_config(argv: list[str]) -> list[str]:
    """Return the command line, after the settings of the run that --resume continues.

    Raises:
        InputError: A --config is no file of options, or the run has lost its own.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("-c", "--config", action="append", default=[])
    early.add_argument("--style", nargs="+", default=["mosaic"])
    early.add_argument("--name")
    early.add_argument("--output")
    early.add_argument("--resume", action="store_true")
    known, _ = early.parse_known_args(argv)
    if known.resume:
        _, folder = name_run(known.style, known.name, known.output)
        config = folder / "config.yaml"
        if config.exists():
            drop_removed(config)
            argv = ["--config", str(config), *argv]
            known.config.insert(0, str(config))
        elif (folder / LAST).exists():
            raise InputError(f"there is no {config}, which has the run's settings: bring it back to resume")
    for name in known.config:
        check_file(name)
    return argv


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
            args=with_own_config(argv),
            parser_kwargs=PARSER,
        )
    except argparse.ArgumentError as error:
        raise explain(error) from None
    # Lightning's answers to options of the Trainer that do not go together, or not with this machine.
    except (MisconfigurationException, ModuleNotFoundError, ValueError) as error:
        raise InputError(str(error)) from None


def main(argv: list[str] | None = None, callbacks: Sequence[pl.Callback] = ()) -> None:
    """Run ``train.py``.

    Args:
        argv: Its options; by default those of this process.
        callbacks: Callbacks of the Trainer that no option gives.
    """
    quiet_lightning()
    silence_decoders()
    keep_freed_memory()
    with one_line_errors(option):
        cli = parse(sys.argv[1:] if argv is None else argv, callbacks)
        # Before anything is written: a missing image or an empty folder ends here.
        cli.model.setup("fit")
        cli.datamodule.setup("fit")
        go(cli.run)
