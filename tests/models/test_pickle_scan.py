"""Pickles that would run code, or exhaust memory or time."""

import io
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from faststyle.cli.main import infer
from faststyle.cli.train import main as train
from faststyle.errors import InputError, UnsupportedModelError
from faststyle.models import hub
from faststyle.models.checkpoint import load_model
from faststyle.models.checks import check_config
from tests.support.commands import expect_error_line
from tests.support.images import draw_image


class FileWriter:
    """An object that writes a file when it is unpickled."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return Path.write_text, (self.target, "ran")


def make_hostile_files(target: Path) -> dict[str, bytes]:
    """Return files, by format, that write ``target`` when they are unpickled.

    The formats are all that torch.load supports or once supported.
    """
    payload = FileWriter(target)
    zipped, legacy, torchscript, tarred = (io.BytesIO() for _ in range(4))
    torch.save({"state_dict": payload, "hyper_parameters": {}}, zipped)
    torch.save({"state_dict": payload}, legacy, _use_new_zipfile_serialization=False)
    plain = pickle.dumps(payload, protocol=2)
    with zipfile.ZipFile(torchscript, "w") as file:
        for name in ("data.pkl", "constants.pkl"):
            file.writestr(f"archive/{name}", plain)
        file.writestr("archive/code/__torch__.py", "")
        file.writestr("archive/version", "3")
    with tarfile.open(fileobj=tarred, mode="w") as file:
        for name in ("pickle", "storages", "tensors"):
            info = tarfile.TarInfo(name)
            info.size = len(plain)
            file.addfile(info, io.BytesIO(plain))
    streams = {"zip": zipped, "legacy": legacy, "torchscript": torchscript, "tar": tarred}
    files = {name: stream.getvalue() for name, stream in streams.items()}
    files |= {f"protocol {number}": pickle.dumps(payload, protocol=number) for number in (0, 2, 4, 5)}
    return files


@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".safetensors", ".model", ""])
def test_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path, suffix):
    target = tmp_path / "ran.txt"
    files = make_hostile_files(target)
    for kind, content in files.items():
        path = tmp_path / f"{kind}{suffix}"
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            load_model(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        if kind != "tar":  # a format that is not opened at all
            assert "was not opened because it" in str(caught.value), kind
        assert not target.exists(), kind
    # The payload itself works.
    pickle.loads(files["protocol 2"])
    assert target.read_text() == "ran"


COMMANDS = {
    "--checkpoint": lambda name, photo: infer([photo, "--checkpoint", name, "-o", "out.png"]),
    "blend": lambda name, photo: infer([photo, "--checkpoint", f"starry_night:1,{name}:1", "-o", "out.png"]),
    "video": lambda name, photo: infer(["a.gif", "--checkpoint", name, "-o", "out.gif"]),
    "--init-checkpoint": lambda name, photo: infer(
        [photo, "--style", photo, "--init-checkpoint", name, "-o", "out.png", "--size=16", "--vgg", "vgg19"]
    ),
    "--compare": lambda name, photo: infer(
        [photo, "--checkpoint", name, "--style", photo, "--compare", "report"]
    ),
    "--export": lambda name, photo: infer(["--checkpoint", name, "--export", "out.onnx"]),
    "--push-to-hub": lambda name, photo: infer(["--checkpoint", name, "--push-to-hub", "user/repo"]),
    "hub": lambda name, photo: infer([photo, "--checkpoint", "hf://user/repo", "-o", "out.png"]),
    "--init": lambda name, photo: train(["--style", photo, "--init", name, "--model.vgg", "vgg19"]),
    "--resume": lambda name, photo: train(["--resume", "--output", "run"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_runs_code_from_a_hostile_model(
    tmp_path, monkeypatch, capsys, random_vgg, photos, command
):
    folder = tmp_path / "work"
    (folder / "run").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(hub, "download", lambda repo: Path("a.pth"))
    draw_image(20, 20).save("a.gif", save_all=True, append_images=[draw_image(20, 20, seed=1)])
    target = tmp_path / "ran.txt"
    for content in make_hostile_files(target).values():
        for name in ("a.pth", "run/last.ckpt"):
            Path(name).write_bytes(content)
        Path("run/config.yaml").write_text("{}")
        line = expect_error_line(capsys, COMMANDS[command], "a.pth", str(photos / "cat.png"))
        assert ("run/last.ckpt" if command == "--resume" else "a.pth") in line
        assert not target.exists()
    left = {path.name for path in folder.rglob("*") if path.is_file()}
    assert left == {"a.gif", "a.pth", "last.ckpt", "config.yaml"}


def make_pickle(*operations: bytes) -> bytes:
    """Return a pickle of protocol 2 with these operations."""
    return b"\x80\x02" + b"".join(operations) + b"."


def nest_tuples(between: bytes = b"") -> bytes:
    """Return a pickle of a dict whose key is a tuple that is nested 60 times, each twice in the next.

    Args:
        between: Operations after each level.
    """
    levels = [
        b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86" + between + b"q" + bytes([i + 1]) for i in range(60)
    ]
    return make_pickle(b"X\x01\0\0\0a\x85q\0", *levels, b"}h\x3cK\x01s")


def nest_lists(levels: int) -> list:
    """Return a list that is nested, each list twice in the next."""
    value: list = []
    for _ in range(levels):
        value = [value, value]
    return value


def nest_lists_in_place() -> bytes:
    """Return a pickle of nested lists that are empty when others reference them, and filled afterwards."""
    empty = [b"]q" + bytes([i]) for i in range(41)]
    filled = [b"h" + bytes([i, ord("("), ord("h"), i + 1, ord("h"), i + 1, ord("e")]) for i in range(40)]
    return make_pickle(*empty, *filled, b"h\0")


BOMBS = {
    "bytes": make_pickle(b"cbuiltins\nbytearray\n\x8a\x06" + (10**13).to_bytes(6, "little") + b"\x85R"),
    "tensor": make_pickle(b"ctorch\nTensor\n\x8a\x06" + (10**13).to_bytes(6, "little") + b"\x85R"),
    "tuples": nest_tuples(),
    "tuples with operations between": nest_tuples(b"N0"),
    "lists": pickle.dumps({"state_dict": {}, "hyper_parameters": {"size": nest_lists(40), "blocks": 1}}, 2),
    "lists filled in place": nest_lists_in_place(),
    "strings": make_pickle(b"X\0\0\1\0", b"a" * 65_536, b"q\0](", b"h\0" * 100_000, b"e"),
}


@pytest.mark.parametrize("case", [*BOMBS, "compressed"])
def test_pickle_that_would_exhaust_memory_or_time_is_refused(tmp_path, case):
    path = tmp_path / "bomb.pth"
    if case == "compressed":
        torch.save({"down.0.0.weight": torch.zeros(10_000_000)}, path)
        with zipfile.ZipFile(path) as whole:
            members = {info.filename: whole.read(info) for info in whole.infolist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in members.items():
                packed.writestr(name, content)
        assert path.stat().st_size < 1_000_000
    else:
        path.write_bytes(BOMBS[case])
    with pytest.raises(UnsupportedModelError, match=r"bomb\.pth was not opened because it"):
        load_model(path)


def test_error_for_nested_lists_in_the_metadata_is_short():
    for config in (
        {"size": nest_lists(40), "blocks": 1},
        {"size": "half", "blocks": OrderedDict(a=nest_lists(40))},
    ):
        with pytest.raises(InputError, match=r"a\.ckpt has an unsupported network .{,80}: expected"):
            check_config(Path("a.ckpt"), config)


def test_pickle_with_an_uppercase_name_in_an_archive_is_checked(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as whole:
        members = {info.filename: whole.read(info) for info in whole.infolist()}
    with zipfile.ZipFile(tmp_path / "b.pth", "w") as other:
        for name, content in members.items():
            bomb = name.endswith("/data.pkl")
            other.writestr(name.replace(".pkl", ".PKL"), BOMBS["tuples"] if bomb else content)
    with pytest.raises(UnsupportedModelError, match=r"b\.pth was not opened because it"):
        load_model(tmp_path / "b.pth")
