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
def often(monkeypatch):
    """A state every two steps."""
    monkeypatch.setattr(command, "CHECKPOINT_STEPS", 2)


def at_step(monkeypatch, step: int, act) -> None:
    """Let something happen at the beginning of a step."""
    training_step = StyleTransfer.training_step

    def acting(self, *args):
        if self.global_step == step:
            act()
        return training_step(self, *args)

    monkeypatch.setattr(StyleTransfer, "training_step", acting)


def ended(capsys, run, *flags) -> tuple[int, str]:
    """Run what must end early: its status, and the last line on stderr."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        run(*flags)
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return caught.value.code, error.strip().splitlines()[-1]


def state(folder: Path = RUN) -> dict:
    return torch.load(folder / "last.ckpt", weights_only=True)


def same_end(train, whole: str = "whole") -> bool:
    """Resume the run, and compare it with one that was left alone."""
    train("--name", whole, *SIX)
    main(["--resume", "--output", str(RUN)])
    return state()["global_step"] == 6 and survival.compare_runs(RUN.with_name(whole), RUN) == 0


# Killed


@pytest.mark.slow
def test_killed_twice_and_resumed_ends_with_the_same_weights():
    result = survival.main(["--kills", "2", "--steps", "8"])
    assert result.kills == 2 and result.unreadable == 0 and result.difference == 0


def test_killed_while_it_writes_leaves_the_old_file(tmp_path):
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


def test_max_difference_finds_one_bit():
    first = {"a": [torch.zeros(3), {"b": torch.ones(2)}]}
    second = {"a": [torch.zeros(3), {"b": torch.ones(2)}]}
    assert survival.max_difference(first, second) == 0
    second["a"][1]["b"][1] = 1 + 2**-23
    assert survival.max_difference(first, second) == 2**-23
    assert survival.max_difference({"a": 1}, {"b": 1}) == float("inf")
    assert survival.max_difference(torch.zeros(2), torch.tensor([0, float("nan")])) == float("inf")


def test_run_killed_before_its_first_state_starts_again_by_the_same_command(train, capsys):
    train("--trainer.max_steps=1")
    for path in ("last.ckpt", "painting.safetensors", "sample.jpg"):
        (RUN / path).unlink()
    for path in (".config.yaml.123.tmp", ".last.ckpt.123.tmp", "previews/.step_000001.png.123.tmp"):
        (RUN / path).write_text("half")
    assert "leave out --resume to start" in expect_error_line(capsys, train, "--resume")
    train("--trainer.max_steps=1")
    assert load_model(RUN / "painting.safetensors")[1].steps == 1
    assert not list(RUN.rglob(".*"))


def test_run_killed_before_anything_was_written_starts_again(train):
    RUN.mkdir(parents=True)
    (RUN / ".config.yaml.123.tmp").write_text("half")
    train("--trainer.max_steps=1")
    assert (RUN / "last.ckpt").exists()


@pytest.mark.parametrize("name", ["config.yaml", "painting.safetensors", ".hidden"])
def test_what_is_not_of_a_run_is_not_written_over(train, capsys, name):
    RUN.mkdir(parents=True)
    (RUN / name).write_text("mine: true\n")
    assert "not an empty folder" in expect_error_line(capsys, train)
    assert read_folder(RUN) == {name: b"mine: true\n"}


def test_resumed_run_that_is_done_says_so(train, capsys):
    train()
    before = read_folder(RUN)
    capsys.readouterr()
    main(["--resume", "--output", str(RUN), "--data.size=96"])
    assert "trained already, by 3 steps" in capsys.readouterr().out
    after = read_folder(RUN)
    for name in ("last.ckpt", "painting.safetensors", "sample.jpg", "config.yaml"):
        assert after[name] == before[name]


def test_run_killed_before_its_sample_gets_it_by_resume(train, capsys):
    train()
    (RUN / "sample.jpg").unlink()
    (RUN / "painting.safetensors").unlink()
    main(["--resume", "--output", str(RUN)])
    assert "trained painting: 3 steps" in capsys.readouterr().out
    assert (RUN / "sample.jpg").exists() and load_model(RUN / "painting.safetensors")[1].steps == 3


# Told to stop


@pytest.mark.slow
@pytest.mark.parametrize("number", checkpointing.SIGNALS, ids=lambda number: number.name)
def test_signal_saves_the_state_at_the_end_of_the_step(train, monkeypatch, capsys, number):
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        at_step(patch, 2, lambda: os.kill(os.getpid(), number))
        code, line = ended(capsys, train, *SIX)
    assert code == 128 + number
    assert line.startswith("stopped: python train.py --resume") and "goes on from step 3" in line
    assert signal.getsignal(number) == before
    if number == signal.SIGTERM:
        assert same_end(train)


@pytest.mark.slow
def test_second_signal_stops_at_once(train, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        at_step(patch, 2, lambda: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)])
        code, line = ended(capsys, train, *SIX)
    assert code == 130 and "goes on from step 2" in line
    assert same_end(train)


def test_ignored_signal_stays_ignored(train, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        at_step(monkeypatch, 1, lambda: os.kill(os.getpid(), signal.SIGHUP))
        train()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert state()["global_step"] == 3


@pytest.mark.slow
def test_signal_between_the_batches_of_a_step_waits_for_its_end(train, monkeypatch, capsys):
    flags = ["--trainer.accumulate_grad_batches=2", "--data.batch_size=1"]
    train("--name", "whole", *SIX, *flags)
    signals = [signal.SIGTERM]
    with monkeypatch.context() as patch:
        at_step(patch, 2, lambda: signals and os.kill(os.getpid(), signals.pop()))
        code, line = ended(capsys, train, *SIX, *flags)
    assert code == 143 and "goes on from step 3" in line
    main(["--resume", "--output", str(RUN)])
    assert survival.compare_runs(Path("runs/whole"), RUN) == 0


def test_stop_after_the_last_step_leaves_the_rest_to_resume(train, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        at_step(patch, 2, lambda: os.kill(os.getpid(), signal.SIGINT))
        code, line = ended(capsys, train)
    assert code == 130 and "goes on from step 3" in line
    main(["--resume", "--output", str(RUN)])
    assert (RUN / "sample.jpg").exists()


def test_stop_in_the_validation_after_the_last_step_is_heeded(train, monkeypatch, capsys):
    validation_step = StyleTransfer.validation_step

    def stopping(self, *args):
        if self.trainer.state.fn == "fit":  # and not the one that judges the model
            os.kill(os.getpid(), signal.SIGINT)
        return validation_step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(StyleTransfer, "validation_step", stopping)
        code, line = ended(capsys, train, "--trainer.val_check_interval=3", "--data.batch_size=4")
    assert code == 130 and "goes on from step 3" in line
    assert not (RUN / "sample.jpg").exists()
    main(["--resume", "--output", str(RUN)])
    assert (RUN / "sample.jpg").exists()


def train_in_terminals(flags: list[str]) -> None:
    """Train in two terminals: in step 2 one is closed, and all processes of the other get SIGTERM."""
    vgg.NETWORKS["vgg19"] = vgg.Network(vgg.VGG19_BLOCKS, (0.5,) * 3, (0.25,) * 3, random_weights)
    torch.set_num_threads(1)
    training_step, (told, tell) = StyleTransfer.training_step, os.pipe()

    def waiting(self, *args):
        if self.global_step == 2:
            os.write(tell, b"2")
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
        os.read(told, 1)
    (closed, terminal), (child, other) = children
    os.close(terminal)
    os.killpg(child, signal.SIGTERM)
    with suppress(OSError), Path("said.txt").open("wb") as file:
        while said := os.read(other, 4096):
            file.write(said)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in (closed, child)]
    sys.exit(0 if statuses == [129, 143] else str(statuses))


@pytest.mark.slow
def test_signal_to_a_terminal_or_to_all_of_its_processes_loses_nothing(train, train_arguments):
    process = survival.PROCESSES.Process(target=train_in_terminals, args=([*train_arguments, *SIX],))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert state()["global_step"] == state(Path("runs/closed"))["global_step"] == 3
    said = Path("said.txt").read_text()
    assert "goes on from step 3" in said and "Traceback" not in said
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as there: the order of sums differs between numbers of threads
    try:
        assert same_end(train)
    finally:
        torch.set_num_threads(threads)


# Errors in the middle of a step


@pytest.mark.slow
def test_state_that_is_half_of_two_steps_is_not_saved(train, monkeypatch, often):
    with monkeypatch.context() as patch:
        adam = Muon.adam

        def failing(self, vector, *rest):
            if self.state[vector].get("step", 0) == 3:
                raise RuntimeError("in the middle")
            return adam(self, vector, *rest)

        patch.setattr(Muon, "adam", failing)
        with pytest.raises(RuntimeError, match="middle"):
            train(*SIX)
    assert state()["global_step"] == 2
    assert same_end(train)


@pytest.mark.slow
def test_error_between_the_batches_of_a_step_keeps_the_state_before(train, monkeypatch, often):
    flags = ["--trainer.accumulate_grad_batches=2", "--data.batch_size=1"]
    train("--name", "whole", *SIX, *flags)
    backward = StyleTransfer.on_after_backward
    with monkeypatch.context() as patch:
        batches = []

        def failing(self):
            batches.append(1)
            if len(batches) == 8:  # the second of the fourth step
                raise RuntimeError("in the middle")
            return backward(self)

        patch.setattr(StyleTransfer, "on_after_backward", failing)
        with pytest.raises(RuntimeError, match="middle"):
            train(*SIX, *flags)
    assert state()["global_step"] == 2
    main(["--resume", "--output", str(RUN)])
    assert survival.compare_runs(Path("runs/whole"), RUN) == 0


@pytest.mark.slow
def test_error_in_validation_keeps_the_step_before_it(train, monkeypatch):
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


# What the machine refuses


@pytest.mark.slow
def test_disk_that_fills_up_keeps_the_old_state(train, monkeypatch, capsys, often):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard)))
        try:
            code, line = ended(capsys, train, *SIX)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 2
    assert line.startswith("error: File too large: runs/painting/last.ckpt: python train.py --resume")
    assert "goes on from step 2, which is kept in runs/painting/last.ckpt" in line
    assert load_model(RUN / "painting.safetensors")[1].steps == 2
    assert not list(RUN.glob(".*"))
    assert same_end(train)


@pytest.mark.slow
@pytest.mark.parametrize(
    "what", ["previews", "painting.safetensors", "metrics.csv", "tensorboard", "sample.jpg"]
)
def test_disk_that_fills_up_elsewhere_is_told_in_a_line(train, monkeypatch, capsys, often, what):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if what == "painting.safetensors":
            at_step(patch, 3, lambda: patch.setattr(checkpointing, "save_model", full))
        elif what == "metrics.csv":
            at_step(patch, 3, lambda: patch.setattr(CSVLogger, "log_metrics", full))
        elif what == "tensorboard":  # whose thread meets it
            at_step(patch, 3, lambda: patch.setattr(RecordWriter, "write", full))
        elif what == "previews":
            at_step(patch, 3, lambda: patch.setattr(Image.Image, "save", full))
        else:
            stylize = Stylizer.__call__

            def fill(self, *args):
                patch.setattr(Image.Image, "save", full)
                return stylize(self, *args)

            patch.setattr(Stylizer, "__call__", fill)
        code, line = ended(capsys, train, *SIX, "--previews.every_n_steps=4", "--trainer.log_every_n_steps=1")
    assert code == 2
    assert line.startswith("error: No space left on device") and "--resume" in line
    assert same_end(train)


@pytest.mark.slow
def test_folder_that_becomes_read_only_keeps_the_old_state(train, monkeypatch, capsys, often):
    def refuse(self, *_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda: patch.setattr(Path, "write_bytes", refuse))
        code, line = ended(capsys, train, *SIX)
    assert code == 2 and line.startswith("error: Read-only file system: runs/painting/last.ckpt: ")
    assert "goes on from step 2" in line
    assert same_end(train)


def test_folder_that_cannot_be_written_is_refused_before_training(train, monkeypatch, capsys):
    mkdir = Path.mkdir

    def refuse(self, *args, **more):
        if self.name == "painting":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        mkdir(self, *args, **more)

    monkeypatch.setattr(Path, "mkdir", refuse)
    line = expect_error_line(capsys, train)
    assert "runs/painting" in line and "Permission denied" in line and "another place" in line


@pytest.mark.slow
def test_worker_that_dies_is_told_in_a_line(train, monkeypatch, capsys):
    def kill():
        for process in multiprocessing.active_children():
            os.kill(process.pid, signal.SIGKILL)
            process.join()

    # Torch looks every five seconds whether they live.
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.1,))
    with monkeypatch.context() as patch:
        at_step(patch, 3, kill)
        code, line = ended(capsys, train, *SIX, "--data.workers=1")
    assert code == 2
    assert "a process that decodes photos died" in line and "--data.workers" in line
    # Two batches were decoded ahead.
    assert "goes on from step" in line and state()["global_step"] >= 4
    assert same_end(train)


@pytest.mark.slow
def test_worker_that_is_stopped_beside_the_run_does_not_hurt_its_last_step(train, monkeypatch, capsys):
    def stop():
        for process in multiprocessing.active_children():
            os.kill(process.pid, signal.SIGTERM)
            process.join()
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        at_step(patch, 3, stop)
        code, line = ended(capsys, train, *SIX, "--data.workers=1")
    assert code == 143 and "goes on from step 4" in line
    assert same_end(train)


@pytest.mark.slow
def test_worker_hears_of_no_closed_terminal(train, monkeypatch):
    def close():
        for process in multiprocessing.active_children():
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
                os.kill(process.pid, number)

    at_step(monkeypatch, 2, close)
    train(*SIX, "--data.workers=1")
    assert state()["global_step"] == 6


def test_photo_that_vanishes_is_replaced_named_and_counted(
    train, monkeypatch, photos, tmp_path, caplog, capsys
):
    shutil.copytree(photos, tmp_path / "fleeting" / "train")
    (tmp_path / "fleeting" / "validation").mkdir()
    draw_image(64, 64).save(tmp_path / "fleeting" / "validation" / "kept.png")
    gone = tmp_path / "fleeting" / "train" / "cat.png"
    at_step(monkeypatch, 1, lambda: gone.unlink(missing_ok=True))
    train("--content", str(tmp_path / "fleeting"), "--trainer.max_steps=6")
    assert sum("cat.png" in record.getMessage() for record in caplog.records) == 1
    assert "skipped: 1 picture that" in capsys.readouterr().out
    assert state()["global_step"] == 6


# Memory


def test_memory_of_a_short_run_is_measured(train_arguments, capsys, monkeypatch):
    monkeypatch.setattr(training_memory.Watch, "measured", [])
    training_memory.main(["--workers", "0", *train_arguments])
    assert [row.step for row in training_memory.Watch.measured] == [1, 2, 3]
    assert all(row.rss >= row.pss > row.own > 100 for row in training_memory.Watch.measured)
    assert "ratio" in capsys.readouterr().out.splitlines()[-1]
