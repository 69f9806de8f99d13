"""The options of train.py, by its own parser."""

import functools
from unittest.mock import patch

import jsonargparse
import pytest

from faststyle.cli import train
from faststyle.cli.train_messages import explain
from faststyle.cli.train_options import check
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
    """Every option that takes a value, but those that print, and files of options."""
    links = jsonargparse._link_arguments.ActionLink
    found = [a.dest for a in parser._actions if a.option_strings and not isinstance(a, links)]
    others = {"help", "config", "print_config", "trainer", "model", "data", "previews"}
    return [key for key in found if key not in others and not key.endswith(".help")]


def said(parser, *argv: str) -> str:
    """The line on these options; empty where they are taken."""
    try:
        check(parser.parse_args([*argv]))
    except InputError as error:
        return str(error)
    except jsonargparse.ArgumentError as error:
        return str(explain(str(error)))
    return ""
