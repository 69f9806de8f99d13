"""The flags of ``python infer.py``, and which of them go together."""

import argparse
import re
import sys
from typing import Any, NoReturn

from faststyle.cli.optimize_options import LARGEST, RECONSTRUCT, add_slow_flags
from faststyle.cli.video_options import CAMERA, CLIPS, add_clip_flags, check_clip_flags
from faststyle.console import Parser, number, one_of, path, text, value, whole
from faststyle.models.pretrained import cards, worth

EPILOG = """examples:
  python infer.py photo.jpg --checkpoint starry_night -o out.jpg             a ready style: instantly
  python infer.py photo.jpg --checkpoint all -o sheet.jpg                    every ready style on one sheet
  python infer.py photo.jpg --checkpoint runs/my/my.safetensors -o out.jpg   a model that you trained
  python infer.py photos/ --checkpoint starry_night -o out/ --devices 8      a large collection, on 8 GPUs
  python infer.py clip.mp4 --checkpoint great_wave -o out.mp4                a clip, with its sound
  python infer.py --camera 0 --checkpoint starry_night                       a camera, live in a window
  python infer.py photo.jpg --style starry.jpg -o out.jpg                    no model: slowly, and well
  python infer.py photo.jpg --checkpoint starry.safetensors --style starry.jpg --compare report/
"""


ENGINES = ["auto", "torch", "compile", "openvino", "onnx"]  # a test compares them with inference.engines
DEVICE = value("auto, cpu, cuda, cuda:1, mps or the like", str, re.compile(r"[a-z]+(:\d{1,3})?").fullmatch)
MOST_EVALUATIONS = 10_000  # of --refine
MOST_RANKS = 1024  # processes of a machine, and machines


class Usual(int):
    """A default, which can be told from the same number when it is typed."""


