"""The command ``faststyle``, and ``python infer.py``, which takes the same options without a subcommand."""

import sys
from collections.abc import Sequence
from importlib import import_module

from faststyle import __version__
from faststyle.console import command_words, fail, one_line_errors
from faststyle.parser import Parser
from faststyle.registry import choose

# Their modules import torch only in run(), so that --help answers at once.
COMMANDS = {
    "stylize": "images and videos, by a trained model: instantly",
    "train": "a model for a painting",
    "optimize": "images without a model, slowly, from a painting alone",
    "camera": "a camera, live or recorded",
    "compare": "a report on a model beside the slow baseline",
    "reconstruct": "a figure of the content and style that each VGG layer keeps",
    "export": "a model for other runtimes",
    "push": "a model to the Hugging Face Hub",
    "styles": "list the built-in styles",
    "web": "the web page",
}
APART = ("train", "web")  # which parse their own options

EXAMPLES = """examples:
  {prog} photo.jpg --checkpoint starry_night -o out.jpg             a built-in style: instantly
  {prog} photo.jpg --checkpoint all -o sheet.jpg                    every built-in style on one sheet
  {prog} photo.jpg --checkpoint runs/my/my.safetensors -o out.jpg   a model that you trained
  {prog} photos/ --checkpoint starry_night -o out/ --devices 8      a large collection, on 8 GPUs
  {prog} video.mp4 --checkpoint great_wave -o out.mp4               a video, with its sound
"""
INFER = "python infer.py"
INFER_MODES = f"""
With one of these options it runs another command; add --help to see that command's options:
  {INFER} photo.jpg --style starry.jpg                 no model: slowly, and well
  {INFER} photo.jpg --style starry.jpg --reconstruct figure.jpg
  {INFER} photos/ --checkpoint starry.safetensors --style starry.jpg --compare report/
  {INFER} --camera 0 --checkpoint starry_night         a camera, live in a window
  {INFER} --checkpoint starry_night --export model.onnx
  {INFER} --checkpoint starry.safetensors --push-to-hub USER/REPO
  {INFER} --list-styles
"""


# Options of infer.py that stand for a subcommand, each with that subcommand's option for the value.
MODES: dict[str, tuple[str, str | None]] = {
    "--list-styles": ("styles", None),
    "--push-to-hub": ("push", "--repo"),
    "--export": ("export", "--output"),
    "--compare": ("compare", "--output"),
    "--reconstruct": ("reconstruct", "--output"),
    "--camera": ("camera", "--source"),
}


def parser_of(command: str, prog: str | None = None) -> Parser:
    """Return the parser of a subcommand's options."""
    # In a module of their own where the command's imports take time.
    apart = "_options" if command in ("stylize", "optimize", "camera") else ""
    options = import_module(f"faststyle.cli.{command}{apart}").Options
    prog = prog or f"faststyle {command}"
    epilog = EXAMPLES.format(prog=prog) if command == "stylize" else ""
    epilog += INFER_MODES * (prog == INFER)
    return Parser(options, prog, epilog, suggest=lambda typed: other_command(typed, command))


def other_command(typed: str, command: str) -> str | None:
    """Return a message on the other subcommands that have the option typed; None if there are none."""
    others = [name for name in COMMANDS if name not in (command, *APART)]
    having = [name for name in others if typed in parser_of(name)._option_string_actions]
    return f"it is an option of {' and '.join(having)}" if having else None


def run_command(command: str, argv: Sequence[str], prog: str | None = None) -> None:
    """Run a subcommand; exit with status 2 where an input failed."""
    if command in APART:
        with one_line_errors():
            module = import_module("faststyle.cli.train" if command == "train" else "faststyle.web.__main__")
            return module.main(argv)
    options = parser_of(command, prog).read(argv)
    with one_line_errors():
        from faststyle.image.validation import silence_decoders  # imports Pillow

        silence_decoders()
        failures = import_module(f"faststyle.cli.{command}").run(options)
    if failures:
        sys.exit(2)


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``faststyle COMMAND …``."""
    with command_words(argv) as words:
        if not words or words[0] in ("-h", "--help"):
            print("usage: faststyle COMMAND …\n\nFast neural style transfer.\n\ncommands:")
            for name, text in COMMANDS.items():
                print(f"  {name:<13}{text}")
            print("\nfaststyle COMMAND --help lists a command's options.")
            return
        if words[0] == "--version":
            print(f"faststyle {__version__}")
            return
        with one_line_errors():
            choose("command", words[0], COMMANDS)
        run_command(words[0], words[1:])


def infer(argv: Sequence[str] | None = None) -> None:
    """Run ``python infer.py …``: the subcommand follows from the options."""
    with command_words(argv) as words:
        run_command(*find_command(words))


def find_command(words: list[str]) -> tuple[str, list[str], str]:
    """Return the subcommand for infer.py's arguments, its own arguments, and its name in messages."""
    typed = [word.partition("=")[0] for word in words]
    modes = [name for name in MODES if name in typed]
    if len(modes) > 1:
        fail(f"{modes[1]} cannot be used with {modes[0]}")
    if not modes:
        slow = "--style" in typed and not {"--checkpoint", "--refine"} & {*typed}
        return ("optimize", words, f"{INFER} --style") if slow else ("stylize", words, INFER)
    (name,) = modes
    command, option = MODES[name]
    if option is None:
        return command, [word for word in words if word != name], f"{INFER} {name}"
    if option == "--output" and {"-o", "--output"} & {*typed}:
        fail(f"--output cannot be used with {name}, which names the result")
    pairs = zip(words, typed, strict=True)
    own = [option + word.removeprefix(name) if start == name else word for word, start in pairs]
    return command, own, f"{INFER} {name}"
