"""Tests of command-line options: ranges, defaults, valid combinations and one-line errors."""

from collections.abc import Iterator
from dataclasses import Field, fields
from pathlib import Path
from typing import get_args

import pytest
from PIL import Image

from faststyle.cli.main import APART, COMMANDS, find_command, infer, main, parser_of
from faststyle.inference.engines.kinds import ENGINES
from faststyle.inference.settings import EngineName
from faststyle.losses.presets import PRESETS
from faststyle.losses.settings import PoolingName, PresetName, StatisticName, VGGName
from faststyle.losses.statistics import STATISTICS
from faststyle.losses.vgg import NETWORKS, POOLING
from faststyle.optimization.descent import OPTIMIZERS
from faststyle.optimization.optimization import INITS
from faststyle.optimization.settings import InitName, OptimizerName
from faststyle.options import Settings
from tests.support.commands import expect_error_line, read_folder

STYLIZE = ["photo.jpg", "--checkpoint", "model.safetensors"]
OPTIMIZE = ["photo.jpg", "--style", "painting.jpg"]
MINIMAL = {
    "stylize": STYLIZE,
    "optimize": OPTIMIZE,
    "camera": ["--checkpoint", "model.safetensors"],
    "compare": [*STYLIZE, "--style", "painting.jpg", "-o", "report"],
    "reconstruct": [*OPTIMIZE, "-o", "figure.png"],
    "export": ["--checkpoint", "model.safetensors", "-o", "model.onnx"],
    "push": ["--checkpoint", "model.safetensors", "--repo", "user/repo"],
    "styles": [],
}
BAD_VALUES = ["nonsense!", "", " ", "-7", "0", "2.5", "nan", "inf", "1e999", "9" * 30, "[1, 2]", "a\0b"]


def options_of(settings: type[Settings]) -> Iterator[Field]:
    """Yield every option, including those in groups."""
    for field in fields(settings):
        if nested := field.metadata.get("group"):
            yield from options_of(nested)
        else:
            yield field


def option_name(field: Field) -> str:
    return f"--{field.name.replace('_', '-')}"


def test_every_command_is_tested_here():
    assert MINIMAL.keys() == COMMANDS.keys() - {*APART}


@pytest.mark.parametrize("command", MINIMAL)
def test_out_of_range_values_are_refused_in_one_line(capsys, command):
    for field in options_of(parser_of(command).settings):
        kind = field.metadata["kind"]
        if kind is None:
            line = expect_error_line(
                capsys, parser_of(command).read, [*MINIMAL[command], f"{option_name(field)}=x"]
            )
            assert line.startswith(f"error: {option_name(field)} takes no value")
            continue
        if field.metadata["positional"]:
            continue
        refusals = 0
        for value in BAD_VALUES:
            try:
                kind.parse(value)
            except ValueError:
                refusals += 1
                line = expect_error_line(
                    capsys, parser_of(command).read, [*MINIMAL[command], f"{option_name(field)}={value}"]
                )
                assert line.startswith(f"error: {option_name(field)} must be ")
        assert refusals, field.name


@pytest.mark.parametrize("command", MINIMAL)
def test_options_not_given_have_the_library_defaults(command):
    options = parser_of(command).read(MINIMAL[command])
    typed = {"inputs", "checkpoint", "style", "output", "repo"}
    for field in fields(options):
        if nested := field.metadata.get("group"):
            assert getattr(options, field.name) == nested()
        elif field.name not in typed:
            assert getattr(options, field.name) == field.default


@pytest.mark.parametrize("command", MINIMAL)
def test_error_for_another_commands_option_names_that_command(capsys, command):
    own = {option_name(field) for field in options_of(parser_of(command).settings)}
    others = {option_name(field) for name in MINIMAL for field in options_of(parser_of(name).settings)} - own
    for foreign in others - {"--inputs"}:
        line = expect_error_line(capsys, parser_of(command).read, [*MINIMAL[command], foreign, "1"])
        assert f"{foreign} cannot be used here: it is an option of " in line


