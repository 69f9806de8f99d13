"""Tests of train.py options: invalid values print a one-line error and write nothing."""

import re
from contextlib import suppress
from pathlib import Path
from typing import get_args

import pytest

from faststyle.cli.train import main
from faststyle.cli.train_options import KINDS, option
from faststyle.losses import presets, settings, statistics, vgg
from faststyle.models import layout
from faststyle.training import options
from tests.support import ROOT
from tests.support.commands import expect_error_line
from tests.support.train_options import keys, option_error

NONSENSE = ["nonsense!", "", "-7", "0", "2.5", "nan", "inf", "1e999", "9" * 30, "[1, 2]", "{a: 1.5}", "true"]
TEXT = {"style", "content", "name", "output", "previews.photo", "init", "push_to_hub"}
REGISTRIES = {
    "statistics": (settings.StatisticName, statistics.STATISTICS),
    "presets": (settings.PresetName, presets.PRESETS),
    "VGGs": (settings.VGGName, vgg.NETWORKS),
    "poolings": (settings.PoolingName, vgg.POOLING),
    "sizes": (options.SizeName, layout.SIZES),
}


def values(key: str) -> dict[str, list[str]]:
    """Return valid ("good") and invalid ("bad") values of an option, derived from its error text."""
    what, names = KINDS[key].what, KINDS[key].names
    if bounds := re.search(r"a whole number from (\d+) to (\d+)", what):
        low, high = map(int, bounds.groups())
        return {"good": [f"{low}", f"{high}"], "bad": [f"{low - 1}", f"{high + 1}", f"{low}.5", "-0.0"]}
    if what == "a number of 0 or more":
        return {"good": ["0", "0.001", "1e30"], "bad": ["-0.001", "-1", "0,5"]}
    if names:
        return {"good": [*names], "bad": [f"{names[0]}{names[-1]}", f"{names[0]}x"]}
    if what.startswith("true"):
        return {"good": ["true"], "bad": ["1", "yes!"] if "or" in what else ["false"]}
    if what.startswith("left out"):
        return {"good": [], "bad": ["3", "true", "nonsense!", "[1]"]}
    return {
        "a number above 0 and up to 1": {"good": ["1", "1e-6"], "bad": ["0", "1.0001"]},
        "a time": {"good": ["00:01:30:00"], "bad": ["1:30", "00:00:00:00", "90"]},
    }.get(what.partition(" as")[0], {"good": [], "bad": []})


def is_sensible(key: str, value: str) -> bool:
    """Return True if a value of ``NONSENSE`` is valid for this option."""
    what = KINDS[key].what
    if key in TEXT:
        return value != ""
    if what.startswith("left out"):
        return value in ("", "0")  # nothing, or zero as the default is
    number = {"0", "2.5", "9" * 30} if what == "a number of 0 or more" else set()
    zero = {"0"} if what.startswith("a whole number from 0") else set()
    switch = {"true"} if what.startswith("true") else set()
    return value in number | zero | switch | ({"[1, 2]"} if key == "model.style_blend" else set())


def test_every_option_has_a_kind(parser):
    assert {*keys(parser)} == {*KINDS, "resume"}


@pytest.mark.parametrize("kind", REGISTRIES)
def test_literal_types_match_the_registry(kind):
    names, registry = REGISTRIES[kind]
    assert get_args(names) == tuple(registry)


def test_help_prints_ranges_and_choices(parser):
    printed = "".join(parser.format_help().split())  # without spaces, because help wraps lines
    assert "Annotated[int,awholenumberfrom16to20000],default:384" in printed
    assert "Literal['max','avg'],default:max" in printed
    for key, kind in KINDS.items():
        if key.partition(".")[0] in ("model", "data", "previews") and "true" not in kind.what:
            wanted = "','".join(kind.names) or kind.what.replace(" ", "")
            assert wanted in printed, key


@pytest.mark.slow
def test_error_names_the_option_the_value_and_the_allowed_values(parser):
    for key, kind in KINDS.items():
        for value in [*NONSENSE, *values(key)["bad"]]:
            line = option_error(parser, f"{option(key)}={value}")
            if value in NONSENSE and is_sensible(key, value):
                assert line == "" or kind.what.startswith("left out"), line
                continue
            assert line.startswith(f"{option(key)} must be {kind.what}, not "), (key, value, line)
            assert "\n" not in line and "typing." not in line and "class '" not in line
            shown = line.rpartition(", not ")[2].partition("; did")[0].strip("'\"[]{}").replace("'", "")
            assert shown in {value.strip("[]{}"), value.title(), *as_numbers(value)}, line


def as_numbers(value: str) -> set[str]:
    """Return the value as Python prints it, parsed as int and as float."""
    found = set()
    for type in (int, float):
        with suppress(ValueError):
            found.add(str(type(value)))
    return found


@pytest.mark.slow
def test_range_limits_and_every_choice_are_accepted(parser):
    for key in KINDS:
        for value in values(key)["good"]:
            assert option_error(parser, f"{option(key)}={value}") == "", (key, value)


