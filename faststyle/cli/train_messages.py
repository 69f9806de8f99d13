"""What jsonargparse refuses of train.py's options, and files of options that are none, in one line each."""

import difflib
import inspect
import re
from pathlib import Path

import pytorch_lightning as pl
import yaml

from faststyle.cli.train_options import ALLOWED, REFUSED, option, refuse
from faststyle.console import Parser
from faststyle.errors import InputError
from faststyle.losses.objective import Objective
from faststyle.training.datamodule import ContentPhotos
from faststyle.training.module import StyleTransfer

PLAIN = ("style", "content", "name", "output", "init", "resume")  # options without a group
GROUPED = {StyleTransfer: "model", Objective: "model", ContentPhotos: "data", pl.Trainer: "trainer"}
GROUPS = ("trainer", "model", "data", "previews")
HELP = "python train.py --help lists every option"


def option_of(parameter: str) -> str:
    """Return the option of train.py for a parameter of the library: --data.workers for workers."""
    if parameter not in PLAIN:
        for owner, group in GROUPED.items():
            if parameter in inspect.signature(owner).parameters:
                return f"--{group}.{parameter}"
    return option(parameter)


def check_files(argv: list[str]) -> None:
    """Refuse a --config that is no file of options.

    Raises:
        InputError: it is not there, or a folder, or no YAML, or something else than options.
    """
    flags = Parser(prog="python train.py", add_help=False, allow_abbrev=False)
    flags.add_argument("-c", "--config", action="append", default=[], help="a YAML file of options")
    known, _ = flags.parse_known_args(argv)
    for name in known.config:
        expected = f"--config {name!r} must be a YAML file of options, such as configs/quick.yaml"
        if not name:
            raise InputError(expected)
        try:
            found = yaml.safe_load(Path(name).read_text())
        except OSError as error:
            raise InputError(f"{expected}: {error.strerror}") from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise InputError(f"{expected}: {' '.join(str(error).split())}") from None
        if not isinstance(found, dict):
            raise InputError(f"{expected}, not {found!r:.60}")
        for group in GROUPS:
            if not isinstance(found.get(group, {}), dict):
                raise InputError(f"--{group} must be a group of options, not {found[group]!r}")
        if found.get("resume"):  # the run's own options would be missing
            raise InputError(f"--config {name!r} must not say resume: add --resume to the command")
        # Of these jsonargparse says less, since others are linked to them.
        for key in ("style", "content", "init", "seed_everything"):
            if found.get(key) is not None and not ALLOWED[key].fits(found[key]):
                raise refuse(key, found[key])


def explain(message: str) -> InputError:
    """What jsonargparse says, over many lines, as one line."""
    linked = re.search(r"(\w+) --> (\S+):|Linked \"(\S+)\" must be given via \"(\w+)\"", message)
    if linked:
        ours, theirs = linked[1] or linked[4], linked[2] or linked[3]
        return InputError(f"--{theirs} is given as --{ours}")
    key = re.search(r"Parser key \"(.+?)\"|argument (?:-\w/)?--(\S+?):", message)
    name = (key[1] or key[2] or "") if key else ""
    name = next((known for known in [*ALLOWED, *REFUSED] if known == name.replace("-", "_")), "")
    if name:
        values = re.findall(r"(?:Given value: |Got value: |ignored explicit argument ')(.*)", message)
        missing = re.search(r"arguments are required: (.+)", message)
        why = f" (it needs {missing[1].strip()} too)" if missing else ""
        if not values and name in ALLOWED:
            return InputError(f"{option(name)} needs a value: {ALLOWED[name].what}")
        return refuse(name, values[-1].strip().rstrip("'") if values else "", why)
    unknown = re.search(
        r"unrecognized arguments: (\S*)|Group '(.+?)' does not accept option '(.+?)'|Option '(.+?)' is not",
        message,
    )
    if unknown:
        name = unknown[1] if unknown[1] is not None else "--" + ".".join(filter(None, unknown.groups()))
        return no_option(name)
    group = re.search(r"Parser key \"(.+?)\":\s+Unable to load config (.+)", message)
    if group:
        return InputError(f"--{group[1]} must be a YAML file of such options, not {group[2]}")
    return InputError(f"{' '.join(message.split())} ({HELP})")


def no_option(name: str) -> InputError:
    """The line on a word that is no option, with the nearest that is."""
    typed = name.partition("=")[0]
    options = [option(key) for key in [*ALLOWED, *REFUSED, "config", "help", "print_config"]]
    near = difflib.get_close_matches(typed, options, n=1)
    hint = f"did you mean {near[0]}?" if near and typed.startswith("-") else HELP
    return InputError(f"there is no option {typed!r}: {hint}")
