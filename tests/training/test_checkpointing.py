"""Files of a run, and resuming it; test_survival*.py have what ends a run."""

import os
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from faststyle.cli.train import main
from faststyle.models.card import ModelCard, TrainingData
from faststyle.models.checkpoint import load_model
from faststyle.training import checkpointing, ranks, run
from tests.support.commands import expect_error_line, read_folder

RUN = Path("runs/painting")


def state() -> dict:
    return torch.load(RUN / "last.ckpt", weights_only=True)


def rates() -> list[float]:
    saved = state()
    (schedule,) = saved["lr_schedulers"]
    groups = saved["optimizer_states"][0]["param_groups"]
    return [*schedule["base_lrs"], *(group["initial_lr"] for group in groups)]


def test_model_file_has_weights_and_card(train, monkeypatch):
    # The card must name the training device, although Lightning moves the module off it at the end.
    monkeypatch.setattr(checkpointing, "describe_device", lambda device: f"described {device}")
    train("--trainer.max_steps=2")
    network, card = load_model(RUN / "painting.safetensors")
    stored = state()["state_dict"]
    for name, value in network.state_dict().items():
        assert torch.equal(value, stored[f"network.{name}"])
    assert card.name == "painting"
    assert card.steps == 2
    assert card.style[0].name == "painting"
    assert {"faststyle", "torch", "pytorch_lightning", "python"} <= set(card.versions)
    assert card.date[:2] == "20"
    assert card.hardware == "described cpu"
    # No temporary file is left.
    assert not [path for path in RUN.rglob("*") if path.name.startswith(".") or path.suffix == ".tmp"]


def test_card_names_the_device_of_the_training(tmp_path, network, monkeypatch):
    monkeypatch.setattr(checkpointing, "describe_device", str)
    monkeypatch.setattr(checkpointing, "StyleTransfer", SimpleNamespace)
    module = SimpleNamespace(network=network, card=ModelCard, grams=dict, device="cpu")
    trainer = SimpleNamespace(
        lightning_module=module,
        datamodule=SimpleNamespace(card=TrainingData),
        strategy=SimpleNamespace(root_device="cuda:0"),
    )
    checkpointing.InferenceFile(tmp_path / "a.safetensors", "train").write(trainer, 0)
    assert load_model(tmp_path / "a.safetensors")[1].hardware == "cuda:0"


def test_learning_rate_can_be_changed_when_resuming(train):
    train("--trainer.max_steps=3")
    assert set(rates()) == {2e-3}
    before = state()["state_dict"]
    train("--resume", "--trainer.max_steps=6", "--model.learning_rate=1e-9")
    assert set(rates()) == {1e-9}
    assert all(
        torch.allclose(value, before[name], atol=1e-7) for name, value in state()["state_dict"].items()
    )


@pytest.mark.slow
def test_folder_of_a_running_training_is_locked(train, capsys):
    train("--trainer.max_steps=1")
    (RUN / ".last.ckpt.123.tmp").write_text("being written")
    before = read_folder(RUN)
    (reader, writer), child = os.pipe(), os.fork()
    if child == 0:
        with run.lock_folder(RUN):
            os.write(writer, b"locked")
            signal.pause()
    os.read(reader, 6)
    try:
        line = expect_error_line(capsys, main, ["--resume", "--output", str(RUN), "--trainer.max_steps=2"])
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert "another process trains in runs/painting" in line
    assert read_folder(RUN) == {**before, ".lock": b""}
    # A killed process no longer locks the folder.
    main(["--resume", "--output", str(RUN), "--trainer.max_steps=2"])
    assert state()["global_step"] == 2 and not list(RUN.glob(".*"))


def test_run_killed_before_it_wrote_can_start_again(train):
    RUN.mkdir(parents=True)
    (RUN / ".lock").touch()
    train("--trainer.max_steps=1")
    assert state()["global_step"] == 1


def test_lost_rank_is_reported_and_the_others_are_killed(capfd, monkeypatch):
    def unreadable():
        raise OSError("last.ckpt")

    died, killed = subprocess.Popen(["false"]), []
    died.wait()
    monkeypatch.setattr(ranks, "GRACE_SECONDS", 0)
    monkeypatch.setattr(ranks._ChildProcessObserver, "_terminate_all", lambda self: killed.append(self))
    for message in (unreadable, lambda: "gone"):
        observer = ranks.RankObserver([died], message)
        observer._sleep_period = 0
        observer.run()
    assert capfd.readouterr().err == "\nerror: gone\n" and len(killed) == 2


def test_other_ranks_that_do_not_end_are_killed(monkeypatch):
    monkeypatch.setattr(ranks, "GRACE_SECONDS", 0.1)
    processes = [subprocess.Popen(["sleep", "60"]), subprocess.Popen(["true"])]
    trainer = SimpleNamespace(strategy=SimpleNamespace(launcher=SimpleNamespace(procs=processes)))
    ranks.stop_other_ranks(trainer)
    assert [process.wait(5) for process in processes] == [-signal.SIGKILL, 0]
