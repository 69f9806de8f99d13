"""Tests of ``--devices``: stylizing a collection with several processes."""

import json
import os
import pickle
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.collection import (
    KILL_RANK,
    find_differing,
    find_results,
    find_rewritten,
    interrupt,
    list_done,
)
from benchmarks.common import infer_command
from faststyle.cli.main import find_command, parser_of
from faststyle.cli.main import infer as main
from faststyle.cli.stylize import Options
from faststyle.errors import InputError
from faststyle.inference.batch import launcher, manifest
from faststyle.inference.batch.shards import call_when_orphaned


def options(*inputs: str) -> Options:
    """Return the options that stylize a collection on one device."""
    command, words, _ = find_command([*inputs, "--checkpoint=starry_night", "--devices=1", "-o", "out"])
    return parser_of(command).read(words)


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_each_image_is_stylized_once_although_processes_are_killed(many, model, work, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out, plain = work / "out", work / "plain"
    flags = ["--checkpoint", str(model), "--engine=torch", "--precision=fp32", "--device=cpu"]
    command = infer_command(many, "-o", out, *flags)

    killed = interrupt([*command, "--devices=3"], out, 8, KILL_RANK, 1)
    assert killed.status == 2
    assert "process 2 of 3 was killed (SIGKILL): the same command goes on" in killed.message
    assert 8 <= len(killed.written) < 92
    names = list_done(out)
    assert len(names) == len(set(names)) and set(names) <= set(killed.written)

    stopped = interrupt([*command, "--devices=1"], out, 8, "SIGTERM")
    assert stopped.status == 130 and "stopped: the same command goes on" in stopped.message
    assert len(stopped.written) < 92

    again = subprocess.run([*command, "--devices=2"], capture_output=True, text=True)
    assert again.returncode == 2
    assert f"92 of 93 images stylized ({len(stopped.listed)} of them before): {out}" in again.stdout
    errors = [line for line in again.stderr.replace("\r", "\n").splitlines() if line.startswith("error")]
    assert len(errors) == 1 and "broken.jpg" in errors[0]
    assert "animations are left out (1)" in again.stderr

    head, *entries = lines_of(out / manifest.NAME)
    assert set(head) == {"version", "model", "flags"}
    assert sorted(entry["name"] for entry in entries) == sorted([*find_results(out), "broken.jpg"])
    assert [entry["name"] for entry in entries if entry["status"] == "failed"] == ["broken.jpg"]
    for broken in (killed, stopped):
        assert not find_rewritten(broken, out) & broken.listed
    assert [path.name for path in out.rglob(".*")] == []

    with pytest.raises(SystemExit):
        main([str(many), "-o", str(plain), *flags])
    (plain / "moving.gif").unlink(missing_ok=True)
    assert len(find_results(plain)) == 92 and find_differing(plain, out) == []


@pytest.mark.slow
def test_process_exits_when_its_parent_exits():
    read, write = os.pipe()
    parent = os.fork()
    if parent == 0:
        if os.fork() == 0:
            call_when_orphaned(os.getppid(), lambda: os._exit(1))
            os.write(write, b"started")
        time.sleep(60)
        os._exit(0)
    os.close(write)
    assert os.read(read, 10) == b"started"
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert select.select([read], [], [], 10)[0] == [read]
    assert os.read(read, 10) == b""  # end of file: every process with the write end has exited
    os.close(read)


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Return a function that runs the launcher with a line of shell script in place of each rank."""

    def run(line: str, count: int = 3) -> int:
        script = tmp_path / "python"
        script.write_text(f"#!/bin/sh\n{line}\n")
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))
        return launcher.run(b"", count, 1)

    return run


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("kill -9 $$", r"^process 2 of 3 was killed \(SIGKILL\): the same command goes on"),
        ("kill -TERM $$", r"process 2 of 3 was killed \(SIGTERM\)"),
        ("echo No space left on device: out/a.png; exit 2", "^No space left on device: out/a.png$"),
        ("echo another process ended; exit 3", "^another process ended$"),
    ],
)
def test_one_failed_rank_ends_all_ranks(fake, second, message):
    begin = time.monotonic()
    with pytest.raises(InputError, match=message):
        fake(f"if [ $LOCAL_RANK = 1 ]; then {second}; fi; exec sleep 60")
    assert time.monotonic() - begin < 10


def test_error_is_of_the_rank_that_failed_first(fake):
    with pytest.raises(InputError, match=r"^the cause$"):
        fake("case $LOCAL_RANK in 0) sleep 1; exit 3;; 1) echo the cause; exit 2;; 2) exec sleep 60;; esac")


def test_interrupted_rank_stops_the_run(fake):
    with pytest.raises(KeyboardInterrupt):
        fake("[ $LOCAL_RANK = 1 ] && exit 130; exec sleep 60")


@pytest.mark.parametrize(("status", "expected"), [(0, 0), (4, 2)])
def test_output_and_status_are_those_of_rank_zero(fake, capfd, status, expected):
    assert fake(f"[ $LOCAL_RANK = 0 ] && echo all done && exit {status}; exit 0") == expected
    assert capfd.readouterr().out == "all done\n"


def test_ranks_get_their_environment_variables(fake, tmp_path):
    fake(f'echo "$LOCAL_RANK $WORLD_SIZE $NODE_RANK $MASTER_ADDR" > {tmp_path}/rank_$LOCAL_RANK', 2)
    places = [(tmp_path / f"rank_{rank}").read_text().split() for rank in range(2)]
    assert places == [["0", "2", "0", "127.0.0.1"], ["1", "2", "0", "127.0.0.1"]]


def test_too_many_processes_are_refused_before_any_starts(fake, tmp_path):
    with pytest.raises(InputError, match="is too many for this machine"):
        fake(f"touch {tmp_path}/started", 2 * (os.cpu_count() or 1) + 1)
    assert not (tmp_path / "started").exists()


def test_no_code_of_the_current_folder_is_run(work):
    (work / "faststyle").mkdir()
    for name in ("faststyle/__init__.py", "argparse.py", "torch.py"):
        (work / name).write_text("open('run', 'w')")
    with pytest.raises(InputError, match="there is no file or folder missing"):
        launcher.run(pickle.dumps(options("missing")), 1, 1)
    assert not (work / "run").exists()
