"""One-line errors for every command: a parser, the kinds of values that options take, and the exit status."""

import argparse
import difflib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from faststyle.errors import InputError, error_message, name_parameters, one_line

MOST = 10**9  # of what is counted: products of it must fit into 64 bits
Type = Callable[[str], Any]


def fail(message: str) -> NoReturn:
    """End with one line on stderr and exit status 2."""
    print(f"error: {one_line(message)}", file=sys.stderr)
    sys.exit(2)


def option_name(parameter: str) -> str:
    """Return the command-line option for a parameter of the library: --max-size for max_size."""
    return f"--{parameter.replace('_', '-')}"


def error_line(
    error: InputError | OSError,
    source: Path | None = None,
    option: Callable[[str], str] = option_name,
) -> str:
    """Return an error's message as a command prints it, in one line.

    Args:
        error: The error.
        source: The file that failed, of several; its name goes before a message about something else.
        option: Returns the command's option for a parameter.
    """
    message = error_message(error)
    named = error.file if isinstance(error, InputError) else error.filename
    if source is not None and str(named) != str(source):
        message = f"{source}: {message}"
    return one_line(name_parameters(message, option))


@contextmanager
def one_line_errors(option: Callable[[str], str] = option_name) -> Iterator[None]:
    """End with one line on an InputError or OSError; other exceptions keep their traceback.

    Args:
        option: Returns the command's option for a parameter.
    """
    try:
        yield
    except (InputError, OSError) as error:
        fail(error_line(error, option=option))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        told = re.match(r"argument (?:-\w/)?(\S+): (must|expected|ignored) (.+)", message)
        if told and told[2] == "must":
            message = f"{told[1]} must {told[3]}"
        elif told and told[2] == "expected":
            message = needs_value(self._option_string_actions[told[1]])
        elif told:
            message = f"{told[1]} takes no value"
        fail(f"{message} ({self.prog} --help lists what there is)")

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        arguments, unknown = self.parse_known_args(args, namespace)
        for action in self._actions:  # to argparse "--flag=--" is a flag with an empty list
            if action.nargs in (None, "+") and getattr(arguments, action.dest, None) == []:
                self.error(needs_value(action))
        if not unknown:
            return arguments
        if os.path.isfile(unknown[0]):  # noqa: PTH113 - Path's raises what is wrong with a long name
            self.error(f"{unknown[0]!r} is taken for an option: for the file write ./{unknown[0]}")
        typed = unknown[0].partition("=")[0]
        if not typed.startswith("-"):
            self.error(f"{typed!r} belongs to no option: give what is stylized first, side by side")
        near = difflib.get_close_matches(typed, self._option_string_actions, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        self.error(f"there is no option {typed!r}{hint}")


def needs_value(action: argparse.Action) -> str:
    return f"{action.option_strings[-1]} needs a value: {(action.help or '').replace('%%', '%')}"


def value(what: str, read: Callable[[str], Any], fits: Callable[[Any], Any]) -> Type:
    """An argparse type whose one message tells what a value must be."""

    def parse(text: str) -> Any:
        try:
            found = read(text)
        except ValueError:
            found = None
        if found is None or not fits(found):
            raise argparse.ArgumentTypeError(f"must be {what}, not {text!r}")
        return found

    return parse


def number(low: float, high: float = float("inf"), below: bool = False, auto: bool = False) -> Type:
    """A number from ``low`` to ``high``, or to below it, or the word auto, as an argparse type."""
    bounds = f"from {low:g} to {'below ' if below else ''}{high:g}"

    def fits(found: float | str) -> bool:
        if isinstance(found, str):
            return True
        return low <= found <= high and found != float("inf") and not (below and found == high)

    return value(
        f"{'auto or ' * auto}a number {bounds if high < float('inf') else f'of {low:g} or more'}",
        lambda text: text if auto and text == "auto" else float(text),
        fits,
    )


def whole(low: int, high: int = MOST) -> Type:
    """A whole number from ``low`` to ``high``, as an argparse type."""
    return value(f"a whole number from {low} to {high}", int, lambda found: low <= found <= high)


def one_of(names: Iterable[str]) -> Type:
    """One of several names, as an argparse type; the nearest of them is hinted at."""

    def parse(text: str) -> str:
        if text not in names:
            near = difflib.get_close_matches(text, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise argparse.ArgumentTypeError(f"must be one of {', '.join(names)}, not {text!r}{hint}")
        return text

    return parse


def text(what: str) -> Type:
    """Words that are not empty, as an argparse type."""
    return value(what, str, lambda found: bool(found.strip()) and "\0" not in found)


def path(what: str = "a file's name") -> Type:
    """A path, as an argparse type; Path alone would take nothing for the current folder."""
    check = text(what)
    return lambda typed: Path(check(typed))


def layer(text: str) -> tuple[str, float]:
    """relu3_3 or relu3_3=0.5."""
    name, equals, weight = text.partition("=")
    expected = "a layer such as relu3_3, relu4_1/2 of the image at half size, or with a weight, relu3_3=0.5"
    if not re.fullmatch(r"relu[1-5]_[1-4](/(2|4|8|16))?", name):
        raise argparse.ArgumentTypeError(f"must be {expected}, not {text!r}")
    return name, value(expected, float, lambda found: 0 <= found < float("inf"))(weight if equals else "1")