def test_literal_types_match_the_registries():
    assert get_args(EngineName) == ("auto", *ENGINES)
    assert get_args(StatisticName) == tuple(STATISTICS)
    assert get_args(PresetName) == tuple(PRESETS)
    assert get_args(InitName) == tuple(INITS)
    assert get_args(OptimizerName) == tuple(OPTIMIZERS)
    assert get_args(VGGName) == tuple(NETWORKS)
    assert get_args(PoolingName) == tuple(POOLING)


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--list-styles"], "styles"),
        (STYLIZE, "stylize"),
        (OPTIMIZE, "optimize"),
        ([*OPTIMIZE, "--refine", "10"], "stylize"),
        ([*STYLIZE, "--style", "painting.jpg", "--compare=report"], "compare"),
        ([*OPTIMIZE, "--reconstruct", "figure.png"], "reconstruct"),
        (["--checkpoint", "model.safetensors", "--camera", "0"], "camera"),
        (["--checkpoint", "model.safetensors", "--export", "model.onnx"], "export"),
        (["--checkpoint", "model.safetensors", "--push-to-hub", "user/repo"], "push"),
    ],
)
def test_infer_finds_the_command_from_the_options_given(words, expected):
    command, own, prog = find_command(words)
    assert command == expected
    parser_of(command, prog).read(own)


@pytest.mark.parametrize(
    "words, expected",
    [
        (["photo.jpg"], "give --checkpoint starry_night"),
        ([*STYLIZE, "--style", "painting.jpg"], "--compare DIR"),
        ([*STYLIZE, "--compare", "report"], "give --style PAINTING"),
        ([*STYLIZE, "--style", "a.jpg", "b.jpg", "--compare", "report"], "'b.jpg' belongs to no option"),
        ([*OPTIMIZE, "--reconstruct", "a.png", "-o", "b.png"], "--output cannot be used with --reconstruct"),
        ([*OPTIMIZE, "other.jpg", "--refine", "10"], "'other.jpg' belongs to no option"),
        (["photo.jpg", "--refine", "10", "--style", "a.jpg", "b.jpg"], "belongs to no option"),
        (["--style", "painting.jpg"], "give FILE: images"),
        (["photo.jpg", "--checkpoint", "m", "--push-to-hub", "user/repo"], "belongs to no option"),
        (["--push-to-hub", "user/repo"], "give --checkpoint MODEL"),
        (["photo.jpg", "--camera", "0", "--checkpoint", "m"], "belongs to no option"),
        (["--camera", "0"], "give --checkpoint MODEL"),
        (["--camera", "0", "--checkpoint", "all"], "one style"),
        (["--camera", "0", "--checkpoint", "m", "--codec", "hevc"], "--codec is for recordings"),
        ([*STYLIZE, "--start", "1:00", "--end", "60"], "--start 60 is not before --end 60"),
        ([*STYLIZE, "--num-nodes", "2"], "--num-nodes needs --devices N"),
        ([*STYLIZE, "--devices", "2"], "--devices needs --output FOLDER"),
        ([*STYLIZE, "--devices", "2", "-o", "out", "--fps", "5"], "--fps cannot be used with --devices"),
        ([*STYLIZE, "--refine", "2", "--crf", "5"], "--crf cannot be used with --refine"),
        (["photo.jpg", "--checkpoint", "all", "--tile", "512"], "--tile cannot be used with the sheet"),
        ([*OPTIMIZE, "--init", "noise", "--init-checkpoint", "m"], "are two starts"),
        ([*OPTIMIZE, "--stlye", "a.jpg"], "there is no option '--stlye'; did you mean --style?"),
        ([*OPTIMIZE, "--style-w", "3"], "there is no option '--style-w'"),
        (
            [*OPTIMIZE, "--xyz"],
            "there is no option '--xyz' (python infer.py --style --help lists the options)",
        ),
        ([*OPTIMIZE, "--steps"], "--steps needs a value: number of updates"),
        ([*OPTIMIZE, "--steps=--"], "--steps needs a value"),
        ([*OPTIMIZE, "--statistic", "gramm"], "did you mean 'gram'?"),
        ([*OPTIMIZE, "-o", "out.png", "other.jpg"], "'other.jpg' belongs to no option"),
        ([*OPTIMIZE, f"--{'x' * 5000}"], "there is no option '--xxx"),
        (["", "--checkpoint", "m"], "FILE must be an image, a video, or a folder of them, not ''"),
    ],
)
def test_error_explains_the_invalid_combination(capsys, words, expected):
    assert expected in expect_error_line(capsys, infer, words)


def test_unknown_command_suggests_the_nearest_one(capsys):
    assert "did you mean 'stylize'?" in expect_error_line(capsys, main, ["stylise", "photo.jpg"])