class ListStyles(argparse.Action):
    """Print the ready styles, and end."""

    def __call__(self, *_: Any) -> NoReturn:
        rows: list[tuple[str, ...]] = [("NAME", "PAINTING", "PAINTER", "YEAR", "AS GOOD AS")]
        for name, card in cards().items():
            painting = card.painting
            assert painting is not None
            facts = (painting.title, painting.artist, painting.year)
            rows.append((name, *facts, f"{worth(card)} L-BFGS evaluations"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        print("\npython infer.py PHOTO.jpg --checkpoint NAME, or --checkpoint all for a sheet of every style")
        print("NAME-fast, such as starry_night-fast, does nearly the same in about half the time")
        print("NAME-steady is for clips, and taken for them by itself")
        sys.exit()


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python infer.py",
        description="Stylize pictures and clips: instantly with a trained model, or pictures slowly with a "
        "painting alone.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,  # so that what was typed can be told from what was not
    )
    add = parser.add_argument
    add(
        "inputs",
        nargs="*",
        type=path("a picture, a clip, or a folder of them"),
        default=[],
        metavar="PICTURE",
        help="picture files, clips, frames such as frames/%%04d.png, or folders of them",
    )
    add(
        "-o",
        "--output",
        type=path("a file's or a folder's name"),
        default=None,
        metavar="PATH",
        help="file for one picture or clip (or frames/%%05d.png), else a folder; without it NAME_STYLE "
        "beside each input",
    )
    add("--preserve-color", action="store_true", default=False, help="keep the photo's colours")
    add("--device", type=DEVICE, default="auto", help="auto, cpu, cuda, cuda:1, mps, … (default auto)")
    add(
        "--precision",
        default="auto",
        type=one_of(["auto", "fp32", "bf16", "fp16"]),
        metavar="NAME",
        help="default auto: bf16 where it is fast",
    )
    add(
        "--quality",
        type=whole(1, 100),
        default=Usual(92),
        metavar="1…100",
        help="of JPEG and WebP (default 92)",
    )

    add = parser.add_argument_group("with a trained model").add_argument
    add(
        "--checkpoint",
        type=text("a ready style's name, a model's file, hf://USER/REPO, or a blend of these"),
        default=None,
        metavar="MODEL",
        help="a ready style's name, or all; a model file (.safetensors or .ckpt, or pytorch/examples'); "
        "hf://USER/REPO; a blend of these, such as starry_night:0.6,great_wave:0.4",
    )
    add("--list-styles", nargs=0, action=ListStyles, help="list the ready styles")
    add(
        "--max-size",
        type=whole(16),
        metavar="PIXELS",
        help="shrink pictures and clips whose longer side has more",
    )
    add(
        "--stroke-scale",
        type=number(1, 16, auto=True),
        metavar="1…16",
        help="strokes so many times as large, or 1 for the network's own (default auto: above 640 pixels as "
        "large relative to the picture as there)",
    )
    add("--strength", type=number(0, 1), metavar="0…1", help="blend: 0 is the photo, 1 all style (default 1)")
    add(
        "--engine",
        type=one_of(ENGINES),
        metavar="ENGINE",
        help="what runs the network: torch, compile, openvino or onnx (default auto: openvino on a CPU where "
        "it is installed, else torch)",
    )
    add(
        "--refine",
        type=whole(1, MOST_EVALUATIONS),
        metavar="N",
        help="then N evaluations of the slow baseline on each image, such as 10: the best image, in seconds; "
        "with --style for models without their painting's Gram matrices, or without a model",
    )
    add(
        "--tile",
        type=whole(256),
        metavar="PIXELS",
        help="stylize tile by tile, of so many pixels a side (default: 1024 or less, only for pictures "
        "larger than memory)",
    )
    add(
        "--devices",
        type=whole(1, MOST_RANKS),
        metavar="N",
        help="for a large collection: so many processes, each with a GPU (or with its part of the CPU: "
        "--device cpu); -o names a folder, and the same command goes on with a run that was ended",
    )
    add("--num-nodes", type=whole(1, MOST_RANKS), metavar="N", help="of --devices: machines (default 1)")
    add(
        "--push-to-hub",
        type=text("a repo of the Hub, USER/REPO"),
        metavar="USER/REPO",
        help="publish the model on the Hugging Face Hub; no PICTURE",
    )
    add(
        "--export",
        type=path(),
        metavar="FILE",
        help="write the model for other runtimes: .onnx, or .pt2 for torch.export's archive; no PICTURE",
    )

    add_clip_flags(parser)
    add_slow_flags(parser)

    add = parser.add_argument_group("both side by side (--checkpoint and --style)").add_argument
    add(
        "--compare",
        type=path("a folder's name"),
        default=None,
        metavar="DIR",
        help="write a report on fast and slow into DIR",
    )
    add(
        "--sizes",
        nargs="+",
        type=whole(32, LARGEST),
        metavar="PIXELS",
        help="to compare at (default 256 512)",
    )
    return parser


COLLECTION = {"devices", "num_nodes"}
FAST = {"max_size", "stroke_scale", "strength", "engine", "tile", "refine"}
COMPARE = {"sizes"}
COMMON = {
    "inputs",
    "device",
    "precision",
    "quality",
    "checkpoint",
    "style",
    "compare",
}


def check_collection_flags(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a line where the flags of a collection are not all there."""
    if not hasattr(arguments, "devices"):
        parser.error("--num-nodes needs --devices N, of each machine")
    if arguments.checkpoint == "all":
        parser.error("--checkpoint all is a sheet of one picture: for --devices give one style")
    if not arguments.output:
        parser.error("--devices needs -o FOLDER")


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line, and end with a line where its flags do not go together."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    given = set(vars(arguments)) - COMMON
    given -= {name for name in ("output", "preserve_color") if not getattr(arguments, name)}
    if hasattr(arguments, "camera") and not isinstance(arguments.quality, Usual):
        given.add("quality")
    push, export = hasattr(arguments, "push_to_hub"), hasattr(arguments, "export")
    for flag, meant in (("--push-to-hub", push), ("--export", export)):
        if meant and arguments.inputs:
            parser.error(f"{flag} takes no pictures, only --checkpoint MODEL")
        if meant and not arguments.checkpoint:
            parser.error(f"{flag} needs --checkpoint MODEL")
    check_clip_flags(parser, arguments)
    camera = hasattr(arguments, "camera")
    if not (push or export or camera) and not arguments.inputs:
        parser.error("give a PICTURE, or a folder of them")
    if arguments.compare:
        if not (arguments.checkpoint and arguments.style):
            parser.error("--compare needs both --checkpoint and --style")
        if len(arguments.style) > 1:
            parser.error("--compare takes one --style")
        mode, allowed = "--compare", {*COMPARE, "steps"}
    elif hasattr(arguments, "refine") and arguments.style:
        if len(arguments.style) > 1:
            parser.error("--refine takes one --style")
        mode, allowed = "--refine", {*FAST, "output", "preserve_color"}
    elif arguments.checkpoint and arguments.style:
        parser.error(
            "--checkpoint stylizes with a model and --style without one: give one of them, or --compare DIR "
            "to set both side by side, or --init-checkpoint for --style to start from a model's picture"
        )
    elif push:
        mode, allowed = "--push-to-hub", {"push_to_hub"}
    elif export:
        mode, allowed = "--export", {"export"}
    elif camera:
        mode, allowed = "--camera", CAMERA
    elif arguments.checkpoint:
        mode, allowed = "--checkpoint", {*FAST, *CLIPS, "output", "preserve_color"}
        if given & COLLECTION:
            check_collection_flags(parser, arguments)
            mode, allowed = "--devices", {*FAST, *COLLECTION, "output", "preserve_color"} - {"refine"}
    elif arguments.style and hasattr(arguments, "reconstruct"):
        mode, allowed = "--reconstruct", RECONSTRUCT
    elif arguments.style:
        if {"init", "init_checkpoint"} <= given:
            parser.error("--init and --init-checkpoint are two starts: give one")
        others = FAST | COMPARE | CLIPS | CAMERA | COLLECTION
        mode, allowed = "--style", given - others | {"output", "preserve_color"}
    else:
        parser.error("give --checkpoint MODEL, or --style PAINTING for the slow baseline")
    if arguments.checkpoint == "all" and "tile" in given:
        parser.error("--tile is for large pictures, and those on the sheet of --checkpoint all are small")
    wrong = sorted(given - allowed)
    if wrong:
        hint = " alone: it is --camera's" if wrong == ["preview"] else ""
        parser.error(f"--{wrong[0].replace('_', '-')} does not go with {mode}{hint}")
    return arguments
