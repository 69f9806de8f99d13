"""Which of infer.py's flags go together, and what their values may be; every refusal is one line."""

from pathlib import Path

import pytest
from PIL import Image

from faststyle.cli import optimize_options
from faststyle.cli import options as module
from faststyle.cli.main import main
from faststyle.cli.options import Usual, build_parser, parse
from faststyle.inference.engines import ENGINES
from faststyle.losses.presets import PRESETS
from faststyle.losses.statistics import STATISTICS
from faststyle.losses.vgg import NETWORKS
from faststyle.optimization.optimization import INITS
from tests.support.commands import contents, refused

FAST = ["photo.jpg", "--checkpoint", "model.safetensors"]
SLOW = ["photo.jpg", "--style", "painting.jpg"]
BOTH = [*FAST, *SLOW[1:], "--compare", "report"]
PUSH = ["--checkpoint", "model.safetensors", "--push-to-hub", "user/repo"]
CAMERA = ["--checkpoint", "model.safetensors", "--camera", "0", "-o", "out.mp4"]
EXPORT = ["--checkpoint", "model.safetensors", "--export", "model.onnx"]
FIGURE = [*SLOW, "--reconstruct", "figure.png"]

# A value that each flag takes.
VALUES = {
    "--max-size": "64",
    "--strength": "0.5",
    "--engine": "torch",
    "--tile": "512",
    "--refine": "10",
    "--size": "64",
    "--style-size": "64",
    "--steps": "5",
    "--scales": "2",
    "--style-weight": "2",
    "--content-weight": "2",
    "--tv-weight": "2",
    "--content-layers": "relu1_1",
    "--style-layers": "relu1_1=2",
    "--statistic": "gram",
    "--preset": "gatys",
    "--blend": "1",
    "--mask": "all",
    "--style-mask": "all",
    "--match-color": None,
    "--init": "noise",
    "--init-checkpoint": "model.safetensors",
    "--seed": "1",
    "--optimizer": "adam",
    "--learning-rate": "0.1",
    "--average": "0.9",
    "--vgg": "vgg19",
    "--pooling": "avg",
    "--save-every": "2",
    "--animation": "way.gif",
    "--reconstruct": "figure.png",
    "--sizes": "64",
    "--output": "out.png",
    "--preserve-color": None,
    "--push-to-hub": "user/repo",
    "--stroke-scale": "2",
    "--export": "model.onnx",
    "--start": "1:30",
    "--end": "1:31.5",
    "--fps": "25",
    "--codec": "hevc",
    "--crf": "20",
    "--motion-blend": "0.5",
    "--camera": "0",
    "--preview": None,
    "--devices": "2",
    "--num-nodes": "2",
}
COMMON = {"--output", "--preserve-color"}
ALONE = {"--push-to-hub", "--export", "--camera"}  # they take no picture
REFINE = [*SLOW, "--refine", "10"]
FAST_FLAGS = {"--max-size", "--stroke-scale", "--strength", "--engine", "--tile", "--refine"}
CLIP_FLAGS = {"--start", "--end", "--fps", "--codec", "--crf", "--motion-blend"}
CAMERA_FLAGS = {"--camera", "--preview", "--codec", "--crf", "--motion-blend", "--max-size", "--strength"}
COLLECTION_FLAGS = {"--devices", "--num-nodes"}
FIGURE_FLAGS = {"--size", "--steps", "--scales", "--statistic", "--preset", "--optimizer", "--learning-rate"}
FIGURE_FLAGS |= {"--average", "--seed", "--vgg", "--pooling", "--reconstruct"}
# Options that make another mode of it.
OTHER_MODES = {"--checkpoint": COLLECTION_FLAGS, "--style": {"--refine"}, "--reconstruct": {"--refine"}}
MODES = {
    "--checkpoint": (FAST, FAST_FLAGS | CLIP_FLAGS | COMMON),
    "--refine": (REFINE, FAST_FLAGS | COMMON),
    "--devices": (
        [*FAST, "--devices", "2", "-o", "out"],
        FAST_FLAGS - {"--refine"} | COLLECTION_FLAGS | COMMON,
    ),
    "--style": (
        SLOW,
        set(VALUES) - FAST_FLAGS - CLIP_FLAGS - COLLECTION_FLAGS - {"--sizes", "--preview", *ALONE},
    ),
    "--compare": (BOTH, {"--sizes", "--steps"}),
    "--reconstruct": (FIGURE, FIGURE_FLAGS),
    "--push-to-hub": (PUSH, {"--push-to-hub"}),
    "--export": (EXPORT, {"--export"}),
    "--camera": (CAMERA, CAMERA_FLAGS | COMMON | {"--engine"}),
}