def test_help_lists_the_commands_and_their_options(capsys):
    main(["--help"])
    overview = capsys.readouterr().out
    assert all(f"  {command} " in overview for command in COMMANDS)
    for command in MINIMAL:
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        printed = capsys.readouterr().out
        assert ended.value.code == 0
        assert all(
            option_name(field) in printed
            for field in options_of(parser_of(command).settings)
            if not field.metadata["positional"]
        )


def test_numbers_layers_and_times_are_converted():
    words = ["--style-layers", "relu1_1", "relu2_1=0.5", "--average", "0", "--style-weight", "1e10"]
    settings = parser_of("optimize").read([*OPTIMIZE, *words]).settings
    assert settings.style_layers == (("relu1_1", 1.0), ("relu2_1", 0.5))
    assert (settings.average, settings.style_weight) == (0, 1e10)
    for start, end, expected in (
        ("0", "90.5", (0, 90.5)),
        ("1:30", "100:00", (90, 6000)),
        ("0:01:30.25", "1:00:00", (90.25, 3600)),
    ):
        video_options = parser_of("stylize").read([*STYLIZE, "--start", start, "--end", end]).clip
        assert (video_options.start, video_options.end) == expected


# Errors found after the options are parsed; nothing is written


@pytest.fixture
def optimize(work, photos, painting, random_vgg):
    """Return ``python infer.py cat.png --style PAINTING``, run in an empty folder."""
    words = [str(photos / "cat.png"), "--style", str(painting), "--vgg", random_vgg, "--size=32", "--steps=2"]
    return lambda *more: infer([*words, "--device=cpu", *map(str, more)])


@pytest.mark.parametrize(
    "words, expected",
    [
        ("--preset gatys --statistic moments", "statistic"),
        ("--device abacus", "abacus"),
        ("--content-weight 0 --style-weight 0", "style-weight"),
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
def test_unusable_value_is_refused_in_one_line_and_writes_nothing(optimize, capsys, words, expected):
    extra = words.split()
    output = [] if {"-o", "--reconstruct"} & {*extra} else ["-o", "o.png"]
    assert expected in expect_error_line(capsys, optimize, *extra, *output)
    assert list(Path().iterdir()) == []


def test_black_mask_is_refused(optimize, capsys, tmp_path):
    Image.new("L", (20, 20)).save(tmp_path / "black.png")
    assert "black" in expect_error_line(capsys, optimize, "--mask", tmp_path / "black.png", "-o", "out.png")


def test_mask_with_patch_statistic_lists_the_statistics_that_support_masks(optimize, capsys, painting):
    line = expect_error_line(capsys, optimize, "--mask", painting, "--statistic", "mrf", "-o", "out.png")
    assert "histogram" in line and "sliced-wasserstein" in line


def test_input_files_are_never_overwritten(optimize, capsys, photos, painting):
    before = read_folder(photos), painting.read_bytes()
    for words in (
        ("-o", painting),
        ("-o", photos / "cat.png"),
        ("-o", "o.png", "--mask", photos / "elm.png", "--animation", photos / "elm.png"),
        ("-o", photos / "elm.png", "--style-mask", photos / "elm.png"),
        ("--reconstruct", photos / "cat.png"),
        ("--reconstruct", painting),
    ):
        assert "overwrite" in expect_error_line(capsys, optimize, *words)
    assert (read_folder(photos), painting.read_bytes()) == before


def test_symlink_loop_is_refused_in_one_line(optimize, capsys):
    Path("loop").symlink_to("loop")
    assert "loop" in expect_error_line(capsys, optimize, "-o", "loop/out.png")
    assert "loop" in expect_error_line(capsys, infer, ["loop/%03d.png", "--checkpoint", "model.safetensors"])
    camera = ["--checkpoint", "model.safetensors", "--camera", "loop", "-o", "out.mp4"]
    assert "model.safetensors" in expect_error_line(capsys, infer, camera)


def test_animation_of_several_images_is_refused(capsys, photos, painting, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = [str(photos), "--style", str(painting), "--animation", "way.gif"]
    assert "--animation" in expect_error_line(capsys, infer, words)


def test_reconstruct_refuses_several_photos_or_paintings(optimize, capsys, photos, painting):
    figure = ["--reconstruct", "figure.png"]
    assert "belongs to no option" in expect_error_line(
        capsys, optimize, *figure, "--style", painting, photos / "cat.png"
    )
    several = [str(photos / "cat.png"), str(photos / "elm.png"), "--style", str(painting), *figure]
    assert "one photo" in expect_error_line(capsys, infer, several)
