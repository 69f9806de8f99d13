"""Tests of damaged videos, full disks and Ctrl-C during ``python infer.py`` with videos."""

import errno
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from faststyle.cli import stylize_video
from faststyle.video.recorder import Recorder
from tests.support import ROOT
from tests.support.commands import exit_status, read_folder
from tests.support.videos import frames_of, make_clip


def test_truncated_video_is_stylized_up_to_the_damage(infer_video, capsys):
    make_clip(Path("cut.mkv"), 60, options={"g": "5"}, sound="aac")
    data = Path("cut.mkv").read_bytes()
    Path("cut.mkv").write_bytes(data[: len(data) // 2])
    assert exit_status(infer_video, "cut.mkv", "-o", "out.mp4") == 2
    printed = capsys.readouterr()
    assert printed.out == "out.mp4\n"
    assert printed.err.count("warning: cut.mkv is damaged after") == 1
    assert 5 < len(frames_of("out.mp4")) < 60
    assert not Path("out.part.mp4").exists()


def test_full_disk_leaves_a_playable_file(infer_video, capsys):
    make_clip(
        Path("long.mp4"),
        40,
        draw=lambda n, w, h: np.random.default_rng(n).integers(0, 255, (h, w, 3), np.uint8),
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        code = exit_status(infer_video, "long.mp4", "-o", "out.mp4", "--crf", 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(error) == 1
    assert "what could be written is in out.part.mp4" in error[0]
    assert not Path("out.mp4").exists()
    assert len(frames_of("out.part.mp4")) > 0


def test_full_disk_stops_one_video_and_not_the_others(infer_video, capsys, monkeypatch):
    threads = threading.active_count()
    write = Recorder.write

    def full(self, frame):
        if self.path.name == "a.mp4" and self.count == 5:
            raise OSError(errno.ENOSPC, "No space left on device", str(self.partial))
        write(self, frame)

    monkeypatch.setattr(Recorder, "write", full)
    make_clip(Path("b.mp4"), 3)
    assert exit_status(infer_video, "a.mp4", "b.mp4", "-o", "out") == 2
    # A progress bar left open by another test writes cursor movements before the error.
    error = re.findall("error: .*", capsys.readouterr().err)
    assert error == ["error: out/a.mp4: No space left on device: what could be written is in out/a.part.mp4"]
    assert len(frames_of("out/a.part.mp4")) == 5 and len(frames_of("out/b.mp4")) == 3
    assert threading.active_count() < threads + 3


# Slow down decoding, so that the signal arrives before the last frame.
SLOW = """
import time
from faststyle.cli.main import infer
from faststyle.video.conversion import RgbConverter
convert = RgbConverter.__call__
RgbConverter.__call__ = lambda *frame: time.sleep(0.02) or convert(*frame)
infer()
"""


@pytest.mark.slow
def test_ctrl_c_leaves_a_playable_file(infer_video, model):
    make_clip(Path("long.mp4"), 200)
    arguments = ["long.mp4", "-o", "out.mp4", "--checkpoint", model, "--engine=torch", "--device=cpu"]
    run = subprocess.Popen(
        [sys.executable, "-c", SLOW, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,  # so that Ctrl-C in the terminal does not reach this process
    )
    part = Path("out.part.mp4")
    limit = time.monotonic() + 120
    while not (part.exists() and part.stat().st_size) and time.monotonic() < limit:
        time.sleep(0.02)
    for _ in range(2):  # the second Ctrl-C must not lose frames
        run.send_signal(signal.SIGINT)
        time.sleep(0.02)
    out, error = run.communicate(timeout=60)
    assert (run.returncode, out) == (130, "")
    lines = [line for line in error.replace("\r", "\n").splitlines() if line.startswith("stopped")]
    assert len(lines) == 1 and "out.part.mp4" in lines[0] and "Traceback" not in error
    count = int(lines[0].split("the ")[1].split(" frames")[0])
    assert count == len(frames_of("out.part.mp4")) < 200
    assert not Path("out.mp4").exists()


def test_second_ctrl_c_waits_for_the_threads_and_the_handler_is_restored(infer_video, capsys, monkeypatch):
    begin, ends = stylize_video.ahead, []

    def ahead(frames):
        taken = begin(frames)
        try:
            for number, frame in enumerate(taken):
                if number == 3:
                    os.kill(os.getpid(), signal.SIGINT)
                yield frame
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            taken.close()
            ends.append(threading.active_count())

    monkeypatch.setattr(stylize_video, "ahead", ahead)
    assert exit_status(infer_video, "a.mp4", "-o", "out.mp4") == 130
    assert ends and "stopped: the 3 frames so far are in out.part.mp4" in capsys.readouterr().err
    assert len(frames_of("out.part.mp4")) == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_video_can_be_stylized_outside_the_main_thread(infer_video):
    with ThreadPoolExecutor(1) as pool:  # signal handlers can only be set in the main thread
        pool.submit(infer_video, "a.mp4", "-o", "out.mp4").result()
    assert len(frames_of("out.mp4")) == 8


def test_ctrl_c_skips_the_remaining_videos(infer_video, capsys, monkeypatch):
    write = Recorder.write

    def interrupted(self, frame):
        write(self, frame)
        if self.count == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Recorder, "write", interrupted)
    make_clip(Path("b.mp4"), 6)
    assert exit_status(infer_video, "a.mp4", "b.mp4", "-o", "out") == 130
    assert "stopped: the 4 frames so far are in out/a.part.mp4" in capsys.readouterr().err
    assert sorted(read_folder(Path("out"))) == ["a.part.mp4"]


def test_recorder_notes_are_printed(infer_video, capsys):
    make_clip(Path("odd.mkv"), 3, size=(63, 47), pixels="yuv444p")
    infer_video("odd.mkv", "-o", "out.mp4")
    assert "out.mp4: 63x47 is odd" in capsys.readouterr().err
