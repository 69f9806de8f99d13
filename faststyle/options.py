"""Options: frozen dataclasses whose fields carry their default, range and help text.

The library, the commands and the web page all read the same fields, so that each is written once.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from numbers import Real
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from faststyle.errors import InputError

MAX_COUNT = 10**9  # a product of two counts must fit in 64 bits
TIME = re.compile(r"\d+(\.\d*)?|(\d+:)?\d+:[0-5]?\d(\.\d*)?")
UNSAFE_IN_NAMES = re.compile(r"[^\w.=+-]")  # in names of files
LAYER = re.compile(r"relu[1-5]_[1-4](/(2|4|8|16))?")


class Kind(NamedTuple):
    """The values that an option takes.

    Attributes:
        what: Completes the sentence "must be …".
        read: Converts a word of the command line; raises ValueError for a word that is none.
        fits: Returns True for a value in range.
        names: The choices, to suggest the nearest one.
    """

    what: str
    read: Callable[[str], Any]
    fits: Callable[[Any], bool]
    names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return what ``train.py --help`` prints beside a type."""
        return self.what

    def parse(self, word: str) -> Any:
        """Convert a word of the command line.

        Raises:
            ValueError: The word is not such a value; the message completes "--option …".
        """
        try:
            value = self.read(word)
        except ValueError:
            raise ValueError(self.refusal(word)) from None
        if not self.fits(value):
            raise ValueError(self.refusal(word))
        return value

    def refusal(self, value: Any) -> str:
        """Say what the option must be, and what was given."""
        near = difflib.get_close_matches(str(value), self.names, n=1)
        return f"must be {self.what}, not {value!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def number(low: float, high: float = math.inf, below: bool = False, auto: bool = False) -> Kind:
    """Return the kind of numbers from ``low`` to ``high``, or to below it, or the word auto."""
    bounds = f"of {low:g} or more" if high == math.inf else f"from {low:g} to {'below ' * below}{high:g}"

    def fits(value: Any) -> bool:
        if auto and isinstance(value, str):
            return value == "auto"
        in_range = is_number(value) and low <= value <= high and value < math.inf
        return in_range and not (below and value == high)

    def read(word: str) -> Any:
        return word if auto and word == "auto" else float(word)

    return Kind("auto or " * auto + f"a number {bounds}", read, fits)


