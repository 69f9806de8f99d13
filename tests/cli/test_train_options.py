"""Every option of train.py with values that make no sense: each gets one line, and nothing is written."""

from pathlib import Path

import pytest

from faststyle.cli.train import main
from faststyle.cli.train_options import ALLOWED, REFUSED, option
from tests.support import ROOT
from tests.support.commands import refused
from tests.support.train_options import keys, said

NONSENSE = {
    "word": "nonsense!",
    "empty": "",
    "negative": "-7",
    "zero": "0",
    "fraction": "2.5",
    "nan": "nan",
    "inf": "inf",
    "overflow": "1e999",
    "huge": "9" * 30,
    "list": "[1, 2]",
    "dict": "{a: 1.5}",
    "true": "true",
}
# What of it makes sense after all.
TEXT = {"style", "content", "name", "output", "init", "push_to_hub"}
FROM_ZERO = {"seed_everything", "data.workers", "model.blocks", "model.warmup"}
FROM_ZERO |= {"trainer.min_steps", "trainer.num_sanity_val_steps"}
NUMBERS = {"model.temporal_weight", "model.light_weight", "model.learning_rate", "model.content_weight"}
NUMBERS |= {"model.style_weight", "model.tv_weight", "trainer.gradient_clip_val"}
FLAGS = {"data.streaming", "model.compile", "trainer.logger", "trainer.enable_checkpointing"}
FLAGS |= {"trainer.enable_progress_bar", "trainer.enable_model_summary", "trainer.deterministic"}
FLAGS |= {"trainer.benchmark", "trainer.inference_mode", "trainer.use_distributed_sampler"}
FLAGS |= {"trainer.detect_anomaly", "trainer.sync_batchnorm", "trainer.enable_autolog_hparams"}
# Zero and the like, which leave a refused option as it is.
UNSET = {"fast_dev_run", "overfit_batches", "max_epochs", "min_epochs", "check_val_every_n_epoch"}
UNSET |= {"limit_train_batches", "limit_test_batches", "limit_predict_batches"}
UNSET = {f"trainer.{name}" for name in UNSET | {"reload_dataloaders_every_n_epochs"}}


def makes_sense(key: str) -> set[str]:
    if key in TEXT:
        return set(NONSENSE) - {"empty"}
    if key in FROM_ZERO | UNSET:
        return {"zero"}
    if key in NUMBERS:
        return {"zero", "fraction", "huge"}
    if key in FLAGS:
        return {"true"}
    return {"model.style_blend": {"list"}}.get(key, set())


def float_text(value: str) -> str:
    """As Python shows the number, where it is one."""
    try:
        return str(float(value))
    except ValueError:
        return value


def test_every_option_says_what_it_may_be(parser):
    assert {*keys(parser)} == {*ALLOWED, *REFUSED}
    assert not {*ALLOWED} & {*REFUSED}


@pytest.mark.slow
def test_nonsense_is_refused_with_the_option_the_value_and_what_is_allowed(parser):
    tried = 0
    for key in {*ALLOWED} - {"resume"}:
        for kind, value in NONSENSE.items():
            line = said(parser, f"{option(key)}={value}")
            assert bool(line) == (kind not in makes_sense(key)), (key, kind, line)
            tried += 1
            if line:
                assert line.startswith(f"{option(key)} must be {ALLOWED[key].what}, not "), line
                shown = line.rpartition(", not ")[2].partition("; did")[0].strip("'\"[]{}").replace("'", "")
                assert shown in (value.strip("[]{}"), float_text(value), value.title()), line
                assert "\n" not in line and "typing." not in line and "class '" not in line
    print(f"{tried} values of {len(ALLOWED)} options")


@pytest.mark.slow
def test_options_that_would_break_a_run_are_refused_with_the_reason(parser):
    for key, reason in REFUSED.items():
        taken = {kind for kind, value in NONSENSE.items() if not said(parser, f"{option(key)}={value}")}
        assert taken <= makes_sense(key) | {"empty"}, (key, taken)
        for value in ("3", "true", "nonsense!"):
            line = said(parser, f"{option(key)}={value}")
            assert line.startswith(f"{option(key)} ") and line.endswith(reason), line


def test_the_options_of_the_shipped_runs_are_taken(parser):
    assert said(parser) == ""
    for config in (ROOT / "configs").glob("*.yaml"):
        assert said(parser, "--config", str(config)) == ""


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
        ("--resume=true", "--resume must be given without a value, not 'true'"),
        ("--resume=3", "--resume must be given without a value, not '3'"),
        ("--model.style a.jpg", "--model.style is given as --style"),
        ("--model.init a.ckpt", "--model.init is given as --init"),
        ("--data.seed 3", "--data.seed is given as --seed_everything"),
        ("--trainer 3", "--trainer must be a YAML file of such options, not '3'"),
        ("--model.size hafl", "must be one of deep, half, full, fast, not 'hafl'; did you mean 'half'?"),
        ("--trainer.callbacks EarlyStopping", "(it needs monitor too)"),
        ("--trainer.strategy deepspeed", "--trainer.strategy must be one of auto, ddp, not 'deepspeed'"),
        ("--trainer.accelerator tpu", "--trainer.accelerator must be one of auto, cpu"),
        ("--config", "--config needs a value: a YAML file of options"),
        ("--resume --name", "--name needs a value: a plain name, such as starry"),
        ("--config=", "--config '' must be a YAML file of options"),
        ("--trainer.use_distributed_sampler=false", "must be true: each device has photos of its own alrea"),
        ("--trainer.limit_test_batches=2", "cannot be used here, leave it out: held-out photos are for v"),
    ],
)  # fmt: skip
def test_what_is_mistyped_is_told_in_one_line(train_flags, capsys, flags, line):
    assert line in refused(capsys, main, [*train_flags, *flags.split()])
    assert list(Path().iterdir()) == []


CONFIGS = {
    "broken": (b"trainer: [1, {", "--config 'it.yaml' must be a YAML file of options"),
    "binary": (b"\x00\xff\xfe\x80", "--config 'it.yaml' must be a YAML file of options"),
    "words": (b"hello there", "such as configs/quick.yaml, not 'hello there'"),
    "empty": (b"", "such as configs/quick.yaml, not None"),
    "list": (b"[1, 2]", "such as configs/quick.yaml, not [1, 2]"),
    "code": (b'style: !!python/object/apply:os.mkdir ["ran"]', "--config 'it.yaml' must be"),
    "deep": (b"[" * 5000, "--config 'it.yaml' must be"),
    "unknown": (b"trainer:\n  max_stepz: 3", "no option '--trainer.max_stepz': did you mean"),
    "value": (b"trainer:\n  max_steps: many", "--trainer.max_steps must be a whole number from 1"),
    "nan": (b"model:\n  learning_rate: .nan", "--model.learning_rate must be a number of 0 or more, not nan"),
    "resume": (b"resume: true", "--config 'it.yaml' must not say resume: add --resume to the command"),
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
def test_config_that_makes_no_sense_is_told_in_one_line_and_runs_nothing(tmp_path, monkeypatch, capsys, kind):
    monkeypatch.chdir(tmp_path)
    content, words = CONFIGS[kind]
    Path("it.yaml").write_bytes(content)
    before = [*tmp_path.iterdir()]
    line = refused(capsys, main, ["--config", "it.yaml"])
    assert words in line
    assert [*tmp_path.iterdir()] == before


def test_config_that_is_a_folder_is_told(tmp_path, capsys):
    assert "Is a directory" in refused(capsys, main, ["--config", str(tmp_path)])