def test_layers_of_a_downscaled_image_are_accepted(parser):
    assert option_error(parser, "--model.style_layers={relu2_1: 1.0, relu4_1/4: 0.5}") == ""
    assert "must be layers with weights" in option_error(parser, "--model.style_layers={relu4_1/3: 0.5}")
    assert "must be layers with weights" in option_error(parser, "--model.content_layers={relu4_1: -1}")


def test_shipped_configs_are_accepted(parser):
    assert option_error(parser) == ""
    for config in (ROOT / "faststyle/configs").glob("*.yaml"):
        assert option_error(parser, "--config", str(config)) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags, line",
    [
        ("--trainer.max_step 3", "no option '--trainer.max_step': did you mean --trainer.max_steps?"),
        ("--modle.size half", "there is no option '--modle.size': did you mean --model.size?"),
        ("--resum", "there is no option '--resum': did you mean --resume?"),
        ("--push_to_hub u/r", "there is no option '--push_to_hub': did you mean --push-to-hub?"),
        ("--xyz", "there is no option '--xyz': python train.py --help lists every option"),
        ("picture.jpg", "there is no option 'picture.jpg': python train.py --help lists every option"),
        ("--style", "--style needs a value: one or more paintings' files, or mosaic (in a config a list"),
        ("--resume=true", "--resume takes no value"),
        ("--resume=3", "--resume takes no value"),
        ("--trainer.max_epochs 3", "training is counted in steps: set --trainer.max_steps), not 3"),
        ("--model.style a.jpg", "--model.style is given as --style"),
        ("--model.init a.ckpt", "--model.init is given as --init"),
        ("--data.seed 3", "--data.seed is given as --seed_everything"),
        ("--trainer 3", "--trainer must be a YAML file of its options"),
        ("--model.size hafl", "must be one of deep, half, full, fast, not 'hafl'; did you mean 'half'?"),
        ("--trainer.callbacks EarlyStopping", "(monitor is missing)"),
        ("--trainer.strategy deepspeed", "--trainer.strategy must be one of auto, ddp, not 'deepspeed'"),
        ("--trainer.accelerator tpu", "--trainer.accelerator must be one of auto, cpu"),
        ("--config", "--config needs a value: a YAML file of options"),
        ("--resume --name", "--name needs a value: a plain name, such as starry"),
        ("--config=", "--config '' must be a YAML file of options"),
        ("--trainer.use_distributed_sampler=false", "must be true (each device has photos of its own alre"),
        ("--trainer.limit_test_batches=2", "must be left out (held-out photos are for validation"),
    ],
)  # fmt: skip
def test_mistyped_option_prints_one_error_line(train_arguments, capsys, flags, line):
    assert line in expect_error_line(capsys, main, [*train_arguments, *flags.split()])
    assert list(Path().iterdir()) == []


CONFIGS = {
    "broken": (b"trainer: [1, {", "--config 'it.yaml' must be a YAML file of options"),
    "binary": (b"\x00\xff\xfe\x80", "--config 'it.yaml' must be a YAML file of options"),
    "words": (b"hello there", "or one of default, quick, steady, not 'hello there'"),
    "empty": (b"", "or one of default, quick, steady, not None"),
    "list": (b"[1, 2]", "or one of default, quick, steady, not [1, 2]"),
    "code": (b'style: !!python/object/apply:os.mkdir ["ran"]', "--config 'it.yaml' must be"),
    "deep": (b"[" * 5000, "--config 'it.yaml' must be"),
    "unknown": (b"trainer:\n  max_stepz: 3", "no option '--trainer.max_stepz': did you mean"),
    "group": (b"modle:\n  size: half", "there is no option '--modle': did you mean --model?"),
    "linked": (b"model:\n  style: [a.jpg]", "--model.style is given as --style"),
    "value": (b"trainer:\n  max_steps: many", "--trainer.max_steps must be a whole number from 1"),
    "nan": (b"model:\n  learning_rate: .nan", "--model.learning_rate must be a number of 0 or more, not nan"),
    "resume": (b"resume: true", "--config 'it.yaml' must not contain resume: add --resume to the command"),
    "scalar": (b"model: 5", "--model must be a group of options, not 5"),
    "style": (b"style: 5", "--style must be one or more paintings' files"),
    "nul": (b'name: "a\\0b"', "--name must be a plain name, such as starry, not 'a\\x00b'"),
    "class": (
        b"trainer:\n  callbacks:\n    class_path: os.mkdir\n    init_args: {path: x}",
        "--trainer.callbacks",
    ),
    "logger": (
        b"trainer:\n  logger:\n    class_path: os.mkdir\n    init_args: {path: x}",
        "--trainer.logger",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", CONFIGS)
def test_invalid_config_prints_one_error_line_and_runs_no_code(tmp_path, monkeypatch, capsys, kind):
    monkeypatch.chdir(tmp_path)
    content, words = CONFIGS[kind]
    Path("it.yaml").write_bytes(content)
    before = [*tmp_path.iterdir()]
    line = expect_error_line(capsys, main, ["--config", "it.yaml"])
    assert words in line
    assert [*tmp_path.iterdir()] == before


def test_folder_as_config_is_refused(tmp_path, capsys):
    assert "Is a directory" in expect_error_line(capsys, main, ["--config", str(tmp_path)])
