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
from faststyle.cli.stylize_batch import check, find
from faststyle.errors import InputError
from faststyle.files import atomic_write
from faststyle.image.files import open_image, save_image
from faststyle.inference.batch import launcher, manifest
from faststyle.inference.batch.shards import Images, Item, call_when_orphaned, explain, is_whole, rank_of
from tests.support.commands import expect_error_line
from tests.support.images import draw_image

ODD = "with\nnewline é.png"
HEAD = {"version": "1", "model": "abc", "flags": {"strength": 1.0}}


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def many(tmp_path) -> Path:
    """Return a folder of 90 images in subfolders, with odd names, a broken image and an animation."""
    folder = tmp_path / "many"
    for number in range(90):
        place = folder / str(number % 3) / f"p{number}.{'jpg' if number % 2 else 'png'}"
        save_image(draw_image(64, 40 + number % 9, seed=number), place)
    draw_image(40, 30).save(folder / ODD)
    draw_image(40, 30).save(folder / "drawn.bmp")
    frames = [draw_image(32, 32, seed=seed) for seed in range(2)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    (folder / "broken.jpg").write_bytes(b"not an image")
    (folder / ".hidden.jpg").write_bytes(b"hidden")
    return folder


def options(*inputs: str) -> Options:
    """Return the options that stylize a collection on one device."""
    command, words, _ = find_command([*inputs, "--checkpoint=starry_night", "--devices=1", "-o", "out"])
    return parser_of(command).read(words)


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# Whole runs


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


# Which images each rank stylizes


def test_every_image_belongs_to_exactly_one_rank(many, work):
    shards = [find([many], work / "out", rank, 3) for rank in range(3)]
    names = [item.name for shard in shards for item in shard]
    assert len(names) == len(set(names)) == 94
    assert {item.name for shard in shards for item in shard} == {
        item.name for item in find([many], work / "out", 0, 1)
    }
    assert min(map(len, shards)) > 15
    # An image that is added later does not change the rank of the others.
    draw_image(30, 30).save(many / "later.png")
    for rank, shard in enumerate(shards):
        assert set(shard) <= set(find([many], work / "out", rank, 3))


def test_rank_of_a_name_that_is_not_utf8():
    name = os.fsdecode(b"caf\xe9.jpg")
    assert 0 <= rank_of(name, 7) < 7


def test_output_names_of_inputs(many, photos, work):
    items = {item.name: item.source for item in find([many, photos / "cat.png"], work / "out", 0, 1)}
    assert items["drawn.png"] == str(many / "drawn.bmp")
    assert items["0/p0.png"] == str(many / "0/p0.png")
    assert items["cat.png"] == str(photos / "cat.png")


def test_image_named_directly_can_have_any_suffix(photos, work):
    (photos / "cat.png").rename(photos / "cat.heic")
    assert find([photos / "cat.heic"], work / "out", 0, 1) == [Item(str(photos / "cat.heic"), "cat.png")]
    assert "cat.png" not in {item.name for item in find([photos], work / "out", 0, 1)}


def test_symlink_loops_are_skipped(photos, work):
    Path("loop").symlink_to("loop")
    (photos / "self.jpg").symlink_to("self.jpg")
    check([photos], Path("loop"))
    assert len(find([photos], Path("loop"), 0, 1)) == 4


def test_two_images_with_the_same_output_are_refused(photos, work):
    draw_image(30, 30).save(photos / "cat.bmp")
    for rank in range(2):
        if rank_of("cat.png", 2) == rank:
            with pytest.raises(InputError, match="both be written"):
                find([photos], work / "out", rank, 2)
        else:
            find([photos], work / "out", rank, 2)


def test_output_folder_among_the_inputs_is_refused(photos, tmp_path):
    with pytest.raises(InputError, match="would be read as input"):
        check([photos], photos / "out")
    with pytest.raises(InputError, match="would be read as input"):
        check([photos], photos)
    (photos / "photos").mkdir()
    draw_image(30, 30).save(photos / "photos" / "cat.png")
    with pytest.raises(InputError, match="overwrite"):
        find([photos], tmp_path, 0, 1)
    with pytest.raises(InputError, match="overwrite"):
        find([photos / "cat.png"], photos, 0, 1)


def test_folder_without_images_is_refused(work):
    (work / "empty").mkdir()
    with pytest.raises(InputError, match="no images in empty"):
        find([Path("empty")], Path("out"), 0, 1)


# Results that exist already


def test_complete_results_are_kept(photos, tmp_path):
    out = tmp_path / "out"
    for name in ("beach.jpg", "cat.png"):
        save_image(open_image(photos / name), out / name)
        assert is_whole(photos / name, out / name)
    read = Images(out, open_image)
    assert read[Item(str(photos / "cat.png"), "cat.png", made=True)].kept
    assert read[Item(str(photos / "cat.png"), "cat.png", made=False)].image is not None


@pytest.mark.parametrize("name", ["beach.jpg", "cat.png"])
def test_truncated_missing_and_outdated_results_are_not_complete(photos, tmp_path, name):
    out = tmp_path / "out"
    assert not is_whole(photos / name, out / name)
    save_image(open_image(photos / name), out / name)
    whole = (out / name).read_bytes()
    for fraction in (0, 0.5, 0.9):
        (out / name).write_bytes(whole[: int(fraction * len(whole))])
        assert not is_whole(photos / name, out / name)
    (out / name).write_bytes(whole)
    os.utime(out / name, (0, 0))
    assert not is_whole(photos / name, out / name)


def test_result_behind_a_link_out_of_the_folder_fails(photos, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    read = Images(tmp_path / "out", open_image)[Item(str(photos / "cat.png"), "sub/cat.png")]
    assert read.image is None and "link" in read.error


def test_missing_image_is_reported(photos, tmp_path):
    read = Images(tmp_path, open_image)[Item(str(photos / "gone.png"), "gone.png")]
    assert "there is no file" in read.error


def test_full_disk_is_not_blamed_on_an_image():
    with pytest.raises(OSError, match="No space"):
        explain(OSError(28, "No space left on device", "out/a.png"))
    assert explain(OSError(13, "Permission denied", "a.png")) == "Permission denied: a.png"


def test_long_names_with_a_common_prefix_are_written_at_the_same_time(tmp_path):
    one, other = (tmp_path / f"{'é' * 110}{letter}.png" for letter in "ab")
    with atomic_write(one) as first, atomic_write(other) as second:
        first.write_bytes(b"one")
        second.write_bytes(b"other")
    assert (one.read_bytes(), other.read_bytes()) == (b"one", b"other")


def test_only_the_manifest_is_flushed_to_the_disk(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    save_image(draw_image(30, 30), tmp_path / "a.png")
    assert not flushed
    manifest.begin(tmp_path, HEAD)
    assert len(flushed) == 1


# The manifest


def test_parts_are_joined_and_the_last_entry_counts(tmp_path):
    manifest.begin(tmp_path, HEAD)
    for rank, names in enumerate((["a", ODD], ["b", os.fsdecode(b"\xff")])):
        part = manifest.Part(tmp_path, rank)
        for name in names:
            part.add(name)
        part.close()
    with (tmp_path / ".manifest.1.jsonl").open("ab") as part:
        part.write(b'{"name": "torn", "stat')
    manifest.begin(tmp_path, HEAD)
    assert manifest.done_names(tmp_path, lambda name: True) == {"a", "b", ODD, os.fsdecode(b"\xff")}
    part = manifest.Part(tmp_path, 5)
    part.add("b", "not an image")
    part.close()
    manifest.join(tmp_path)
    assert manifest.done_names(tmp_path, lambda name: name != "a") == {ODD, os.fsdecode(b"\xff")}
    head, *entries = lines_of(tmp_path / manifest.NAME)
    assert head == HEAD and len(entries) == 4
    assert entries[-1] == {"name": "b", "status": "failed", "error": "not an image"}
    assert [path.name for path in tmp_path.iterdir()] == [manifest.NAME]


@pytest.mark.parametrize("other", [{"model": "abd"}, {"flags": {"strength": 0.5}}])
def test_manifest_of_another_run_is_refused(tmp_path, other):
    manifest.begin(tmp_path, HEAD)
    manifest.begin(tmp_path, {**HEAD, "version": "2"})
    with pytest.raises(InputError, match=f"another run \\({next(iter(other))}"):
        manifest.begin(tmp_path, {**HEAD, **other})


@pytest.mark.parametrize("line", ['{"name": ["a"], "status": "done"}', '{"name": "a"}', "[" * 100_000, "7"])
def test_unknown_lines_of_the_manifest_are_skipped(tmp_path, line):
    manifest.begin(tmp_path, HEAD)
    for path in (tmp_path / manifest.NAME, tmp_path / ".manifest.0.jsonl"):
        with path.open("a") as file:
            file.write(f'{line}\n{{"name": "b", "status": "done"}}\n')
    manifest.begin(tmp_path, HEAD)
    assert manifest.done_names(tmp_path, lambda name: True) == {"b"}
    assert len(list_done(tmp_path)) == 1


def test_second_run_in_the_same_folder_is_refused(tmp_path):
    pytest.importorskip("fcntl")
    manifest.lock(tmp_path / "out")
    with pytest.raises(InputError, match=r"another run is writing to .*out: wait"):
        manifest.lock(tmp_path / "out")
    manifest.lock(tmp_path / "other")


def test_temporary_files_of_killed_processes_are_removed(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".a.jpg.123.tmp").write_bytes(b"half")
    (tmp_path / "sub" / ".b.png.x1y2.strips").mkdir()
    (tmp_path / "sub" / ".b.png.x1y2.strips" / "photo").write_bytes(b"raw")
    (tmp_path / "sub" / ".theirs").write_bytes(b"stays")
    manifest.Part(tmp_path, 1).close()  # killed processes leave their part of the manifest
    manifest.begin(tmp_path, HEAD)
    assert [path.name for path in (tmp_path / "sub").iterdir()] == [".theirs"]


def test_folder_of_a_finished_run_is_not_searched_for_temporary_files(tmp_path, monkeypatch):
    manifest.begin(tmp_path, HEAD)
    monkeypatch.delattr(Path, "rglob")
    manifest.begin(tmp_path, HEAD)


# The command line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--devices=2"], "--devices needs --output FOLDER"),
        (["--devices=0", "-o", "out"], "--devices"),
        (["--devices=1025", "-o", "out"], "--devices must be a whole number from 1 to 1024"),
        (
            ["--devices=1", "--num-nodes=1025", "-o", "out"],
            "--num-nodes must be a whole number from 1 to 1024",
        ),
        (["--num-nodes=2", "-o", "out"], "--num-nodes needs --devices"),
        (["--devices=2", "-o", "out", "--fps=25"], "--fps cannot be used with --devices"),
        (["--devices=2", "-o", "out", "--checkpoint=all"], "--devices needs one model"),
    ],
)
def test_invalid_combinations_of_options_are_refused(photos, model, capsys, options, message):
    assert message in expect_error_line(capsys, main, [str(photos), "--checkpoint", str(model), *options])


def test_devices_cannot_be_used_without_a_model(photos, painting, capsys):
    line = expect_error_line(
        capsys, main, [str(photos), "--style", str(painting), "--devices=2", "-o", "out"]
    )
    assert "--devices cannot be used here" in line


@pytest.mark.parametrize(
    ("path", "out", "message"),
    [
        ("photos", "out.jpg", "names one file"),
        ("nothing", "out", "there is no file or folder nothing"),
        ("clip.mp4", "out", "clip.mp4 is a video"),
    ],
)
def test_invalid_inputs_and_outputs_are_refused(photos, monkeypatch, path, out, message):
    monkeypatch.chdir(photos.parent)
    Path("clip.mp4").write_bytes(b"")
    with pytest.raises(InputError, match=message):
        check([Path(path)], Path(out))


def test_several_nodes_need_torchrun_variables(photos, work, capsys, monkeypatch):
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    flags = ["--checkpoint=starry_night", "--devices=1", "--num-nodes=2", "-o", "out"]
    line = expect_error_line(capsys, main, [str(photos), *flags])
    assert "torchrun" in line and "MASTER_ADDR" in line


@pytest.mark.slow
def test_stylize_command_does_not_import_lightning():
    script = "import sys, faststyle.cli.main, faststyle.cli.stylize_batch, faststyle.inference.stylizer\n"
    script += "sys.exit(any('lightning' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
