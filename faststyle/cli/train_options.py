"""Check the options of train.py against the signatures, with one-line errors."""

import argparse
import difflib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import pytorch_lightning as pl
import yaml

import faststyle
from faststyle.errors import InputError
from faststyle.losses.objective import Objective
from faststyle.options import Kind, one_of, text
from faststyle.training.callbacks import Previews
from faststyle.training.datamodule import ContentPhotos
from faststyle.training.module import StyleTransfer
from faststyle.training.options import TRAINER_KINDS, TRUE_OR_FALSE

HELP = "python train.py --help lists every option"
# Groups of options, and the functions whose parameters they are.
GROUPS: dict[str, tuple[Callable[..., None], ...]] = {
    "model": (Objective.__init__, StyleTransfer.__init__),
    "data": (ContentPhotos.__init__,),
    "previews": (Previews.__init__,),
    "trainer": (pl.Trainer.__init__,),
}
# Parameters that have an option of another name.
LINKED = {
    "model.style": "style",
    "data.content": "content",
    "model.init": "init",
    "model.seconds": "seconds",
    "data.seed": "seed_everything",
}
# The configurations of the package, by name.
CONFIGS = {path.stem: path for path in sorted((Path(faststyle.__file__).parent / "configs").glob("*.yaml"))}
COMMAND = {
    "name": text("a plain name, such as starry"),
    "output": text("a folder for the run"),
    "push_to_hub": text("a repo of the Hub, USER/REPO"),
}


def kind_of(hint: Any) -> Kind | None:
    """Return the values that an annotation allows, or None if it gives only a type."""
    if get_origin(hint) is Annotated:
        return hint.__metadata__[0]
    if get_origin(hint) is Literal:
        return one_of(map(str, get_args(hint)))
    if hint is bool:
        return TRUE_OR_FALSE
    return next(filter(None, map(kind_of, get_args(hint))), None)


def find_kinds() -> dict[str, Kind]:
    """Return the values that each option allows, by its key, such as model.style_weight."""
    found: dict[str, Kind | None] = {}
    for group, functions in GROUPS.items():
        for hints in (get_type_hints(function, include_extras=True) for function in functions):
            found |= {f"{group}.{name}": kind_of(hint) for name, hint in hints.items()}
    found |= {f"trainer.{name}": kind for name, kind in TRAINER_KINDS.items()}
    return COMMAND | {LINKED.get(key, key): kind for key, kind in found.items() if kind is not None}


KINDS = find_kinds()
KNOWN = [*KINDS, *GROUPS, "resume", "config", "help", "print_config"]


def option(key: str) -> str:
    """Return the option for a key such as model.size, or for a parameter named in an error of the library."""
    names = [known for known in KNOWN if known.rpartition(".")[2] == key]
    return f"--{(names or [key])[0].replace('push_to_hub', 'push-to-hub')}"


def invalid_value(key: str, value: Any, why: str = "") -> InputError:
    """Return the error for a value that an option does not allow."""
    if isinstance(value, str) and len(value) > 60:
        value = f"{value[:56]} …"
    return InputError(f"{option(key)} {KINDS[key].refusal(value)}{why}")


def unknown_option(name: str) -> InputError:
    """Return the error for an unknown option, with the most similar option."""
    typed = name.partition("=")[0]
    if (key := typed.removeprefix("--")) in LINKED:
        return InputError(f"--{key} is given as --{LINKED[key]}")
    near = difflib.get_close_matches(typed, map(option, KNOWN), n=1)
    hint = f"did you mean {near[0]}?" if near and typed.startswith("-") else HELP
    return InputError(f"there is no option {typed!r}: {hint}")


def check(config: Any) -> None:
    """Check the values of a parsed configuration.

    Raises:
        InputError: An option does not allow its value.
    """
    for key, kind in KINDS.items():
        value = config.get(key)
        if value is not None and not kind.fits(value):
            raise invalid_value(key, value)


def find_config(name: str) -> str:
    """Return the file of a configuration: one of the package by name, or the file itself.

    Args:
        name: A file, or a name such as quick or configs/quick.yaml.
    """
    path = Path(name)
    is_packaged = path.stem in CONFIGS and name in (
        path.stem,
        f"{path.stem}.yaml",
        f"configs/{path.stem}.yaml",
    )
    return str(CONFIGS[path.stem]) if is_packaged and not path.is_file() else name


def check_file(name: str) -> None:
    """Check that a --config is a YAML file of options, because jsonargparse's errors on it are unclear.

    Raises:
        InputError: The file does not exist, is no YAML, or holds something else than options.
    """
    expected = f"--config {name!r} must be a YAML file of options, or one of {', '.join(CONFIGS)}"
    try:
        found = yaml.safe_load(Path(name).read_text())
    except OSError as error:
        raise InputError(f"{expected}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{expected}: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise InputError(f"{expected}, not {found!r:.60}")
    if found.get("resume"):  # the run's saved settings would not be read
        raise InputError(f"--config {name!r} must not contain resume: add --resume to the command")
    for key, value in found.items():
        if key in GROUPS and not isinstance(value, dict):
            raise InputError(f"--{key} must be a group of options, not {value!r}")
        for full in [f"{key}.{name}" for name in value] if key in GROUPS else [key]:
            if str(full).rstrip("+") not in KNOWN:
                raise unknown_option(f"--{full}")
    if not KINDS["style"].fits(found.get("style", ["mosaic"])):
        raise invalid_value("style", found["style"])


# Only the messages of jsonargparse's exceptions hold the key and the value, in 4.40 and in 4.53.
DETAIL = re.compile(
    r'Parser key "(?P<key>.+?)"|(?:Given|Got) value: (?P<value>.*)|are required: (?P<missing>.*)'
    r"|nrecognized arguments: (?P<unknown>\S*)"
)


def explain(error: argparse.ArgumentError) -> InputError:
    """Convert an error of argparse or jsonargparse, whose messages have many lines, to a one-line error."""
    cause: BaseException | None = error
    while cause is not None:
        if names := getattr(cause, "argument_name", None):  # a value is missing, or one too many
            name = next(name for name in names.split("/") if name.startswith("--"))
            key = name.removeprefix("--").replace("-", "_")
            if key in ("resume", "help"):
                return InputError(f"{name} takes no value")
            what = KINDS[key].what if key in KINDS else "a YAML file of options"
            return InputError(f"{name} needs a value: {what}")
        cause = cause.__cause__
    found: dict[str, list[str]] = {}
    for detail in DETAIL.finditer(str(error)):
        found.setdefault(str(detail.lastgroup), []).append(detail[str(detail.lastgroup)])
    if "unknown" in found:
        return unknown_option(found["unknown"][0])
    for key in found.get("key", []):
        if (key := LINKED.get(key, key)) in KINDS:
            if "value" not in found:
                return InputError(f"{option(key)} must be {KINDS[key].what}")
            why = f" ({found['missing'][0]} is missing)" if "missing" in found else ""
            return invalid_value(key, found["value"][-1], why)
    if found.get("key", [""])[0] in GROUPS:
        return InputError(f"--{found['key'][0]} must be a YAML file of its options")
    return InputError(f"{' '.join(str(error).split())} ({HELP})")
