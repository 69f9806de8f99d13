"""The flags of the slow baseline, ``python infer.py --style``."""

import argparse

from faststyle.console import layer, number, one_of, path, text, whole

# The keys of registries that cannot be imported without torch; a test compares them.
STATISTICS = ["gram", "covariance", "moments", "moments-4", "mmd-linear", "mmd-polynomial", "mmd-gaussian"]
STATISTICS += ["histogram", "sliced-wasserstein", "wasserstein", "mrf", "style-swap", "deep-correlation"]
PRESETS = ["relative", "gatys", "coursera", "cs231n", "johnson"]
INITS = ["content", "noise", "content+noise"]
VGGS = ["vgg19-caffe", "vgg19", "vgg16"]
LARGEST = 20_000  # pixels of a longer side: more fits into no memory
RECONSTRUCT = {"reconstruct", "size", "steps", "scales", "statistic", "preset", "optimizer", "learning_rate"}
RECONSTRUCT |= {"average", "seed", "vgg", "pooling"}


def add_slow_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("without one: the slow baseline, which optimizes the picture itself")
    add = group.add_argument
    add(
        "--style",
        nargs="+",
        type=path("a painting's file, or mosaic"),
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
        help="longer side of the painting (default three quarters of --size)",
    )
    add("--steps", type=whole(1), metavar="N", help="default 300, with --reconstruct 100, with --compare 500")
    add(
        "--scales",
        type=whole(1, 20),
        metavar="N",
        help="sizes to go through, coarse to fine, each twice the last (default: from 128 pixels on)",
    )
    add(
        "--style-weight",
        type=number(0),
        metavar="W",
        help="more painting, less photo (default the preset's; relative: 3)",
    )
    add("--content-weight", type=number(0), metavar="W", help="default the preset's; relative: 1")
    add(
        "--tv-weight",
        type=number(0),
        metavar="W",
        help="more gives smoother areas (default the preset's; relative: 1)",
    )
    add("--content-layers", nargs="+", type=layer, metavar="LAYER[=W]", help="default relu4_1=1 relu2_1=0.1")
    add(
        "--style-layers",
        nargs="+",
        type=layer,
        metavar="LAYER[=W]",
        help="such as relu1_1 relu3_1=2 relu4_1/2, which is of the image at half size",
    )
    add(
        "--statistic",
        type=one_of(STATISTICS),
        metavar="NAME",
        help="what is called style: gram (default), or see docs/statistics.md",
    )
    add(
        "--preset",
        type=one_of(PRESETS),
        metavar="NAME",
        help="formulas, layers and weights of gatys, coursera, cs231n or johnson (default relative)",
    )
    add("--blend", nargs="+", type=number(0), metavar="W", help="weight of each of several paintings")
    add(
        "--mask",
        nargs="+",
        type=text("a mask's file, or all"),
        metavar="MASK",
        help="for each painting, a picture white where its style shall be; or all",
    )
    add(
        "--style-mask",
        nargs="+",
        type=text("a mask's file, or all"),
        metavar="MASK",
        help="for each painting, white where to take it from; or all",
    )
    add("--match-color", action="store_true", help="recolour the paintings to the photo's colours first")
    add(
        "--init",
        type=one_of(INITS),
        metavar="START",
        help="content (default), noise, or content+noise",
    )
    add(
        "--init-checkpoint",
        type=text("a ready style's name, a model's file, or hf://USER/REPO"),
        metavar="MODEL",
        help="start from a trained model's stylization: few steps then do",
    )
    add("--seed", type=whole(0, 2**63 - 1), metavar="N", help="of the noise (default 0)")
    add("--optimizer", type=one_of(["lbfgs", "adam"]), metavar="NAME", help="lbfgs (default) or adam")
    add("--learning-rate", type=number(0), metavar="R", help="default 1 with lbfgs, 0.02 with adam")
    add(
        "--average",
        type=number(0, 1, below=True),
        metavar="D",
        help="running mean of the steps, such as 0.99 with adam",
    )
    add(
        "--vgg",
        type=one_of(VGGS),
        metavar="NAME",
        help="network that judges: vgg19-caffe (default), vgg19 or vgg16",
    )
    add("--pooling", type=one_of(["max", "avg"]), metavar="NAME", help="max (default) or avg")
    add("--save-every", type=whole(1), metavar="N", help="also save every Nth step, in the folder NAME_steps")
    add(
        "--animation",
        type=path(),
        metavar="FILE",
        help="the way there, as .gif or .mp4, a frame each --save-every",
    )
    add(
        "--reconstruct",
        type=path(),
        metavar="FILE",
        help="in place of a stylization, a figure of what each layer keeps",
    )