def typed(flag: str) -> list[str]:
    return [flag] if VALUES[flag] is None else [flag, VALUES[flag]]


def test_every_flag_is_tested_here():
    options = {action.option_strings[-1] for action in build_parser()._actions if action.option_strings}
    everywhere = {"--help", "--device", "--precision", "--quality", "--checkpoint", "--style", "--compare"}
    assert options == everywhere | {"--list-styles"} | set(VALUES)


@pytest.mark.parametrize("mode", MODES)
def test_flags_that_go_with_the_mode_are_taken(mode):
    flags, allowed = MODES[mode]
    for flag in allowed - {"--reconstruct"}:
        name = flag.lstrip("-").replace("-", "_")
        assert getattr(parse([*flags, *typed(flag)]), name) not in (None, False)


@pytest.mark.parametrize("mode", MODES)
def test_flags_that_do_not_go_with_the_mode_are_refused(mode, capsys):
    flags, allowed = MODES[mode]
    assert set(VALUES) - allowed
    for flag in set(VALUES) - allowed - ALONE - OTHER_MODES.get(mode, set()):
        line = refused(capsys, parse, [*flags, *typed(flag)])
        assert f"{flag} does not go with --" in line, flag


@pytest.mark.parametrize(
    "flags, words",
    [
        (["photo.jpg"], "give --checkpoint MODEL, or --style PAINTING"),
        (["photo.jpg", "--steps", "5"], "give --checkpoint MODEL, or --style PAINTING"),
        ([*FAST, *SLOW[1:]], "--compare DIR"),
        ([*FAST, "--compare", "report"], "--compare needs both --checkpoint and --style"),
        ([*SLOW, "--compare", "report"], "--compare needs both --checkpoint and --style"),
        ([*BOTH, "--style", "a.jpg", "b.jpg"], "--compare takes one --style"),
        ([*REFINE, "--style", "a.jpg", "b.jpg"], "--refine takes one --style"),
        (["--style", "painting.jpg"], "PICTURE"),
        ([*FAST, "--push-to-hub", "user/repo"], "takes no pictures"),
        (["--push-to-hub", "user/repo"], "needs --checkpoint MODEL"),
        (["photo.jpg", *CAMERA], "--camera takes no PICTURE"),
        (["--camera", "0"], "--camera needs --checkpoint MODEL"),
        (["--camera", "0", "--checkpoint", "all"], "one style"),
        (["--camera", "0", *SLOW[1:]], "--camera needs --checkpoint MODEL"),
        ([*CAMERA[:4], "--codec", "hevc"], "--codec is of a recording: give -o FILE"),
        ([*CAMERA[:4], "--crf", "20"], "--crf is of a recording: give -o FILE"),
        ([*CAMERA, "--quality", "92"], "--quality does not go with --camera"),
        ([*FAST, "--start", "1:00", "--end", "60"], "--start 60 is not before --end 60"),
        ([*SLOW, "--nonsense"], "--nonsense"),
        ([*SLOW, "--style-w", "3"], "--style-w"),  # no abbreviations
    ],
)
def test_what_does_not_go_together_is_told(capsys, flags, words):
    assert words in refused(capsys, parse, flags)


def test_names_are_those_of_the_registries():
    assert ["auto", *ENGINES] == module.ENGINES
    assert list(STATISTICS) == optimize_options.STATISTICS
    assert list(PRESETS) == optimize_options.PRESETS
    assert list(INITS) == optimize_options.INITS
    assert list(NETWORKS) == optimize_options.VGGS


@pytest.mark.parametrize(
    "flags, line",
    [
        ("--stlye a.jpg", "there is no option '--stlye'; did you mean --style?"),
        ("--max_size 64", "there is no option '--max_size'; did you mean --max-size?"),
        ("--statistc=gram", "there is no option '--statistc'; did you mean --statistic?"),
        ("--xyz", "there is no option '--xyz' (python infer.py --help lists what there is)"),
        ("--steps", "--steps needs a value: default 300, with --reconstruct 100"),
        ("--style-layers", "--style-layers needs a value: such as relu1_1 relu3_1=2"),
        ("--style painting.jpg -o out.png other.jpg", "'other.jpg' belongs to no option"),
        ("-o", "--output needs a value: file for one picture or clip (or frames/%05d.png), else a folder"),
        ("--preview=x", "--preview takes no value"),
        (f"--{'x' * 5000}", "there is no option '--xxx"),
    ],
)
def test_what_is_mistyped_is_told_with_the_nearest(capsys, flags, line):
    assert line in refused(capsys, parse, [*SLOW, *flags.split()])


