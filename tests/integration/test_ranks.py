"""Tests of training with several processes, on the CPU, launched by torchrun, SLURM or Lightning."""

import csv
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from faststyle.cli import train as command
from faststyle.errors import InputError
from faststyle.models.checkpoint import load_model
from faststyle.training.module import StyleTransfer
from tests.support import ROOT
from tests.support.commands import expect_error_line
from tests.support.images import draw_image
from tests.support.photo_sets import write_parquet
from tests.support.trainer_process import use_float64

PROCESS = ROOT / "tests" / "support" / "trainer_process.py"
MAX_SECONDS = 300  # long, for machines under load


@pytest.fixture
def photos(tmp_path) -> Path:
    """Return a folder of 13 photos, one of them damaged, which two ranks cannot divide evenly."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(13):
        draw_image(70 + i, 81, seed=i).save(folder / f"{i:02}.png")
    (folder / "05.png").write_bytes((folder / "05.png").read_bytes()[:200])
    return folder


def environment(**more: object) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        **{key: str(value) for key, value in more.items()},
    }


@pytest.fixture
def start(train_arguments):
    """Return a function that starts a process for consecutive runs; stdout and stderr are merged."""
    started = []

    def start(*runs: list[str], by: tuple[str, ...] = (), **variables: object) -> subprocess.Popen:
        flags = [*train_arguments, "--trainer.enable_progress_bar=false"]
        words = [word for more in runs for word in (*flags, *more, "then")]
        process = subprocess.Popen(
            [sys.executable, *by, str(PROCESS), *words],
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_for_output(process: subprocess.Popen, status: int = 0) -> str:
    """Wait for a process, which must exit with this status, and return its output."""
    printed = process.communicate(timeout=MAX_SECONDS)[0]
    assert process.returncode == status, printed
    return printed


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def run_by_srun(start, *runs: list[str]) -> list[str]:
    """Run two tasks with the environment variables that srun sets, and return their outputs."""
    job = {"NTASKS": 2, "NTASKS_PER_NODE": 2, "NNODES": 1, "NODEID": 0, "STEP_NUM_TASKS": 2, "JOB_ID": 8}
    job |= {"JOB_NAME": "train", "NODELIST": "localhost"}
    job = {f"SLURM_{key}": value for key, value in job.items()}
    port = free_port()
    tasks = [
        start(*runs, SLURM_PROCID=rank, SLURM_LOCALID=rank, MASTER_PORT=port, **job) for rank in range(2)
    ]
    return [wait_for_output(task) for task in tasks]


def weights(run: str) -> dict[str, torch.Tensor]:
    return torch.load(f"runs/{run}/last.ckpt", weights_only=True)["state_dict"]


def relative_difference(first: str, second: str) -> float:
    """Return the norm of the difference of two runs' weights, relative to the norm of the first."""
    a, b = (torch.cat([w.double().flatten() for w in weights(run).values()]) for run in (first, second))
    return ((a - b).norm() / a.norm()).item()


def validation_losses(run: str) -> list[str]:
    """Return the losses of held-out photos at the end of a run, with three decimals."""
    with Path(f"runs/{run}/logs/start_0/metrics.csv").open() as file:
        last = [row for row in csv.DictReader(file) if row["validation/total"]][-1]
    return [f"{float(last[f'validation/{name}']):.3f}" for name in ("total", "content", "style")]


def same_weights(first: str, second: str) -> bool:
    a, b = weights(first), weights(second)
    return all(torch.equal(a[key], b[key]) for key in a)


def stop_at(patch, step: int) -> None:
    training_step = StyleTransfer.training_step

    def stopping(self, *batch):
        if self.global_step == step:
            raise InputError("enough")
        return training_step(self, *batch)

    patch.setattr(StyleTransfer, "training_step", stopping)


FOUR = ["--data.batch_size=4", "--trainer.max_steps=20"]
TWO_BY_TWO = ["--data.batch_size=2", "--trainer.max_steps=20", "--trainer.devices=2"]


@pytest.mark.slow
def test_two_ranks_with_accumulation_match_one_process_with_the_whole_batch(train, start, monkeypatch):
    # Average pooling, because rounding can change which of two tied values max pooling selects.
    smooth = "--model.pooling=avg"
    steady = "--model.temporal_weight=5"
    accumulated = ["--data.batch_size=1", "--trainer.devices=2", "--trainer.accumulate_grad_batches=2"]
    ranks = start(
        ["DOUBLE=1", "--name=ranks", *accumulated, "--trainer.max_steps=20", steady, smooth],
        ["NAN_AT=1", "--name=spoiled", *accumulated],
        ["TWICE_AT=2", "EVERY=1", "--name=twice", *accumulated],
    )
    use_float64(monkeypatch.setattr)
    train("--name=one", *FOUR, steady, smooth)
    printed = wait_for_output(ranks, status=143)
    # In float64 only the float32 rounding of the images differs. Another seed gives a difference of 0.7.
    assert relative_difference("one", "ranks") < 1e-7
    assert "2 devices × 1 photo × 2 accumulated: 4 photos a step, learning rate 0.002 as given" in printed
    assert printed.count("trained ranks: 20 steps") == 1
    assert validation_losses("ranks") == validation_losses("one")
    data = load_model("runs/ranks/ranks.safetensors")[1].data
    assert [getattr(data, key) for key in ("devices", "nodes", "accumulate", "global_batch")] == [2, 1, 2, 4]
    # Only rank 1 had a NaN loss; both ranks skipped the step.
    card = load_model("runs/spoiled/spoiled.safetensors")[1]
    assert card.skipped_steps == 1 and card.steps == 3
    assert printed.count("skipped: step 1, whose gradients are not numbers") == 1
    # Only rank 0 received two signals; rank 1 did not wait for it.
    assert "stopped: python train.py --resume --output runs/twice continues from step 2" in printed
    assert "Traceback" not in printed


