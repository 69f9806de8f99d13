"""Tests of refused options, bad photos and the Hub in ``python train.py``."""

import gc
from pathlib import Path

import pytest
import torch

from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import load_model, save_model
from faststyle.models.network import TransformerNetwork
from tests.support.commands import expect_error_line
from tests.support.images import draw_image

RUN = Path("runs/painting")


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
