"""Access to the option parser of train.py."""

import functools
from unittest.mock import patch

import jsonargparse
import pytest

from faststyle.cli import train
from faststyle.cli.train_options import LINKED, check, explain
from faststyle.errors import InputError


@functools.cache
def train_parser() -> jsonargparse.ArgumentParser:
    """Build the parser of train.py."""

    class Stop(Exception):
        pass

    class Stopped(train.TrainCLI):
        def parse_arguments(self, parser, args):
            raise Stop(parser)

    with patch.object(train, "TrainCLI", Stopped), pytest.raises(Stop) as caught:
        train.parse([])
    return caught.value.args[0]


def keys(parser) -> list[str]:
    """Return the keys of all options except those that print something or read a configuration file."""
    found = [action.dest for action in parser._actions if action.option_strings]
    others = {"help", "config", "print_config", "trainer", "model", "data", "previews", *LINKED}
    return [key for key in found if key not in others and not key.endswith(".help")]


def option_error(parser, *argv: str) -> str:
    """Return the error line for these options, or an empty string if they are valid."""
    try:
        check(parser.parse_args([*argv]))
    except InputError as error:
        return str(error)
    except jsonargparse.ArgumentError as error:
        return str(explain(error))
    return ""
