import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import draw_picture, refused
from PIL import Image

from benchmarks.collection import HOWS, break_off, differing, infer, listed, results, written_twice
from faststyle import manifest
from faststyle.cli import processes
from faststyle.cli.collection import check, find
from faststyle.cli.flags import parse
from faststyle.cli.infer import main
from faststyle.errors import InputError
from faststyle.images import open_image, save_image
from faststyle.share import Item, Pictures, explain, is_whole, rank_of

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
    """Many pictures in folders, some of them odd; one is broken, and one is a clip."""
    folder = tmp_path / "many"
    for number in range(90):
        place = folder / str(number % 3) / f"p{number}.{'jpg' if number % 2 else 'png'}"
        save_image(draw_picture(64, 40 + number % 9, seed=number), place)
    draw_picture(40, 30).save(folder / ODD)
    draw_picture(40, 30).save(folder / "drawn.bmp")
    frames = [draw_picture(32, 32, seed=seed) for seed in range(2)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    (folder / "broken.jpg").write_bytes(b"not a picture")
    (folder / ".hidden.jpg").write_bytes(b"not to be seen")
    return folder


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# Whole runs


def test_each_picture_once_whatever_is_killed(many, model, work, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    root = Path(__file__).parents[1]
    out, plain = work / "out", work / "plain"
    flags = ["--checkpoint", str(model), "--engine=torch", "--precision=fp32", "--device=cpu"]
    command = infer(many, out, *flags)
    command[1] = str(root / command[1])

    killed = break_off([*command, "--devices=3"], out, 8, HOWS[0], 1)
    assert killed.status == 2
    assert "process 2 of 3 was killed (SIGKILL): the same command goes on" in killed.how
    assert 8 <= len(killed.written) < 92
    names = listed(out)
    assert len(names) == len(set(names)) and set(names) <= set(killed.written)

    stopped = break_off([*command, "--devices=1"], out, 8, HOWS[2])
    assert stopped.status == 130 and "stopped: the same command goes on" in stopped.how
    assert len(stopped.written) < 92

    again = subprocess.run([*command, "--devices=2"], capture_output=True, text=True)
    assert again.returncode == 2
    assert f"92 of 93 pictures stylized ({len(stopped.listed)} of them before): {out}" in again.stdout
    errors = [line for line in again.stderr.replace("\r", "\n").splitlines() if line.startswith("error")]
    assert len(errors) == 1 and "broken.jpg" in errors[0]
    assert "animations are left out (1)" in again.stderr

    head, *entries = lines_of(out / manifest.NAME)
    assert set(head) == {"version", "model", "flags"}
    assert sorted(entry["name"] for entry in entries) == sorted([*results(out), "broken.jpg"])
    assert [entry["name"] for entry in entries if entry["status"] == "failed"] == ["broken.jpg"]
    for broken in (killed, stopped):
        assert not written_twice(broken, out) & broken.listed
    assert [path.name for path in out.rglob(".*")] == []

    with pytest.raises(SystemExit):
        main([str(many), "-o", str(plain), *flags])
    (plain / "moving.gif").unlink(missing_ok=True)
    assert len(results(plain)) == 92 and differing(plain, out) == []


def test_ranks_end_with_their_parent(tmp_path):
    script = "import os, threading, time; from faststyle.cli.processes import end_with\n"
    script += "threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()\n"
    script += f"open({str(tmp_path / 'pid')!r}, 'w').write(f'{{os.getpid()}} '); time.sleep(60)"
    parent = subprocess.Popen(["sh", "-c", f'{sys.executable} -c "$0"; true', script])
    while not (tmp_path / "pid").exists() or " " not in (tmp_path / "pid").read_text():
        time.sleep(0.01)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    child = Path("/proc") / (tmp_path / "pid").read_text().strip()
    deadline = time.monotonic() + 10
    while child.exists() and "Z" not in (child / "stat").read_text().rpartition(")")[2]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Processes of a run that do what a line of shell says, each by its number."""

    def run(line: str, count: int = 3) -> int:
        script = tmp_path / "python"
        script.write_text(f"#!/bin/sh\n{line}\n")
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))
        return processes.run([], count, 1)

    return run


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("kill -9 $$", r"^process 2 of 3 was killed \(SIGKILL\): the same command goes on"),
        ("kill -TERM $$", r"process 2 of 3 was killed \(SIGTERM\)"),
        ("echo No space left on device: out/a.png; exit 2", "^No space left on device: out/a.png$"),
        ("echo another process ended; exit 3", "^another process ended$"),
    ],
)
def test_one_process_that_ends_before_its_time_ends_all(fake, second, said):
    begin = time.monotonic()
    with pytest.raises(InputError, match=said):
        fake(f"if [ $LOCAL_RANK = 1 ]; then {second}; fi; exec sleep 60")
    assert time.monotonic() - begin < 10


def test_who_hears_that_another_was_lost_is_not_taken_for_the_cause(fake):
    with pytest.raises(InputError, match=r"^the cause$"):
        fake("case $LOCAL_RANK in 0) sleep 1; exit 3;; 1) echo the cause; exit 2;; 2) exec sleep 60;; esac")


def test_process_that_was_asked_to_end_stops_the_run(fake):
    with pytest.raises(KeyboardInterrupt):
        fake("[ $LOCAL_RANK = 1 ] && exit 130; exec sleep 60")


@pytest.mark.parametrize(("status", "expected"), [(0, 0), (4, 2)])
def test_first_process_speaks_for_all(fake, capfd, status, expected):
    assert fake(f"[ $LOCAL_RANK = 0 ] && echo all done && exit {status}; exit 0") == expected
    assert capfd.readouterr().out == "all done\n"


def test_processes_know_their_places(fake, tmp_path):
    fake(f'echo "$LOCAL_RANK $WORLD_SIZE $NODE_RANK $MASTER_ADDR" > {tmp_path}/rank_$LOCAL_RANK', 2)
    said = [(tmp_path / f"rank_{rank}").read_text().split() for rank in range(2)]
    assert said == [["0", "2", "0", "127.0.0.1"], ["1", "2", "0", "127.0.0.1"]]


# Which pictures


def test_every_picture_is_one_rank_s(many, work):
    shares = [find([many], work / "out", rank, 3) for rank in range(3)]
    names = [item.name for share in shares for item in share]
    assert len(names) == len(set(names)) == 94
    assert {item.name for share in shares for item in share} == {
        item.name for item in find([many], work / "out", 0, 1)
    }
    assert min(map(len, shares)) > 15
    # A picture that comes later changes nothing of where the others go.
    draw_picture(30, 30).save(many / "later.png")
    for rank, share in enumerate(shares):
        assert set(share) <= set(find([many], work / "out", rank, 3))


def test_rank_of_a_name_that_is_no_text():
    name = os.fsdecode(b"caf\xe9.jpg")
    assert 0 <= rank_of(name, 7) < 7


def test_places_of_results(many, photos, work):
    items = {item.name: item.source for item in find([many, photos / "cat.png"], work / "out", 0, 1)}
    assert items["drawn.png"] == str(many / "drawn.bmp")
    assert items["0/p0.png"] == str(many / "0/p0.png")
    assert items["cat.png"] == str(photos / "cat.png")


def test_two_pictures_for_one_place_are_refused(photos, work):
    draw_picture(30, 30).save(photos / "cat.bmp")
    for rank in range(2):
        if rank_of("cat.png", 2) == rank:
            with pytest.raises(InputError, match="both be written"):
                find([photos], work / "out", rank, 2)
        else:
            find([photos], work / "out", rank, 2)


def test_results_among_the_inputs_are_refused(photos, tmp_path):
    with pytest.raises(InputError, match="would be read as input"):
        check([photos], photos / "out")
    with pytest.raises(InputError, match="would be read as input"):
        check([photos], photos)
    (photos / "photos").mkdir()
    draw_picture(30, 30).save(photos / "photos" / "cat.png")
    with pytest.raises(InputError, match="overwrite"):
        find([photos], tmp_path, 0, 1)
    with pytest.raises(InputError, match="overwrite"):
        find([photos / "cat.png"], photos, 0, 1)


def test_folder_without_pictures_is_refused(work):
    (work / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures in empty"):
        find([Path("empty")], Path("out"), 0, 1)


# What is done already


def test_whole_results_are_kept(photos, tmp_path):
    out = tmp_path / "out"
    for name in ("beach.jpg", "cat.png"):
        save_image(open_image(photos / name), out / name)
        assert is_whole(photos / name, out / name)
    read = Pictures(out, open_image)
    assert read[Item(str(photos / "cat.png"), "cat.png", made=True)].kept
    assert read[Item(str(photos / "cat.png"), "cat.png", made=False)].picture is not None


@pytest.mark.parametrize("name", ["beach.jpg", "cat.png"])
def test_cut_missing_and_old_results_are_made_again(photos, tmp_path, name):
    out = tmp_path / "out"
    assert not is_whole(photos / name, out / name)
    save_image(open_image(photos / name), out / name)
    whole = (out / name).read_bytes()
    for share in (0, 0.5, 0.9):
        (out / name).write_bytes(whole[: int(share * len(whole))])
        assert not is_whole(photos / name, out / name)
    (out / name).write_bytes(whole)
    os.utime(out / name, (0, 0))
    assert not is_whole(photos / name, out / name)


def test_result_through_a_link_out_of_the_folder_fails(photos, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    read = Pictures(tmp_path / "out", open_image)[Item(str(photos / "cat.png"), "sub/cat.png")]
    assert read.picture is None and "link" in read.error


def test_picture_that_vanished_is_a_failure(photos, tmp_path):
    read = Pictures(tmp_path, open_image)[Item(str(photos / "gone.png"), "gone.png")]
    assert "there is no file" in read.error


def test_full_disk_is_no_failure_of_a_picture():
    with pytest.raises(OSError, match="No space"):
        explain(OSError(28, "No space left on device", "out/a.png"))
    assert explain(OSError(13, "Permission denied", "a.png")) == "Permission denied: a.png"


# The manifest


def test_parts_are_joined_and_the_last_word_counts(tmp_path):
    manifest.begin(tmp_path, HEAD)
    for rank, names in enumerate((["a", ODD], ["b", os.fsdecode(b"\xff")])):
        part = manifest.Part(tmp_path, rank)
        for name in names:
            part.add(name)
        part.close()
    with (tmp_path / ".manifest.1.jsonl").open("ab") as part:
        part.write(b'{"name": "torn", "stat')
    manifest.begin(tmp_path, HEAD)
    assert manifest.made(tmp_path, lambda name: True) == {"a", "b", ODD, os.fsdecode(b"\xff")}
    part = manifest.Part(tmp_path, 5)
    part.add("b", "no picture")
    part.close()
    manifest.join(tmp_path)
    assert manifest.made(tmp_path, lambda name: name != "a") == {ODD, os.fsdecode(b"\xff")}
    head, *entries = lines_of(tmp_path / manifest.NAME)
    assert head == HEAD and len(entries) == 4
    assert entries[-1] == {"name": "b", "status": "failed", "error": "no picture"}
    assert [path.name for path in tmp_path.iterdir()] == [manifest.NAME]


@pytest.mark.parametrize("other", [{"model": "abd"}, {"flags": {"strength": 0.5}}])
def test_manifest_of_another_run_is_refused(tmp_path, other):
    manifest.begin(tmp_path, HEAD)
    manifest.begin(tmp_path, {**HEAD, "version": "2"})
    with pytest.raises(InputError, match=f"another run \\({next(iter(other))}"):
        manifest.begin(tmp_path, {**HEAD, **other})


def test_what_killed_writers_left_is_removed(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".a.jpg.123.tmp").write_bytes(b"half")
    (tmp_path / "sub" / ".b.png.x1y2.strips").mkdir()
    (tmp_path / "sub" / ".b.png.x1y2.strips" / "photo").write_bytes(b"raw")
    (tmp_path / "sub" / ".theirs").write_bytes(b"stays")
    manifest.begin(tmp_path, HEAD)
    assert [path.name for path in (tmp_path / "sub").iterdir()] == [".theirs"]


# The command line


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--devices=2"], "--devices needs -o FOLDER"),
        (["--devices=0", "-o", "out"], "--devices"),
        (["--num-nodes=2", "-o", "out"], "--num-nodes needs --devices"),
        (["--devices=2", "-o", "out", "--fps=25"], "--fps does not go with --devices"),
        (["--devices=2", "-o", "out", "--checkpoint=all"], "--checkpoint all is a sheet"),
    ],
)
def test_flags_that_do_not_go_together(photos, model, capsys, flags, said):
    assert said in refused(capsys, parse, [str(photos), "--checkpoint", str(model), *flags])


def test_devices_need_a_model(photos, painting, capsys):
    line = refused(capsys, parse, [str(photos), "--style", str(painting), "--devices=2", "-o", "out"])
    assert "--devices does not go with --style" in line


@pytest.mark.parametrize(
    ("path", "out", "said"),
    [
        ("photos", "out.jpg", "names one file"),
        ("nothing", "out", "there is no file or folder nothing"),
        ("clip.mp4", "out", "clip.mp4 is a clip"),
    ],
)
def test_inputs_and_outputs_that_are_refused(photos, monkeypatch, path, out, said):
    monkeypatch.chdir(photos.parent)
    Path("clip.mp4").write_bytes(b"")
    with pytest.raises(InputError, match=said):
        check([Path(path)], Path(out))


def test_several_machines_must_know_each_other(photos, work, capsys, monkeypatch):
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    flags = ["--checkpoint=starry_night", "--devices=1", "--num-nodes=2", "-o", "out"]
    line = refused(capsys, main, [str(photos), *flags])
    assert "torchrun" in line and "MASTER_ADDR" in line


def test_lightning_stays_out_of_the_ordinary_command():
    script = "import sys, faststyle.cli.infer, faststyle.cli.collection, faststyle.stylizer\n"
    script += "sys.exit(any('lightning' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_benchmark_makes_its_pictures(tmp_path):
    from benchmarks.collection import made_up

    made_up(tmp_path, 12, 64)
    assert len(results(tmp_path)) == 12
    with Image.open(tmp_path / "0" / "picture 00000.jpg") as image:
        assert image.size == (64, 48)
