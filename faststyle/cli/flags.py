"""The flags of ``python infer.py``, and which of them go together."""

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

from faststyle.cli.parser import Parser, layer, number, whole
from faststyle.styles import cards, worth

EPILOG = """examples:
  python infer.py photo.jpg --checkpoint starry_night -o out.jpg             a ready style: instantly
  python infer.py photo.jpg --checkpoint all -o sheet.jpg                    every ready style on one sheet
  python infer.py photo.jpg --checkpoint runs/my/my.safetensors -o out.jpg   a model that you trained
  python infer.py photo.jpg --style starry.jpg -o out.jpg                    no model: slowly, and well
  python infer.py photo.jpg --checkpoint starry.safetensors --style starry.jpg --compare report/
"""


LARGEST = 20_000  # pixels of a longer side: more fits into no memory


class ListStyles(argparse.Action):
    """Print the ready styles, and end."""

    def __call__(self, *_: Any) -> NoReturn:
        rows: list[tuple[str, ...]] = [("NAME", "PAINTING", "PAINTER", "YEAR", "AS GOOD AS")]
        for name, card in cards().items():
            painting = card["painting"]
            facts = (painting["title"], painting["artist"], painting["year"])
            rows.append((name, *facts, f"{worth(card)} L-BFGS evaluations"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        print("\npython infer.py PHOTO.jpg --checkpoint NAME, or --checkpoint all for a sheet of every style")
        print("NAME-fast, such as starry_night-fast, does nearly the same in about half the time")
        sys.exit()


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python infer.py",
        description="Stylize pictures: instantly with a trained model, or slowly with a painting alone.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,  # so that what was typed can be told from what was not
    )
    add = parser.add_argument
    add(
        "inputs",
        nargs="*",
        type=Path,
        default=[],
        metavar="PICTURE",
        help="picture files, or folders of them",
    )
    add(
        "-o",
        "--output",
        type=Path,
        default=None,
        metavar="PATH",
        help="file for one picture, else a folder; without it NAME_STYLE beside each input",
    )
    add("--preserve-color", action="store_true", default=False, help="keep the photo's colours")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps, … (default auto)")
    add(
        "--precision",
        default="auto",
        choices=["auto", "fp32", "bf16", "fp16"],
        help="default auto: bf16 where it is fast",
    )
    add(
        "--quality",
        type=whole(1, 100),
        default=92,
        metavar="1…100",
        help="of JPEG and WebP (default 92)",
    )

    add = parser.add_argument_group("with a trained model").add_argument
    add(
        "--checkpoint",
        default=None,
        metavar="MODEL",
        help="a ready style's name, or all; a model file (.safetensors or .ckpt, or pytorch/examples'); "
        "hf://USER/REPO; a blend of these, such as starry_night:0.6,great_wave:0.4",
    )
    add("--list-styles", nargs=0, action=ListStyles, help="list the ready styles")
    add("--max-size", type=whole(16), metavar="PIXELS", help="shrink pictures whose longer side has more")
    add(
        "--stroke-scale",
        type=number(1, 16),
        metavar="1…16",
        help="strokes so many times as large, for large pictures (default 1)",
    )
    add("--strength", type=number(0, 1), metavar="0…1", help="blend: 0 is the photo, 1 all style (default 1)")
    add(
        "--engine",
        metavar="ENGINE",
        help="what runs the network: torch, compile, openvino or onnx (default auto: openvino on a CPU where "
        "it is installed, else torch)",
    )
    add(
        "--tile",
        type=whole(256),
        metavar="PIXELS",
        help="stylize tile by tile, of so many pixels a side (default: 1024 or less, only for pictures "
        "larger than memory)",
    )
    add("--push-to-hub", metavar="USER/REPO", help="publish the model on the Hugging Face Hub; no PICTURE")
    add(
        "--export",
        type=Path,
        metavar="FILE",
        help="write the model for other runtimes: .onnx, or .pt2 for torch.export's archive; no PICTURE",
    )

    group = parser.add_argument_group("without one: the slow baseline, which optimizes the picture itself")
    add = group.add_argument
    add(
        "--style",
        nargs="+",
        type=Path,
        default=None,
        metavar="PAINTING",
        help="painting, or several; mosaic is one that the package draws",
    )
    add(
        "--size",
        type=whole(16, LARGEST),
        metavar="PIXELS",
        help="longer side of the result (default 512, with --reconstruct 256)",
    )
    add(
        "--style-size",
        type=whole(16, LARGEST),
        metavar="PIXELS",
        help="longer side of the painting (default --size)",
    )
    add("--steps", type=whole(1), metavar="N", help="default 200, with --reconstruct 100, with --compare 500")
    add("--scales", type=whole(1), metavar="N", help="sizes to go through, coarse to fine (default 1)")
    add(
        "--style-weight",
        type=number(0),
        metavar="W",
        help="more painting, less photo (default the preset's; relative: 5)",
    )
    add("--content-weight", type=number(0), metavar="W", help="default the preset's; relative: 1")
    add(
        "--tv-weight",
        type=number(0),
        metavar="W",
        help="more gives smoother areas (default the preset's; relative: 1)",
    )
    add(
        "--content-layers", nargs="+", type=layer, metavar="LAYER[=W]", help="default relu2_2=0.5 relu3_3=0.5"
    )
    add(
        "--style-layers", nargs="+", type=layer, metavar="LAYER[=W]", help="such as relu1_1 relu2_1 relu3_1=2"
    )
    add("--statistic", metavar="NAME", help="what is called style: gram (default), or see docs/statistics.md")
    add(
        "--preset",
        metavar="NAME",
        help="formulas, layers and weights of gatys, coursera, cs231n or johnson (default relative)",
    )
    add("--blend", nargs="+", type=number(0), metavar="W", help="weight of each of several paintings")
    add(
        "--mask",
        nargs="+",
        metavar="MASK",
        help="for each painting, a picture white where its style shall be; or all",
    )
    add(
        "--style-mask",
        nargs="+",
        metavar="MASK",
        help="for each painting, white where to take it from; or all",
    )
    add("--match-color", action="store_true", help="recolour the paintings to the photo's colours first")
    add("--init", metavar="START", help="content (default), noise, or content+noise")
    add(
        "--init-checkpoint",
        metavar="MODEL",
        help="start from a trained model's stylization: few steps then do",
    )
    add("--seed", type=whole(0, 2**63 - 1), metavar="N", help="of the noise (default 0)")
    add("--optimizer", metavar="NAME", help="lbfgs (default) or adam")
    add("--learning-rate", type=number(0), metavar="R", help="default 1 with lbfgs, 0.02 with adam")
    add(
        "--average",
        type=number(0, 1, below=True),
        metavar="D",
        help="running mean of the steps, such as 0.99 with adam",
    )
    add("--vgg", metavar="NAME", help="network that judges: vgg19-caffe (default), vgg19 or vgg16")
    add("--pooling", metavar="NAME", help="max (default) or avg")
    add("--save-every", type=whole(1), metavar="N", help="also save every Nth step, in the folder NAME_steps")
    add(
        "--animation",
        type=Path,
        metavar="FILE",
        help="the way there, as .gif or .mp4, a frame each --save-every",
    )
    add(
        "--reconstruct",
        type=Path,
        metavar="FILE",
        help="in place of a stylization, a figure of what each layer keeps",
    )

    add = parser.add_argument_group("both side by side (--checkpoint and --style)").add_argument
    add("--compare", type=Path, default=None, metavar="DIR", help="write a report on fast and slow into DIR")
    add(
        "--sizes",
        nargs="+",
        type=whole(32, LARGEST),
        metavar="PIXELS",
        help="to compare at (default 256 512)",
    )
    return parser


FAST = {"max_size", "stroke_scale", "strength", "engine", "tile"}
COMPARE = {"sizes"}
RECONSTRUCT = {"reconstruct", "size", "steps", "scales", "statistic", "preset", "optimizer", "learning_rate"}
RECONSTRUCT |= {"average", "seed", "vgg", "pooling"}
COMMON = {
    "inputs",
    "device",
    "precision",
    "quality",
    "checkpoint",
    "style",
    "compare",
}


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line, and end with a line where its flags do not go together."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    given = set(vars(arguments)) - COMMON
    given -= {name for name in ("output", "preserve_color") if not getattr(arguments, name)}
    push, export = hasattr(arguments, "push_to_hub"), hasattr(arguments, "export")
    for flag, meant in (("--push-to-hub", push), ("--export", export)):
        if meant and arguments.inputs:
            parser.error(f"{flag} takes no pictures, only --checkpoint MODEL")
        if meant and not arguments.checkpoint:
            parser.error(f"{flag} needs --checkpoint MODEL")
    if not (push or export) and not arguments.inputs:
        parser.error("give a PICTURE, or a folder of them")
    if arguments.compare:
        if not (arguments.checkpoint and arguments.style):
            parser.error("--compare needs both --checkpoint and --style")
        if len(arguments.style) > 1:
            parser.error("--compare takes one --style")
        mode, allowed = "--compare", {*COMPARE, "steps"}
    elif arguments.checkpoint and arguments.style:
        parser.error(
            "--checkpoint stylizes with a model and --style without one: give one of them, or --compare DIR "
            "to set both side by side, or --init-checkpoint for --style to start from a model's picture"
        )
    elif push:
        mode, allowed = "--push-to-hub", {"push_to_hub"}
    elif export:
        mode, allowed = "--export", {"export"}
    elif arguments.checkpoint:
        mode, allowed = "--checkpoint", {*FAST, "output", "preserve_color"}
    elif arguments.style and hasattr(arguments, "reconstruct"):
        mode, allowed = "--reconstruct", RECONSTRUCT
    elif arguments.style:
        if {"init", "init_checkpoint"} <= given:
            parser.error("--init and --init-checkpoint are two starts: give one")
        mode, allowed = "--style", given - FAST - COMPARE
    else:
        parser.error("give --checkpoint MODEL, or --style PAINTING for the slow baseline")
    if arguments.checkpoint == "all" and "tile" in given:
        parser.error("--tile is for large pictures, and those on the sheet of --checkpoint all are small")
    wrong = sorted(given - allowed)
    if wrong:
        parser.error(f"--{wrong[0].replace('_', '-')} does not go with {mode}")
    return arguments