ODD = ["nonsense!", "", " ", "-7", "0", "2.5", "nan", "inf", "1e999", "9" * 30, "[1, 2]", "{a: 1}", "a\0b"]
# What of these makes sense after all: numbers from 0, and words, of which only the registries know more.
FROM_ZERO = {
    "--strength",
    "--start",
    "--end",
    "--crf",
    "--motion-blend",
    "--style-weight",
    "--content-weight",
}
FROM_ZERO |= {"--tv-weight", "--blend", "--seed", "--learning-rate", "--average"}
UNBOUNDED = {"--style-weight", "--content-weight", "--tv-weight", "--blend"}
UNBOUNDED |= {"--learning-rate"}
FRACTIONS = {"--stroke-scale", "--fps", "--crf", "--start", "--end", *UNBOUNDED}
WORDS = {"inputs", "--output", "--checkpoint", "--push-to-hub", "--export", "--codec", "--camera", "--style"}
WORDS |= {"--mask", "--style-mask", "--init-checkpoint", "--animation", "--reconstruct", "--compare"}


def makes_sense(flag: str) -> set[str]:
    if flag in WORDS:
        return {*ODD} - {"", " ", "a\0b"}
    sense = {"0"} if flag in FROM_ZERO else set()
    sense |= {"9" * 30} if flag in UNBOUNDED else set()
    sense |= {"2.5"} if flag in FRACTIONS else set()
    return sense | (
        {"nan", "inf"} if flag == "--device" else set()
    )  # devices are named so: torch knows which


def test_each_flag_tells_what_its_value_must_be(capsys):
    tried = 0
    for action in build_parser()._actions:
        if action.nargs == 0:
            continue
        flag = action.option_strings[-1] if action.option_strings else "inputs"
        for value in ODD:
            typed = [value] if flag == "inputs" else [f"{flag}={value}"]
            if flag == "inputs" and value.startswith("-"):
                continue
            tried += 1
            if value in makes_sense(flag):
                build_parser().parse_args(typed)
                continue
            line = refused(capsys, build_parser().parse_args, typed)
            name = "PICTURE" if flag == "inputs" else flag
            assert line.startswith(f"error: {name} must be "), line
            assert f", not {value!r}" in line, line
    print(f"{tried} values")


NONSENSE = """
--size 15, --size 0, --size large, --size 64.5, --style-size 3, --steps 0, --steps -1, --steps many,
--scales 0, --style-weight -1, --style-weight nan, --style-weight inf, --content-weight -0.1,
--content-weight much, --tv-weight -1, --content-layers relu3_3=-1, --content-layers relu3_3=much,
--style-layers relu1_1=nan, --style-layers relu1_1=inf, --blend -1, --blend nan, --blend half, --seed -1,
--seed x, --learning-rate -1, --learning-rate nan, --learning-rate inf, --average 1, --average -0.1,
--average nan, --save-every 0, --save-every x, --quality 0, --quality 101, --precision fp8,
--start -1, --start x, --start 1:60, --start 1:2:3:4, --start 1::2, --start 1.5:00, --end nan, --end inf,
--end :, --fps 0, --fps 0.01, --fps 2000, --fps nan, --crf -1, --crf 64, --motion-blend 1, --motion-blend -0.1
"""


@pytest.mark.parametrize("flags", [flags.strip() for flags in NONSENSE.replace("\n", " ").split(",")])
def test_nonsense_is_refused_with_its_flag(capsys, flags):
    line = refused(capsys, parse, [*SLOW, *flags.split()])
    assert flags.split()[0] in line


def test_numbers_and_layers_are_read_as_such():
    flags = ["--style-layers", "relu1_1", "relu2_1=0.5", "--average", "0", "--learning-rate", "0"]
    arguments = parse([*SLOW, *flags, "--style-weight", "1e10"])
    assert arguments.style_layers == [("relu1_1", 1.0), ("relu2_1", 0.5)]
    assert (arguments.average, arguments.learning_rate, arguments.style_weight) == (0, 0, 1e10)


def test_times_are_read_as_seconds():
    def times(start, end):
        arguments = parse([*FAST, "--start", start, "--end", end])
        return arguments.start, arguments.end

    assert times("0", "90.5") == (0, 90.5)
    assert times("1:30", "100:00") == (90, 6000)
    assert times("0:01:30.25", "1:00:00") == (90.25, 3600)


