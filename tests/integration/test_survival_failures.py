"""Tests that a training run survives full disks, read-only folders, dead workers and deleted photos."""

import errno
import os
import resource
import shutil
import signal
from pathlib import Path

import pytest
from PIL import Image
from pytorch_lightning.loggers import CSVLogger
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from faststyle.inference.stylizer import Stylizer
from faststyle.models.checkpoint import load_model
from faststyle.training import checkpointing
from tests.support.commands import expect_error_line
from tests.support.images import draw_image
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
    # PyTorch checks every 5 seconds whether the workers are alive; check more often.
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.1,))
    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda: signal_workers(signal.SIGKILL))
        code, line = run_until_exit(capsys, train, *SIX, "--data.workers=1")
    assert code == 2
    assert "a process that decodes photos died" in line and "--data.workers" in line
    # Two batches had been decoded in advance.
    assert "continues from step" in line and state()["global_step"] >= 4
    assert resumes_exactly(train)


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