def whole(low: int, high: int = MAX_COUNT) -> Kind:
    """Return the kind of whole numbers from ``low`` to ``high``."""

    def fits(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return Kind(f"a whole number from {low} to {high}", int, fits)


def one_of(names: Iterable[str]) -> Kind:
    """Return the kind of a choice between names."""
    choices = tuple(names)
    return Kind(f"one of {', '.join(choices)}", str, lambda value: value in choices, choices)


def text(what: str) -> Kind:
    """Return the kind of words that are not empty."""
    return Kind(what, str, lambda value: bool(str(value).strip()) and "\0" not in str(value))


def path(what: str = "a file's name") -> Kind:
    """Return the kind of paths; an empty word is refused, because Path reads it as the current folder."""
    check = text(what)
    return check._replace(read=lambda word: Path(check.parse(word)))


def read_seconds(word: str) -> float:
    """Convert 90, 1:30 or 0:01:30, each with or without a fraction, to seconds."""
    if not TIME.fullmatch(word):
        raise ValueError
    return sum(float(part) * 60**power for power, part in enumerate(reversed(word.split(":"))))


def seconds() -> Kind:
    """Return the kind of times."""
    fits = number(0, MAX_COUNT).fits
    return Kind("a time such as 90, 1:30 or 0:01:30", read_seconds, fits)


def read_layer(word: str) -> tuple[str, float]:
    """Convert relu3_3 or relu3_3=0.5 to the layer and its weight."""
    name, equals, weight = word.partition("=")
    return name, float(weight) if equals else 1.0


def layer() -> Kind:
    """Return the kind of VGG layers with a weight."""

    def fits(value: Any) -> bool:
        return bool(LAYER.fullmatch(value[0])) and 0 <= value[1] < math.inf

    what = "a layer such as relu3_3, relu4_1/2 of the image at half size, or with a weight, relu3_3=0.5"
    return Kind(what, read_layer, fits)


def is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def option(
    default: Any,
    help: str,
    kind: Kind | None = None,
    metavar: str | None = None,
    many: bool = False,
    positional: bool = False,
    required: bool = False,
    tag: str | None = None,
) -> Any:
    """Make a field of ``Settings``.

    Args:
        default: Value when the option is not given.
        help: One phrase, without the default.
        kind: Range of the value, or of each value where ``many``; None for a switch.
        metavar: Placeholder of the value in a command's help.
        many: The option takes one value or several, as a tuple.
        positional: A command takes the values without the option's name.
        required: The option must be given.
        tag: Part of a result's name if the value is not the default, with {} for the value. By default the
            option's name and the value. Empty for an option that does not change the result.
    """
    metadata = {"help": help, "kind": kind, "metavar": metavar, "many": many, "positional": positional}
    return field(default=default, metadata={**metadata, "required": required, "tag": tag})


def group(settings: "type[Settings]") -> Any:
    """Make a field of ``Settings`` that holds other settings."""
    return field(default_factory=settings, metadata={"group": settings})


@dataclass(frozen=True)
class Settings:
    """Base of all options: checks each value against the range of its field.

    Raises:
        InputError: A value out of range; the message names the parameter and its range.
    """

    def __post_init__(self) -> None:
        for one in fields(self):
            kind, value = one.metadata.get("kind"), getattr(self, one.name)
            if one.metadata.get("required") and not value:
                metavar = one.metadata["metavar"]
                name = metavar if one.metadata["positional"] else f"`{one.name}` {metavar}"
                raise InputError(f"give {name}: {one.metadata['help']}")
            if kind is None or value is None or value == one.default:
                continue
            several = value.items() if isinstance(value, Mapping) else value
            for item in several if one.metadata["many"] else [value]:
                if not kind.fits(item):
                    raise InputError(f"`{one.name}` {kind.refusal(item)}")

    def changed(self) -> dict[str, Any]:
        """Return the values that differ from their defaults, by name."""
        return {
            one.name: value
            for one in fields(self)
            if one.default is not MISSING and (value := getattr(self, one.name)) != one.default
        }

    def tags(self) -> list[str]:
        """Return a part of a result's name for each value that is not its default, such as s0.6."""
        found = []
        for one in fields(self):
            value, tag = getattr(self, one.name), one.metadata.get("tag")
            if one.metadata.get("group"):
                found += value.tags()
            elif tag != "" and one.name in self.changed():
                switch = one.metadata["kind"] is None
                template = tag or one.name.replace("_", "-") + "{}" * (not switch)
                found.append(UNSAFE_IN_NAMES.sub("-", template.format(tag_value(value))))
        return list(dict.fromkeys(found))  # two groups may share an option


def tag_value(value: Any) -> str:
    """Return the text of a value in a result's name, such as 0.6 or relu2_1=0.5-relu3_1=1."""
    if isinstance(value, Path):
        return value.stem
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    match value:
        case str(layer_name), float(weight):
            return f"{layer_name}={weight:g}"
    return "-".join(map(tag_value, value))


def name_result(model: str, settings: Settings) -> str:
    """Return a model's name and what differs from the defaults, such as starry_night_s0.6_color.

    Files named by it keep the results of one image in several settings apart.

    Args:
        model: Name of the model or painting.
        settings: The settings of the result.
    """
    return "_".join([model, *settings.tags()])


Precision = Literal["auto", "fp32", "bf16", "fp16"]


def device_name() -> Kind:
    """Return the kind of torch's device names."""
    fits = re.compile(r"[a-z]+(:\d{1,3})?").fullmatch
    return Kind("auto, cpu, cuda, cuda:1, mps or the like", str, lambda value: bool(fits(value)))


@dataclass(frozen=True)
class DeviceSettings(Settings):
    """What computes."""

    device: str = option(
        "auto", "cpu, cuda, cuda:1, mps, …; auto is the fastest one", device_name(), "NAME", tag=""
    )
    precision: Precision = option(
        "auto",
        "fp32, bf16 or fp16; auto is bf16 where it is fast",
        one_of(get_args(Precision)),
        "NAME",
        tag="",
    )