def test_quality_is_told_from_its_default():
    assert isinstance(parse(FAST).quality, Usual) and parse(FAST).quality == 92
    assert not isinstance(parse([*FAST, "--quality", "92"]).quality, Usual)


# What only shows when there is work; nothing is written


@pytest.fixture
def infer(tmp_path, monkeypatch, photos, painting, random_vgg):
    """``python infer.py cat.png`` with the painting, in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    flags = [str(photos / "cat.png"), "--style", str(painting), "--vgg", random_vgg, "--size=32", "--steps=2"]
    return lambda *arguments: main([*flags, "--device=cpu", *map(str, arguments)])


@pytest.mark.parametrize(
    "flags, word",
    [
        ("--statistic gramm", "'gram'"),
        ("--preset gatis", "'gatys'"),
        ("--preset gatys --statistic moments", "statistic"),
        ("--optimizer adamm", "'adam'"),
        ("--init nose", "'noise'"),
        ("--vgg vgg91", "'vgg19'"),
        ("--pooling median", "max"),
        ("--device abacus", "abacus"),
        ("--style-layers relu9_9", "relu9_9"),
        ("--content-layers relu9_9", "relu9_9"),
        ("--content-weight 0 --style-weight 0", "style_weight"),
        ("--scales 9", "scales"),
        ("--blend 1 2", "blend"),
        ("--blend 0", "blend"),
        ("--mask all all", "masks"),
        ("--mask nowhere.png", "nowhere.png"),
        ("--style-mask nowhere.png", "nowhere.png"),
        ("--style nowhere.jpg", "nowhere.jpg"),
        ("--init-checkpoint nowhere.safetensors", "nowhere.safetensors"),
        ("--animation way.avi", ".gif or .mp4"),
        ("--reconstruct figure.gif", "figure.gif"),
        ("-o out.xyz", ".png"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line_and_leaves_nothing(infer, capsys, flags, word):
    extra = flags.split()
    # The figure has no other output.
    assert word in refused(
        capsys, infer, *extra, *([] if {"-o", "--reconstruct"} & {*extra} else ["-o", "o.png"])
    )
    assert list(Path().iterdir()) == []


def test_black_mask_is_refused(infer, capsys, tmp_path):
    Image.new("L", (20, 20)).save(tmp_path / "black.png")
    assert "black" in refused(capsys, infer, "--mask", tmp_path / "black.png", "-o", "out.png")


def test_mask_with_a_statistic_of_neighbours_names_those_able(infer, capsys, painting):
    line = refused(capsys, infer, "--mask", painting, "--statistic", "mrf", "-o", "out.png")
    assert "histogram" in line and "sliced-wasserstein" in line


def test_nothing_that_is_read_is_written_over(infer, capsys, photos, painting):
    before = contents(photos), painting.read_bytes()
    for flags in (
        ("-o", painting),
        ("-o", photos / "cat.png"),
        ("-o", "o.png", "--mask", photos / "elm.png", "--animation", photos / "elm.png"),
        ("-o", photos / "elm.png", "--style-mask", photos / "elm.png"),
        ("--reconstruct", photos / "cat.png"),
        ("--reconstruct", painting),
    ):
        assert "overwrite" in refused(capsys, infer, *flags)
    assert (contents(photos), painting.read_bytes()) == before


def test_output_by_a_ring_of_links_is_told_in_one_line(infer, capsys):
    Path("ring").symlink_to("ring")
    assert "ring" in refused(capsys, infer, "-o", "ring/out.png")
    frames = ["ring/%03d.png", "--checkpoint", "model.safetensors"]
    assert "ring" in refused(capsys, main, frames)
    assert "model.safetensors" in refused(capsys, main, [*CAMERA[:2], "--camera", "ring", "-o", "out.mp4"])


def test_animation_of_several_pictures_is_refused(infer, capsys, photos):
    line = refused(capsys, main, [str(photos), "--style", str(photos / "cat.png"), "--animation", "way.gif"])
    assert "--animation" in line


def test_figure_of_several_pictures_or_paintings_is_refused(infer, capsys, photos, painting):
    figure = ["--reconstruct", "figure.png"]
    assert "--reconstruct" in refused(capsys, infer, *figure, "--style", painting, photos / "cat.png")
    several = [str(photos / "cat.png"), str(photos / "elm.png"), "--style", str(painting), *figure]
    assert "--reconstruct" in refused(capsys, main, several)
