"""Tests of the manifest of a collection."""

import json
import os
from pathlib import Path

import pytest

from benchmarks.collection import (
    list_done,
)
from faststyle.errors import InputError
from faststyle.image.files import save_image
from faststyle.inference.batch import manifest
from tests.support.images import draw_image

ODD = "with\nnewline é.png"
HEAD = {"version": "1", "model": "abc", "flags": {"strength": 1.0}}


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


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


def test_only_the_manifest_is_flushed_to_the_disk(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    save_image(draw_image(30, 30), tmp_path / "a.png")
    assert not flushed
    manifest.begin(tmp_path, HEAD)
    assert len(flushed) == 1
