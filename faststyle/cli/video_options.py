"""The flags of clips and cameras, ``python infer.py clip.mp4`` and ``--camera``."""

import argparse
import re

from faststyle.console import MOST, number, text

CLIPS = {"start", "end", "fps", "codec", "crf", "motion_blend"}
CAMERA = {"camera", "preview", "codec", "crf", "motion_blend", "max_size", "strength", "engine"}
CAMERA |= {"output", "preserve_color"}
RECORDING = ("codec", "crf")
TIME = re.compile(r"\d+(\.\d*)?|(\d+:)?\d+:[0-5]?\d(\.\d*)?")


def seconds(text: str) -> float:
    """90, 1:30 or 0:01:30, each with a fraction or without, as an argparse type."""
    parts = reversed(text.split(":")) if TIME.fullmatch(text) else ["nan"]
    found = sum(float(part) * 60**power for power, part in enumerate(parts))
    if not found <= MOST:
        raise argparse.ArgumentTypeError(f"must be a time such as 90, 1:30 or 0:01:30, not {text!r}")
    return found


def add_clip_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("clips and cameras (--checkpoint)").add_argument
    add("--start", type=seconds, metavar="TIME", help="leave out what is before: seconds, MM:SS or H:MM:SS")
    add(
        "--end",
        type=seconds,
        metavar="TIME",
        help="leave out what is after, counted from the clip's beginning",
    )
    add(
        "--fps",
        type=number(0.1, 1000),
        metavar="N",
        help="constant frames per second (default the clip's own times; frames in a folder 25)",
    )
    add(
        "--codec",
        type=text("h264, hevc, av1, vp9, prores, ffv1, or an encoder of FFmpeg's"),
        metavar="NAME",
        help="h264, hevc, av1, vp9, prores, ffv1, or an encoder of FFmpeg's (default by the file's suffix: "
        "h264, and vp9 in .webm)",
    )
    add(
        "--crf",
        type=number(0, 63),
        metavar="N",
        help="quality as the codec counts it, less is better (default 18 with h264)",
    )
    add(
        "--motion-blend",
        type=number(0, 1, below=True),
        metavar="0…0.99",
        help="share taken from the frame before, along the motion: steadier (default 0; needs OpenCV)",
    )
    add(
        "--camera",
        type=text("a camera's number, a device or an address"),
        metavar="SOURCE",
        help="stylize a camera live, in a window, or with -o FILE until Ctrl-C: 0, a device such as "
        "/dev/video2, or an address such as rtsp://…; no PICTURE",
    )
    add("--preview", action="store_true", help="with --camera and -o: show the window too")


def check_clip_flags(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a line where clips' flags contradict each other."""
    start, end = getattr(arguments, "start", 0), getattr(arguments, "end", None)
    if end is not None and start >= end:
        parser.error(f"--start {start:g} is not before --end {end:g} (seconds)")
    if not hasattr(arguments, "camera"):
        return
    if arguments.inputs:
        parser.error("--camera takes no PICTURE: run these apart")
    if not arguments.checkpoint:
        parser.error("--camera needs --checkpoint MODEL")
    if arguments.checkpoint == "all":
        parser.error(
            "--checkpoint all is a sheet of one picture: for --camera give one style, such as starry_night"
        )
    if not arguments.output:
        for name in RECORDING:
            if hasattr(arguments, name):
                parser.error(f"--{name} is of a recording: give -o FILE too")
