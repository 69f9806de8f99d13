"""A command line for option dataclasses, with one line for each error."""

import argparse
import difflib
import os
from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from typing import Any, Generic, NoReturn, TypeVar

from faststyle.console import fail, option_name
from faststyle.errors import InputError, name_parameters
from faststyle.options import Settings

S = TypeVar("S", bound=Settings)


class Parser(argparse.ArgumentParser, Generic[S]):
    """A command line for ``Settings``: an option for each field, and one line for each error.

    Args:
        settings: Class of the options; its docstring describes the command.
        prog: What the user types, such as "faststyle stylize".
        epilog: Text below the help.
        suggest: Returns what to say of an option that another command has, else None.
    """

    def __init__(
        self,
        settings: type[S],
        prog: str,
        epilog: str | None = None,
        suggest: Callable[[str], str | None] = lambda typed: None,
    ):
        super().__init__(
            prog=prog,
            description=settings.__doc__,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
            exit_on_error=False,
        )
        self.settings, self.suggest = settings, suggest
        self.add_settings(settings, self)

    def add_settings(self, settings: type[Settings], target: "argparse._ActionsContainer") -> None:
        """Add an option for each field; settings in settings become a group of the help."""
        for one in fields(settings):
            if nested := one.metadata.get("group"):
                title = (nested.__doc__ or "").rstrip(".").lower()
                self.add_settings(nested, self.add_argument_group(title))
            elif option_name(one.name) not in self._option_string_actions:  # two groups may share one
                add_option(target, one)

    def read(self, argv: Sequence[str] | None = None) -> S:
        """Parse a command line, and end with one line where it cannot be used."""
        try:
            found, unknown = self.parse_known_args(argv)
        except argparse.ArgumentError as error:
            action = self._option_string_actions[(error.argument_name or "").rpartition("/")[2]]
            no_value = f"{action.option_strings[-1]} takes no value"
            self.error(no_value if action.nargs == 0 else needs_value(action))
        for action in self._actions:  # to argparse "--option=--" is an option with an empty list
            if action.option_strings and getattr(found, action.dest, None) == [] and action.nargs != 0:
                self.error(needs_value(action))
        if unknown:
            self.refuse(unknown[0])
        try:
            return self.build(self.settings, vars(found))
        except InputError as error:
            self.error(name_parameters(str(error), option_name))

    def build(self, settings: type[Settings], words: dict[str, Any]) -> Any:
        """Make settings from the words typed, by field."""
        given: dict[str, Any] = {}
        for one in fields(settings):
            if nested := one.metadata.get("group"):
                given[one.name] = self.build(nested, words)
            elif one.name in words:
                given[one.name] = self.convert(one, words[one.name])
        return settings(**given)

    def convert(self, one: Field, typed: Any) -> Any:
        kind, many = one.metadata["kind"], one.metadata["many"]
        if kind is None:
            return typed
        try:
            return tuple(map(kind.parse, typed)) if many else kind.parse(typed)
        except ValueError as error:
            name = one.metadata["metavar"] if one.metadata["positional"] else option_name(one.name)
            self.error(f"{name} {error}")

    def refuse(self, word: str) -> NoReturn:
        """End with one line on a word that is no option of this command."""
        if word.startswith("-") and os.path.isfile(word):  # noqa: PTH113 - Path's raises what is wrong with a long name
            self.error(f"{word!r} looks like an option: to give the file, write ./{word}")
        typed = word.partition("=")[0]
        if not typed.startswith("-"):
            self.error(f"{typed!r} belongs to no option: give the inputs first, side by side")
        if elsewhere := self.suggest(typed):
            self.error(f"{typed} cannot be used here: {elsewhere}")
        near = difflib.get_close_matches(typed, self._option_string_actions, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        self.error(f"there is no option {typed!r}{hint}")

    def error(self, message: str) -> NoReturn:
        fail(f"{message} ({self.prog} --help lists the options)")


def add_option(target: "argparse._ActionsContainer", one: Field) -> None:
    """Add the option of one field of ``Settings``."""
    data = one.metadata
    default = one.default
    shown = "" if default in (None, False, ()) else f" (default {default_text(default)})"
    help = (data["help"] + shown).replace("%", "%%")
    if data["positional"]:
        target.add_argument(one.name, nargs="*", metavar=data["metavar"], help=help)
        return
    names = ["-o"] * (one.name == "output") + [option_name(one.name)]
    if data["kind"] is None:
        target.add_argument(*names, action="store_true", help=help)
    else:
        several: dict[str, Any] = {"nargs": "+", "action": "extend"} if data["many"] else {}
        target.add_argument(*names, metavar=data["metavar"], help=help, **several)


def default_text(default: Any) -> str:
    """Return a default as the user would type it."""
    if isinstance(default, tuple):
        return " ".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(default)


def needs_value(action: argparse.Action) -> str:
    return f"{action.option_strings[-1]} needs a value: {(action.help or '').replace('%%', '%')}"
