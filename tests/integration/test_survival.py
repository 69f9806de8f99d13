"""Tests that a training run survives kills, signals, errors and full disks."""

import errno
import multiprocessing
import os
import pty
import resource
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from PIL import Image
from pytorch_lightning.loggers import CSVLogger
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from benchmarks import survival, training_memory
from faststyle.cli import train as command
from faststyle.cli.train import main
from faststyle.files import atomic_write
from faststyle.inference.stylizer import Stylizer
from faststyle.losses import vgg
from faststyle.models.checkpoint import load_model
from faststyle.training import checkpointing
from faststyle.training.module import StyleTransfer
from faststyle.training.muon import Muon
from tests.support.commands import expect_error_line, read_folder
from tests.support.images import draw_image
from tests.support.networks import random_weights

RUN = Path("runs/painting")
SIX = ["--trainer.max_steps=6", "--model.warmup=2"]


@pytest.fixture
def frequent_checkpoints(monkeypatch):
    """Save a checkpoint every two steps."""
    monkeypatch.setattr(command, "CHECKPOINT_STEPS", 2)


def at_step(monkeypatch, step: int, act) -> None:
    """Call ``act`` at the beginning of this training step."""
    training_step = StyleTransfer.training_step

    def acting(self, *args):
        if self.global_step == step:
            act()
        return training_step(self, *args)

    monkeypatch.setattr(StyleTransfer, "training_step", acting)