@pytest.mark.slow
def test_run_with_a_killed_rank_ends_and_resumes_exactly(train, start):
    killed = ["DIE_AT=13", "EVERY=10", "--name=parts", *TWO_BY_TWO]
    printed = wait_for_output(start(["--name=whole", *TWO_BY_TWO], killed), status=2)
    assert "Traceback" not in printed
    (line,) = (line for line in printed.splitlines() if line.startswith("error: "))
    assert "was killed" in line and "--resume --output runs/parts continues from step 10" in line
    assert load_model("runs/parts/last.ckpt")
    torchrun = ("-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={free_port()}")
    printed = wait_for_output(start(["--resume", "--name=parts", *TWO_BY_TWO], by=torchrun))
    assert printed.count("trained parts: 20 steps") == 1
    assert same_weights("whole", "parts")
    assert sorted(path.name for path in Path("runs/parts/logs").iterdir()) == ["start_0", "start_1"]
    # In float32 only rounding differs from a single process, and Muon amplifies it. The difference measured
    # is 0.002; another seed gives 0.7.
    train("--name=one", *FOUR)
    assert relative_difference("one", "whole") < 0.02


STREAMED = ["--content=set", "--data.streaming=true", "--data.batch_size=1", "--data.workers=2"]
STREAMED += ["--trainer.accumulate_grad_batches=3", "--trainer.max_steps=6", "--trainer.devices=2"]


@pytest.mark.slow
def test_stopped_srun_run_of_streamed_photos_resumes_exactly(start):
    for i in range(3):  # 26 photos are trained on; the run takes 36 samples
        Path("set").mkdir(exist_ok=True)
        write_parquet(Path(f"set/{i}.parquet"), 14, first=14 * i)
    # Each rank stops after nine batches: five from one worker and four from the other. Only rank 1 receives
    # the signal, which is SLURM's own.
    parts = ["--name=parts", *STREAMED]
    first, second = run_by_srun(
        start, ["--name=whole", *STREAMED], ["STOP_AT=2", *parts], ["--resume", *parts]
    )
    assert "3 files for 2 processes: each process reads all files and keeps one photo in 2" in first
    assert "stopped: python train.py --resume --output runs/parts continues from step 3" in first
    assert "run 2 ended with 143" in first and "run 2 ended with 138" in second
    assert "stopping" not in second and "stopped" not in second
    assert "trained parts: 6 steps" in first and "trained" not in second
    assert not list(Path("runs/parts").glob("hpc_ckpt*"))
    assert same_weights("whole", "parts")


def test_mismatched_number_of_processes_is_refused(train, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "--trainer.devices" in expect_error_line(capsys, train)
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "8")
    monkeypatch.setenv("SLURM_NTASKS", "8")
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "1")
    monkeypatch.setenv("SLURM_NODEID", "0")
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_LOCALID", "0")
    assert "8 processes were started" in expect_error_line(capsys, train)
    # Two tasks on two nodes, but the option asks for two devices of one node.
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    assert "--ntasks-per-node=1" in expect_error_line(capsys, train, "--trainer.devices=2")
    # In an interactive srun shell Lightning starts the processes itself.
    monkeypatch.setenv("SLURM_JOB_NAME", "bash")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    with pytest.raises(SystemExit, match="7"):
        monkeypatch.setattr(command, "run_training", lambda cli: sys.exit(cli.trainer.world_size + 5))
        train("--trainer.devices=2")


def test_resume_on_several_nodes_needs_a_shared_folder(train, capsys):
    line = expect_error_line(capsys, train, "--resume", "--trainer.num_nodes=2")
    assert "must share its folder" in line and "last.ckpt" in line


@pytest.mark.slow
def test_run_resumes_with_another_accumulation_of_the_same_batch(train, monkeypatch):
    use_float64(monkeypatch.setattr)
    train("--name=whole", "--trainer.max_steps=4")
    split = ["--data.batch_size=1", "--trainer.accumulate_grad_batches=2"]
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(SystemExit):
            train("--name=parts", "--trainer.max_steps=4", *split)
    assert load_model("runs/parts/parts.safetensors")[1].steps == 3
    # Override the accumulation, which the config of the run contains.
    train("--name=parts", "--trainer.max_steps=4", "--resume", "--trainer.accumulate_grad_batches=1")
    assert load_model("runs/parts/parts.safetensors")[1].steps == 4
    assert relative_difference("whole", "parts") < 1e-7


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_stopped_run_of_streamed_photos_resumes_exactly(train, monkeypatch, workers):
    Path("set").mkdir()
    for i in range(2):
        write_parquet(Path(f"set/{i}.parquet"), 11, first=11 * i)
    flags = ["--content=set", "--data.streaming=true", "--trainer.max_steps=9", f"--data.workers={workers}"]
    train("--name=whole", *flags)
    with monkeypatch.context() as patch:
        stop_at(patch, 7)  # in the second pass over 11 photos, at the fourth batch of the second worker
        with pytest.raises(SystemExit):
            train("--name=parts", *flags)
    train("--name=parts", *flags, "--resume")
    assert same_weights("whole", "parts")
