"""Tests of ``python train.py``."""

import csv
import gc
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from faststyle.cli.main import infer
from faststyle.cli.train import main
from faststyle.errors import InputError
from faststyle.models.card import Ancestor, ModelCard
from faststyle.models.checkpoint import load_model, save_model
from faststyle.models.network import TransformerNetwork
from faststyle.training.module import StyleTransfer
from tests.support import ROOT
from tests.support.commands import expect_error_line
from tests.support.images import draw_image
from tests.support.photo_sets import write_parquet

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
RUN = Path("runs/painting")


def same_weights(first: Path, second: Path) -> bool:
    a, b = load_file(first), load_file(second)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def read_folder(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Runs and the files they write


def test_run_writes_its_files_and_prints_the_next_command(train, photos, capsys):
    train("--trainer.log_every_n_steps=1")
    out = capsys.readouterr().out
    assert "3 steps" in out
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
    assert same_weights(Path("runs/a/a.safetensors"), Path("runs/b/b.safetensors"))
    assert not same_weights(Path("runs/a/a.safetensors"), Path("runs/c/c.safetensors"))


@pytest.mark.slow
def test_worker_process_does_not_change_the_weights(train):
    train("--name", "a")
    train("--name", "b", "--data.workers=1")
    assert same_weights(Path("runs/a/a.safetensors"), Path("runs/b/b.safetensors"))


def test_config_of_a_run_reproduces_it(train):
    train()
    main(["--config", str(RUN / "config.yaml"), "--output", "again"])
    assert same_weights(RUN / "painting.safetensors", Path("again/again.safetensors"))


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
    assert same_weights(Path("runs/first/first.safetensors"), Path("runs/second/second.safetensors"))


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
    Path("mine.yaml").write_text("trainer:\n  max_steps: 7\nmodel:\n  style_weight: 2.5\n")
    main(["--config", "mine.yaml", *train_arguments])
    _, card = load_model(RUN / "painting.safetensors")
    assert card.steps == 3
    assert card.training.objective.style_weight == 2.5
    written = yaml.safe_load((RUN / "config.yaml").read_text())
    assert written["model"]["style_weight"] == 2.5


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_run(train_arguments, config):
    main(["--config", str(config), *train_arguments, "--trainer.max_steps=1"])
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


@pytest.mark.slow
def test_command_trains_with_the_real_vgg(photos, painting):
    options = ["--style", painting, "--content", photos, "--model.style_size=64", "--data.size=64"]
    options += ["--data.workers=0", "--trainer.max_steps=1"]
    subprocess.run(
        [sys.executable, ROOT / "train.py", *options], check=True, cwd=photos.parent, capture_output=True
    )
    assert load_model(photos.parent / RUN / "painting.safetensors")[1].training.vgg == "vgg19-caffe"


def test_help_lists_the_options(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert not caught.value.code
    out = capsys.readouterr().out
    for option in ("--style", "--content", "--name", "--output", "--init", "--resume", "--data.size"):
        assert option in out


# Stopping and resuming


def stop_at(monkeypatch, step: int, error: BaseException) -> None:
    training_step = StyleTransfer.training_step

    def stopping(self, *args):
        if self.global_step == step:
            raise error
        return training_step(self, *args)

    monkeypatch.setattr(StyleTransfer, "training_step", stopping)


@pytest.mark.slow
@pytest.mark.parametrize("error", [InputError("enough"), KeyboardInterrupt(), RuntimeError("out of memory")])
def test_resumed_run_has_the_weights_of_an_uninterrupted_run(train, monkeypatch, error):
    # 6 steps with 2 of 3 photos each: step 4 is in the third pass over the photos.
    options = ["--trainer.max_steps=6", "--model.warmup=2"]
    train("--name", "whole", *options)
    with monkeypatch.context() as patch:
        stop_at(patch, 3, error)
        with pytest.raises((SystemExit, RuntimeError)):
            train("--name", "parts", *options)
    assert load_model("runs/parts/last.ckpt")
    assert load_model("runs/parts/parts.safetensors")[1].steps == 3
    main(["--resume", "--name", "parts"])
    assert load_model("runs/parts/parts.safetensors")[1].steps == 6
    assert same_weights(Path("runs/whole/whole.safetensors"), Path("runs/parts/parts.safetensors"))


def test_ctrl_c_prints_the_command_to_resume(train, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        stop_at(patch, 2, KeyboardInterrupt())
        with pytest.raises(SystemExit) as caught:
            train()
    assert caught.value.code not in (0, None)
    lines = capsys.readouterr().err.splitlines()
    (line,) = (line for line in lines if "python train.py" in line)
    main(line.split("train.py")[1].split("goes on")[0].split())
    assert load_model(RUN / "painting.safetensors")[1].steps == 3


def test_each_start_writes_its_own_log(train):
    train("--trainer.max_steps=2", "--trainer.log_every_n_steps=1")
    train("--resume", "--trainer.max_steps=4", "--trainer.log_every_n_steps=1")
    steps = []
    for start in ("start_0", "start_1"):
        rows = csv.DictReader((RUN / "logs" / start / "metrics.csv").open())
        steps.append([int(row["step"]) for row in rows if row["train/total"]])
    assert steps == [[0, 1], [2, 3]]


def test_validation_interval_counts_steps_when_gradients_are_accumulated(train):
    train("--trainer.max_steps=4", "--trainer.val_check_interval=2", "--trainer.accumulate_grad_batches=2")
    rows = csv.DictReader((RUN / "logs/start_0/metrics.csv").open())
    # Lightning logs validation under the previous step, and once more at the end.
    assert [int(row["step"]) for row in rows if row["validation/total"]] == [1, 3, 4]


def test_finished_run_can_be_resumed_with_more_steps(train):
    train("--trainer.max_steps=2")
    train("--resume", "--trainer.max_steps=4")
    assert load_model(RUN / "painting.safetensors")[1].steps == 4


def test_resuming_a_finished_run_keeps_its_weights(train):
    train()
    before = load_file(RUN / "painting.safetensors")
    main(["--resume", "--output", str(RUN)])
    after = load_file(RUN / "painting.safetensors")
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.slow
def test_run_resumes_after_its_init_model_was_deleted(train):
    train("--name", "first")
    train("--name", "second", "--init", "runs/first/first.safetensors")
    Path("runs/first/first.safetensors").unlink()
    main(["--resume", "--name", "second", "--trainer.max_steps=4"])
    assert load_model("runs/second/second.safetensors")[1].steps == 4


def test_starting_over_an_existing_run_is_refused(train, capsys):
    train()
    before = read_folder(RUN)
    assert "--resume" in expect_error_line(capsys, train)
    assert read_folder(RUN) == before


def test_network_cannot_be_changed_on_resume(train, capsys):
    train()
    assert "--model.blocks" in expect_error_line(capsys, train, "--resume", "--model.blocks=2")


def test_resumed_run_keeps_settings_that_a_new_config_does_not_name(train, tmp_path):
    train("--model.style_weight=2.5")
    (tmp_path / "longer.yaml").write_text("trainer:\n  max_steps: 4\n")
    main(["--resume", "--name", "painting", "--config", str(tmp_path / "longer.yaml")])
    card = load_model(RUN / "painting.safetensors")[1]
    assert card.steps == 4 and card.training.objective.style_weight == 2.5


def test_folder_with_other_files_is_refused_as_output(train, photos, capsys):
    before = read_folder(photos)
    assert "not an empty folder" in expect_error_line(capsys, train, "--output", str(photos))
    assert read_folder(photos) == before


def test_next_command_is_quoted(train, capsys):
    train("--name", "my style")
    assert "--checkpoint 'runs/my style/my style.safetensors'" in capsys.readouterr().out


def test_resume_without_a_run_is_refused(train, capsys):
    assert "nothing to resume" in expect_error_line(capsys, train, "--resume")
    assert not Path("runs").exists()


def test_resume_from_a_damaged_checkpoint_is_refused_and_keeps_it(train, capsys):
    train()
    state = (RUN / "last.ckpt").read_bytes()
    (RUN / "last.ckpt").write_bytes(state[: len(state) // 2])
    before = read_folder(RUN)
    assert "last.ckpt" in expect_error_line(capsys, train, "--resume")
    assert read_folder(RUN) == before


# Refused options and bad photos


@pytest.mark.slow
@pytest.mark.parametrize(
    "options, word",
    [
        ("--nonsense 3", "--nonsense"),
        ("--trainer.max_steps many", "max_steps"),
        ("--trainer.max_steps 0", "max_steps"),
        ("--trainer.max_steps -1", "max_steps"),
        ("--trainer.precision 7", "precision"),
        ("--trainer.accelerator abacus", "abacus"),
        ("--trainer.default_root_dir there", "--output"),
        ("--data.size 31", "--data.size"),
        ("--data.size large", "size"),
        ("--data.batch_size 0", "--data.batch_size"),
        ("--data.workers -1", "workers"),
        ("--model.vgg vgg18", "vgg19"),
        ("--model.pooling median", "max"),
        ("--model.size huge", "full"),
        ("--model.preset jonson", "johnson"),
        ("--model.preset gatys --model.statistic moments", "Gram"),
        ("--model.statistic covarianse", "covariance"),
        ("--model.statistic style-swap", "style-swap"),
        ("--model.content_weight 0 --model.style_weight 0", "style_weight"),
        ("--model.style_layers {relu9_9:1.0}", "relu9_9"),
        ("--model.style_blend [1,2]", "blend"),
        ("--model.learning_rate -1", "learning_rate"),
        ("--model.style_weight -1", "style_weight"),
        ("--model.style_size 4", "style_size"),
        ("--trainer.strategy ddp_spawn", "--trainer.strategy"),
        ("--previews.every_n_steps 0", "every_n_steps"),
        ("--previews.photos 0", "photos"),
        ("--style nowhere.jpg", "nowhere.jpg"),
        ("--content nowhere", "nowhere"),
        ("--config nowhere.yaml", "nowhere.yaml"),
        ("--init nowhere.safetensors", "nowhere.safetensors"),
        ("--name a/b", "--name"),
        ("--resum", "--resum"),  # no abbreviations
    ],
)
def test_invalid_option_is_refused_in_one_line_and_writes_nothing(train, capsys, options, word):
    assert word in expect_error_line(capsys, train, *options.split())
    assert list(Path().iterdir()) == []


def test_photo_as_content_is_refused(train, photos, capsys):
    assert "folder" in expect_error_line(capsys, train, "--content", str(photos / "beach.jpg"))


def test_init_of_another_size_is_refused(train, capsys):
    save_model(Path("full.safetensors"), TransformerNetwork("full", blocks=1), ModelCard())
    assert "--model.size" in expect_error_line(
        capsys, train, "--init", "full.safetensors", "--model.size=half"
    )
    assert not Path("runs").exists()


def test_style_that_is_not_an_image_is_refused(train, capsys):
    Path("style.jpg").write_text("not an image")
    assert "style.jpg" in expect_error_line(capsys, train, "--style", "style.jpg")


def test_config_that_is_not_yaml_is_refused(train, capsys):
    Path("mine.yaml").write_text("trainer: [1, {")
    assert expect_error_line(capsys, train, "--config", "mine.yaml")


def test_bad_photos_are_named_and_counted_and_training_continues(train, photos, caplog, capsys):
    for i in range(3):
        (photos / f"corrupt{i}.jpg").write_bytes(b"not an image")
    train("--trainer.max_steps=6")
    for i in range(3):
        assert sum(f"corrupt{i}.jpg" in record.getMessage() for record in caplog.records) == 1
    # Photos skipped before the resume still count, although they are readable now.
    for path in photos.glob("corrupt*"):
        path.write_bytes((photos / "beach.jpg").read_bytes())
    capsys.readouterr()
    train("--resume", "--trainer.max_steps=7")
    assert "skipped: 3 photos that could not be used" in capsys.readouterr().out


@pytest.mark.slow
def test_run_without_any_readable_photo_prints_one_error_line(train, tmp_path, capsys):
    for part in ("train", "validation"):
        (tmp_path / "mixed" / part).mkdir(parents=True)
    draw_image(64, 64).save(tmp_path / "mixed" / "validation" / "good.png")
    (tmp_path / "mixed" / "train" / "bad.png").write_bytes(b"not an image")
    for workers in (0, 1):
        with pytest.raises(SystemExit) as caught:
            train(
                "--content", str(tmp_path / "mixed"), f"--data.workers={workers}", "--name", f"run{workers}"
            )
        assert caught.value.code == 2
        last = capsys.readouterr().err.strip().splitlines()[-1]
        assert "error: " in last and "bad.png" in last
    gc.collect()  # otherwise PyTorch waits 5 seconds for the worker during another test


def test_progress_bar_can_be_disabled(train, capsys):
    train("--trainer.enable_progress_bar=false", "--trainer.max_steps=1")
    printed = capsys.readouterr()
    assert "it/s" not in printed.out + printed.err


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_training_runs_on_a_gpu(train):
    train("--trainer.accelerator=gpu", "--trainer.devices=1", "--trainer.precision=bf16-mixed")
    network, card = load_model(RUN / "painting.safetensors")
    assert card.steps == 3
    assert all(parameter.isfinite().all() for parameter in network.parameters())


def test_push_to_hub_is_checked_before_training_and_done_after_it(train, capsys, monkeypatch):
    from faststyle.models import hub

    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "such as you/nowhere" in expect_error_line(capsys, train, "--push-to-hub", "nowhere")
    assert not RUN.exists()

    pushed = []
    monkeypatch.setattr("faststyle.cli.train.check_push", lambda repo: None)
    monkeypatch.setattr(
        hub,
        "push",
        lambda path, repo, card, sample: pushed.append((repo, card.name, sample.name)) or "page",
    )
    train("--push-to-hub", "user/repo")
    assert pushed == [("user/repo", "painting", "sample.jpg")]
    assert "on the Hub: page" in capsys.readouterr().out
