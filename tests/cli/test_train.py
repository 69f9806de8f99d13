"""Tests of ``python train.py``."""

import csv
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from pytorch_lightning.callbacks import LambdaCallback

from faststyle.cli.main import infer
from faststyle.cli.train import main
from faststyle.models.card import Ancestor
from faststyle.models.checkpoint import load_model
from faststyle.training import module
from tests.support import ROOT
from tests.support.networks import same_model_files
from tests.support.photo_sets import write_parquet
from tests.support.training_runs import state

CONFIGS = sorted((ROOT / "faststyle/configs").glob("*.yaml"))
RUN = Path("runs/painting")


def read_folder(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_run_writes_its_files_and_prints_the_next_command(train, photos, capsys):
    train("--trainer.log_every_n_steps=1")
    out = capsys.readouterr().out
    assert "3 steps in " in out and "held-out loss" not in out
    command = next(line for line in out.splitlines() if line.startswith("next:"))
    assert command.split()[1:] == [
        "python",
        "infer.py",
        "PHOTO.jpg",
        "--checkpoint",
        "runs/painting/painting.safetensors",
    ]
    found = {str(path.relative_to(RUN)) for path in RUN.rglob("*") if path.is_file()}
    assert {"painting.safetensors", "last.ckpt", "config.yaml", "sample.jpg"} <= found
    assert "previews/step_000003.png" in found
    assert "logs/start_0/metrics.csv" in found
    assert any("tfevents" in name for name in found)
    with Image.open(RUN / "sample.jpg") as sample, Image.open(photos / "beach.jpg") as photo:
        assert sample.size == photo.size  # the held-out photo

    rows = list(csv.DictReader((RUN / "logs/start_0/metrics.csv").open()))
    assert sum(bool(row["train/total"]) for row in rows) == 3
    assert any(row["validation/total"] for row in rows)

    infer([str(photos / "cat.png"), *command.split()[4:], "-o", "out.png"])
    with Image.open("out.png") as image:
        assert image.size == (70, 110)


@pytest.mark.slow
def test_weights_depend_only_on_the_seed(train):
    train("--name", "a")
    train("--name", "b")
    train("--name", "c", "--seed_everything=1")
    assert same_model_files(Path("runs/a/a.safetensors"), Path("runs/b/b.safetensors"))
    assert not same_model_files(Path("runs/a/a.safetensors"), Path("runs/c/c.safetensors"))


@pytest.mark.slow
def test_worker_process_does_not_change_the_weights(train):
    train("--name", "a")
    train("--name", "b", "--data.workers=1")
    assert same_model_files(Path("runs/a/a.safetensors"), Path("runs/b/b.safetensors"))


def test_config_of_a_run_reproduces_it(train):
    train()
    main(["--config", str(RUN / "config.yaml"), "--output", "again"])
    assert same_model_files(RUN / "painting.safetensors", Path("again/again.safetensors"))


def test_output_gives_the_folder_and_the_model_name(train, tmp_path):
    train("--output", str(tmp_path / "there" / "v1.5"))
    assert {"last.ckpt", "config.yaml", "sample.jpg"} <= {
        p.name for p in (tmp_path / "there" / "v1.5").iterdir()
    }
    assert len(list((tmp_path / "there" / "v1.5").glob("v1*.safetensors"))) == 1
    assert not Path("runs").exists()


def test_model_name_is_not_hidden_if_output_is_the_current_folder(train):
    train("--output", ".", "--trainer.max_steps=1")
    (model,) = (path for path in Path().iterdir() if path.name.endswith(".safetensors"))
    assert not model.name.startswith(".")


def test_name_replaces_the_name_of_the_style(train):
    train("--name", "waves", "--output", "there", "--trainer.max_steps=1")
    assert Path("there/waves.safetensors").exists()


def test_several_style_images_are_blended(train, photos):
    train("--style", str(photos / "cat.png"), str(photos / "elm.png"), "--model.style_blend=[3,1]")
    _, card = load_model("runs/cat/cat.safetensors")
    assert [style.name for style in card.style] == ["cat", "elm"]
    assert card.training.others["style_blend"] == [3, 1]


def test_init_starts_from_another_runs_model(train):
    train("--name", "first")
    # With a learning rate of 0 the weights stay as they were initialized.
    train("--name", "second", "--init", "runs/first/first.safetensors", "--model.learning_rate=0")
    assert same_model_files(Path("runs/first/first.safetensors"), Path("runs/second/second.safetensors"))


def test_run_of_an_earlier_version_resumes_without_removed_options(train):
    train("--trainer.max_steps=1")
    config = Path("runs/painting/config.yaml")
    settings = yaml.safe_load(config.read_text())
    settings["teacher"] = settings["model"]["teacher"] = None
    settings["model"] |= {"teacher_weight": 5.0, "alone": 0.7}
    first_line = config.read_text().partition("\n")[0]
    config.write_text(f"{first_line}\n{yaml.safe_dump(settings)}")
    train("--resume", "--trainer.max_steps=2")
    assert load_model(Path("runs/painting/painting.safetensors"))[1].steps == 2
    assert "teacher" not in config.read_text() and config.read_text().startswith(first_line)


@pytest.mark.slow
def test_card_records_ancestors_command_and_hardware(train):
    train("--name", "first")
    train("--name", "second", "--init", "runs/first/first.safetensors")
    options = ["--name", "third", "--init", "runs/second/second.safetensors"]
    train(*options, "--trainer.max_steps=1")
    train(*options, "--resume", "--trainer.max_steps=2")
    _, card = load_model("runs/third/third.safetensors")
    assert card.init == Ancestor("second", 3, Ancestor("first", 3))
    assert card.command.startswith("python train.py --style painting.png --content photos ")
    assert "--resume" not in card.command
    assert card.hardware.startswith("CPU, ") and card.minutes >= 0
    assert card.data.photos == 3


def test_options_override_the_config_file(train_arguments):
    Path("mine.yaml").write_text("trainer:\n  max_steps: 7\nmodel:\n  style_weight: 1.5\n")
    main(["--config", "mine.yaml", *train_arguments])
    _, card = load_model(RUN / "painting.safetensors")
    assert card.steps == 3
    assert card.training.objective.style_weight == 1.5
    written = yaml.safe_load((RUN / "config.yaml").read_text())
    assert written["model"]["style_weight"] == 1.5


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_run(train_arguments, config):
    main(["--config", str(config), *train_arguments, "--init=none", "--trainer.max_steps=1"])
    assert load_model(RUN / "painting.safetensors")[1].steps == 1


def test_training_with_another_style_statistic(train):
    train("--model.statistic", "moments", "--trainer.max_steps=2")
    _, card = load_model(RUN / "painting.safetensors")
    assert card.steps == 2 and card.training.objective.statistic == "moments"


@pytest.mark.slow
def test_mosaic_and_samples_need_no_files(train):
    train("--style", "mosaic", "--content", "samples", "--trainer.max_steps=1")
    assert load_model("runs/mosaic/mosaic.safetensors")[1].style[0].name == "mosaic"


@pytest.mark.slow
def test_parquet_files_are_streamed(train):
    write_parquet(Path("set.parquet"), 20)
    train("--content", "set.parquet", "--data.streaming=true")
    assert load_model(RUN / "painting.safetensors")[1].steps == 3


@pytest.mark.parametrize(("precision", "dtype"), [("bf16-mixed", torch.bfloat16), ("32", torch.float32)])
def test_vgg_computes_in_the_precision_of_the_run(train_arguments, precision, dtype):
    found = []
    look = LambdaCallback(on_train_start=lambda _, module: found.append(module.vgg.relu1_1_weight.dtype))
    main([*train_arguments, "--trainer.max_steps=1", f"--trainer.precision={precision}"], [look])
    assert found == [dtype]


@pytest.mark.slow
def test_command_trains_with_the_real_vgg(photos, painting):
    options = ["--style", painting, "--content", photos, "--model.style_size=64", "--data.size=64"]
    options += ["--data.workers=0", "--trainer.max_steps=1"]
    subprocess.run(
        [sys.executable, ROOT / "train.py", *options], check=True, cwd=photos.parent, capture_output=True
    )
    assert load_model(photos.parent / RUN / "painting.safetensors")[1].training.vgg == "vgg19-caffe"


@pytest.mark.slow
def test_run_of_seconds_takes_its_time_and_shows_its_start(train, monkeypatch):
    monkeypatch.setattr(module, "STARTED", time.monotonic() - 18)  # two seconds are left
    train("--seconds=20", "--trainer.log_every_n_steps=1")
    assert state()["elapsed"] >= 20 and state()["global_step"] > 0
    rows = list(csv.DictReader((RUN / "logs/start_0/metrics.csv").open()))
    crops = [int(float(path.stem.rpartition("_")[2])) for path in (RUN / "previews").iterdir()]
    assert 1 in crops and (RUN / "sample.jpg").exists()
    assert rows and not any(row.get("validation/total") for row in rows)


@pytest.mark.parametrize(("seconds", "step", "done"), [(None, 1, 1 / 3), (40.0, 1, 0.5), (20.0, 1, 1.0)])
def test_part_of_a_run_that_is_done(train_arguments, monkeypatch, seconds, step, done):
    found = []
    monkeypatch.setattr(module.StyleTransfer, "elapsed", lambda self: 20.0)
    look = LambdaCallback(on_train_start=lambda _, model: found.append(model.done(step)))
    options = ["--trainer.max_steps=3"] if seconds is None else [f"--seconds={seconds}"]
    stop = LambdaCallback(on_train_batch_end=lambda trainer, *_: setattr(trainer, "should_stop", True))
    main([*train_arguments, *options], [look, stop])
    assert found == [done]


def test_seconds_that_are_too_few_are_refused(train, capsys):
    with pytest.raises(SystemExit):
        train("--seconds=1")
    assert "--seconds must be a number from 20 to 1e+06, not 1.0" in capsys.readouterr().err


def test_seconds_of_a_stream_are_refused(train, capsys):
    with pytest.raises(SystemExit):
        train("--seconds=60", "--data.streaming=true")
    assert "--seconds cannot be used with --data.streaming" in capsys.readouterr().err


def test_help_lists_the_options(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert not caught.value.code
    out = capsys.readouterr().out
    for option in ("--style", "--content", "--name", "--output", "--init", "--resume", "--data.size"):
        assert option in out
