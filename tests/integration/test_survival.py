"""Tests that a training run survives kills and errors in the middle of a step."""

import os
import signal
from pathlib import Path

import pytest
import torch

from benchmarks import survival, training_memory
from faststyle.cli.train import main
from faststyle.files import atomic_write
from faststyle.models.checkpoint import load_model
from faststyle.training.module import StyleTransfer
from faststyle.training.muon import Muon
from tests.support.commands import expect_error_line, read_folder
from tests.support.training_runs import RUN, SIX, resumes_exactly, state

# Killed


@pytest.mark.slow
def test_run_killed_twice_and_resumed_has_the_same_weights():
    result = survival.main(["--kills", "2", "--steps", "8"])
    assert result.kills == 2 and result.unreadable == 0 and result.difference == 0


def test_process_killed_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"old")
    child = os.fork()
    if child == 0:
        with atomic_write(path) as temporary:
            temporary.write_bytes(b"ne")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert path.read_bytes() == b"old"
    (left,) = survival.find_temporary(tmp_path)
    assert left == f".last.ckpt.{child}.tmp"


def test_max_difference_detects_one_bit():
    first = {"a": [torch.zeros(3), {"b": torch.ones(2)}]}
    second = {"a": [torch.zeros(3), {"b": torch.ones(2)}]}
    assert survival.max_difference(first, second) == 0
    second["a"][1]["b"][1] = 1 + 2**-23
    assert survival.max_difference(first, second) == 2**-23
    assert survival.max_difference({"a": 1}, {"b": 1}) == float("inf")
    assert survival.max_difference(torch.zeros(2), torch.tensor([0, float("nan")])) == float("inf")


def test_run_killed_before_its_first_checkpoint_restarts_with_the_same_command(train, capsys):
    train("--trainer.max_steps=1")
    for path in ("last.ckpt", "painting.safetensors", "sample.jpg"):
        (RUN / path).unlink()
    for path in (".config.yaml.123.tmp", ".last.ckpt.123.tmp", "previews/.step_000001.png.123.tmp"):
        (RUN / path).write_text("half")
    assert "leave out --resume to start" in expect_error_line(capsys, train, "--resume")
    train("--trainer.max_steps=1")
    assert load_model(RUN / "painting.safetensors")[1].steps == 1
    assert not list(RUN.rglob(".*"))


def test_run_killed_before_writing_anything_restarts(train):
    RUN.mkdir(parents=True)
    (RUN / ".config.yaml.123.tmp").write_text("half")
    train("--trainer.max_steps=1")
    assert (RUN / "last.ckpt").exists()


@pytest.mark.parametrize("name", ["config.yaml", "painting.safetensors", ".hidden"])
def test_folder_with_files_of_the_user_is_refused(train, capsys, name):
    RUN.mkdir(parents=True)
    (RUN / name).write_text("mine: true\n")
    assert "not an empty folder" in expect_error_line(capsys, train)
    assert read_folder(RUN) == {name: b"mine: true\n"}


def test_resuming_a_finished_run_prints_that_it_is_finished(train, capsys):
    train()
    before = read_folder(RUN)
    capsys.readouterr()
    main(["--resume", "--output", str(RUN), "--data.size=96"])
    assert "already has 3 steps" in capsys.readouterr().out
    after = read_folder(RUN)
    for name in ("last.ckpt", "painting.safetensors", "sample.jpg", "config.yaml"):
        assert after[name] == before[name]


def test_resume_writes_the_missing_sample_and_model(train, capsys):
    train()
    (RUN / "sample.jpg").unlink()
    (RUN / "painting.safetensors").unlink()
    main(["--resume", "--output", str(RUN)])
    assert "trained painting: 3 steps" in capsys.readouterr().out
    assert (RUN / "sample.jpg").exists() and load_model(RUN / "painting.safetensors")[1].steps == 3


# Errors in the middle of a step


@pytest.mark.slow
def test_partially_updated_state_is_not_saved(train, monkeypatch, frequent_checkpoints):
    with monkeypatch.context() as patch:
        adam = Muon.adam_update

        def failing(self, vector, *rest):
            if self.state[vector].get("step", 0) == 3:
                raise RuntimeError("in the middle")
            return adam(self, vector, *rest)

        patch.setattr(Muon, "adam_update", failing)
        with pytest.raises(RuntimeError, match="middle"):
            train(*SIX)
    assert state()["global_step"] == 2
    assert resumes_exactly(train)


@pytest.mark.slow
def test_error_during_accumulation_keeps_the_checkpoint_before(train, monkeypatch, frequent_checkpoints):
    flags = ["--trainer.accumulate_grad_batches=2", "--data.batch_size=1"]
    train("--name", "whole", *SIX, *flags)
    backward = StyleTransfer.on_after_backward
    with monkeypatch.context() as patch:
        batches = []

        def failing(self):
            batches.append(1)
            if len(batches) == 8:  # second batch of step 4
                raise RuntimeError("in the middle")
            return backward(self)

        patch.setattr(StyleTransfer, "on_after_backward", failing)
        with pytest.raises(RuntimeError, match="middle"):
            train(*SIX, *flags)
    assert state()["global_step"] == 2
    main(["--resume", "--output", str(RUN)])
    assert survival.compare_runs(Path("runs/whole"), RUN) == 0


@pytest.mark.slow
def test_error_in_validation_keeps_the_finished_step(train, monkeypatch):
    flags = [*SIX, "--trainer.val_check_interval=2"]
    train("--name", "whole", *flags)
    with monkeypatch.context() as patch:
        validation_step = StyleTransfer.validation_step

        def failing(self, *args):
            if self.global_step == 4:
                raise RuntimeError("in validation")
            return validation_step(self, *args)

        patch.setattr(StyleTransfer, "validation_step", failing)
        with pytest.raises(RuntimeError, match="validation"):
            train(*flags)
    assert state()["global_step"] == 4
    main(["--resume", "--output", str(RUN)])
    assert survival.compare_runs(Path("runs/whole"), RUN) == 0


# Memory


def test_memory_of_a_short_run_is_measured(train_arguments, capsys, monkeypatch):
    monkeypatch.setattr(training_memory.Watch, "measured", [])
    training_memory.main(["--workers", "0", *train_arguments])
    assert [row.step for row in training_memory.Watch.measured] == [1, 2, 3]
    assert all(row.rss >= row.pss > row.own > 100 for row in training_memory.Watch.measured)
    assert "ratio" in capsys.readouterr().out.splitlines()[-1]
