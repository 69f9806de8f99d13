"""Tests of stopping and resuming ``python train.py``."""

import csv
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from faststyle.cli.train import main
from faststyle.errors import InputError
from faststyle.models.checkpoint import load_model
from faststyle.training.module import StyleTransfer
from tests.support.commands import expect_error_line, read_folder
from tests.support.networks import same_model_files

RUN = Path("runs/painting")


def stop_at(monkeypatch, step: int, error: BaseException) -> None:
    """Raise the error at the beginning of this training step."""
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
    assert same_model_files(Path("runs/whole/whole.safetensors"), Path("runs/parts/parts.safetensors"))


def test_ctrl_c_prints_the_command_to_resume(train, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        stop_at(patch, 2, KeyboardInterrupt())
        with pytest.raises(SystemExit) as caught:
            train()
    assert caught.value.code not in (0, None)
    lines = capsys.readouterr().err.splitlines()
    (line,) = (line for line in lines if "python train.py" in line)
    main(line.split("train.py")[1].split("continues")[0].split())
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
    train("--model.style_weight=1.5")
    (tmp_path / "longer.yaml").write_text("trainer:\n  max_steps: 4\n")
    main(["--resume", "--name", "painting", "--config", str(tmp_path / "longer.yaml")])
    card = load_model(RUN / "painting.safetensors")[1]
    assert card.steps == 4 and card.training.objective.style_weight == 1.5


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
