"""Tests that a training run survives signals and a closed terminal."""

import multiprocessing
import os
import pty
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from benchmarks import survival
from faststyle.cli.train import main
from faststyle.losses import vgg
from faststyle.training import checkpointing
from faststyle.training.module import StyleTransfer
from tests.support.networks import random_weights
from tests.support.training_runs import (
    RUN,
    SIX,
    at_step,
    resumes_exactly,
    run_until_exit,
    signal_workers,
    state,
)


@pytest.mark.slow
@pytest.mark.parametrize("number", checkpointing.SIGNALS, ids=lambda number: number.name)
def test_signal_saves_a_checkpoint_at_the_end_of_the_step(train, monkeypatch, capsys, number):
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        at_step(patch, 2, lambda: os.kill(os.getpid(), number))
        code, line = run_until_exit(capsys, train, *SIX)
    assert code == 128 + number
    assert line.startswith("stopped: python train.py --resume") and "continues from step 3" in line
    assert "hardly learned" in line
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


@pytest.mark.slow
def test_signal_to_workers_and_run_keeps_the_last_step(train, monkeypatch, capsys):
    def stop():
        signal_workers(signal.SIGTERM)
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
