"""A parser whose errors are one line, and the kinds of values that flags take."""

import argparse
from collections.abc import Callable
from typing import NoReturn

from faststyle.cli import fail


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        fail(f"{message} ({self.prog} --help lists what there is)")


def number(low: float, high: float = float("inf"), below: bool = False) -> Callable[[str], float]:
    """A number from ``low`` to ``high``, or to below it, as an argparse type."""

    def parse(text: str) -> float:
        value = float(text)
        if not low <= value <= high or value == float("inf") or (below and value == high):
            allowed = (
                f"from {low:g} to {'below ' if below else ''}{high:g}"
                if high < float("inf")
                else f"{low:g} or more"
            )
            raise argparse.ArgumentTypeError(f"{text} is not {allowed}")
        return value

    parse.__name__ = "number"
    return parse


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """A whole number from ``low`` to ``high``, as an argparse type."""

    def parse(text: str) -> int:
        value = int(text)
        if value < low or (high is not None and value > high):
            allowed = f"{low} or more" if high is None else f"from {low} to {high}"
            raise argparse.ArgumentTypeError(f"{text} is not {allowed}")
        return value

    parse.__name__ = "whole number"
    return parse


def layer(text: str) -> tuple[str, float]:
    """relu3_3 or relu3_3=0.5."""
    name, _, weight = text.partition("=")
    value = float(weight or 1)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"the weight of {name} must be 0 or more, not {weight}")
    return name, value