def run_until_exit(capsys, run, *options) -> tuple[int, str]:
    """Run a command that must exit, and return its status and the last line of stderr."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        run(*options)
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return caught.value.code, error.strip().splitlines()[-1]


def state(folder: Path = RUN) -> dict:
    return torch.load(folder / "last.ckpt", weights_only=True)


def resumes_exactly(train, whole: str = "whole") -> bool:
    """Resume the run, and return True if its final state equals that of an uninterrupted run."""
    train("--name", whole, *SIX)
    main(["--resume", "--output", str(RUN)])
    return state()["global_step"] == 6 and survival.compare_runs(RUN.with_name(whole), RUN) == 0


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


# Signals


@pytest.mark.slow
@pytest.mark.parametrize("number", checkpointing.SIGNALS, ids=lambda number: number.name)
def test_signal_saves_a_checkpoint_at_the_end_of_the_step(train, monkeypatch, capsys, number):
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        at_step(patch, 2, lambda: os.kill(os.getpid(), number))
        code, line = run_until_exit(capsys, train, *SIX)
    assert code == 128 + number
    assert line.startswith("stopped: python train.py --resume") and "continues from step 3" in line
    assert signal.getsignal(number) == before
    if number == signal.SIGTERM:
        assert resumes_exactly(train)


@pytest.mark.slow
def test_second_signal_stops_at_once(train, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        at_step(patch, 2, lambda: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)])
        code, line = run_until_exit(capsys, train, *SIX)
    assert code == 130 and "continues from step 2" in line
    assert resumes_exactly(train)


def test_ignored_signal_stays_ignored(train, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup ignores SIGHUP like this
    try:
        at_step(monkeypatch, 1, lambda: os.kill(os.getpid(), signal.SIGHUP))
        train()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert state()["global_step"] == 3


@pytest.mark.slow
def test_signal_during_accumulation_takes_effect_after_the_step(train, monkeypatch, capsys):
    flags = ["--trainer.accumulate_grad_batches=2", "--data.batch_size=1"]
    train("--name", "whole", *SIX, *flags)
    signals = [signal.SIGTERM]
    with monkeypatch.context() as patch:
        at_step(patch, 2, lambda: signals and os.kill(os.getpid(), signals.pop()))
        code, line = run_until_exit(capsys, train, *SIX, *flags)
    assert code == 143 and "continues from step 3" in line
    main(["--resume", "--output", str(RUN)])
    assert survival.compare_runs(Path("runs/whole"), RUN) == 0


def test_run_stopped_after_its_last_step_writes_its_sample_on_resume(train, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        at_step(patch, 2, lambda: os.kill(os.getpid(), signal.SIGINT))
        code, line = run_until_exit(capsys, train)
    assert code == 130 and "continues from step 3" in line
    main(["--resume", "--output", str(RUN)])
    assert (RUN / "sample.jpg").exists()


def test_signal_during_the_last_validation_stops_the_run(train, monkeypatch, capsys):
    validation_step = StyleTransfer.validation_step

    def stopping(self, *args):
        if self.trainer.state.fn == "fit":  # and not in the final evaluation of the model
            os.kill(os.getpid(), signal.SIGINT)
        return validation_step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(StyleTransfer, "validation_step", stopping)
        code, line = run_until_exit(capsys, train, "--trainer.val_check_interval=3", "--data.batch_size=4")
    assert code == 130 and "continues from step 3" in line
    assert not (RUN / "sample.jpg").exists()
    main(["--resume", "--output", str(RUN)])
    assert (RUN / "sample.jpg").exists()


def train_in_terminals(flags: list[str]) -> None:
    """Train in two terminals. In step 2 close the first, and send SIGTERM to every process of the second."""
    vgg.NETWORKS["vgg19"] = vgg.Network(vgg.VGG19_BLOCKS, (0.5,) * 3, (0.25,) * 3, random_weights)
    torch.set_num_threads(1)
    training_step, (reader, writer) = StyleTransfer.training_step, os.pipe()

    def waiting(self, *args):
        if self.global_step == 2:
            os.write(writer, b"2")
            while not self.trainer.checkpoint_callbacks[-1].signal:
                time.sleep(0.01)
        return training_step(self, *args)

    StyleTransfer.training_step = waiting
    children = []
    for name in ("closed", "painting"):
        child, terminal = pty.fork()
        if child == 0:
            main([*flags, "--name", name, "--data.workers=1"])
            os._exit(0)
        children.append((child, terminal))
    for _ in children:
        os.read(reader, 1)
    (closed, terminal), (child, other) = children
    os.close(terminal)
    os.killpg(child, signal.SIGTERM)
    with suppress(OSError), Path("printed.txt").open("wb") as file:
        while printed := os.read(other, 4096):
            file.write(printed)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in (closed, child)]
    sys.exit(0 if statuses == [129, 143] else str(statuses))


@pytest.mark.slow
def test_closed_terminal_and_signal_to_the_process_group_lose_nothing(train, train_arguments):
    process = survival.PROCESSES.Process(target=train_in_terminals, args=([*train_arguments, *SIX],))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert state()["global_step"] == state(Path("runs/closed"))["global_step"] == 3
    printed = Path("printed.txt").read_text()
    assert "continues from step 3" in printed and "Traceback" not in printed
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the terminals: the order of sums depends on the number of threads
    try:
        assert resumes_exactly(train)
    finally:
        torch.set_num_threads(threads)


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


# Full disks, read-only folders and dead workers


@pytest.mark.slow
def test_full_disk_keeps_the_old_checkpoint(train, monkeypatch, capsys, frequent_checkpoints):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard)))
        try:
            code, line = run_until_exit(capsys, train, *SIX)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 2
    assert line.startswith("error: File too large: runs/painting/last.ckpt: python train.py --resume")
    assert "continues from step 2, saved in runs/painting/last.ckpt" in line
    assert load_model(RUN / "painting.safetensors")[1].steps == 2
    assert not list(RUN.glob(".*"))
    assert resumes_exactly(train)


@pytest.mark.slow
@pytest.mark.parametrize(
    "what", ["previews", "painting.safetensors", "metrics.csv", "tensorboard", "sample.jpg"]
)
def test_full_disk_for_other_files_prints_one_error_line(
    train, monkeypatch, capsys, frequent_checkpoints, what
):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if what == "painting.safetensors":
            at_step(patch, 3, lambda: patch.setattr(checkpointing, "save_model", full))
        elif what == "metrics.csv":
            at_step(patch, 3, lambda: patch.setattr(CSVLogger, "log_metrics", full))
        elif what == "tensorboard":  # the error occurs in TensorBoard's writer thread
            at_step(patch, 3, lambda: patch.setattr(RecordWriter, "write", full))
        elif what == "previews":
            at_step(patch, 3, lambda: patch.setattr(Image.Image, "save", full))
        else:
            stylize = Stylizer.__call__

            def fill(self, *args):
                patch.setattr(Image.Image, "save", full)
                return stylize(self, *args)

            patch.setattr(Stylizer, "__call__", fill)
        code, line = run_until_exit(
            capsys, train, *SIX, "--previews.every_n_steps=4", "--trainer.log_every_n_steps=1"
        )
    assert code == 2
    assert line.startswith("error: No space left on device") and "--resume" in line
    assert resumes_exactly(train)


@pytest.mark.slow
def test_folder_that_becomes_read_only_keeps_the_old_checkpoint(
    train, monkeypatch, capsys, frequent_checkpoints
):
    def refuse(self, *_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda: patch.setattr(Path, "write_bytes", refuse))
        code, line = run_until_exit(capsys, train, *SIX)
    assert code == 2 and line.startswith("error: Read-only file system: runs/painting/last.ckpt: ")
    assert "continues from step 2" in line
    assert resumes_exactly(train)


def test_unwritable_folder_is_refused_before_training(train, monkeypatch, capsys):
    mkdir = Path.mkdir

    def refuse(self, *args, **more):
        if self.name == "painting":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        mkdir(self, *args, **more)

    monkeypatch.setattr(Path, "mkdir", refuse)
    line = expect_error_line(capsys, train)
    assert "runs/painting" in line and "Permission denied" in line and "another path" in line


@pytest.mark.slow
def test_dead_worker_prints_one_error_line(train, monkeypatch, capsys):
    def kill():
        for process in multiprocessing.active_children():
            os.kill(process.pid, signal.SIGKILL)
            process.join()

    # PyTorch checks every 5 seconds whether the workers are alive; check more often.
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.1,))
    with monkeypatch.context() as patch:
        at_step(patch, 3, kill)
        code, line = run_until_exit(capsys, train, *SIX, "--data.workers=1")
    assert code == 2
    assert "a process that decodes photos died" in line and "--data.workers" in line
    # Two batches had been decoded in advance.
    assert "continues from step" in line and state()["global_step"] >= 4
    assert resumes_exactly(train)


@pytest.mark.slow
def test_signal_to_workers_and_run_keeps_the_last_step(train, monkeypatch, capsys):
    def stop():
        for process in multiprocessing.active_children():
            os.kill(process.pid, signal.SIGTERM)
            process.join()
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        at_step(patch, 3, stop)
        code, line = run_until_exit(capsys, train, *SIX, "--data.workers=1")
    assert code == 143 and "continues from step 4" in line
    assert resumes_exactly(train)


@pytest.mark.slow
def test_workers_ignore_terminal_signals(train, monkeypatch):
    def close():
        for process in multiprocessing.active_children():
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
                os.kill(process.pid, number)

    at_step(monkeypatch, 2, close)
    train(*SIX, "--data.workers=1")
    assert state()["global_step"] == 6


def test_deleted_photo_is_replaced_named_and_counted(train, monkeypatch, photos, tmp_path, caplog, capsys):
    shutil.copytree(photos, tmp_path / "vanishing" / "train")
    (tmp_path / "vanishing" / "validation").mkdir()
    draw_image(64, 64).save(tmp_path / "vanishing" / "validation" / "kept.png")
    gone = tmp_path / "vanishing" / "train" / "cat.png"
    at_step(monkeypatch, 1, lambda: gone.unlink(missing_ok=True))
    train("--content", str(tmp_path / "vanishing"), "--trainer.max_steps=6")
    assert sum("cat.png" in record.getMessage() for record in caplog.records) == 1
    assert "skipped: 1 photo that" in capsys.readouterr().out
    assert state()["global_step"] == 6


# Memory


def test_memory_of_a_short_run_is_measured(train_arguments, capsys, monkeypatch):
    monkeypatch.setattr(training_memory.Watch, "measured", [])
    training_memory.main(["--workers", "0", *train_arguments])
    assert [row.step for row in training_memory.Watch.measured] == [1, 2, 3]
    assert all(row.rss >= row.pss > row.own > 100 for row in training_memory.Watch.measured)
    assert "ratio" in capsys.readouterr().out.splitlines()[-1]
